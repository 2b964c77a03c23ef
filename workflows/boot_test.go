package workflows_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"

	servers "github.com/yunshu/yunshu/activities/baremetal/memory"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

func TestADiscoveryAddsWhatTheBMCDoesNotKnow(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	known := r.machine().Inventory
	tasks()["discover"].run(r)
	want := known
	want.GPUs = slices.Clone(r.db.reports.Inventory.GPUs)
	want.GPUs[0].Inside = true
	require.Equal(t, want, r.last().Baremetal.Inspected.Inventory)
	require.Equal(t, models.PowerOff, r.last().Baremetal.Inspected.Power)
}

func TestASilentMachineIsBootedAgain(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.silent = 1
	r.meanwhile(time.Hour, "blocked connect:succeeded identify:succeeded inventory:succeeded expect-report:succeeded boot-once:succeeded power-off:succeeded power-on:succeeded await-report:failed fault:boot_silent@await-report",
		func() { require.Equal(t, []string{"on"}, r.machine().Events) })
	r.decide(contract.UpdateResume, 2*time.Hour)
	require.Equal(t, tasks()["discover"].happy, tasks()["discover"].perform(r))
	require.Equal(t, []string{"on", "off", "on", "off"}, r.machine().Events)
}

func TestALateReportIsTaken(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.silent = 1
	r.env.RegisterDelayedCallback(func() { r.db.late = true }, time.Hour)
	r.decide(contract.UpdateResume, 2*time.Hour)
	require.Equal(t, tasks()["discover"].happy, tasks()["discover"].perform(r))
	require.Equal(t, []string{"on", "off"}, r.machine().Events, "it was not booted again")
}

func TestASilentMachineThatNobodyMindsIsTakenBack(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.silent = 9
	require.Equal(t, "failed connect identify expect-report:undone insert-media:undone boot-once:undone power-off:undone power-on await-report:failed bm:available,spare,off fault:aborted@await-report | off disk",
		tasks()["lease"].perform(r))
}

// TestAMachineThatBreaksWhileItIsBootedAgain names the step that failed, not the one that waited for it.
func TestAMachineThatBreaksWhileItIsBootedAgain(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.silent = 9
	r.env.RegisterDelayedCallback(func() { r.servers.Fail(servers.SetBoot, final) }, time.Hour)
	r.decide(contract.UpdateResume, 2*time.Hour)
	require.Equal(t, "failed connect identify expect-report:undone insert-media:undone boot-once:undone power-off:undone power-on await-report:failed bm:available,spare,off fault:aborted@boot-once | off disk",
		tasks()["lease"].perform(r), "a failed try is blocked on once more, and nobody decided")
}

func TestAnImageThatFailsIsBootedAgain(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.reports.Error = "no disk is large enough"
	r.meanwhile(time.Minute, "blocked connect:succeeded identify:succeeded expect-report:succeeded insert-media:succeeded boot-once:succeeded power-off:succeeded power-on:succeeded await-report:failed fault:task_failed@await-report", func() {
		require.Contains(t, r.last().Fault.Message, "no disk is large enough")
		r.db.reports.Error = ""
	})
	r.decide(contract.UpdateResume, 2*time.Minute)
	require.Equal(t, tasks()["lease"].happy, tasks()["lease"].perform(r))
}

func TestAReportOfAnotherMachineIsRefused(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"discover": "failed connect identify inventory expect-report:undone boot-once:undone power-off:undone power-on await-report:failed bm:off fault:identity_changed@await-report | off disk",
		"lease":    "failed connect identify expect-report:undone insert-media:undone boot-once:undone power-off:undone power-on await-report:failed bm:available,spare,off fault:identity_changed@await-report | off disk",
		"release":  "failed power-off connect identify expect-report:undone insert-media:undone boot-once:undone power-on:undone await-report:failed bm:failed,spare,off,unusable fault:identity_changed@await-report | off disk",
	} {
		r := newRack(t)
		r.db.reports.Inventory.Serial = "OTHER"
		require.Equal(t, want, tasks()[kind].perform(r))
	}
}

func TestADiskThatIsNotEmpty(t *testing.T) {
	t.Parallel()
	full := func(r *rack) { r.db.reports.Wiped[0].Verified = false }
	const blocked = "blocked power-off:succeeded connect:succeeded identify:succeeded expect-report:succeeded insert-media:succeeded boot-once:succeeded power-on:succeeded await-report:failed fault:wipe_failed@await-report"
	t.Run("replaced", func(t *testing.T) {
		t.Parallel()
		r := newRack(t)
		full(r)
		r.meanwhile(time.Minute, blocked, func() {
			require.Equal(t, []models.Way{"retry", "skip", "roll_back"}, r.last().Fault.Ways)
			require.Contains(t, r.last().Fault.Message, "nvme0n1 (serial D-1, 1788 GiB)")
			r.db.reports.Wiped[0].Verified = true
		})
		r.decide(contract.UpdateResume, 2*time.Minute)
		require.Equal(t, tasks()["release"].happy, tasks()["release"].perform(r))
		require.JSONEq(t, `{"wiped": [{"name": "nvme0n1", "serial": "D-1", "size_gib": 1788, "method": "discard", "verified": true}]}`, string(r.last().Result))
	})
	t.Run("skipped", func(t *testing.T) {
		t.Parallel()
		r := newRack(t)
		full(r)
		r.intend(contract.UpdateResume, time.Minute, contract.Intent{Way: models.WaySkip, Reason: "the disk goes to the shredder"})
		require.Equal(t, "succeeded power-off connect identify expect-report insert-media boot-once power-on await-report:skipped close-boot bm:failed,spare,unusable | on cd media", tasks()["release"].perform(r))
		require.Equal(t, "Its disks were not seen to be empty: bob did without, because: the disk goes to the shredder", r.last().Baremetal.EndService)
	})
	t.Run("rolled back", func(t *testing.T) {
		t.Parallel()
		r := newRack(t)
		full(r)
		r.intend(contract.UpdateResume, time.Minute, contract.Intent{Way: models.WayRollBack})
		require.Equal(t, "failed power-off connect identify expect-report:undone insert-media:undone boot-once:undone power-on:undone await-report:failed bm:failed,spare,off,unusable fault:aborted@await-report | off disk",
			tasks()["release"].perform(r), "the lease is not to be had back")
	})
	t.Run("passed over", func(t *testing.T) {
		t.Parallel()
		r := newRack(t)
		inventory := *r.db.reports.Inventory
		inventory.Disks = []models.Disk{{Name: "nvme0n1", Serial: "D-1", SizeGiB: 1788}, {Name: "sdb", SizeGiB: 447}}
		r.db.reports.Inventory = &inventory
		r.meanwhile(time.Minute, blocked, func() {
			require.Contains(t, r.last().Fault.Message, "sdb (serial unknown, 447 GiB, not wiped)")
			r.db.reports.Wiped = append(r.db.reports.Wiped, models.Wiped{Name: "sdb", SizeGiB: 447, Method: "zero", Verified: true})
		})
		r.decide(contract.UpdateResume, 2*time.Minute)
		require.Equal(t, tasks()["release"].happy, tasks()["release"].perform(r))
	})
	t.Run("none was found", func(t *testing.T) {
		t.Parallel()
		r := newRack(t)
		r.db.reports.Wiped = nil
		r.intend(contract.UpdateResume, time.Minute, contract.Intent{Way: models.WaySkip, Reason: "it boots from the network"})
		require.Contains(t, tasks()["release"].perform(r), "await-report:skipped")
	})
}

// TestALongWipeIsWaitedFor reports after half a day.
func TestALongWipeIsWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.silent, r.db.begun = 9, true
	r.env.RegisterDelayedCallback(func() { r.db.late = true }, 12*time.Hour)
	require.Equal(t, tasks()["release"].happy, tasks()["release"].perform(r))
}

// TestAMachineThatDoesNotBootTheWipeImageIsToldSoon does not wait a day for it.
func TestAMachineThatDoesNotBootTheWipeImageIsToldSoon(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.silent = 1
	r.meanwhile(time.Hour, "blocked power-off:succeeded connect:succeeded identify:succeeded expect-report:succeeded insert-media:succeeded boot-once:succeeded power-on:succeeded await-report:failed fault:boot_silent@await-report",
		func() { require.Contains(t, r.last().Fault.Message, "never asked what to boot") })
	r.decide(contract.UpdateResume, 2*time.Hour)
	require.Equal(t, tasks()["release"].happy, tasks()["release"].perform(r))
}

func TestAMachineIsGivenBackWithoutAWipe(t *testing.T) {
	t.Parallel()
	release := func(r *rack) string {
		r.servers.Change(bmcAddress, func(m *servers.Machine) { m.Power = models.PowerOn })
		r.env.ExecuteWorkflow("baremetal.release", contract.BaremetalReleaseInput{Operation: r.of("baremetal.release")})
		return r.ending()
	}
	t.Run("as the owner wants", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, "succeeded power-off bm:available,spare,off | off disk", release(newRack(t)))
	})
	t.Run("because it is dead", func(t *testing.T) {
		t.Parallel()
		r := newRack(t)
		r.servers.SetFault(bmcAddress, servers.Gone)
		r.intend(contract.UpdateResume, time.Hour, contract.Intent{Way: models.WaySkip, Reason: "it burnt"})
		require.Equal(t, "succeeded power-off:skipped bm:failed,spare,unusable | on disk", release(r))
	})
}

// TestALeaseWhoseUndoFailsIsInDoubt loses the BMC for the undo of a lease.
func TestALeaseWhoseUndoFailsIsInDoubt(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.Fail("boot.close", final)
	r.env.SetOnActivityStartedListener(func(i *activity.Info, _ context.Context, _ converter.EncodedValues) {
		if i.ActivityType.Name == contract.BootClose.Name {
			r.servers.SetFault(bmcAddress, servers.Gone)
		}
	})
	r.env.RegisterDelayedCallback(func() { r.servers.SetFault(bmcAddress, servers.None) }, 3*time.Hour)
	r.env.RegisterDelayedCallback(func() {
		require.Equal(t, "bm:failed", bmFacts(r.last().Baremetal)[0])
		require.Equal(t, models.CodeUndoFailed, r.last().Fault.Code)
	}, 2*time.Hour)
	require.Equal(t, "failed connect identify expect-report:undone insert-media:undone boot-once:undone power-off:undone power-on await-report close-boot:failed bm:available,spare,off fault:task_failed@close-boot | off disk",
		tasks()["lease"].perform(r))
}

// TestARunThatWasOvertakenLeavesTheServerAlone is reset after its operation was settled: the machine is another tenant's.
func TestARunThatWasOvertakenLeavesTheServerAlone(t *testing.T) {
	t.Parallel()
	for kind, j := range tasks() {
		r := newRack(t)
		r.gate.ended, r.db.over = true, true
		r.servers.Change(bmcAddress, func(m *servers.Machine) { m.Power = models.PowerOn })
		j.run(r)
		require.Error(t, r.env.GetWorkflowError(), kind)
		require.Equal(t, "on disk", r.world(), kind)
		require.Zero(t, r.machine().Logins, kind)
	}
}

func TestAWaitForAReportIsCancelled(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"discover": "cancelled connect identify inventory expect-report:undone boot-once:undone power-off:undone power-on await-report:failed bm:off fault:cancelled@ | off disk",
		"lease":    "cancelled connect identify expect-report:undone insert-media:undone boot-once:undone power-off:undone power-on await-report:failed bm:available,spare,off fault:cancelled@ | off disk",
		"release":  "cancelled power-off connect identify expect-report:undone insert-media:undone boot-once:undone power-on:undone await-report:failed bm:failed,spare,off,unusable fault:cancelled@ | off disk",
	} {
		r := newRack(t)
		r.db.silent = 9
		r.env.RegisterDelayedCallback(r.env.CancelWorkflow, 10*time.Minute)
		require.Equal(t, want, tasks()[kind].perform(r))
	}
}
