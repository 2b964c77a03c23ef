package workflows

import (
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
	n := r.begin(ctx, name)
	for {
		out, err := a.Do(ctx, queue, fmt.Sprintf("%s %s", name, r.op.ResourceName), in)
		switch {
		case err == nil:
			r.end(ctx, n, models.StepSucceeded, "")
			return out, nil
		case ctx.Err() != nil && temporal.IsCanceledError(err):
			r.end(ctx, n, models.StepFailed, "Cancelled.")
			return out, err
		case neverPickedUp(err):
			continue
		}
		fault := contract.FaultOf(err)
		fault.Step = name
		if !fault.Code.Info().Retryable {
			r.end(ctx, n, models.StepFailed, fault.Message)
			return out, fault
		}
		if err := r.await(ctx, n, fault); err != nil {
			return out, err
		}
	}
}

// await blocks on a step whose retries ended. It returns nil if the step is to be tried again.
func (r *run) await(ctx workflow.Context, n int, fault *models.Fault) error {
	r.end(ctx, n, models.StepFailed, fault.Message)
	decision, err := r.block(ctx, forStep, fault, r.timing.Decision)
	if err != nil {
		return err
	}
	if decision == contract.UpdateResume {
		r.state = models.OperationRunning
		r.steps[n].State, r.steps[n].Message, r.steps[n].Ended = models.StepRunning, "", time.Time{}
		r.stir(true)
		return nil
	}
	why := "Nobody decided within " + r.timing.Decision.String() + ", so it was undone."
	if decision == contract.UpdateAbort {
		why = "It was aborted, and so undone."
	}
	out := models.Faultf(models.CodeAborted, "%s %s", fault.Message, why)
	out.Step = fault.Step
	return out
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
		return n
	}
	r.steps = append(r.steps, contract.Step{Number: len(r.steps) + 1, Name: name, State: models.StepRunning, Started: workflow.Now(ctx)})
	return len(r.steps) - 1
}

func (r *run) end(ctx workflow.Context, n int, state models.StepState, message string) {
	r.steps[n].State, r.steps[n].Message, r.steps[n].Ended = state, message, workflow.Now(ctx)
	r.stir(false)
}
