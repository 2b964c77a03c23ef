package api

import (
	"context"
	"sync"
	"time"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// watchEvery is how often the versions of watched operations are read.
const watchEvery = 100 * time.Millisecond

// watcher wakes those who wait for operations to change. However many wait, one query each tick reads the versions of
// all their operations; while nobody waits, nothing runs.
type watcher struct {
	store *store.Store

	mu      sync.Mutex
	waiting map[models.ID]map[*waiter]bool
	running bool
}

type waiter struct {
	version int64
	woken   chan struct{}
}

func newWatcher(s *store.Store) *watcher {
	return &watcher{store: s, waiting: map[models.ID]map[*waiter]bool{}}
}

// changed returns when the operation is no longer at this version, when the time is over, or when ctx ends.
func (w *watcher) changed(ctx context.Context, operation models.ID, version int64, within time.Duration) {
	me := &waiter{version, make(chan struct{})}
	w.enter(operation, me)
	defer w.leave(operation, me)
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	select {
	case <-me.woken:
	case <-timeout.C:
	case <-ctx.Done():
	}
}

func (w *watcher) enter(operation models.ID, me *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting[operation] == nil {
		w.waiting[operation] = map[*waiter]bool{}
	}
	w.waiting[operation][me] = true
	if !w.running {
		w.running = true
		go w.run()
	}
}

func (w *watcher) leave(operation models.ID, me *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting[operation], me)
	if len(w.waiting[operation]) == 0 {
		delete(w.waiting, operation)
	}
}

// run ticks until nobody waits any more.
func (w *watcher) run() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for range tick.C {
		ids, some := w.watched()
		if !some {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		versions, err := w.store.OperationVersions(ctx, ids)
		cancel()
		if err != nil {
			continue // those who wait have their own end; the next tick may find the database again
		}
		w.wake(versions)
	}
}

func (w *watcher) watched() ([]models.ID, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		w.running = false
		return nil, false
	}
	ids := make([]models.ID, 0, len(w.waiting))
	for id := range w.waiting {
		ids = append(ids, id)
	}
	return ids, true
}

func (w *watcher) wake(versions map[models.ID]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, version := range versions {
		for waiter := range w.waiting[id] {
			if waiter.version != version {
				close(waiter.woken)
				delete(w.waiting[id], waiter)
			}
		}
	}
}
