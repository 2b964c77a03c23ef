// Package region wires a region's activities to its task queues. It knows providers and Temporal, and no database.
package region

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"golang.org/x/sync/errgroup"

	"github.com/yunshu/yunshu/config"
	"github.com/yunshu/yunshu/workers"
)

// How the worker behaves towards Temporal.
const (
	retryStart     = 2 * time.Second  // between attempts to reach Temporal at the start
	stopTimeout    = 10 * time.Second // for activities to finish when the worker stops; longer ones go on elsewhere
	heartbeatEvery = 3 * time.Second  // how soon a heartbeat, and with it the task to resume, is sent
	// Most activities wait for the provider rather than work, so there are more of them than changes at a time.
	activitiesPerChange = 4
)

// Worker serves the queues of one or several regions.
type Worker struct {
	temporal client.Client
	logger   *slog.Logger
	parts    []*served // by region, each as the configuration has it
	registry *prometheus.Registry
}

// New prepares a worker; it reaches neither Temporal nor a provider yet.
func New(ctx context.Context, c config.Worker, logger *slog.Logger) (*Worker, error) {
	registry := prometheus.NewRegistry()
	temporal, err := workers.Dial(ctx, workers.Options{
		Address:   c.Temporal.Address,
		Namespace: c.Temporal.Namespace,
		Keys:      c.PayloadKeys.Reveal(),
		Logger:    logger,
		Metrics:   newMetrics(registry),
	})
	if err != nil {
		return nil, err
	}
	w := &Worker{temporal: temporal, logger: logger, registry: registry}
	for _, name := range slices.Sorted(maps.Keys(c.Regions)) {
		all, err := parts(name, c.Regions[name], c.PayloadKeys.Reveal(), logger)
		if err != nil {
			temporal.Close()
			return nil, fmt.Errorf("prepare region %s: %w", name, err)
		}
		w.parts = append(w.parts, all...)
	}
	return w, nil
}

// Run serves until ctx ends, then stops gracefully: it takes no new work and lets short activities finish.
func (w *Worker) Run(ctx context.Context) error {
	defer w.temporal.Close()
	all, ctx := errgroup.WithContext(ctx)
	for _, r := range w.parts {
		all.Go(func() error { return w.serve(ctx, r) })
	}
	return all.Wait()
}

// serve runs the Temporal worker of one part of a region, as soon as Temporal is there.
func (w *Worker) serve(ctx context.Context, r *served) error {
	logger := w.logger.With("region", r.region, "task_queue", r.queue)
	failed := make(chan error, 1)
	for {
		tw := w.worker(r, failed)
		err := tw.Start()
		if err == nil {
			defer tw.Stop()
			break
		}
		logger.Warn("Temporal is not reachable yet, trying again", "error", err)
		select {
		case <-time.After(retryStart):
		case <-ctx.Done():
			return nil
		}
	}
	logger.Info("serving a region")
	r.setReady(true)
	defer r.setReady(false)
	select {
	case <-ctx.Done():
		logger.Info("stopping")
		return nil
	case err := <-failed:
		return fmt.Errorf("serve %s of region %s: %w", r.queue, r.region, err)
	}
}

// worker makes the Temporal worker of a part.
func (w *Worker) worker(r *served, failed chan<- error) worker.Worker {
	tw := worker.New(w.temporal, r.queue, worker.Options{
		DisableWorkflowWorker:              true,
		DisableRegistrationAliasing:        true,
		MaxConcurrentActivityExecutionSize: r.limit,
		MaxHeartbeatThrottleInterval:       heartbeatEvery,
		WorkerStopTimeout:                  stopTimeout,
		OnFatalError: func(err error) {
			select {
			case failed <- err:
			default: // the first error is the one to report
			}
		},
	})
	r.register(tw)
	return tw
}

// Finding is what Check says of one thing that a worker needs.
type Finding struct {
	OK       bool
	Sentence string
}

// Check tries everything that the worker needs and says in sentences how that went.
func (w *Worker) Check(ctx context.Context) []Finding {
	defer w.temporal.Close()
	out := []Finding{w.checkTemporal(ctx)}
	for _, r := range w.parts {
		sentence, err := r.check(ctx)
		if err != nil {
			out = append(out, Finding{Sentence: fmt.Sprintf("Region %s: %v", r.region, err)})
			continue
		}
		out = append(out, Finding{OK: true, Sentence: fmt.Sprintf("Region %s: %s", r.region, sentence)})
	}
	return out
}

// checkTemporal asks Temporal how it is.
func (w *Worker) checkTemporal(ctx context.Context) Finding {
	if _, err := w.temporal.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return Finding{Sentence: fmt.Sprintf("Temporal does not answer: %v. Start it, or correct temporal.address.", err)}
	}
	return Finding{OK: true, Sentence: "Temporal answers."}
}
