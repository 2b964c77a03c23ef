package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/activities/vm/memory"
	"github.com/yunshu/yunshu/models"
)

var (
	full   = models.Faultf(models.CodeStorageFull, "No datastore of the host tw-a-01 has room.")
	silent = models.Faultf(models.CodeGuestSilent, "The guest of vm web did not report 10.1.0.7 within 10 min.")
)

// elsewhere is the machine on another host.
func elsewhere(in contract.VMProvisionInput) *contract.VM {
	changed := in.VM
	changed.Host = contract.Host{ID: models.NewID(), Name: "tw-a-02", Ref: "host-1001"}
	return &changed
}

func TestAMachineThatCannotBeMadeWaitsForAPerson(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), provision()
	s.world.Fail(memory.Clone, full)
	s.env.RegisterDelayedCallback(func() {
		require.Equal(t, "blocked clone:failed fault:storage_full@clone", s.story())
		require.Equal(t, []models.Way{"retry", "host", "roll_back"}, s.last().Fault.Ways)
	}, time.Minute)
	image := s.intend(contract.UpdateResume, 2*time.Minute, contract.Intent{Way: models.WayImage, VM: elsewhere(in)})
	nowhere := s.intend(contract.UpdateResume, 3*time.Minute, contract.Intent{Way: models.WayHost})
	skip := s.intend(contract.UpdateResume, 4*time.Minute, contract.Intent{Way: models.WaySkip, Reason: "why not"})
	host := s.intend(contract.UpdateResume, 5*time.Minute, contract.Intent{Way: models.WayHost, VM: elsewhere(in)})
	jobs()["vm.provision"].run(s, in)
	require.NoError(t, s.env.GetWorkflowError())
	require.Equal(t, []bool{false, false, false, true}, []bool{*image, *nowhere, *skip, *host}, "only what helps is taken")
	require.Equal(t, "succeeded clone:succeeded remove-first-try:succeeded boot:succeeded vm:running", s.story())
	require.Equal(t, "tw-a-02", s.world.HostOf(in.VM.ID))
	require.Equal(t, 1, s.world.Live())
}

func TestAMachineIsMadeAnewWithAnotherAddress(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), provision()
	s.world.Fail(memory.AwaitGuest, silent)
	s.env.RegisterDelayedCallback(func() {
		require.Equal(t, []models.Way{"retry", "skip", "address", "image", "host", "roll_back"}, s.last().Fault.Ways)
	}, time.Minute)
	changed := in.VM
	changed.Network.Address = "10.1.0.8/16"
	s.intend(contract.UpdateResume, 2*time.Minute, contract.Intent{Way: models.WayAddress, VM: &changed})
	jobs()["vm.provision"].run(s, in)
	require.NoError(t, s.env.GetWorkflowError())
	require.Equal(t, "succeeded clone:succeeded boot:succeeded remove-first-try:succeeded vm:running", s.story())
	require.Equal(t, []string{"10.1.0.8"}, s.status(in).Addresses)
	for _, step := range s.last().Steps {
		require.False(t, step.Ended.Before(step.Started), "%s counts from when it began again", step.Name)
	}
}

func TestASilentGuestMayBeSkipped(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), provision()
	s.world.Fail(memory.AwaitGuest, silent)
	bare := s.intend(contract.UpdateResume, time.Minute, contract.Intent{Way: models.WaySkip})
	s.intend(contract.UpdateResume, 2*time.Minute, contract.Intent{Way: models.WaySkip, Reason: "an appliance without guest tools"})
	jobs()["vm.provision"].run(s, in)
	require.NoError(t, s.env.GetWorkflowError())
	require.False(t, *bare, "not without a reason")
	require.Equal(t, "succeeded clone:succeeded boot:skipped look:succeeded vm:running", s.story())
	require.Equal(t, "bob skipped it: an appliance without guest tools", s.last().Steps[1].Message)
}

func TestABlockedMachineCanBeRolledBack(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), provision()
	s.world.Fail(memory.AwaitGuest, silent)
	s.intend(contract.UpdateResume, time.Minute, contract.Intent{Way: models.WayRollBack})
	jobs()["vm.provision"].run(s, in)
	require.Equal(t, "failed clone:undone boot:failed vm:gone fault:aborted@boot", s.story())
	require.Zero(t, s.world.Live())
}

// TestAChangedMachineThatFailsAgainIsUndone begins anew, and then fails for good.
func TestAChangedMachineThatFailsAgainIsUndone(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), provision()
	s.world.Fail(memory.AwaitGuest, silent, final)
	s.intend(contract.UpdateResume, time.Minute, contract.Intent{Way: models.WayHost, VM: elsewhere(in)})
	jobs()["vm.provision"].run(s, in)
	require.Equal(t, "failed clone:undone boot:failed remove-first-try:succeeded vm:gone fault:task_failed@boot", s.story())
	require.Zero(t, s.world.Live())
}

func TestARegionMayBeLeftOutOfALeakCheck(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.world.Fail(memory.Machines, many(mending)[:100]...)
	s.intend(contract.UpdateResume, time.Hour, contract.Intent{Way: models.WaySkip, Reason: "tw is being rebuilt"})
	s.env.ExecuteWorkflow("leak.check", contract.LeakCheckInput{Operation: operation("leak.check"), Regions: []string{"tw"}})
	require.NoError(t, s.env.GetWorkflowError())
	require.Equal(t, "succeeded list-tw:skipped check-ledger:succeeded", s.story())
	require.Contains(t, string(s.last().Result), `"not_compared"`, "what was not looked at is said")
	require.Contains(t, string(s.last().Result), "tw is being rebuilt")
}

// TestALateSuccessIsAdopted has the provider finish after the step's time was over: whoever goes on finds the machine,
// and whoever gives up removes it.
func TestALateSuccessIsAdopted(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		contract.UpdateResume: "succeeded clone:succeeded boot:succeeded vm:running",
		contract.UpdateAbort:  "failed clone:undone vm:gone fault:aborted@clone",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s, in := newStage(t), provision()
			s.world.Fail(memory.Clone, many(mending)[:300]...)
			var late string
			s.env.RegisterDelayedCallback(func() {
				require.Equal(t, "blocked clone:failed fault:unreachable@clone", s.story())
				s.world.Mend()
				require.NoError(t, s.world.Clone(t.Context(), in.VM, in.ID, vm.Task{}))
				late = s.status(in).Ref
			}, 3*time.Hour)
			s.decide(kind, 4*time.Hour)
			jobs()["vm.provision"].run(s, in)
			require.Equal(t, want, s.story())
			if kind == contract.UpdateResume {
				require.Equal(t, []any{1, late}, []any{s.world.Live(), s.last().VM.Ref}, "the very machine that came late")
			} else {
				require.Zero(t, s.world.Live())
			}
		})
	}
}

// TestARunThatWasOvertakenTakesBackWhatItDid is reset after its operation was settled: what it makes must not stay.
func TestARunThatWasOvertakenTakesBackWhatItDid(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), provision()
	s.gate.ended = true
	s.world.Fail(memory.AwaitGuest, many(mending)[:100]...)
	jobs()["vm.provision"].run(s, in)
	var cancelled *temporal.CanceledError
	require.ErrorAs(t, s.env.GetWorkflowError(), &cancelled)
	require.Zero(t, s.world.Live())
}
