package main

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/worker"

	activities "github.com/yunshu/yunshu/activities/gateway"
	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/workers/gateway"
	"github.com/yunshu/yunshu/workflows"
)

// cachedWorkflows bounds the workflows that are kept in memory between their steps. Each costs about 50 KB; one that is
// not kept is replayed when it goes on. While a region is down, thousands may wait.
const cachedWorkflows = 500

// runWorker runs the gateway's own worker, and waits for Temporal as long as it takes: it may start later, or come
// back after the worker gave up on it.
func (g *gatewayProcess) runWorker(ctx context.Context, wake func()) error {
	drains := accept.New(ctx, accept.Options{Store: g.store, Authz: g.policies, Wake: wake})
	worker.SetStickyWorkflowCacheSize(cachedWorkflows)
	const shortest, longest = time.Second, 15 * time.Second
	pause := shortest
	for {
		started := time.Now()
		err := g.workOnce(ctx, drains)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to stop; what that broke off is no failure
		}
		if time.Since(started) > time.Minute {
			pause = shortest // it had worked for a while
		}
		g.log.WarnContext(ctx, "waiting for Temporal", "address", g.config.Temporal.Address, "retry_in", pause.String(), "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
			pause = min(2*pause, longest)
		}
	}
}

// workOnce prepares Temporal and works until ctx ends or the worker fails. A worker can be started only once.
func (g *gatewayProcess) workOnce(ctx context.Context, drains activities.Drains) error {
	bounded, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := gateway.Prepare(bounded, g.temporal, g.config.Temporal.Namespace); err != nil {
		return err
	}
	watching, stopWatching := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { gateway.KeepSchedules(watching, g.temporal, g.store.RegionNames, g.log) })
	defer watch.Wait()
	defer stopWatching()
	w := gateway.New(g.temporal, activities.Activities{Store: g.store, Executions: g.temporal, Drains: drains, BMCs: g.store, Metrics: g.steps}, workflows.Set{})
	stop := make(chan any)
	defer context.AfterFunc(ctx, func() { close(stop) })()
	return w.Run(stop)
}
