package api

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

type operationEventsInput struct {
	ByID
	LastEventID string `header:"Last-Event-ID" maxLength:"255" doc:"The id of the last event that you saw: it is not sent again." example:"\"4\""`
}

type operationsEventsInput struct {
	OperationFilter
}

func (a *API) registerOperationEvents(h huma.API) {
	registerStream[operationEventsInput, Operation](h, endpoint{ID: "watch-operation", Method: http.MethodGet, Path: "/v1/operations/{id}/events", Action: "operation.read",
		Summary: "Watch an operation", Description: "Streams the operation with its steps, now and each time it changed, until it ends. A reader that was cut off connects again with Last-Event-ID."},
		"operation", "each with the whole operation; the last one says how it ended", a.watchOperation)
	registerStream[operationsEventsInput, Operation](h, endpoint{ID: "watch-operations", Method: http.MethodGet, Path: "/v1/operations/events", Action: "operation.read",
		Summary: "Watch operations", Description: "Streams the operations that match the filters and have not ended, those that begin to match, and each time one of them changed. One that ended, or matches no longer, is told a last time. Of more than 1000 at once, the newest are told."},
		"operation", "each with the whole operation", a.watchOperations)
}

// watchOperation tells one operation whenever it changed. What it waits for is Temporal's to tell, and has no version:
// that is looked at now and then.
func (a *API) watchOperation(ctx context.Context, in *operationEventsInput) (*huma.StreamResponse, error) {
	o, err := a.visibleOperation(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	known, renewed := in.LastEventID, time.Now()
	return a.stream(ctx, func(ctx context.Context, out *events) error {
		for ctx.Err() == nil {
			told, err := a.tell(ctx, o)
			if err != nil {
				return err
			}
			if told.ETag != known || o.State.Ended() {
				if err := out.send("operation", told.ETag, told.Body); err != nil {
					return err
				}
				known = told.ETag
			}
			if o.State.Ended() {
				return nil
			}
			if err := out.rest(); err != nil {
				return err
			}
			a.watcher.changed(ctx, o.ID, o.Version, lookAgain)
			if err := a.renew(ctx, &renewed); err != nil {
				return err
			}
			if o, err = a.visibleOperation(ctx, in.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

const (
	// watchedMost is how many operations one stream tells of at once.
	watchedMost = 1000
	// watchOperationsEvery is how often a stream of several looks for changes.
	watchOperationsEvery = time.Second
	// horizon is how far back a look goes for operations that began and ended between two looks: ids are made before
	// their transaction commits.
	horizon = 20 * time.Second
)

func (a *API) watchOperations(ctx context.Context, in *operationsEventsInput) (*huma.StreamResponse, error) {
	f, err := a.operationFilter(ctx, in.OperationFilter)
	if err != nil {
		return nil, err
	}
	return a.stream(ctx, func(ctx context.Context, out *events) error {
		w := &operationsWatch{api: a, filter: f, began: time.Now(), told: map[models.ID]toldOperation{}}
		tick, renewed := time.NewTicker(watchOperationsEvery), time.Now()
		defer tick.Stop()
		for {
			if err := w.look(ctx, out); err != nil {
				return err
			}
			if err := out.rest(); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			if err := a.renew(ctx, &renewed); err != nil {
				return err
			}
			if w.filter, err = a.operationFilter(ctx, in.OperationFilter); err != nil {
				return err
			}
		}
	})
}

// operationsWatch is one stream of several operations.
type operationsWatch struct {
	api    *API
	filter store.OperationFilter
	began  time.Time
	told   map[models.ID]toldOperation
}

// toldOperation is what the reader knows of an operation.
type toldOperation struct {
	version int64
	over    bool // it ended, or matched no longer
}

// look tells what changed since the last look.
func (w *operationsWatch) look(ctx context.Context, out *events) error {
	since := models.IDAt(later(w.began, time.Now().Add(-horizon)))
	changed, err := w.matching(ctx, since)
	if err != nil {
		return err
	}
	matching := make(map[models.ID]bool, len(changed))
	for _, o := range changed {
		matching[o.ID] = true
	}
	var left []models.ID
	for id, t := range w.told {
		switch {
		case !t.over && !matching[id]:
			left = append(left, id)
		case t.over && bytes.Compare(id[:], since[:]) < 0:
			delete(w.told, id)
		}
	}
	gone, err := w.api.store.OperationsByID(ctx, left)
	if err != nil {
		return err
	}
	changed = slices.DeleteFunc(append(changed, gone...), func(o store.Operation) bool {
		t, known := w.told[o.ID]
		w.told[o.ID] = toldOperation{o.Version, o.State.Ended() || !matching[o.ID]}
		return known && t.version == o.Version
	})
	return w.tell(ctx, out, changed)
}

// matching is what is under way, and what began not long ago and may have ended already.
func (w *operationsWatch) matching(ctx context.Context, since models.ID) ([]store.Operation, error) {
	f := w.filter
	f.IDPage = store.IDPage{Limit: watchedMost}
	if f.States != nil {
		return w.api.store.Operations(ctx, f)
	}
	f.States = activeStates()
	active, err := w.api.store.Operations(ctx, f)
	if err != nil {
		return nil, err
	}
	f.States, f.Since = []string{"succeeded", "failed", "cancelled"}, since
	ended, err := w.api.store.Operations(ctx, f)
	return append(active, ended...), err
}

// tell sends operations with their steps.
func (w *operationsWatch) tell(ctx context.Context, out *events, ops []store.Operation) error {
	if len(ops) == 0 {
		return nil
	}
	ids := make([]models.ID, len(ops))
	for i, o := range ops {
		ids[i] = o.ID
	}
	steps, err := w.api.store.StepsOf(ctx, ids)
	if err != nil {
		return err
	}
	for _, o := range ops {
		body, err := w.api.recount(ctx, o, wireSteps(steps[o.ID]))
		if err != nil {
			return err
		}
		if err := out.send("operation", "", body); err != nil {
			return err
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
