// Package gateway holds the only activities that touch the database: reports, and what a workflow asks of the truth.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// Store is what the activities need of the database.
type Store interface {
	Report(ctx context.Context, r contract.Report) (contract.Reported, error)
	RecordHypervisors(ctx context.Context, in contract.RecordInput) (contract.Recorded, error)
	CompareMachines(ctx context.Context, in contract.CompareInput) (contract.Findings, error)
	CheckLedger(ctx context.Context) (contract.Findings, error)
	WatchUsage(ctx context.Context) (contract.UsageWatched, error)
	LostOperations(ctx context.Context, after models.ID, limit int) (contract.LostPage, error)
}

// Executions tells what Temporal knows of a workflow.
type Executions interface {
	DescribeWorkflowExecution(ctx context.Context, workflowID, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error)
}

// Activities carries out the contract's gateway activities.
type Activities struct {
	Store      Store
	Executions Executions
}

// Register binds every activity to its name.
func (a Activities) Register(r worker.ActivityRegistry) {
	contract.OperationReport.Register(r, crossing(a.Store.Report))
	contract.RegionRecord.Register(r, crossing(a.Store.RecordHypervisors))
	contract.LeakCompare.Register(r, crossing(a.Store.CompareMachines))
	contract.LeakLedger.Register(r, crossing(func(ctx context.Context, _ contract.None) (contract.Findings, error) {
		return a.Store.CheckLedger(ctx)
	}))
	contract.UsageCount.Register(r, crossing(func(ctx context.Context, _ contract.None) (contract.UsageWatched, error) {
		return a.Store.WatchUsage(ctx)
	}))
	contract.SweepFind.Register(r, crossing(a.findLost))
}

// crossing makes every error one that may cross Temporal. What the database says in its own words stays here.
func crossing[I, O any](do func(context.Context, I) (O, error)) func(context.Context, I) (O, error) {
	return func(ctx context.Context, in I) (O, error) {
		out, err := do(ctx, in)
		if err != nil && models.AsFault(err) == nil {
			activity.GetLogger(ctx).Error("gateway activity failed", "error", err)
			err = models.Faultf(models.CodeUnavailable, "The gateway could not reach or use its database; it tries again.").Because(err)
		}
		return out, contract.Error(err)
	}
}

const (
	sweepPage = 200
	sweepMost = 100 // operations put right in one sweep
)

// findLost asks Temporal about every operation that should have a workflow, and keeps those that have none.
func (a Activities) findLost(ctx context.Context, _ contract.None) (contract.LostPage, error) {
	var out contract.LostPage
	after := models.NoID
	for len(out.Lost) < sweepMost {
		page, err := a.Store.LostOperations(ctx, after, sweepPage)
		if err != nil {
			return out, err
		}
		for _, candidate := range page.Lost {
			lost, err := a.lost(ctx, candidate.Operation.ID)
			if err != nil {
				return out, err
			}
			if lost {
				out.Lost = append(out.Lost, candidate)
			}
			after = candidate.Operation.ID
		}
		if len(page.Lost) < sweepPage {
			break
		}
	}
	return out, nil
}

// lost reports whether an operation's workflow is not there, or closed a while ago without telling how.
func (a Activities) lost(ctx context.Context, id models.ID) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	got, err := a.Executions.DescribeWorkflowExecution(ctx, id.String(), "")
	var missing *serviceerror.NotFound
	if errors.As(err, &missing) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask Temporal about operation %s: %w", id, err)
	}
	return got.GetWorkflowExecutionInfo().GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}
