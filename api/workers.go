package api

import (
	"context"
	"sync"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/yunshu/yunshu/activities/contract"
)

// What is known of a region's workers.
const (
	workersPolling = "polling"
	workersNone    = "none"
	workersUnknown = "unknown"
)

const (
	// temporalPatience bounds what a read waits for Temporal: an answer without its part beats a late one.
	temporalPatience = 300 * time.Millisecond
	// workersFor is how long an answer about workers is believed.
	workersFor = 3 * time.Second
	// pollEvery is how old a worker's last poll may be: a poll lasts up to a minute.
	pollEvery = 75 * time.Second
)

// workerWatch asks Temporal whether workers poll for the work of regions, and remembers it for seconds.
type workerWatch struct {
	temporal client.Client

	mu    sync.Mutex
	known map[string]knownWorkers
}

type knownWorkers struct {
	state string
	until time.Time
}

func newWorkerWatch(c client.Client) *workerWatch {
	return &workerWatch{temporal: c, known: map[string]knownWorkers{}}
}

// ask returns what is known of each region's workers. All are asked at once, so that a silent Temporal costs its
// patience once.
func (w *workerWatch) ask(ctx context.Context, regions []string) map[string]string {
	out := make(map[string]string, len(regions))
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, r := range regions {
		if known, ok := w.recall(r); ok {
			mu.Lock()
			out[r] = known
			mu.Unlock()
			continue
		}
		all.Go(func() {
			state := w.describe(ctx, r)
			w.keep(r, state)
			mu.Lock()
			defer mu.Unlock()
			out[r] = state
		})
	}
	all.Wait()
	return out
}

func (w *workerWatch) recall(region string) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k, ok := w.known[region]
	return k.state, ok && time.Now().Before(k.until)
}

func (w *workerWatch) keep(region, state string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known[region] = knownWorkers{state, time.Now().Add(workersFor)}
}

func (w *workerWatch) describe(ctx context.Context, region string) string {
	if w.temporal == nil {
		return workersUnknown
	}
	ctx, cancel := context.WithTimeout(ctx, temporalPatience)
	defer cancel()
	queue, err := w.temporal.DescribeTaskQueue(ctx, contract.VMQueue(region), enums.TASK_QUEUE_TYPE_ACTIVITY)
	if err != nil {
		return workersUnknown
	}
	for _, p := range queue.GetPollers() {
		if time.Since(p.GetLastAccessTime().AsTime()) < pollEvery {
			return workersPolling
		}
	}
	return workersNone
}
