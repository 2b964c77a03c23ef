package vm_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/activities/vm/memory"
	"github.com/yunshu/yunshu/models"
)

// stage runs activities as a worker does, on a hypervisor in memory.
type stage struct {
	*testing.T
	env   *testsuite.TestActivityEnvironment
	world *memory.Provider
}

func newStage(t *testing.T) *stage {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	s := &stage{T: t, env: suite.NewTestActivityEnvironment(), world: memory.New(memory.Options{})}
	vm.Register(s.env, vm.Activities{Hypervisor: s.world})
	return s
}

func clone() contract.CloneInput {
	return contract.CloneInput{OperationID: models.NewID(), VM: contract.VM{
		ID: models.NewID(), Name: "web", Tenant: "acme", Size: models.Size{VCPU: 2, MemoryMiB: 2048, StorageGiB: 20}, Template: "ubuntu-24.04",
		Host:    contract.Host{ID: models.NewID(), Name: "tw-a-01", Ref: "host-1000"},
		Network: contract.Network{Name: "vlan-100", Address: "10.1.0.7/16", Hostname: "web"},
	}}
}

func ref(in contract.CloneInput) contract.VMRef {
	return contract.VMRef{OperationID: in.OperationID, ID: in.VM.ID, Name: in.VM.Name}
}

// run carries out an activity by its name and reads what it returned.
func run[Out any](s *stage, name string, in any) (Out, error) {
	s.Helper()
	var out Out
	got, err := s.env.ExecuteActivity(name, in)
	if err != nil {
		return out, err
	}
	return out, got.Get(&out)
}

func TestEachActivityTellsWhatItSees(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	in := clone()
	made, err := run[contract.VMStatus](s, "vm.clone", in)
	require.NoError(t, err)
	require.Equal(t, contract.VMStatus{Found: true, Ref: "vm-1", Size: in.VM.Size}, made)
	on, err := run[contract.VMStatus](s, "vm.set-power", contract.PowerInput{VMRef: ref(in), On: true})
	require.NoError(t, err)
	require.True(t, on.On)
	heard, err := run[contract.VMStatus](s, "vm.await-guest", contract.GuestInput{VMRef: ref(in), Address: "10.1.0.7"})
	require.NoError(t, err)
	require.Equal(t, []string{"10.1.0.7"}, heard.Addresses)
	size := models.Size{VCPU: 4, MemoryMiB: 4096, StorageGiB: 30}
	grown, err := run[contract.VMStatus](s, "vm.reconfigure", contract.ReconfigureInput{VMRef: ref(in), Size: size})
	require.NoError(t, err)
	require.Equal(t, size, grown.Size)
	page, err := run[contract.MachinePage](s, "vm.list", contract.Page{})
	require.NoError(t, err)
	require.Len(t, page.Machines, 1)
	hosts, err := run[contract.HypervisorPage](s, "vm.hypervisors", contract.Page{Limit: 3})
	require.NoError(t, err)
	require.Len(t, hosts.Hypervisors, 3)
	_, err = run[contract.None](s, "vm.destroy", ref(in))
	require.NoError(t, err)
	read, err := run[contract.VMStatus](s, "vm.read", ref(in))
	require.NoError(t, err)
	require.Equal(t, contract.VMStatus{}, read)
}

// TestFaultsCrossTemporalWithTheirCode checks for every code whether Temporal may try again, and that the workflow reads
// the very same fault.
func TestFaultsCrossTemporalWithTheirCode(t *testing.T) {
	t.Parallel()
	for _, info := range models.Codes {
		s := newStage(t)
		in := clone()
		want := models.Faultf(info.Code, "It went wrong as %s.", info.Code)
		s.world.Fail(memory.Clone, want)
		_, err := run[contract.VMStatus](s, "vm.clone", in)
		var app *temporal.ApplicationError
		require.ErrorAs(t, err, &app, info.Code)
		require.Equal(t, string(info.Code), app.Type())
		require.Equal(t, !info.Retryable, app.NonRetryable(), info.Code)
		require.Equal(t, want, contract.FaultOf(err))
		require.Zero(t, s.world.Live())
	}
}

func TestAnErrorThatNobodyClassifiedIsInternal(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.world.Fail(memory.Clone, errors.New("surprise"))
	_, err := run[contract.VMStatus](s, "vm.clone", clone())
	require.Equal(t, models.Faultf(models.CodeInternal, "surprise"), contract.FaultOf(err))
}

func TestASpecificationWithHolesIsRefusedForGood(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code models.Code
		hole func(*contract.VM)
	}{
		"id":       {models.CodeInvalidSpec, func(v *contract.VM) { v.ID = models.NoID }},
		"name":     {models.CodeInvalidSpec, func(v *contract.VM) { v.Name = "" }},
		"template": {models.CodeInvalidSpec, func(v *contract.VM) { v.Template = "" }},
		"host":     {models.CodeInvalidSpec, func(v *contract.VM) { v.Host.Ref = "" }},
		"vcpu":     {models.CodeInvalidSpec, func(v *contract.VM) { v.Size.VCPU = 0 }},
		"memory":   {models.CodeInvalidSpec, func(v *contract.VM) { v.Size.MemoryMiB = -1 }},
		"storage":  {models.CodeInvalidSpec, func(v *contract.VM) { v.Size.StorageGiB = 0 }},
		"GPUs":     {models.CodeNotSupported, func(v *contract.VM) { v.Size.GPU = 1 }},
	} {
		s := newStage(t)
		in := clone()
		c.hole(&in.VM)
		_, err := run[contract.VMStatus](s, "vm.clone", in)
		var app *temporal.ApplicationError
		require.ErrorAs(t, err, &app, name)
		require.True(t, app.NonRetryable(), name)
		require.Equal(t, string(c.code), app.Type(), name)
		require.Contains(t, app.Message(), name)
		require.Zero(t, s.world.Live(), name)
	}
}

// TestATaskIsHeartbeatenAtOnce proves that what a next attempt resumes is sent while the step still works.
func TestATaskIsHeartbeatenAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	in := clone()
	beats := make(chan string, 64)
	s.env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		var task string
		if details.Get(&task) == nil {
			beats <- task
		}
	})
	s.world.SetDelay(200 * time.Millisecond)
	_, err := run[contract.VMStatus](s, "vm.clone", in)
	require.NoError(t, err)
	select {
	case task := <-beats:
		require.Equal(t, "task-"+in.VM.ID.String(), task)
	case <-time.After(10 * time.Second):
		require.FailNow(t, "no heartbeat")
	}
}

// resumer is a hypervisor that remembers what it was given to resume.
type resumer struct {
	*memory.Provider
	resumed string
}

func (r *resumer) Clone(ctx context.Context, want contract.VM, op models.ID, task vm.Task) error {
	r.resumed = task.Resume
	return r.Provider.Clone(ctx, want, op, task)
}

func TestTheNextAttemptResumesTheTask(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		details any
		resumed string
	}{
		{"a task of an earlier attempt", "task-7", "task-7"},
		{"what another version wrote", map[string]int{"task": 7}, ""},
	} {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestActivityEnvironment()
		world := &resumer{Provider: memory.New(memory.Options{})}
		vm.Register(env, vm.Activities{Hypervisor: world})
		env.SetHeartbeatDetails(c.details)
		_, err := env.ExecuteActivity("vm.clone", clone())
		require.NoError(t, err, c.name)
		require.Equal(t, c.resumed, world.resumed, c.name)
	}
}

// TestACancelledStepIsNoFault: what is cancelled, by a person or by a worker that stops, ends at once, makes nothing, and
// may be tried again. With a fault's code the workflow would take it for the provider's failure.
func TestACancelledStepIsNoFault(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	s.env.SetOnActivityHeartbeatListener(func(*activity.Info, converter.EncodedValues) { cancel() })
	s.world.SetDelay(time.Hour)
	_, err := run[contract.VMStatus](s, "vm.clone", clone())
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.Equal(t, context.Canceled.Error(), app.Message())
	require.False(t, app.NonRetryable())
	require.Equal(t, models.Faultf(models.CodeInternal, "context canceled"), contract.FaultOf(err))
	require.Zero(t, s.world.Live())
}
