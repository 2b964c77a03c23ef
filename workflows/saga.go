package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// undo takes back what a step may have done. It succeeds where there is nothing to take back.
type undo struct {
	name string
	step int // index of the step it takes back: the one begun next after the push
	do   func(workflow.Context) error
}

// undo pushes the compensation of the step that begins next.
func (r *run) undo(name string, do func(workflow.Context) error) {
	r.undos = append(r.undos, undo{name, len(r.steps), do})
}

// unwind takes everything back, newest first, on a context that no cancellation reaches. It returns only when that is
// done: an undo that fails blocks the operation until a person resumes it, and tries again by itself meanwhile.
func (r *run) unwind(ctx workflow.Context, cancelled bool) {
	if cancelled {
		r.state = models.OperationCancelling
	}
	for _, u := range slices.Backward(r.undos) {
		r.takeBack(ctx, u, cancelled)
	}
}

func (r *run) takeBack(ctx workflow.Context, u undo, cancelled bool) {
	begun := u.step < len(r.steps)
	mark := func(state models.StepState) {
		if begun {
			r.steps[u.step].State = state
			r.stir(true)
		}
	}
	mark(models.StepUndoing)
	for {
		err := u.do(ctx)
		if err == nil {
			break
		}
		if neverPickedUp(err) {
			continue
		}
		cause := contract.FaultOf(err)
		fault := models.Faultf(models.CodeUndoFailed, "To %s failed: %s It is tried again by itself; mend what is in the way and resume.", u.name, cause.Message)
		fault.Step = u.name
		if _, err := r.block(ctx, forUndo, fault, r.timing.Undo, models.WayRetry); err != nil {
			workflow.GetLogger(ctx).Error("waiting for a decision ended", "error", err)
		}
		r.state = models.OperationRunning
		if cancelled {
			r.state = models.OperationCancelling
		}
		r.stir(true)
	}
	if begun {
		r.steps[u.step].Ended = workflow.Now(ctx)
	}
	mark(models.StepUndone)
}

// summary names an undo's activity in the Temporal Web UI.
func (r *run) summary(what string) string { return fmt.Sprintf("undo: %s %s", what, r.op.ResourceName) }
