package gateway

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/yunshu/yunshu/activities/contract"
)

// report applies a report of an operation's workflow. A reset of the workflow makes another run of it: that one is heard
// from its first report on, and the one before no more. Temporal knows which is which.
func (a Activities) report(ctx context.Context, r contract.Report) (contract.Reported, error) {
	out, err := a.apply(ctx, r)
	if err == nil && out.Applied {
		a.Metrics.observe(r)
	}
	return out, err
}

func (a Activities) apply(ctx context.Context, r contract.Report) (contract.Reported, error) {
	if from := activity.GetInfo(ctx).WorkflowExecution; from.ID == r.OperationID.String() { // settling is another workflow's work
		r.RunID = from.RunID
	}
	out, err := a.Store.Report(ctx, r)
	if err != nil || out.Applied || out.Ended || out.RunID == r.RunID {
		return out, err
	}
	current, err := a.currentRun(ctx, r.OperationID.String())
	if err != nil || current != r.RunID {
		return out, err
	}
	if heard, err := a.Store.Hear(ctx, r.OperationID, out.RunID, r.RunID); err != nil || !heard {
		return out, err
	}
	return a.Store.Report(ctx, r)
}

// currentRun is the newest run of a workflow.
func (a Activities) currentRun(ctx context.Context, workflow string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	got, err := a.Executions.DescribeWorkflowExecution(ctx, workflow, "")
	if err != nil {
		return "", fmt.Errorf("ask Temporal which run of operation %s is the newest: %w", workflow, err)
	}
	return got.GetWorkflowExecutionInfo().GetExecution().GetRunId(), nil
}
