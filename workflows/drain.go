package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

const (
	drainAttempts = 3           // that each machine has before it is stuck; a person who resumes gives it as many again
	drainFirst    = time.Second // before the first look, and after each that saw something change
	drainLongest  = 10 * time.Second
	drainNamed    = 5 // machines in a sentence; of more the number is enough
)

// BaremetalDrain empties a hypervisor. The moves of its machines are operations of their own, of which the first were
// accepted with the drain; this looks what is left, and begins what can be begun by then, until nothing is left. There
// is nothing to undo: what has moved stays where it is, and the host in maintenance.
func (s Set) BaremetalDrain(ctx workflow.Context, in contract.BaremetalDrainInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		look := contract.DrainInput{OperationID: in.ID, BaremetalID: in.ResourceID, Stop: in.Stop, Attempts: drainAttempts}
		for {
			n := r.begin(ctx, "drain")
			left, err := r.drain(ctx, n, in, look)
			if err != nil {
				return r.drainEnds(ctx, n, err)
			}
			if len(left.Stuck) == 0 {
				r.end(ctx, n, models.StepSucceeded, emptied(left))
				return nil
			}
			if err := r.decideDrain(ctx, n, in, left); err != nil {
				return r.drainEnds(ctx, n, err)
			}
			look.Attempts += drainAttempts
		}
	})
}

// drain looks at the host until nothing moves any more, and returns what is left then.
func (r *run) drain(ctx workflow.Context, n int, in contract.BaremetalDrainInput, look contract.DrainInput) (contract.Drained, error) {
	pause, before := drainFirst, -1
	for round := 0; ; round++ {
		left, err := contract.Drain.Do(ctx, contract.Gateway, "drain "+in.ResourceName, look)
		switch {
		case err != nil:
			return left, err
		case !left.Marked:
			return left, models.Faultf(models.CodeWrongState, "The host %s was taken out of maintenance while it was drained. No more machines are moved away.", in.ResourceName)
		case left.Moving == 0:
			return left, nil
		}
		if message := leftOf(left, max(in.Machines, left.Left)); r.steps[n].Message != message {
			r.steps[n].Message = message
			r.stir(false)
		}
		if pause = min(2*pause, patience(round)); left.Left != before {
			pause, before = drainFirst, left.Left
		}
		if err := workflow.Sleep(ctx, pause); err != nil {
			return left, err
		}
	}
}

// patience is the longest pause between two looks. It grows, so that the history of a drain that waits for days stays
// far below what Temporal allows.
func patience(round int) time.Duration {
	switch {
	case round < 400: // an hour
		return drainLongest
	case round < 1500: // most of a day
		return time.Minute
	}
	return 10 * time.Minute
}

// decideDrain blocks until a person decides about machines that are stuck: to try again is all that helps.
func (r *run) decideDrain(ctx workflow.Context, n int, in contract.BaremetalDrainInput, left contract.Drained) error {
	fault := models.Faultf(models.CodeDrainStuck, "The host %s is not empty: %d of its machines can neither be moved nor be stopped: %s. Make room on other hosts of the group, or see to the machines, then resume.",
		in.ResourceName, len(left.Stuck), listed(left.Stuck))
	fault.Step = "drain"
	r.end(ctx, n, models.StepFailed, fault.Message)
	d, err := r.block(ctx, forStep, fault, r.timing.Decision, models.WayRetry, models.WayRollBack)
	if err != nil {
		return err
	}
	if d != nil && d.Way == models.WayRetry {
		r.state = models.OperationRunning
		return nil
	}
	why := "Nobody decided within " + r.timing.Decision.String()
	if d != nil {
		why = "It was aborted"
	}
	out := models.Faultf(models.CodeAborted, "%s %s, so no more machines are moved away. The host stays in maintenance.", fault.Message, why)
	out.Step = fault.Step
	return out
}

// drainEnds says in the story what the end of a drain leaves.
func (r *run) drainEnds(ctx workflow.Context, n int, err error) error {
	message := "Cancelled: no more moves are begun, and those under way end by themselves. The host stays in maintenance."
	if ctx.Err() == nil || !temporal.IsCanceledError(err) {
		fault := contract.FaultOf(err)
		fault.Step = "drain"
		message, err = fault.Message, fault
	}
	r.end(ctx, n, models.StepFailed, message)
	return err
}

// leftOf says how far a drain is.
func leftOf(left contract.Drained, of int) string {
	out := fmt.Sprintf("%d of %d left.", left.Left, of)
	if len(left.Stuck) > 0 {
		out += fmt.Sprintf(" Stuck: %s.", listed(left.Stuck))
	}
	if len(left.Waiting) > 0 {
		out += fmt.Sprintf(" Waiting: %s.", listed(left.Waiting))
	}
	return out
}

// emptied says what a drain has come to.
func emptied(left contract.Drained) string {
	if left.Stopped > 0 {
		return fmt.Sprintf("%d machines stay, turned off.", left.Stopped)
	}
	return "The host is empty."
}

// listed names machines with their reasons.
func listed(all []contract.Stuck) string {
	var out []string
	for _, s := range all[:min(len(all), drainNamed)] {
		out = append(out, fmt.Sprintf("%s (%s)", s.Name, strings.TrimSuffix(s.Reason, ".")))
	}
	if more := len(all) - len(out); more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, "; ")
}
