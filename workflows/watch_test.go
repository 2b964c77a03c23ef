package workflows_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	servers "github.com/yunshu/yunshu/activities/baremetal/memory"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// fleet is a region of n machines.
func fleet(t *testing.T, n int) *rack {
	t.Helper()
	r := newRack(t)
	for i := range n {
		address, id := fmt.Sprintf("https://10.1.%d.%d", i/250, i%250), models.NewID()
		r.servers.Add(servers.Machine{Address: address, Username: "root", Password: bmcPassword})
		sealed, err := r.db.keys.Seal(bmcPassword, contract.SealedFor(id))
		require.NoError(t, err)
		r.db.machines = append(r.db.machines, contract.BMC{ID: id, Name: fmt.Sprintf("bm-%d", i), Address: address, Username: "root", Password: sealed})
	}
	return r
}

// seen counts the machines that were seen, and those that were looked at in vain.
func (r *rack) seen() [2]int {
	var out [2]int
	for _, o := range r.db.seen {
		if o.Inspected != nil {
			out[0]++
		} else {
			out[1]++
		}
	}
	return out
}

func (r *rack) watch() {
	r.env.ExecuteWorkflow("baremetal.watch", contract.BaremetalWatchInput{Region: "tw"})
}

func TestARoundSeesEveryMachineOnce(t *testing.T) {
	t.Parallel()
	r := fleet(t, 130)
	r.servers.SetFault("https://10.1.0.3", servers.Gone)
	r.watch()
	require.NoError(t, r.env.GetWorkflowError())
	require.Equal(t, [2]int{129, 1}, r.seen())
	require.Len(t, r.db.asked, 3)
	require.Empty(t, r.gate.reports, "it is no operation")
}

func TestARegionWithoutMachinesIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	r := fleet(t, 0)
	r.watch()
	require.NoError(t, r.env.GetWorkflowError())
	require.Empty(t, r.db.seen)
}

func TestAPageThatFailsKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	r := fleet(t, 130)
	r.db.Fail("baremetal.observed", final)
	r.watch()
	require.NoError(t, r.env.GetWorkflowError())
	require.Contains(t, [][2]int{{80, 0}, {100, 0}}, r.seen(), "all but one page")
}

// TestARegionWithoutAWorkerIsWaitedFor finds other passwords in the database when the worker is back.
func TestARegionWithoutAWorkerIsWaitedFor(t *testing.T) {
	t.Parallel()
	r := fleet(t, 20)
	right := slices.Clone(r.db.machines)
	for i, m := range right {
		sealed, err := r.db.keys.Seal("of yesterday", contract.SealedFor(m.ID))
		require.NoError(t, err)
		r.db.machines[i].Password = sealed
	}
	away := 3
	r.env.OnActivity(contract.BMObserve.Name, mock.Anything, mock.Anything).Return(
		func(ctx context.Context, in contract.ObserveInput) (contract.ObservePage, error) {
			if away--; away >= 0 {
				r.db.machines = slices.Clone(right)
				return contract.ObservePage{}, temporal.NewTimeoutError(enums.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
			}
			return r.bmcs.Observe(ctx, in)
		})
	r.watch()
	require.NoError(t, r.env.GetWorkflowError())
	require.Equal(t, [2]int{20, 0}, r.seen())
}

func TestALongRoundGoesOnInAnotherRun(t *testing.T) {
	t.Parallel()
	r := fleet(t, 130)
	r.env.SetContinueAsNewSuggested(true)
	r.watch()
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, r.env.GetWorkflowError(), &next)
	require.Equal(t, [2]int{50, 0}, r.seen(), "what was begun is done")
	var in contract.BaremetalWatchInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
	require.Equal(t, contract.BaremetalWatchInput{Region: "tw", After: r.db.machines[49].ID}, in)
}

// TestARoundDoesNotWaitForAWorkerWithoutEnd would otherwise outgrow what Temporal keeps of a workflow.
func TestARoundDoesNotWaitForAWorkerWithoutEnd(t *testing.T) {
	t.Parallel()
	r := fleet(t, 20)
	away := 0
	r.env.OnActivity(contract.BMObserve.Name, mock.Anything, mock.Anything).Return(
		func(context.Context, contract.ObserveInput) (contract.ObservePage, error) {
			if away++; away == 5 {
				r.env.SetContinueAsNewSuggested(true)
			}
			return contract.ObservePage{}, temporal.NewTimeoutError(enums.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
		})
	r.watch()
	require.NoError(t, r.env.GetWorkflowError())
	require.Equal(t, 5, away)
}
