package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// drain empties a host of so many machines.
func drain(machines int) contract.BaremetalDrainInput {
	op := operation("baremetal.drain")
	op.TenantID, op.Tenant, op.ResourceKind, op.ResourceName = models.NoID, "", "baremetal", "tw-a-01"
	return contract.BaremetalDrainInput{Operation: op, Machines: machines}
}

var stuck = []contract.Stuck{{Name: "acme/dev/web", Reason: "no other host of group general has room"}}

func TestADrainLooksUntilTheHostIsEmpty(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), drain(3)
	s.gate.drained = []contract.Drained{{Left: 3, Moving: 3, Marked: true}, {Left: 1, Moving: 1, Marked: true}, {Marked: true}}
	s.env.ExecuteWorkflow("baremetal.drain", in)
	require.NoError(t, s.env.GetWorkflowError())
	require.Equal(t, "succeeded drain:succeeded", s.story())
	require.Equal(t, "The host is empty.", s.last().Steps[0].Message)
	require.Len(t, s.gate.looks, 3)
	require.Equal(t, contract.DrainInput{OperationID: in.ID, BaremetalID: in.ResourceID, Attempts: 3}, s.gate.looks[0])
	require.Contains(t, s.gate.reports[1].Steps[0].Message, "of 3 left.")
}

func TestADrainLeavesWhatWasTurnedOff(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), drain(2)
	in.Stop = true
	s.gate.drained = []contract.Drained{{Left: 2, Moving: 2, Marked: true}, {Left: 1, Stopped: 1, Marked: true}}
	s.env.ExecuteWorkflow("baremetal.drain", in)
	require.NoError(t, s.env.GetWorkflowError())
	require.Equal(t, "1 machines stay, turned off.", s.last().Steps[0].Message)
}

func TestADrainThatIsStuckWaitsForAPerson(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), drain(2)
	s.gate.drained = []contract.Drained{{Left: 2, Moving: 1, Stuck: stuck, Marked: true}, {Left: 1, Stuck: stuck, Marked: true}, {Left: 1, Moving: 1, Marked: true}, {Marked: true}}
	s.env.RegisterDelayedCallback(func() {
		require.Equal(t, "blocked drain:failed fault:drain_stuck@drain", s.story())
		require.Equal(t, "The host tw-a-01 is not empty: 1 of its machines can neither be moved nor be stopped: acme/dev/web (no other host of group general has room). Make room on other hosts of the group, or see to the machines, then resume.", s.last().Fault.Message)
		require.Equal(t, []models.Way{"retry", "roll_back"}, s.last().Fault.Ways)
	}, time.Minute)
	taken := s.decide(contract.UpdateResume, 2*time.Minute)
	s.env.ExecuteWorkflow("baremetal.drain", in)
	require.NoError(t, s.env.GetWorkflowError())
	require.True(t, *taken)
	require.Equal(t, "succeeded drain:succeeded", s.story())
	require.Equal(t, []int{3, 3, 6, 6}, []int{s.gate.looks[0].Attempts, s.gate.looks[1].Attempts, s.gate.looks[2].Attempts, s.gate.looks[3].Attempts}, "each machine is tried as often again")
}

func TestAStuckDrainEndsIfNobodyHelps(t *testing.T) {
	t.Parallel()
	for name, decide := range map[string]func(*stage){
		"It was aborted": func(s *stage) { s.decide(contract.UpdateAbort, time.Hour) },
		"Nobody decided": func(*stage) {},
	} {
		s, in := newStage(t), drain(1)
		s.gate.drained = []contract.Drained{{Left: 1, Stuck: stuck, Marked: true}}
		decide(s)
		s.env.ExecuteWorkflow("baremetal.drain", in)
		require.Equal(t, "failed drain:failed fault:aborted@drain", s.story())
		require.Contains(t, s.last().Fault.Message, name)
		require.Contains(t, s.last().Fault.Message, "The host stays in maintenance.")
	}
}

func TestACancelledDrainBeginsNoMoreMoves(t *testing.T) {
	t.Parallel()
	for _, found := range []contract.Drained{{Left: 1, Moving: 1, Marked: true}, {Left: 1, Stuck: stuck, Marked: true}} {
		s, in := newStage(t), drain(1)
		s.gate.drained = []contract.Drained{found}
		looks := 0
		s.env.RegisterDelayedCallback(func() { looks = len(s.gate.looks); s.env.CancelWorkflow() }, time.Minute)
		s.env.ExecuteWorkflow("baremetal.drain", in)
		require.Equal(t, "cancelled drain:failed fault:cancelled@", s.story())
		require.Equal(t, "Cancelled: no more moves are begun, and those under way end by themselves. The host stays in maintenance.", s.last().Steps[0].Message)
		require.Len(t, s.gate.looks, looks)
	}
}

func TestADrainEndsWithTheMarkOfMaintenance(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), drain(1)
	s.gate.drained = []contract.Drained{{Left: 1, Moving: 1, Marked: true}, {Left: 1, Moving: 1}}
	s.env.ExecuteWorkflow("baremetal.drain", in)
	require.Equal(t, "failed drain:failed fault:wrong_state@drain", s.story())
}

// TestADrainThatWaitsForDaysStaysSmall: each look is an activity and a timer in the history of the workflow, of which
// Temporal takes some fifty thousand events.
func TestADrainThatWaitsForDaysStaysSmall(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), drain(1)
	s.gate.drained = []contract.Drained{{Left: 1, Moving: 1, Marked: true, Waiting: []contract.Stuck{{Name: "acme/dev/web", Reason: "operation 1 waits for a person's decision"}}}}
	s.env.RegisterDelayedCallback(s.env.CancelWorkflow, 7*24*time.Hour)
	s.env.ExecuteWorkflow("baremetal.drain", in)
	require.Equal(t, models.OperationCancelled, s.last().State)
	require.Less(t, len(s.gate.looks), 2600)
	require.Less(t, len(s.gate.reports), 10, "what does not change is not told again")
}
