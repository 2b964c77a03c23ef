package vm

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
)

// beat is how often a running activity says that it is alive; the worker may pass on fewer. It is well below the
// heartbeat timeout of the task preset, and it bounds how long a cancellation takes to get here. Work that is done
// before the first beat never troubles Temporal with one.
const beat = time.Second

// heartbeat says that the activity is alive until stop is called, each time with the provider's task. If this worker
// dies, the next attempt finds that task in Resume and waits for it instead of beginning again; if it dies before the
// first beat, the step finds by name what was begun.
func heartbeat(ctx context.Context) (_ context.Context, task Task, stop func()) {
	if activity.HasHeartbeatDetails(ctx) {
		// Details that cannot be read are those of another version: the step then looks for itself what is there.
		if err := activity.GetHeartbeatDetails(ctx, &task.Resume); err != nil {
			task.Resume = ""
		}
	}
	var mu sync.Mutex
	latest := task.Resume
	task.Started = func(ref string) {
		mu.Lock()
		defer mu.Unlock()
		latest = ref
	}
	again := func() {
		mu.Lock()
		defer mu.Unlock()
		activity.RecordHeartbeat(ctx, latest)
	}

	beating, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				again()
			case <-beating.Done():
				return
			}
		}
	})
	return ctx, task, func() {
		cancel()
		done.Wait()
	}
}
