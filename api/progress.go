package api

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	enums "go.temporal.io/api/enums/v1"
	failure "go.temporal.io/api/failure/v1"
	workflow "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// live is what only Temporal knows of an operation: what it waits for, and what is tried again.
type live struct {
	waitingFor string
	waiting    string
	attempt    *Attempt
}

// etag is the operation's version, and a mark of what Temporal says besides.
func (l live) etag(o store.Operation) string {
	if l.waitingFor == "" && l.attempt == nil && o.Intent == nil {
		return etag(o.Version)
	}
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %s", l.waitingFor, text(o.Intent))
	if l.attempt != nil {
		fmt.Fprintf(h, " %s %d %s", l.attempt.Activity, l.attempt.Number, l.attempt.Failure)
	}
	return fmt.Sprintf(`"%d-%08x"`, o.Version, h.Sum32())
}

const (
	// progressFor is how long an answer about an operation is believed.
	progressFor = time.Second
	// progressSize bounds the memory; a fuller cache starts over.
	progressSize = 4096
	// patient is how long work may lie in a queue before it counts as waiting.
	patient = time.Second
)

// progressWatch asks Temporal how active operations get on, and remembers it for a second.
type progressWatch struct {
	temporal client.Client
	failures converter.FailureConverter

	mu    sync.Mutex
	known map[models.ID]knownProgress
}

type knownProgress struct {
	live  live
	until time.Time
}

func newProgressWatch(c client.Client, failures converter.FailureConverter) *progressWatch {
	if failures == nil {
		failures = temporal.GetDefaultFailureConverter()
	}
	return &progressWatch{temporal: c, failures: failures, known: map[models.ID]knownProgress{}}
}

// of is what is known beyond the database. A Temporal that does not answer costs its patience, and the answer lacks
// its part.
func (w *progressWatch) of(ctx context.Context, o store.Operation) live {
	switch {
	case o.State.Ended():
		return live{}
	case o.State == models.OperationBlocked:
		return live{waitingFor: "a person", waiting: blockedAt(o)}
	case o.DispatchedAt == nil:
		if time.Since(o.CreatedAt) < patient {
			return live{}
		}
		return live{waitingFor: "temporal", waiting: "Waiting for Temporal to take up the operation; it is tried again by itself."}
	case w.temporal == nil:
		return live{}
	}
	w.mu.Lock()
	known, ok := w.known[o.ID]
	w.mu.Unlock()
	if ok && time.Now().Before(known.until) {
		return known.live
	}
	l := w.describe(ctx, o)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.known) >= progressSize {
		clear(w.known)
	}
	w.known[o.ID] = knownProgress{l, time.Now().Add(progressFor)}
	return l
}

func (w *progressWatch) describe(ctx context.Context, o store.Operation) live {
	ctx, cancel := context.WithTimeout(ctx, temporalPatience)
	defer cancel()
	d, err := w.temporal.DescribeWorkflowExecution(ctx, o.ID.String(), "")
	if err != nil {
		return live{} // the database's part is answer enough
	}
	if t := d.GetPendingWorkflowTask(); t != nil && t.GetState() == enums.PENDING_WORKFLOW_TASK_STATE_SCHEDULED && time.Since(t.GetScheduledTime().AsTime()) > patient {
		return live{waitingFor: "gateway", waiting: "Waiting for a gateway to go on with the workflow."}
	}
	var out live
	for _, p := range d.GetPendingActivities() {
		if l := w.progressOf(p, o.Region); l.waitingFor != "" || out.attempt == nil && l.attempt != nil {
			out = l
		}
	}
	return out
}

// progressOf reads one pending activity: never taken up by anyone, or tried before.
func (w *progressWatch) progressOf(p *workflow.PendingActivityInfo, region string) live {
	name := p.GetActivityType().GetName()
	if state := p.GetState(); state == enums.PENDING_ACTIVITY_STATE_PAUSED || state == enums.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED || p.GetPaused() {
		return live{waitingFor: "temporal", waiting: fmt.Sprintf("Waiting for somebody to unpause %s in Temporal%s.", name, pausedBy(p)), attempt: w.attempt(p)}
	}
	scheduled := p.GetState() == enums.PENDING_ACTIVITY_STATE_SCHEDULED
	if scheduled && p.GetAttempt() <= 1 && p.GetLastStartedTime() == nil {
		if p.GetScheduledTime() != nil && time.Since(p.GetScheduledTime().AsTime()) < patient {
			return live{}
		}
		if strings.HasPrefix(name, "vm.") && region != "" {
			return live{waitingFor: "region " + region, waiting: fmt.Sprintf("Waiting for a worker of region %s to take up %s.", region, name)}
		}
		return live{waitingFor: "gateway", waiting: fmt.Sprintf("Waiting for a gateway to take up %s.", name)}
	}
	return live{attempt: w.attempt(p)}
}

// attempt is how often a pending activity was tried, and when the next time is; nil if it is the first.
func (w *progressWatch) attempt(p *workflow.PendingActivityInfo) *Attempt {
	if p.GetAttempt() <= 1 {
		return nil
	}
	a := &Attempt{Activity: p.GetActivityType().GetName(), Number: p.GetAttempt(), Failure: w.messageOf(p.GetLastFailure())}
	if p.GetState() == enums.PENDING_ACTIVITY_STATE_SCHEDULED && p.GetScheduledTime() != nil {
		at := p.GetScheduledTime().AsTime().UTC()
		a.NextAt = &at
	}
	return a
}

// pausedBy says who paused an activity and why, as far as Temporal was told.
func pausedBy(p *workflow.PendingActivityInfo) string {
	m := p.GetPauseInfo().GetManual()
	out := ""
	if m.GetIdentity() != "" {
		out += "; " + m.GetIdentity() + " paused it"
	}
	if m.GetReason() != "" {
		out += ": " + m.GetReason()
	}
	return out
}

// blockedAt says where an operation is blocked, why, and what a person can do about it.
func blockedAt(o store.Operation) string {
	if o.Error == nil {
		return "Blocked: waiting for a person to resume or abort it."
	}
	where := "Blocked"
	if o.Error.Step != "" {
		where += " at " + o.Error.Step
	}
	if len(o.Error.Ways) == 0 {
		return fmt.Sprintf("%s: %s Waiting for a person to resume or abort it.", where, o.Error.Message)
	}
	ways := make([]string, len(o.Error.Ways))
	for i, w := range o.Error.Ways {
		ways[i] = string(w)
	}
	return fmt.Sprintf("%s: %s Waiting for a person to resume it by %s.", where, o.Error.Message, strings.Join(ways, ", "))
}

// messageOf is how an attempt failed, in the words that the operation's error would have.
func (w *progressWatch) messageOf(f *failure.Failure) string {
	if f == nil {
		return ""
	}
	return contract.FaultOf(w.failures.FailureToError(f)).Message
}
