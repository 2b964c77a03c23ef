package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm/memory"
	"github.com/yunshu/yunshu/models"
)

// migration moves a machine to the second host.
func migration(in contract.VMProvisionInput) contract.VMMigrateInput {
	return contract.VMMigrateInput{Operation: on(in, "vm.migrate"), From: in.VM.Host, To: elsewhere(in).Host, State: models.VMRunning}
}

func TestAMoveTellsWhereTheMachineIs(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), provision()
	s.exists(in, true)
	s.env.ExecuteWorkflow("vm.migrate", migration(in))
	require.NoError(t, s.env.GetWorkflowError())
	require.Equal(t, "host-1001", s.status(in).Host)
	require.Equal(t, "host-1001", s.last().VM.HostRef)
	require.True(t, s.status(in).On)
}

// moved is a machine that has moved before the move was cancelled: what is to be seen of it could not be told.
func moved(t *testing.T) (*stage, contract.VMProvisionInput) {
	s, in := newStage(t), provision()
	s.exists(in, true)
	s.world.Fail(memory.Status, many(mending)[:3]...)
	s.env.RegisterDelayedCallback(func() { require.Equal(t, "tw-a-02", s.world.HostOf(in.VM.ID)) }, time.Second)
	s.env.RegisterDelayedCallback(s.env.CancelWorkflow, 2*time.Second)
	return s, in
}

func TestAMoveThatIsCancelledTooLateIsTakenBack(t *testing.T) {
	t.Parallel()
	s, in := moved(t)
	s.env.ExecuteWorkflow("vm.migrate", migration(in))
	require.Equal(t, "cancelled move:undone vm:running fault:cancelled@", s.story())
	require.Equal(t, "tw-a-01", s.world.HostOf(in.VM.ID))
	require.Equal(t, "host-1000", s.last().VM.HostRef)
}

func TestAMachineStaysWhereItIsIfItsHostDoesNotTakeItBack(t *testing.T) {
	t.Parallel()
	s, in := moved(t)
	s.env.RegisterDelayedCallback(func() {
		s.world.SetHost("host-1000", contract.Hypervisor{Ref: "host-1000", Name: "tw-a-01", Connected: true, Maintenance: true})
	}, time.Second)
	s.env.ExecuteWorkflow("vm.migrate", migration(in))
	require.Equal(t, "cancelled move:undone vm:running fault:cancelled@", s.story())
	require.Equal(t, "host-1001", s.last().VM.HostRef, "the gateway goes by where it is")
}

func TestAMoveBlocksWhileTheRegionDoesNotAnswer(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), provision()
	s.exists(in, true)
	s.world.Fail(memory.Migrate, many(mending)[:300]...)
	s.env.RegisterDelayedCallback(func() {
		require.Equal(t, "blocked move:failed fault:unreachable@move", s.story())
		require.Equal(t, []models.Way{"retry", "roll_back"}, s.last().Fault.Ways)
		s.world.Mend()
	}, 3*time.Hour)
	taken := s.decide(contract.UpdateResume, 3*time.Hour+time.Second)
	s.env.ExecuteWorkflow("vm.migrate", migration(in))
	require.True(t, *taken)
	require.Equal(t, "succeeded move:succeeded vm:running", s.story())
}

func TestASettleOfALostMoveGoesByWhereTheMachineIs(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), provision()
	s.exists(in, true)
	s.env.ExecuteWorkflow("operation.settle", contract.Lost{Operation: on(in, "vm.migrate"), Seq: 2})
	require.NoError(t, s.env.GetWorkflowError())
	require.Equal(t, "failed vm:running fault:workflow_lost@", s.story())
	require.Equal(t, "host-1000", s.last().VM.HostRef)
}

// A run that was reset after its operation had ended leaves the machine where the database has it.
func TestAMoveThatWasOvertakenEndsWhereTheDatabaseHasTheMachine(t *testing.T) {
	t.Parallel()
	for _, home := range []string{"host-1000", "host-1001"} {
		s, in := newStage(t), provision()
		s.exists(in, true)
		s.gate.ended, s.gate.home = true, &contract.Host{Ref: home, Name: home}
		s.world.Fail(memory.Status, many(mending)[:3]...) // it has moved, and cannot tell before it is overtaken
		s.env.ExecuteWorkflow("vm.migrate", migration(in))
		require.Error(t, s.env.GetWorkflowError())
		require.Equal(t, home, s.status(in).Host)
	}
}
