// Package outbox brings accepted work to Temporal: it starts a workflow for every operation row that has none yet, and
// delivers cancel, resume and abort. It runs in every gateway replica. Rows are leased, not locked, while Temporal is
// asked; whatever dies on the way is delivered again, and Temporal recognises what it has.
package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/tracing"
)

// Outbox moves rows to Temporal.
type Outbox struct {
	store    *store.Store
	temporal client.Client
	log      *slog.Logger
	wake     chan struct{}
	down     bool // Temporal or Postgres did not answer last time; said once
}

const (
	batch    = 64
	parallel = 16 // starts under way at once
	poll     = time.Second
)

// New returns an Outbox; Run makes it work.
func New(s *store.Store, c client.Client, log *slog.Logger) *Outbox {
	return &Outbox{store: s, temporal: c, log: log, wake: make(chan struct{}, 1)}
}

// Wake tells that there is work. It never blocks.
func (o *Outbox) Wake() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends. It wakes when this gateway commits, and polls for what others left.
func (o *Outbox) Run(ctx context.Context) {
	pause := poll
	for {
		busy, err := o.once(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !o.down {
				o.log.Warn("outbox waits", "error", err)
			}
			o.down, pause = true, min(2*pause, 10*time.Second)
		default:
			if o.down {
				o.log.Info("outbox goes on")
			}
			o.down, pause = false, poll
		}
		if busy && err == nil {
			continue
		}
		o.rest(ctx, pause, err == nil)
	}
}

// rest waits for work, at most for a while. A wake does not end the wait for a Temporal that is down.
func (o *Outbox) rest(ctx context.Context, pause time.Duration, wakeable bool) {
	timer := time.NewTimer(pause + time.Duration(rand.Int64N(int64(pause/4))))
	defer timer.Stop()
	wake := o.wake
	if !wakeable {
		wake = nil
	}
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}

// once takes one batch of each kind. It reports whether there may be more.
func (o *Outbox) once(ctx context.Context) (bool, error) {
	starts, err := o.store.TakeStarts(ctx, batch)
	if err != nil {
		return false, err
	}
	if err := o.startAll(ctx, starts); err != nil {
		return false, err
	}
	intents, err := o.store.TakeIntents(ctx, batch)
	if err != nil {
		return false, err
	}
	for _, i := range intents {
		if err := o.deliver(ctx, i); err != nil {
			return false, err
		}
	}
	return len(starts) > 0 || len(intents) > 0, nil
}

// startAll starts the workflows of a batch side by side, and gives back those that Temporal did not take.
func (o *Outbox) startAll(ctx context.Context, starts []store.Start) error {
	if len(starts) == 0 {
		return nil
	}
	errs := make([]error, len(starts))
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for i, s := range starts {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = o.start(ctx, s)
		})
	}
	wg.Wait()
	var taken, returned []models.ID
	for i, s := range starts {
		if errs[i] == nil {
			taken = append(taken, s.Operation.ID)
		} else {
			returned = append(returned, s.Operation.ID)
		}
	}
	first := errors.Join(errs...)
	if len(taken) > 0 {
		if err := o.store.Started(ctx, taken); err != nil {
			return errors.Join(first, err)
		}
	}
	if len(returned) > 0 {
		return errors.Join(first, o.store.Return(ctx, returned))
	}
	return nil
}

// start gives one operation to Temporal. That it has it already is as good.
func (o *Outbox) start(ctx context.Context, s store.Start) error {
	op := s.Operation
	ctx, cancel := context.WithTimeout(tracing.Continue(ctx, op.Trace), 5*time.Second)
	defer cancel()
	attributes := []temporal.SearchAttributeUpdate{
		contract.AttrResourceKind.ValueSet(op.ResourceKind),
		contract.AttrResourceID.ValueSet(op.ResourceID.String()),
		contract.AttrActor.ValueSet(op.Actor),
	}
	if op.Tenant != "" {
		attributes = append(attributes, contract.AttrTenant.ValueSet(op.Tenant))
	}
	if op.Region != "" {
		attributes = append(attributes, contract.AttrRegion.ValueSet(op.Region))
	}
	_, err := o.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: op.ID.String(), TaskQueue: contract.Gateway,
		WorkflowIDReusePolicy:                    enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		TypedSearchAttributes:                    temporal.NewSearchAttributes(attributes...),
		StaticSummary:                            summary(op),
	}, op.Kind, json.RawMessage(s.Input))
	var already *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &already) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", op.Kind, err)
	}
	return nil
}

// summary is the line that the Temporal Web UI shows for a workflow.
func summary(op contract.Operation) string {
	out := op.ResourceName
	if op.Tenant != "" {
		out = op.Tenant + "/" + out
	}
	if op.Region != "" && op.Region != op.ResourceName {
		out += " in " + op.Region
	}
	return op.Kind + " " + out
}

// deliver tells a workflow what a person wants. A workflow that has closed meanwhile, or refuses, is an answer too.
func (o *Outbox) deliver(ctx context.Context, i store.Intent) error {
	refusal, err := o.tell(ctx, i)
	if err != nil {
		return fmt.Errorf("deliver %s: %w", i.Kind, err)
	}
	return o.store.Delivered(ctx, i.ID, refusal)
}

func (o *Outbox) tell(ctx context.Context, i store.Intent) (refusal string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	workflow, detail := i.Operation.String(), contract.Intent{}
	if len(i.Detail) > 0 {
		if err := json.Unmarshal(i.Detail, &detail); err != nil {
			return "The intent cannot be read.", nil //nolint:nilerr // it never will be
		}
	}
	detail.ID, detail.Actor = i.ID, i.Actor
	if i.Kind == "cancel" {
		err = o.temporal.CancelWorkflow(ctx, workflow, "")
	} else {
		var handle client.WorkflowUpdateHandle
		handle, err = o.temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
			UpdateID: i.ID.String(), WorkflowID: workflow, UpdateName: i.Kind, WaitForStage: client.WorkflowUpdateStageCompleted,
			Args: []any{detail},
		})
		if err == nil {
			err = handle.Get(ctx, nil)
		}
	}
	var missing *serviceerror.NotFound
	var refused *temporal.ApplicationError
	switch {
	case errors.As(err, &missing):
		return "The operation had ended already.", nil
	case errors.As(err, &refused):
		return refused.Message(), nil
	}
	return "", err
}
