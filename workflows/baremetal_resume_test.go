package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	servers "github.com/yunshu/yunshu/activities/baremetal/memory"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

func (r *rack) enroll() string {
	r.Helper()
	r.env.ExecuteWorkflow("baremetal.enroll", contract.BaremetalEnrollInput{Operation: r.of("baremetal.enroll")})
	return r.ending()
}

const enrolled = "succeeded connect identify inventory check-health boot-order bm:available,off,inspected,probed | off disk"

// meanwhile checks how the operation is blocked, and mends something.
func (r *rack) meanwhile(after time.Duration, story string, mend func()) {
	r.env.RegisterDelayedCallback(func() {
		require.Equal(r, story, r.story())
		mend()
	}, after)
}

func TestAWrongPasswordIsMendedAndResumed(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.Mend(bmcAddress, "a typo")
	r.meanwhile(time.Minute, "blocked connect:failed fault:login_refused@connect", func() {
		require.Equal(t, []models.Way{"retry", "roll_back"}, r.last().Fault.Ways)
		require.Equal(t, 1, r.machine().Refused, "a BMC locks an account that is tried too often")
		r.db.Mend(bmcAddress, bmcPassword)
	})
	r.decide(contract.UpdateResume, 2*time.Minute)
	require.Equal(t, enrolled, r.enroll())
}

func TestAWrongAddressIsMendedAndResumed(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.Mend("https://10.0.0.99", bmcPassword)
	r.meanwhile(time.Hour, "blocked connect:failed fault:unreachable@connect", func() { r.db.Mend(bmcAddress, bmcPassword) })
	r.decide(contract.UpdateResume, 2*time.Hour)
	require.Equal(t, enrolled, r.enroll())
}

// TestAPasswordThatChangesInTheMiddleIsMended has somebody change the password at the BMC while a machine is enrolled.
func TestAPasswordThatChangesInTheMiddleIsMended(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.servers.SetHook(func(_ context.Context, step, _ string) error {
		if step == servers.Inspect {
			r.servers.Change(bmcAddress, func(m *servers.Machine) { m.Password = "other-2" })
		}
		return nil
	})
	r.meanwhile(time.Minute, "blocked connect:succeeded identify:succeeded inventory:succeeded check-health:succeeded boot-order:failed fault:login_refused@boot-order", func() { r.db.Mend(bmcAddress, "other-2") })
	r.decide(contract.UpdateResume, 2*time.Minute)
	require.Equal(t, enrolled, r.enroll())
}

func TestAnotherCertificateEndsAnEnrolment(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.fingerprint = "00ff"
	require.Equal(t, "failed connect:failed bm:gone fault:certificate_mismatch@connect | off disk", r.enroll())
}

func TestADuplicateMachineEndsAnEnrolment(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.Fail("baremetal.claim", models.Faultf(models.CodeDuplicateMachine, "The server at the BMC is here already: bm-0 has the same serial."))
	require.Equal(t, "failed connect identify:failed bm:gone fault:duplicate_machine@identify | off disk", r.enroll())
	require.Contains(t, r.last().Fault.Message, "bm-0", "the first is named")
}

func TestABMCThatLiesIsRefused(t *testing.T) {
	t.Parallel()
	const refused = "failed connect identify inventory:failed bm:gone fault:identity_changed@inventory | off disk"
	t.Run("in one look", func(t *testing.T) {
		t.Parallel()
		r := newRack(t)
		r.servers.SetFault(bmcAddress, servers.Liar)
		require.Equal(t, refused, r.enroll())
	})
	t.Run("between two looks", func(t *testing.T) {
		t.Parallel()
		r := newRack(t)
		r.servers.SetHook(func(_ context.Context, step, _ string) error {
			if step == servers.Identity {
				r.servers.Change(bmcAddress, func(m *servers.Machine) { m.Inventory.Serial = "OTHER" })
			}
			return nil
		})
		require.Equal(t, refused, r.enroll())
		require.Contains(t, r.last().Fault.Message, `"OTHER"`)
	})
	t.Run("later", func(t *testing.T) {
		t.Parallel()
		r := newRack(t)
		r.db.claimed = models.HardwareIdentity{Serial: "WAS"}
		r.env.ExecuteWorkflow("baremetal.inspect", contract.BaremetalInspectInput{Operation: r.of("baremetal.inspect")})
		require.Equal(t, "failed connect identify:failed fault:identity_changed@identify | off disk", r.ending())
	})
}

func TestAnUnhealthyMachineWaitsForAPerson(t *testing.T) {
	t.Parallel()
	sick := func(m *servers.Machine) {
		m.Health.Status = models.HealthCritical
		m.Health.Sensors = []models.Sensor{{Name: "PSU 2", Health: models.HealthCritical}}
	}
	const blocked = "blocked connect:succeeded identify:succeeded inventory:succeeded check-health:failed fault:unhealthy@check-health"
	t.Run("repaired", func(t *testing.T) {
		t.Parallel()
		r := newRack(t)
		r.servers.Change(bmcAddress, sick)
		r.meanwhile(time.Minute, blocked, func() {
			require.Equal(t, []models.Way{"retry", "skip", "roll_back"}, r.last().Fault.Ways)
			require.Contains(t, r.last().Fault.Message, "PSU 2")
			r.servers.Change(bmcAddress, func(m *servers.Machine) { m.Health = models.Health{Status: models.HealthOK} })
		})
		r.decide(contract.UpdateResume, 2*time.Minute)
		require.Equal(t, enrolled, r.enroll())
		require.Equal(t, models.HealthOK, r.last().Baremetal.Inspected.Health.Status, "as it was seen last")
	})
	t.Run("taken as it is", func(t *testing.T) {
		t.Parallel()
		r := newRack(t)
		r.servers.Change(bmcAddress, sick)
		r.intend(contract.UpdateResume, time.Minute, contract.Intent{Way: models.WaySkip, Reason: "a spare PSU is on its way"})
		require.Equal(t, "succeeded connect identify inventory check-health:skipped boot-order bm:available,off,inspected,probed | off disk", r.enroll())
	})
	t.Run("not returned to service", func(t *testing.T) {
		t.Parallel()
		r := newRack(t)
		r.servers.Change(bmcAddress, sick)
		r.intend(contract.UpdateResume, time.Minute, contract.Intent{Way: models.WayRollBack})
		r.env.ExecuteWorkflow("baremetal.inspect", contract.BaremetalInspectInput{Operation: r.of("baremetal.inspect"), Return: true})
		require.Equal(t, "failed connect identify inventory check-health:failed bm:off,inspected fault:aborted@check-health | off disk", r.ending(), "what was seen counts all the same")
	})
}

func TestABMCWithoutABootOrderIsTaken(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.servers.Fail(servers.SetBoot, models.Faultf(models.CodeNotSupported, "The BMC knows no boot order."))
	require.Equal(t, "succeeded connect identify inventory check-health boot-order:skipped bm:available,off,inspected,probed | off disk", r.enroll())
	require.Equal(t, "The machine goes without it: The BMC knows no boot order.", r.last().Steps[4].Message)
}

// TestAResetIsOrderedOnce has the worker lose the BMC right after each order: whoever goes on finds what was ordered.
func TestAResetIsOrderedOnce(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	ordered := false
	r.servers.SetHook(func(_ context.Context, step, _ string) error {
		lost := ordered && step == servers.Power
		ordered = step == servers.SetPower
		if lost {
			return mending
		}
		return nil
	})
	require.Equal(t, "succeeded power-off power-on bm:on | on disk", tasks()["reset"].perform(r))
	require.Equal(t, []string{"off", "on"}, r.machine().Events)
}

func TestAnOperatingSystemThatDoesNotListenIsLeftOn(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.servers.Change(bmcAddress, func(m *servers.Machine) { m.Power = models.PowerOn })
	r.servers.SetFault(bmcAddress, servers.Deaf)
	r.intend(contract.UpdateResume, time.Minute, contract.Intent{Way: models.WayRollBack})
	r.env.ExecuteWorkflow("baremetal.power", contract.BaremetalPowerInput{Operation: r.of("baremetal.power"), Action: contract.BMShutdown})
	require.Equal(t, "failed shut-down:failed fault:aborted@shut-down | on disk", r.ending())
	require.Empty(t, r.machine().Events)
}

// TestAPasswordIsNotLostWhileItsUndoFails loses the BMC after it has the new password: until it is back, the database keeps
// both.
func TestAPasswordIsNotLostWhileItsUndoFails(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.Fail("bmc.commit-password", final)
	lost := false
	r.servers.SetHook(func(_ context.Context, step, _ string) error {
		if lost {
			return mending
		}
		lost = r.machine().Password != bmcPassword && step == servers.Probe // verified, and then lost
		return nil
	})
	r.env.RegisterDelayedCallback(func() {
		require.Equal(t, models.OperationBlocked, r.last().State)
		require.Equal(t, models.CodeUndoFailed, r.last().Fault.Code)
		require.Equal(t, r.machine().Password, r.db.Passwords()[1], "the staged one is the BMC's")
		r.servers.SetHook(nil)
	}, 20*time.Minute)
	r.decide(contract.UpdateResume, 21*time.Minute)
	r.env.ExecuteWorkflow("baremetal.rotate", contract.BaremetalRotateInput{Operation: r.of("baremetal.rotate")})
	require.Equal(t, "failed connect identify stage-password:undone set-password verify-password commit-password:failed fault:task_failed@commit-password | off disk", r.ending())
	require.Equal(t, bmcPassword, r.machine().Password)
}

// TestAPasswordIsNotLostWithABMCThatCannotBringItBack has one that says for a while that it knows no accounts, as some do that
// have just started.
func TestAPasswordIsNotLostWithABMCThatCannotBringItBack(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.Fail("bmc.commit-password", final)
	sets := 0
	r.servers.SetHook(func(_ context.Context, step, _ string) error {
		if step != servers.SetPassword {
			return nil
		}
		if sets++; sets == 2 {
			return models.Faultf(models.CodeNotSupported, "It cannot set the password.")
		}
		return nil
	})
	r.env.RegisterDelayedCallback(func() {
		require.Equal(t, models.CodeUndoFailed, r.last().Fault.Code)
		require.Equal(t, r.machine().Password, r.db.Passwords()[1], "the staged one is the BMC's")
	}, 20*time.Minute)
	r.decide(contract.UpdateResume, 21*time.Minute)
	r.env.ExecuteWorkflow("baremetal.enroll", contract.BaremetalEnrollInput{Operation: r.of("baremetal.enroll"), Rotate: true})
	require.Contains(t, r.ending(), "bm:gone")
	require.Equal(t, bmcPassword, r.machine().Password)
}

// TestARotationGoesOnWhereAnEarlierOneWasLost finds a staged password that the BMC has already.
func TestARotationGoesOnWhereAnEarlierOneWasLost(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.staged = "from-before-7"
	r.servers.Change(bmcAddress, func(m *servers.Machine) { m.Password = "from-before-7" })
	r.db.Mend(bmcAddress, "from-before-7") // a person has found out, and the present one is the same
	r.env.ExecuteWorkflow("baremetal.rotate", contract.BaremetalRotateInput{Operation: r.of("baremetal.rotate")})
	require.Equal(t, "succeeded connect identify stage-password set-password verify-password commit-password | off disk", r.ending())
}

func TestAskingHowABMCIsReachedTakesNoTripThroughTheQueue(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	var asked []string
	r.env.SetOnActivityStartedListener(func(i *activity.Info, _ context.Context, _ converter.EncodedValues) {
		if i.ActivityType.Name == contract.BMCAccess.Name {
			asked = append(asked, i.TaskQueue)
		}
	})
	require.Equal(t, enrolled, r.enroll())
	require.Empty(t, asked)
	require.Equal(t, 3, r.db.accesses, "once a step that speaks to the BMC")
}

func TestADatabaseThatDoesNotAnswerDelaysAStepOnly(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.Fail(contract.BMCAccess.Name, many(models.Faultf(models.CodeUnavailable, "The database is away."))[:5]...)
	require.Equal(t, enrolled, r.enroll())
}

func TestARetiredMachineMayBeDead(t *testing.T) {
	t.Parallel()
	retire := func(r *rack, bmc bool) string {
		r.env.ExecuteWorkflow("baremetal.retire", contract.BaremetalRetireInput{Operation: r.of("baremetal.retire"), From: models.BaremetalMaintenance, BMC: bmc})
		return r.ending()
	}
	t.Run("skipped", func(t *testing.T) {
		t.Parallel()
		r := newRack(t)
		r.servers.SetFault(bmcAddress, servers.Gone)
		r.intend(contract.UpdateResume, time.Hour, contract.Intent{Way: models.WaySkip, Reason: "it burnt"})
		require.Equal(t, "succeeded power-off:skipped bm:gone | off disk", retire(r, true))
	})
	t.Run("refused for good", func(t *testing.T) {
		t.Parallel()
		r := newRack(t)
		r.db.fingerprint = "00ff"
		r.intend(contract.UpdateResume, time.Minute, contract.Intent{Way: models.WaySkip, Reason: "its BMC was replaced"})
		require.Equal(t, "succeeded power-off:skipped bm:gone | off disk", retire(r, true))
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		r := newRack(t)
		r.servers.SetFault(bmcAddress, servers.Gone)
		r.env.RegisterDelayedCallback(r.env.CancelWorkflow, time.Minute)
		require.Equal(t, "cancelled power-off:failed bm:maintenance fault:cancelled@ | off disk", retire(r, true))
		require.True(t, models.BaremetalTransitions.Allows(models.BaremetalRetiring, models.BaremetalMaintenance), "or it would stay retiring")
	})
	t.Run("nobody decides", func(t *testing.T) {
		t.Parallel()
		r := newRack(t)
		r.servers.SetFault(bmcAddress, servers.Gone)
		require.Equal(t, "failed power-off:failed bm:maintenance fault:aborted@power-off | off disk", retire(r, true))
	})
	t.Run("without a BMC", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, "succeeded bm:gone | off disk", retire(newRack(t), false))
	})
}

func TestAMachineJoinsWhenItsHostIsThere(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	uuid := "DE305D54-75B4-431B-ADB2-EB6B9E546014"
	r.meanwhile(time.Minute, "blocked find-host:failed fault:host_missing@find-host", func() {
		require.Equal(t, []models.Way{"retry", "roll_back"}, r.last().Fault.Ways)
		r.stage.world.SetHost("host-9", contract.Hypervisor{Ref: "host-9", UUID: "de305d54-75b4-431b-adb2-eb6b9e546014", Name: "bm-1", Connected: true})
	})
	r.decide(contract.UpdateResume, 2*time.Minute)
	r.env.ExecuteWorkflow("baremetal.join", contract.BaremetalJoinInput{Operation: r.of("baremetal.join"), UUID: uuid})
	require.Equal(t, "succeeded find-host bm:in_use,hypervisor,linked | off disk", r.ending())
	require.Equal(t, "host-9", r.last().Baremetal.Host.Ref)
}

// TestAStepThatWaitedForItsRegionAsksAnew has the address change while no worker of the region is there.
func TestAStepThatWaitedForItsRegionAsksAnew(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.Mend("https://10.0.0.99", bmcPassword)
	away := 3
	r.env.OnActivity(contract.BMProbe.Name, mock.Anything, mock.Anything).Return(func(ctx context.Context, in contract.BMC) (contract.Probed, error) {
		if away--; away >= 0 {
			r.db.Mend(bmcAddress, bmcPassword)
			return contract.Probed{}, temporal.NewTimeoutError(enums.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
		}
		return r.bmcs.Probe(ctx, in)
	})
	require.Equal(t, enrolled, r.enroll())
}
