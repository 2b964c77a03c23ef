// Package gateway holds the only activities that touch the database: reports, and what a workflow asks of the truth.
package gateway

import (
	"context"

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
	RecordObservations(ctx context.Context, in contract.RecordObservationsInput) (contract.ObservationsRecorded, error)
	CompareMachines(ctx context.Context, in contract.CompareInput) (contract.Findings, error)
	CheckLedger(ctx context.Context) (contract.Findings, error)
	WatchUsage(ctx context.Context) (contract.UsageWatched, error)
	LostOperations(ctx context.Context, after models.ID, limit int) (contract.LostPage, error)
	UnderWay(ctx context.Context, ids []models.ID) (contract.LostPage, error)
	Hear(ctx context.Context, operation models.ID, before, now string) (bool, error)
	Boots
}

// Drains begin what empties a host.
type Drains interface {
	ContinueDrain(ctx context.Context, in contract.DrainInput) (contract.Drained, error)
}

// Executions tells what Temporal knows of a workflow.
type Executions interface {
	DescribeWorkflowExecution(ctx context.Context, workflowID, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error)
	ListWorkflow(ctx context.Context, request *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error)
}

// Activities carries out the contract's gateway activities.
type Activities struct {
	Store      Store
	Executions Executions
	Drains     Drains
	BMCs       BMCs     // nil: no passwords of BMCs are kept here
	Metrics    *Metrics // nil: none
}

// Register binds every activity to its name.
func (a Activities) Register(r worker.ActivityRegistry) {
	contract.OperationReport.Register(r, crossing(a.report))
	contract.RegionRecord.Register(r, crossing(a.Store.RecordHypervisors))
	contract.BaremetalObserved.Register(r, crossing(a.Store.RecordObservations))
	contract.LeakCompare.Register(r, crossing(a.Store.CompareMachines))
	contract.LeakLedger.Register(r, crossing(func(ctx context.Context, _ contract.None) (contract.Findings, error) {
		return a.Store.CheckLedger(ctx)
	}))
	contract.UsageCount.Register(r, crossing(func(ctx context.Context, _ contract.None) (contract.UsageWatched, error) {
		return a.Store.WatchUsage(ctx)
	}))
	contract.Drain.Register(r, crossing(func(ctx context.Context, in contract.DrainInput) (contract.Drained, error) {
		return a.Drains.ContinueDrain(ctx, in)
	}))
	a.registerBoots(r)
	if a.BMCs != nil {
		registerBMCs(r, a.BMCs)
	}
	contract.SweepFind.Register(r, crossing((&sweeper{Activities: a}).find))
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
