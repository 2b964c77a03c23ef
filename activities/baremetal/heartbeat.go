package baremetal

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
)

// beat is how often a running activity says that it is alive; the worker may pass on fewer. It is well below the
// heartbeat timeout of the task preset, and it bounds how long a cancellation takes to get here.
const beat = time.Second

// progress is what an attempt leaves to the next one.
type progress[T any] struct {
	mu     sync.Mutex
	latest T
}

// Get returns what was left last, by this attempt or an earlier one.
func (p *progress[T]) Get() T {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latest
}

// Set leaves something.
func (p *progress[T]) Set(v T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latest = v
}

// heartbeat says that the activity is alive until stop is called, each time with what there is of progress.
func heartbeat[T any](ctx context.Context) (_ *progress[T], stop func()) {
	p := &progress[T]{}
	if activity.HasHeartbeatDetails(ctx) {
		// Details that cannot be read are those of another version: the step then looks for itself how things are.
		if err := activity.GetHeartbeatDetails(ctx, &p.latest); err != nil {
			var none T
			p.latest = none
		}
	}
	beating, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				activity.RecordHeartbeat(ctx, p.Get())
			case <-beating.Done():
				return
			}
		}
	})
	return p, func() {
		cancel()
		done.Wait()
	}
}
