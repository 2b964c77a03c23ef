package vm_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/activities/vm/memory"
	"github.com/yunshu/yunshu/models"
)

// bench runs activities as Temporal does, over the in-memory provider.
func bench(t *testing.T) (*testsuite.TestActivityEnvironment, *memory.Provider, contract.VM) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	p := memory.New(memory.Options{})
	vm.Register(env, vm.Activities{Hypervisor: p})
	return env, p, contract.VM{ID: models.NewID(), Name: "web", Tenant: "acme", Template: "ubuntu-24.04", Size: models.Size{VCPU: 1, MemoryMiB: 1024, StorageGiB: 10},
		Host: contract.Host{Name: "tw-a-01", Ref: "host-1000"}, Network: contract.Network{Name: "lan", Address: "10.1.0.9/16", Hostname: "web"}}
}

func TestActivitiesAnswerWhatTheySeeAfter(t *testing.T) {
	t.Parallel()
	env, _, v := bench(t)
	run := func(name string, in any) (out contract.VMStatus) {
		got, err := env.ExecuteActivity(name, in)
		require.NoError(t, err)
		require.NoError(t, got.Get(&out))
		return out
	}
	ref := contract.VMRef{ID: v.ID, Name: v.Name}
	made := run("vm.clone", contract.CloneInput{VM: v})
	require.Equal(t, contract.VMStatus{Found: true, Ref: made.Ref, Size: v.Size, Host: v.Host.Ref}, made)
	booted := contract.VMStatus{Found: true, On: true, Ref: made.Ref, Size: v.Size, Hostname: "web", Addresses: []string{"10.1.0.9"}, Host: v.Host.Ref}
	require.Equal(t, booted, run("vm.boot", contract.BootInput{VMRef: ref, Address: "10.1.0.9"}))
	require.False(t, run("vm.set-power", contract.PowerInput{VMRef: ref}).On)
	require.Equal(t, booted, run("vm.boot", contract.BootInput{VMRef: ref, Address: "10.1.0.9"}), "what went off meanwhile is turned on again")
}

// TestFaultsCrossTemporal says which faults Temporal tries again by itself, and that the sentence arrives.
func TestFaultsCrossTemporal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code  models.Code
		again bool
	}{{models.CodeBusy, true}, {models.CodeUnreachable, true}, {models.CodeInvalidSpec, false}, {models.CodeTaskFailed, false}} {
		env, p, v := bench(t)
		p.Fail(memory.Clone, models.Faultf(c.code, "It could not be made."))
		_, err := env.ExecuteActivity("vm.clone", contract.CloneInput{VM: v})
		var crossed *temporal.ApplicationError
		require.True(t, errors.As(err, &crossed), "%v", err)
		require.Equal(t, []any{string(c.code), !c.again}, []any{crossed.Type(), crossed.NonRetryable()})
		require.Equal(t, "It could not be made.", contract.FaultOf(err).Message)
	}
}

func TestAnIncompleteRequestNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	env, p, v := bench(t)
	v.Template = ""
	_, err := env.ExecuteActivity("vm.clone", contract.CloneInput{VM: v})
	require.Equal(t, models.CodeInvalidSpec, contract.FaultOf(err).Code)
	require.Contains(t, contract.FaultOf(err).Message, "its template is missing")
	require.Zero(t, p.Live())
}

// TestLongWorkBeats shows that work says that it is alive, with the task that another worker would go on with.
func TestLongWorkBeats(t *testing.T) {
	t.Parallel()
	env, p, v := bench(t)
	p.SetDelay(2500 * time.Millisecond)
	beats := make(chan string, 10)
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		var task string
		if details.Get(&task) == nil {
			beats <- task
		}
	})
	_, err := env.ExecuteActivity("vm.clone", contract.CloneInput{VM: v})
	require.NoError(t, err)
	require.NotEmpty(t, beats)
	require.Equal(t, "task-"+v.ID.String(), <-beats)
}

func TestCancelledWorkEnds(t *testing.T) {
	t.Parallel()
	env, p, v := bench(t)
	p.SetDelay(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	_, err := env.ExecuteActivity("vm.clone", contract.CloneInput{VM: v})
	require.Error(t, err)
	require.Zero(t, p.Live())
}
