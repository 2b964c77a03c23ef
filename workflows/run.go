// Package workflows holds the deterministic sagas, one file per resource, and the frame around every one of them.
// A workflow reads like its runbook: one step a line, the undo pushed before its step. The frame tells the gateway
// how it goes, waits for a person where one can help, and takes everything back where it must.
package workflows

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// Timing is how long the frame waits. Zero values mean the defaults.
type Timing struct {
	Report   time.Duration // between two progress reports; default 1 s
	Decision time.Duration // a blocked operation waits for a person before it is undone; default 24 h
	Undo     time.Duration // before a failed undo is tried again by itself; default 1 h
	Boot     time.Duration // for a machine to boot an image that reports; default 20 min
	Wipe     time.Duration // for a machine to empty its disks, which large ones take long to; default 24 h
}

// Set is all workflows with their timing.
type Set struct{ Timing Timing }

// run is one run of a workflow.
type run struct {
	op     contract.Operation
	timing Timing
	state  models.OperationState
	seq    int64
	steps  []contract.Step
	undos  []undo
	fault  *models.Fault
	vm     *contract.VMFacts // what to report of the VM at the end, and when it is blocked
	// baremetal is what to report of the physical server at the end, and inDoubt while a failed undo leaves it in doubt.
	baremetal *contract.BaremetalFacts
	inDoubt   *contract.BaremetalFacts
	result    json.RawMessage

	stirred  bool // something to report
	urgent   bool // at once
	ended    bool
	reported time.Time
	// overtaken ends the work of a run whose operation has ended without it, such as one that was reset after the sweep
	// had settled it: it takes back what it did.
	overtaken workflow.CancelFunc
	home      *contract.Host // of the machine, as the database has it, of a run that was overtaken
	decision  *decision      // of a person, while blocked
	waiting   waiting
	ways      []models.Way // that are open to a person
}

// decision is what a person wants of a blocked run.
type decision struct {
	kind string // resume or abort
	contract.Intent
}

// waiting says what a blocked run waits for.
type waiting string

const (
	forNothing waiting = ""
	forStep    waiting = "step" // resume or abort
	forUndo    waiting = "undo" // resume only
)

// frame runs body as the operation's workflow and reports its end exactly once: succeeded, failed or cancelled.
func (s Set) frame(ctx workflow.Context, op contract.Operation, body func(workflow.Context, *run) error) error {
	r := &run{op: op, timing: s.Timing.orDefaults(), state: models.OperationRunning}
	if err := r.listen(ctx); err != nil {
		return err
	}
	detached, stop := workflow.NewDisconnectedContext(ctx)
	defer stop()
	ctx, r.overtaken = workflow.WithCancel(ctx)
	defer r.overtaken()
	r.stirred = true
	progress, stopProgress := workflow.WithCancel(detached)
	workflow.Go(progress, r.reportProgress)

	err := body(ctx, r)
	if err != nil {
		r.fault = contract.FaultOf(err)
		cancelled := ctx.Err() != nil && temporal.IsCanceledError(err)
		r.unwind(detached, cancelled)
		if cancelled && !r.done() {
			r.state = models.OperationCancelled
		} else if r.done() {
			r.state, r.fault, err = models.OperationSucceeded, nil, nil
		} else {
			r.state = models.OperationFailed
		}
	} else {
		r.state, r.fault = models.OperationSucceeded, nil
	}
	r.ended = true
	stopProgress()
	if _, err := contract.OperationReport.Do(detached, contract.Gateway, "report "+string(r.state), r.next(ctx)); err != nil {
		return err
	}
	return r.outcome(err)
}

// done reports whether the world is as the operation wanted it although the run failed: a delete that was cancelled
// too late.
func (r *run) done() bool {
	return r.op.Kind == contract.VMDelete.Name && r.vm != nil && r.vm.State == models.VMGone
}

// outcome is how the workflow itself closes, so that the Temporal Web UI shows the same as the operation.
func (r *run) outcome(err error) error {
	switch r.state {
	case models.OperationSucceeded:
		return nil
	case models.OperationCancelled:
		return temporal.NewCanceledError()
	}
	return temporal.NewApplicationErrorWithOptions(r.fault.Message, string(r.fault.Code), temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{*r.fault}, Cause: err})
}

func (t Timing) orDefaults() Timing {
	def := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	def(&t.Report, time.Second)
	def(&t.Decision, 24*time.Hour)
	def(&t.Undo, time.Hour)
	def(&t.Boot, 20*time.Minute)
	def(&t.Wipe, 24*time.Hour)
	return t
}

// listen takes a person's decisions, and refuses them where there is nothing to decide.
func (r *run) listen(ctx workflow.Context) error {
	for _, kind := range []string{contract.UpdateResume, contract.UpdateAbort} {
		err := workflow.SetUpdateHandlerWithOptions(ctx, kind,
			func(_ workflow.Context, in contract.Intent) error {
				r.decision = decided(kind, in)
				return nil
			},
			workflow.UpdateHandlerOptions{Validator: func(in contract.Intent) error { return r.validate(decided(kind, in)) }})
		if err != nil {
			return err
		}
	}
	return nil
}

// decided reads an update: rolling back is aborting by another name.
func decided(kind string, in contract.Intent) *decision {
	in.Way = cmp.Or(in.Way, models.WayRetry)
	if kind == contract.UpdateAbort || in.Way == models.WayRollBack {
		kind, in.Way = contract.UpdateAbort, models.WayRollBack
	}
	return &decision{kind, in}
}

// validate refuses what is not open to a person now.
func (r *run) validate(d *decision) error {
	refuse := func(format string, args ...any) error {
		return temporal.NewApplicationError(fmt.Sprintf(format, args...), string(models.CodeWrongState))
	}
	switch {
	case r.waiting == forNothing || r.decision != nil:
		return refuse("The operation is not blocked, so there is nothing to %s.", d.kind)
	case r.waiting == forUndo && d.Way != models.WayRetry:
		return refuse("The operation is blocked on its own undo; it can only be resumed.")
	case r.waiting == forStep && !slices.Contains(r.ways, d.Way):
		return refuse("The operation is blocked at a step that %s does not help.", d.Way)
	case d.Way.Changes() && d.VM == nil:
		return refuse("The changed machine is missing. Resume through the API, which chooses host, image and address.")
	case d.Way == models.WaySkip && strings.TrimSpace(d.Reason) == "":
		return refuse("A step is skipped only with a reason.")
	}
	return nil
}

// reportProgress reports beside the work: one report at a time, the newest state merged into it, so that progress
// costs the work no time. The last report is the frame's own.
func (r *run) reportProgress(ctx workflow.Context) {
	for {
		if err := workflow.Await(ctx, func() bool { return r.stirred }); err != nil {
			return
		}
		if wait := r.timing.Report - workflow.Now(ctx).Sub(r.reported); !r.urgent && wait > 0 && r.seq > 0 {
			if _, err := workflow.AwaitWithTimeout(ctx, wait, func() bool { return r.urgent }); err != nil {
				return
			}
		}
		if r.ended {
			return
		}
		r.stirred, r.urgent, r.reported = false, false, workflow.Now(ctx)
		detached, stop := workflow.NewDisconnectedContext(ctx)
		told, err := tell(detached, r.next(ctx))
		stop()
		if err != nil {
			workflow.GetLogger(ctx).Warn("progress report refused", "error", err)
		}
		if told.Ended {
			r.home = told.Home
			r.overtaken()
		}
		if r.ended {
			return
		}
	}
}

// tell reports progress from right here; where the database does not answer, through the task queue, which tries until
// it does.
func tell(ctx workflow.Context, report contract.Report) (contract.Reported, error) {
	if told, err := contract.OperationReport.DoHere(ctx, "report progress", report); err == nil {
		return told, nil
	}
	return contract.OperationReport.Do(ctx, contract.Gateway, "report progress", report)
}

// reportsPerTask is more than a run reports between two tasks of its workflow.
const reportsPerTask = 1000

// next makes the next report, of everything there is to say now. Its number grows with the history: a gateway that was
// killed may have told reports that Temporal never heard of. What is reported instead comes after a longer history, and must
// not pass for older.
func (r *run) next(ctx workflow.Context) contract.Report {
	r.seq = max(r.seq+1, int64(workflow.GetInfo(ctx).GetCurrentHistoryLength())*reportsPerTask)
	return contract.Report{OperationID: r.op.ID, Seq: r.seq, State: r.state, Steps: append([]contract.Step(nil), r.steps...), VM: r.facts(), Baremetal: r.baremetalFacts(), Fault: r.fault, Result: r.result}
}

// facts are told at the end, and while a failed undo leaves the machine in doubt.
func (r *run) facts() *contract.VMFacts {
	switch {
	case r.ended:
		return r.vm
	case r.waiting == forUndo && r.op.ResourceKind == "vm":
		return &contract.VMFacts{State: models.VMFailed}
	}
	return nil
}

// baremetalFacts are told like those of a VM.
func (r *run) baremetalFacts() *contract.BaremetalFacts {
	switch {
	case r.ended:
		return r.baremetal
	case r.waiting == forUndo:
		return r.inDoubt
	}
	return nil
}

func (r *run) stir(urgent bool) {
	r.stirred = true
	r.urgent = r.urgent || urgent
}

// block waits for a person's decision, at most for the given time. It returns none if nobody decided.
func (r *run) block(ctx workflow.Context, on waiting, fault *models.Fault, limit time.Duration, ways ...models.Way) (*decision, error) {
	before := r.fault
	blocked := *fault
	blocked.Ways = ways
	r.state, r.fault, r.waiting, r.ways, r.decision = models.OperationBlocked, &blocked, on, ways, nil
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("**Blocked.** %s", fault.Message))
	r.stir(true)
	_, err := workflow.AwaitWithTimeout(ctx, limit, func() bool { return r.decision != nil })
	decision := r.decision
	r.waiting, r.ways, r.decision, r.fault = forNothing, nil, nil, before
	workflow.SetCurrentDetails(ctx, "")
	return decision, err
}
