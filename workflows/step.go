package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// step carries out one activity as a step of the operation's story. The activity retries by itself as long as its
// budget lasts. Then: a region that never picked it up is simply waited for; a fault that a person can mend blocks the
// operation until one resumes or aborts it; anything else is returned, with the step's name, and undone.
func step[I, O any](ctx workflow.Context, r *run, name string, a contract.Activity[I, O], queue string, in I) (O, error) {
	out, _, err := stepOr(ctx, r, name, a, queue, in, nil)
	return out, err
}

// otherWays says what else than trying again mends a fault of a step.
type otherWays func(*models.Fault) []models.Way

// stepOr is a step with other ways out than trying it again: a person may skip it, or begin again with something
// changed. It returns the decision if that was taken, and then no output.
func stepOr[I, O any](ctx workflow.Context, r *run, name string, a contract.Activity[I, O], queue string, in I, others otherWays) (O, *decision, error) {
	return attempt(ctx, r, name, func(ctx workflow.Context) (O, error) {
		return a.Do(ctx, queue, fmt.Sprintf("%s %s", name, r.op.ResourceName), in)
	}, others)
}

// attempt is a step that is more than one activity, or judges what the activity found: every try does all of it anew.
func attempt[O any](ctx workflow.Context, r *run, name string, do func(workflow.Context) (O, error), others otherWays) (O, *decision, error) {
	n := r.begin(ctx, name)
	for {
		out, err := do(ctx)
		switch {
		case err == nil:
			r.end(ctx, n, models.StepSucceeded, "")
			return out, nil, nil
		case ctx.Err() != nil && temporal.IsCanceledError(err):
			r.end(ctx, n, models.StepFailed, "Cancelled.")
			return out, nil, err
		case neverPickedUp(err):
			continue
		}
		fault := contract.FaultOf(err)
		fault.Step = cmp.Or(fault.Step, name) // of a step within this one
		ways := waysOut(ctx, fault, others)
		if ways == nil {
			r.end(ctx, n, models.StepFailed, fault.Message)
			return out, nil, fault
		}
		decision, err := r.await(ctx, n, fault, ways)
		if err != nil || decision.Way != models.WayRetry {
			return out, decision, err
		}
	}
}

// worthRetry blocks on a fault that no later attempt mends by itself, but that a person may.
func worthRetry(codes ...models.Code) otherWays {
	return func(f *models.Fault) []models.Way {
		if slices.Contains(codes, f.Code) {
			return []models.Way{models.WayRetry}
		}
		return nil
	}
}

// waysOut lists what a person may do about a step that failed, or nothing where no person can mend it. Operations that
// failed before there were other ways go on as they did then.
func waysOut(ctx workflow.Context, fault *models.Fault, others otherWays) []models.Way {
	var more []models.Way
	if others != nil {
		more = others(fault)
	}
	if !fault.Code.Info().Retryable && (len(more) == 0 || workflow.GetVersion(ctx, "other-ways", workflow.DefaultVersion, 1) == workflow.DefaultVersion) {
		return nil
	}
	return slices.Compact(slices.Concat([]models.Way{models.WayRetry}, more, []models.Way{models.WayRollBack}))
}

// await blocks on a step whose retries ended, and returns what a person decided: to try it again, to skip it, or to
// begin again with something changed. Everything else is an error.
func (r *run) await(ctx workflow.Context, n int, fault *models.Fault, ways []models.Way) (*decision, error) {
	r.end(ctx, n, models.StepFailed, fault.Message)
	d, err := r.block(ctx, forStep, fault, r.timing.Decision, ways...)
	if err != nil {
		return nil, err
	}
	if d != nil && d.Way != models.WayRollBack {
		r.state = models.OperationRunning
		switch {
		case d.Way == models.WaySkip:
			r.end(ctx, n, models.StepSkipped, fmt.Sprintf("%s skipped it: %s", d.Actor, d.Reason))
		case d.Way.Changes():
			r.afresh()
		default:
			r.steps[n].State, r.steps[n].Message, r.steps[n].Ended = models.StepRunning, "", time.Time{}
		}
		r.stir(true)
		return d, nil
	}
	why := "Nobody decided within " + r.timing.Decision.String() + ", so it was undone."
	if d != nil {
		why = "It was aborted, and so undone."
	}
	out := models.Faultf(models.CodeAborted, "%s %s", fault.Message, why)
	out.Step = fault.Step
	return nil, out
}

// afresh begins the story again: every step is still to be done.
func (r *run) afresh() {
	for n, s := range r.steps {
		r.steps[n] = contract.Step{Number: s.Number, Name: s.Name, State: models.StepPending}
	}
}

// neverPickedUp reports whether no worker ever took the activity: its region is down, or has none.
func neverPickedUp(err error) bool {
	var timeout *temporal.TimeoutError
	if !errors.As(err, &timeout) {
		return false
	}
	switch timeout.TimeoutType() {
	case enums.TIMEOUT_TYPE_SCHEDULE_TO_START:
		return true
	case enums.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE:
		return errors.Unwrap(timeout) == nil
	}
	return false
}

// begin opens a step and returns its index. A step of the same name, such as the next page of a listing, is the same
// line of the story.
func (r *run) begin(ctx workflow.Context, name string) int {
	r.stir(false)
	if n := slices.IndexFunc(r.steps, func(s contract.Step) bool { return s.Name == name }); n >= 0 {
		r.steps[n].State, r.steps[n].Message, r.steps[n].Ended = models.StepRunning, "", time.Time{}
		if r.steps[n].Started.IsZero() {
			r.steps[n].Started = workflow.Now(ctx)
		}
		return n
	}
	r.steps = append(r.steps, contract.Step{Number: len(r.steps) + 1, Name: name, State: models.StepRunning, Started: workflow.Now(ctx)})
	return len(r.steps) - 1
}

func (r *run) end(ctx workflow.Context, n int, state models.StepState, message string) {
	r.steps[n].State, r.steps[n].Message, r.steps[n].Ended = state, message, workflow.Now(ctx)
	r.stir(false)
}
