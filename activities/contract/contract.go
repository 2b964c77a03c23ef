// Package contract is the boundary between the gateway and the regions: task queues, typed references
// to workflows and activities, their inputs and outputs, reports, and how faults cross it.
// Everything in it only grows: a new field is optional, a new meaning has a new name.
package contract

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// Gateway is the task queue of all workflows and of the activities that touch the database.
const Gateway = "gateway"

// VMQueue is the task queue of a region's vm activities.
func VMQueue(region string) string { return "vm." + region }

// Activity is a typed reference to an activity: its name and how it is called.
type Activity[I, O any] struct {
	Name    string
	Options workflow.ActivityOptions
}

// Start schedules the activity on queue. The summary is what the Temporal Web UI shows.
func (a Activity[I, O]) Start(ctx workflow.Context, queue, summary string, in I) workflow.Future {
	opts := a.Options
	opts.TaskQueue = queue
	opts.Summary = summary
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, opts), a.Name, in)
}

// Do runs the activity on queue and waits for its result.
func (a Activity[I, O]) Do(ctx workflow.Context, queue, summary string, in I) (O, error) {
	var out O
	err := a.Start(ctx, queue, summary, in).Get(ctx, &out)
	return out, err
}

// DoHere runs the activity once, in the process that runs the workflow, without a trip through a task queue. It is for
// short calls that may as well fail: whoever must succeed calls Do then.
func (a Activity[I, O]) DoHere(ctx workflow.Context, summary string, in I) (O, error) {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: hereLimit,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:             summary,
	})
	var out O
	err := workflow.ExecuteLocalActivity(ctx, a.Name, in).Get(ctx, &out)
	return out, err
}

// hereLimit is well below the time that Temporal gives a workflow task, so that it is never begun again for it.
const hereLimit = 2 * time.Second

// Register binds fn as the activity's implementation.
func (a Activity[I, O]) Register(r worker.ActivityRegistry, fn func(context.Context, I) (O, error)) {
	r.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: a.Name})
}

// Workflow is a typed reference to a workflow. Its name is the operation's kind.
type Workflow[I any] struct{ Name string }

// Register binds fn as the workflow's implementation.
func (w Workflow[I]) Register(r worker.WorkflowRegistry, fn func(workflow.Context, I) error) {
	r.RegisterWorkflowWithOptions(fn, workflow.RegisterOptions{Name: w.Name})
}

// None is the input or output of an activity that has none.
type None struct{}

// Presets. Retries are bounded by time, not by attempts: the schedule-to-close time is the step's budget, counted
// from when it was scheduled. A step that no worker ever picked up is scheduled again by the frame, so a region that
// is down for days costs nothing but the wait.
var (
	// quick is for calls that answer within a minute.
	quick = workflow.ActivityOptions{
		StartToCloseTimeout:    time.Minute,
		ScheduleToCloseTimeout: 10 * time.Minute,
		RetryPolicy:            retry,
	}
	// task is for work that takes minutes to hours and heartbeats.
	task = workflow.ActivityOptions{
		StartToCloseTimeout:    time.Hour,
		ScheduleToCloseTimeout: 2 * time.Hour,
		HeartbeatTimeout:       30 * time.Second,
		WaitForCancellation:    true,
		RetryPolicy:            retry,
	}
	// bmcTask is for work that takes a BMC minutes. Its budget is short: a dead BMC is nothing special, and a person may then
	// do without it.
	bmcTask = workflow.ActivityOptions{
		StartToCloseTimeout:    15 * time.Minute,
		ScheduleToCloseTimeout: 15 * time.Minute,
		HeartbeatTimeout:       30 * time.Second,
		WaitForCancellation:    true,
		RetryPolicy:            retry,
	}
	// bmcChange is for changes of a BMC that it makes at once. One that is cancelled is waited for, so that its undo does not
	// overtake it.
	bmcChange = workflow.ActivityOptions{
		StartToCloseTimeout:    time.Minute,
		ScheduleToCloseTimeout: 10 * time.Minute,
		WaitForCancellation:    true,
		RetryPolicy:            retry,
	}
	// report is for the gateway's own activities: they go on until the database takes them.
	report = workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second},
	}
	// commit is report for what must have happened, or not, before it is undone: one that is cancelled is waited for.
	commit = workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Second,
		WaitForCancellation: true,
		RetryPolicy:         report.RetryPolicy,
	}
	// longPoll is for gateway activities that wait a while for something to happen, and say that it did not yet.
	longPoll = workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second},
	}
	retry = &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second}
)
