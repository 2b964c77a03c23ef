package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

const (
	sweepMost    = 100              // operations put right in one sweep
	sweepTurn    = 200              // operations that a sweep asks about one by one
	sweepBack    = 30 * time.Minute // how long ago a workflow may have been closed to be found by its closing
	closedAtOnce = 1000
)

// sweeper finds operations that have lost their workflow. What was terminated or timed out not long ago Temporal lists;
// about all others it is asked in turn, a few in each sweep, so that even a workflow that Temporal forgot is missed.
type sweeper struct {
	Activities

	mu    sync.Mutex
	after models.ID // the last operation of the turn before
}

func (s *sweeper) find(ctx context.Context, _ contract.None) (contract.LostPage, error) {
	closed, err := s.closed(ctx)
	if err != nil {
		return contract.LostPage{}, err
	}
	turn, err := s.turn(ctx)
	if err != nil {
		return contract.LostPage{}, err
	}
	var out contract.LostPage
	seen := map[models.ID]bool{}
	for _, candidate := range append(closed.Lost, turn.Lost...) {
		id := candidate.Operation.ID
		if seen[id] || len(out.Lost) == sweepMost {
			continue
		}
		seen[id] = true
		lost, err := s.lost(ctx, id)
		if err != nil {
			return out, err
		}
		if lost {
			out.Lost = append(out.Lost, candidate)
		}
	}
	return out, nil
}

// closed lists the operations under way that have a run which was terminated or timed out. It may have been followed by
// another.
func (s *sweeper) closed(ctx context.Context) (contract.LostPage, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	got, err := s.Executions.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		PageSize: closedAtOnce,
		Query:    fmt.Sprintf(`ExecutionStatus IN ("Terminated", "TimedOut") AND CloseTime > %q`, time.Now().Add(-sweepBack).UTC().Format(time.RFC3339)),
	})
	if err != nil {
		return contract.LostPage{}, fmt.Errorf("list what was terminated: %w", err)
	}
	var ids []models.ID
	for _, e := range got.GetExecutions() {
		var id models.ID
		if id.UnmarshalText([]byte(e.GetExecution().GetWorkflowId())) == nil { // others are no operations
			ids = append(ids, id)
		}
	}
	if ids == nil {
		return contract.LostPage{}, nil
	}
	return s.Store.UnderWay(ctx, ids)
}

// turn lists the next few operations under way.
func (s *sweeper) turn(ctx context.Context) (contract.LostPage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	page, err := s.Store.LostOperations(ctx, s.after, sweepTurn)
	if err != nil {
		return page, err
	}
	s.after = models.NoID
	if len(page.Lost) == sweepTurn {
		s.after = page.Lost[sweepTurn-1].Operation.ID
	}
	return page, nil
}

// lost reports whether an operation's workflow is not there, or closed without telling how.
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
