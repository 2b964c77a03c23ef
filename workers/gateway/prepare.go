package gateway

import (
	"context"
	"errors"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/yunshu/yunshu/activities/contract"
)

// ensureAttributes registers the search attributes that the namespace does not have yet.
func ensureAttributes(ctx context.Context, c client.Client, namespace string) error {
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return err
	}
	missing := map[string]enums.IndexedValueType{}
	for _, key := range []temporal.SearchAttributeKey{contract.AttrTenant, contract.AttrRegion, contract.AttrResourceKind, contract.AttrResourceID, contract.AttrActor} {
		if _, ok := have.GetCustomAttributes()[key.GetName()]; !ok {
			missing[key.GetName()] = key.GetValueType()
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
	var already *serviceerror.AlreadyExists
	if errors.As(err, &already) {
		return nil // another gateway was faster
	}
	return err
}

// schedule is what runs by itself.
type schedule struct {
	every  time.Duration
	action client.ScheduleWorkflowAction
}

// What was terminated in Temporal shows in the database within a minute, so the sweep looks more often than that.
var schedules = []schedule{
	{15 * time.Second, client.ScheduleWorkflowAction{ID: "operation-sweep", Workflow: contract.Sweep.Name, Args: []any{contract.SweepInput{}}, StaticSummary: "find operations without a workflow"}},
	{time.Minute, client.ScheduleWorkflowAction{ID: "usage-watch", Workflow: contract.UsageWatch.Name, Args: []any{contract.UsageInput{}}, StaticSummary: "look at the quotas and count the day's use"}},
}

// ensureSchedules creates the schedules that do not exist yet. One that exists is left as it is: an operator may have
// paused or changed it.
func ensureSchedules(ctx context.Context, c client.Client) error {
	for _, s := range schedules {
		action := s.action
		action.TaskQueue, action.WorkflowExecutionTimeout = contract.Gateway, 10*time.Minute
		_, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{
			ID: action.ID, Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP, Action: &action,
			Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: s.every}}, Jitter: s.every / 6},
		})
		if err != nil && !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
			return err
		}
	}
	return nil
}
