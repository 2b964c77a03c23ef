package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm/memory"
	"github.com/yunshu/yunshu/models"
)

// job is one workflow as the unwind test sees it: how to run it, its steps by the provider's names, and what must be so
// after any of them failed for good.
type job struct {
	start  bool // the machine exists, running
	run    func(s *stage, in contract.VMProvisionInput)
	steps  []string
	happy  string
	failed map[string]string // step → the story
	after  func(s *stage, in contract.VMProvisionInput)
}

func jobs() map[string]job {
	asBefore := func(s *stage, in contract.VMProvisionInput) {
		require.Equal(s, contract.VMStatus{Found: true, On: true, Size: in.VM.Size}, essence(s.status(in)))
	}
	atHome := func(s *stage, in contract.VMProvisionInput) {
		asBefore(s, in)
		require.Equal(s, in.VM.Host.Ref, s.status(in).Host)
	}
	bigger := models.Size{VCPU: 4, MemoryMiB: 4096, StorageGiB: 20}
	return map[string]job{
		"vm.provision": {
			run:   func(s *stage, in contract.VMProvisionInput) { s.env.ExecuteWorkflow("vm.provision", in) },
			steps: []string{memory.Clone, memory.SetPower, memory.AwaitGuest},
			happy: "succeeded clone:succeeded boot:succeeded vm:running",
			failed: map[string]string{
				memory.Clone:      "failed clone:undone vm:gone fault:task_failed@clone",
				memory.SetPower:   "failed clone:undone boot:failed vm:gone fault:task_failed@boot",
				memory.AwaitGuest: "failed clone:undone boot:failed vm:gone fault:task_failed@boot",
			},
			after: func(s *stage, _ contract.VMProvisionInput) { require.Zero(s, s.world.Live()) },
		},
		"vm.delete": {
			start: true,
			run: func(s *stage, in contract.VMProvisionInput) {
				s.env.ExecuteWorkflow("vm.delete", contract.VMDeleteInput{Operation: on(in, "vm.delete")})
			},
			steps:  []string{memory.Destroy},
			happy:  "succeeded destroy:succeeded vm:gone",
			failed: map[string]string{memory.Destroy: "failed destroy:undone vm:failed fault:task_failed@destroy"},
			after:  asBefore,
		},
		"vm.power": {
			start: true,
			run: func(s *stage, in contract.VMProvisionInput) {
				s.env.ExecuteWorkflow("vm.power", contract.VMPowerInput{Operation: on(in, "vm.power"), Action: contract.Reboot, From: models.VMRunning})
			},
			steps:  []string{memory.SetPower},
			happy:  "succeeded power-off:succeeded power-on:succeeded vm:running",
			failed: map[string]string{memory.SetPower: "failed power-off:undone vm:running fault:task_failed@power-off"},
			after:  asBefore,
		},
		"vm.resize": {
			start: true,
			run: func(s *stage, in contract.VMProvisionInput) {
				s.env.ExecuteWorkflow("vm.resize", contract.VMResizeInput{Operation: on(in, "vm.resize"), From: in.VM.Size, To: bigger, State: models.VMRunning})
			},
			steps:  []string{memory.Reconfigure},
			happy:  "succeeded reconfigure:succeeded vm:running",
			failed: map[string]string{memory.Reconfigure: "failed reconfigure:undone vm:running fault:task_failed@reconfigure"},
			after:  asBefore,
		},
		"vm.migrate": {
			start:  true,
			run:    func(s *stage, in contract.VMProvisionInput) { s.env.ExecuteWorkflow("vm.migrate", migration(in)) },
			steps:  []string{memory.Migrate},
			happy:  "succeeded move:succeeded vm:running",
			failed: map[string]string{memory.Migrate: "failed move:undone vm:running fault:task_failed@move"},
			after:  atHome,
		},
	}
}

func essence(s contract.VMStatus) contract.VMStatus {
	return contract.VMStatus{Found: s.Found, On: s.On, Size: s.Size}
}

func TestEveryWorkflowSucceeds(t *testing.T) {
	t.Parallel()
	for name, j := range jobs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, in := newStage(t), provision()
			if j.start {
				s.exists(in, true)
			}
			j.run(s, in)
			require.NoError(t, s.env.GetWorkflowError())
			require.Equal(t, j.happy, s.story())
		})
	}
}

func TestEveryStepThatFailsForGoodIsUndone(t *testing.T) {
	t.Parallel()
	for name, j := range jobs() {
		for _, step := range j.steps {
			t.Run(name+"/"+step, func(t *testing.T) {
				t.Parallel()
				s, in := newStage(t), provision()
				if j.start {
					s.exists(in, true)
				}
				s.world.Fail(step, final)
				j.run(s, in)
				var app *temporal.ApplicationError
				require.ErrorAs(t, s.env.GetWorkflowError(), &app)
				require.Equal(t, "task_failed", app.Type(), "the original error")
				require.Equal(t, j.failed[step], s.story())
				j.after(s, in)
			})
		}
	}
}

func TestCancellationDuringEveryStepIsUndone(t *testing.T) {
	t.Parallel()
	for name, j := range jobs() {
		for _, step := range j.steps {
			t.Run(name+"/"+step, func(t *testing.T) {
				t.Parallel()
				s, in := newStage(t), provision()
				if j.start {
					s.exists(in, true)
				}
				// The step never gets through, so that the cancellation meets it; the undo does.
				s.world.Fail(step, many(mending)[:3]...)
				s.env.RegisterDelayedCallback(s.env.CancelWorkflow, 2*time.Second)
				j.run(s, in)
				require.Equal(t, models.OperationCancelled, s.last().State, s.story())
				var cancelled *temporal.CanceledError
				require.ErrorAs(t, s.env.GetWorkflowError(), &cancelled)
				j.after(s, in)
			})
		}
	}
}

func TestADeleteThatIsCancelledTooLateHasSucceeded(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), provision() // the machine is not there any more
	s.world.Fail(memory.Destroy, mending)
	s.env.RegisterDelayedCallback(s.env.CancelWorkflow, 500*time.Millisecond)
	jobs()["vm.delete"].run(s, in)
	require.NoError(t, s.env.GetWorkflowError())
	require.Equal(t, models.OperationSucceeded, s.last().State, s.story())
	require.Equal(t, models.VMGone, s.last().VM.State)
}

// decide sends a person's decision to a blocked workflow, and says whether it was taken.
func (s *stage) decide(kind string, after time.Duration) *bool {
	return s.intend(kind, after, contract.Intent{})
}

// intend is decide with a way.
func (s *stage) intend(kind string, after time.Duration, in contract.Intent) *bool {
	taken := new(bool)
	in.ID, in.Actor = models.NewID(), "bob"
	s.env.RegisterDelayedCallback(func() {
		s.env.UpdateWorkflow(kind, in.ID.String(), &callback{accepted: func() { *taken = true }}, in)
	}, after)
	return taken
}

type callback struct{ accepted func() }

func (c *callback) Accept()             { c.accepted() }
func (c *callback) Reject(error)        {}
func (c *callback) Complete(any, error) {}

func TestRetriesThatEndBlockUntilAPersonDecides(t *testing.T) {
	t.Parallel()
	t.Run("resume", func(t *testing.T) {
		t.Parallel()
		s, in := newStage(t), provision()
		s.world.Fail(memory.SetPower, many(mending)[:300]...)
		early := s.decide(contract.UpdateResume, time.Minute)
		s.env.RegisterDelayedCallback(func() {
			require.Equal(t, "blocked clone:succeeded boot:failed fault:unreachable@boot", s.story())
			s.world.Mend()
		}, 3*time.Hour)
		taken := s.decide(contract.UpdateResume, 3*time.Hour+time.Second)
		jobs()["vm.provision"].run(s, in)
		require.NoError(t, s.env.GetWorkflowError())
		require.False(t, *early, "refused while nothing was blocked")
		require.True(t, *taken)
		require.Equal(t, jobs()["vm.provision"].happy, s.story())
	})
	t.Run("abort", func(t *testing.T) {
		t.Parallel()
		s, in := newStage(t), provision()
		s.world.Fail(memory.SetPower, many(mending)...)
		s.decide(contract.UpdateAbort, 3*time.Hour)
		jobs()["vm.provision"].run(s, in)
		require.Equal(t, "failed clone:undone boot:failed vm:gone fault:aborted@boot", s.story())
		require.Zero(t, s.world.Live())
	})
	t.Run("nobody", func(t *testing.T) {
		t.Parallel()
		s, in := newStage(t), provision()
		s.world.Fail(memory.SetPower, many(mending)...)
		jobs()["vm.provision"].run(s, in)
		require.Equal(t, "failed clone:undone boot:failed vm:gone fault:aborted@boot", s.story())
	})
}

func TestAFailedUndoBlocksAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), provision()
	s.world.Fail(memory.AwaitGuest, final)
	s.world.Fail(memory.Destroy, final)
	abort := s.decide(contract.UpdateAbort, 30*time.Minute)
	s.env.RegisterDelayedCallback(func() {
		require.Equal(t, "blocked clone:undoing boot:failed vm:failed fault:undo_failed@remove the machine", s.story())
	}, 31*time.Minute)
	jobs()["vm.provision"].run(s, in)
	require.False(t, *abort, "an undo can only be resumed")
	require.Equal(t, jobs()["vm.provision"].failed[memory.AwaitGuest], s.story())
	require.Zero(t, s.world.Live())
}

func TestAMachineThatCannotGrowRunningIsRestartedIfItMay(t *testing.T) {
	t.Parallel()
	for _, may := range []bool{true, false} {
		s, in := newStage(t), provision()
		s.exists(in, true)
		s.world.SetHotAdd(in.VM.ID, false)
		s.env.ExecuteWorkflow("vm.resize", contract.VMResizeInput{Operation: on(in, "vm.resize"), From: in.VM.Size,
			To: models.Size{VCPU: 4, MemoryMiB: 4096, StorageGiB: 20}, State: models.VMRunning, AllowRestart: may})
		if may {
			require.Equal(t, "succeeded reconfigure:failed power-off:succeeded reconfigure-off:succeeded power-on:succeeded vm:running", s.story())
			require.Equal(t, int64(4), s.status(in).Size.VCPU)
		} else {
			require.Equal(t, "failed reconfigure:undone vm:running fault:needs_power_off@reconfigure", s.story())
		}
	}
}

func TestReportsCountUpAndNeverGoBack(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), provision()
	s.world.SetDelay(10 * time.Millisecond)
	jobs()["vm.provision"].run(s, in)
	require.NoError(t, s.env.GetWorkflowError())
	require.Equal(t, models.OperationRunning, s.gate.reports[0].State)
	for i := 1; i < len(s.gate.reports); i++ {
		require.Greater(t, s.gate.reports[i].Seq, s.gate.reports[i-1].Seq)
	}
}

func TestAProvisionCostsNoMoreActivitiesThanItHasStepsAndTwo(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), provision()
	calls := 0
	s.env.SetOnActivityStartedListener(func(*activity.Info, context.Context, converter.EncodedValues) { calls++ })
	jobs()["vm.provision"].run(s, in)
	require.LessOrEqual(t, calls, 5)
}

func TestASettlePutsRightWhatALostWorkflowLeft(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), provision()
	s.exists(in, true)
	s.env.ExecuteWorkflow("operation.settle", contract.Lost{Operation: in.Operation, Seq: 2})
	require.NoError(t, s.env.GetWorkflowError())
	require.Equal(t, "failed vm:gone fault:workflow_lost@", s.story())
	require.Equal(t, int64(1002), s.last().Seq)
	require.Zero(t, s.world.Live())
}

func TestAnImportRecordsEveryHost(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	op := operation("region.import")
	op.ResourceKind, op.ResourceName = "region", "tw"
	s.env.ExecuteWorkflow("region.import", contract.RegionImportInput{Operation: op})
	require.NoError(t, s.env.GetWorkflowError())
	require.Len(t, s.gate.recorded, 48)
	require.JSONEq(t, `{"added": 48, "changed": 0, "missing": 0}`, string(s.last().Result))
}

func TestALeakCheckTellsWhatItFinds(t *testing.T) {
	t.Parallel()
	s, in := newStage(t), provision()
	s.exists(in, false)
	s.gate.findings = contract.Findings{Findings: []contract.Finding{{Kind: "quota_sum", ResourceKind: "quota"}}}
	op := operation("leak.check")
	s.env.ExecuteWorkflow("leak.check", contract.LeakCheckInput{Operation: op, Regions: []string{"tw"}})
	require.NoError(t, s.env.GetWorkflowError())
	require.Equal(t, "succeeded list-tw:succeeded compare-tw:succeeded check-ledger:succeeded", s.story())
	require.Contains(t, string(s.last().Result), "unknown_machine")
	require.Contains(t, string(s.last().Result), "quota_sum")
}

// TestReportsThatTemporalNeverHeardOfAreOvertaken has a gateway die after it told reports, and before their task was done: the
// task that is done instead may have less to tell, which counts all the same.
func TestReportsThatTemporalNeverHeardOfAreOvertaken(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.gate.reports = []contract.Report{{Seq: 7100, State: models.OperationRunning}} // after a history of 7 events
	s.env.SetCurrentHistoryLength(10)
	s.env.ExecuteWorkflow("vm.provision", provision())
	require.Equal(t, "succeeded clone:succeeded boot:succeeded vm:running", s.story())
}
