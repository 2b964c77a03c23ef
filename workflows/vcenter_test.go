package workflows_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vmware/govmomi/vim25/types"
	"go.temporal.io/sdk/testsuite"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/gateway"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/activities/vm/vsphere"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/vcenter"
	"github.com/yunshu/yunshu/workflows"
)

// TestEveryCallThatVCenterRefusesIsUndone is the unwind test on a real vCenter API: each call of a provision in turn is
// refused for good, and nothing may be left in the vCenter.
func TestEveryCallThatVCenterRefusesIsUndone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, err := vcenter.Start(t.Context(), vcenter.Options{Password: "secret", TLSDir: dir, Hosts: 2})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	file := filepath.Join(dir, "password")
	require.NoError(t, os.WriteFile(file, []byte("secret"), 0o600))
	provider, err := vsphere.New(vsphere.Options{Region: "tw", URL: server.URL.String(), Username: server.User.Username(), PasswordFile: file, CAFile: server.CAFile})
	require.NoError(t, err)
	hosts, err := provider.Hypervisors(t.Context(), contract.Page{Limit: 1})
	require.NoError(t, err)

	fits, tooSmall := provision().VM.Size, provision().VM.Size
	tooSmall.StorageGiB = vcenter.TemplateGiB - 1
	for _, c := range []struct {
		size          models.Size
		method, story string
		fault         types.BaseMethodFault
	}{
		{fits, "", "succeeded clone:succeeded boot:succeeded vm:running", nil},
		{tooSmall, "a template that is too large", "failed clone:undone vm:gone fault:invalid_spec@clone", nil},
		{fits, "CloneVM_Task", "failed clone:undone vm:gone fault:aborted@clone", &types.NoDiskSpace{}}, // a person may mend it, but nobody does
		{fits, "ReconfigVM_Task", "failed clone:undone vm:gone fault:invalid_spec@clone", &types.InvalidArgument{}},
		{fits, "PowerOnVM_Task", "failed clone:undone boot:failed vm:gone fault:aborted@boot", &types.InsufficientMemoryResourcesFault{}},
		{fits, "CreateFilter", "failed clone:undone vm:gone fault:task_failed@clone", &types.RuntimeFault{}},
	} {
		var suite testsuite.WorkflowTestSuite
		s := &stage{T: t, env: suite.NewTestWorkflowEnvironment(), gate: &gatewayFake{}}
		workflows.Set{}.Register(s.env)
		vm.Register(s.env, vm.Activities{Hypervisor: provider})
		gateway.Activities{Store: s.gate}.Register(s.env)
		if c.fault != nil {
			server.Fail(c.method, 1, c.fault)
		}
		in := provision()
		in.VM.Size = c.size
		in.VM.Host = contract.Host{ID: models.NewID(), Name: hosts.Hypervisors[0].Name, Ref: hosts.Hypervisors[0].Ref}
		s.env.ExecuteWorkflow("vm.provision", in)
		server.Mend()
		require.Equal(t, c.story, s.story(), c.method)
		left, err := provider.Machines(t.Context(), contract.Page{})
		require.NoError(t, err)
		if c.method == "" {
			require.Len(t, left.Machines, 1)
			require.NoError(t, provider.Destroy(t.Context(), s.machine(in), vm.Task{}))
			continue
		}
		require.Empty(t, left.Machines, "after %s failed", c.method)
	}
}
