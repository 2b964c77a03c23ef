package vsphere_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/activities/vm/vmtest"
	"github.com/yunshu/yunshu/activities/vm/vsphere"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/vcenter"
)

// start runs a vCenter of the test's own and a provider that is logged in to it.
func start(t *testing.T) (*vcenter.Server, *vsphere.Provider) {
	t.Helper()
	s, err := vcenter.Start(t.Context(), vcenter.Options{Password: "secret", TLSDir: t.TempDir(), Hosts: 4})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	return s, provider(t, s)
}

// provider is one more provider on a vCenter.
func provider(t *testing.T, s *vcenter.Server) *vsphere.Provider {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("secret\n"), 0o600))
	p, err := vsphere.New(vsphere.Options{Region: "tw", URL: s.URL.String(), Username: s.User.Username(), PasswordFile: file, CAFile: s.CAFile})
	require.NoError(t, err)
	return p
}

func TestVSphere(t *testing.T) {
	t.Parallel()
	vmtest.Exercise(t, func(t *testing.T) vmtest.Fixture {
		s, p := start(t)
		c, err := s.Client(t.Context())
		require.NoError(t, err)
		finder := find.NewFinder(c.Client)
		return vmtest.Fixture{Provider: p, Template: vcenter.Templates[0], Network: vcenter.Networks[0], Hosts: 8,
			Foreign: func(name string) {
				template, err := finder.VirtualMachine(t.Context(), "/*/vm/templates/"+vcenter.Templates[0])
				require.NoError(t, err)
				root, err := finder.Folder(t.Context(), "/*/vm")
				require.NoError(t, err)
				folder, err := root.CreateFolder(t.Context(), "yunshu")
				require.NoError(t, err)
				pool, err := finder.ResourcePoolList(t.Context(), "*/Resources")
				require.NoError(t, err)
				ref := pool[0].Reference()
				task, err := template.Clone(t.Context(), folder, name, types.VirtualMachineCloneSpec{Location: types.VirtualMachineRelocateSpec{Pool: &ref}})
				require.NoError(t, err)
				require.NoError(t, task.WaitEx(t.Context()))
			},
			HasName: func(name string) bool {
				_, err := finder.VirtualMachine(t.Context(), "/*/vm/yunshu/"+name)
				return err == nil
			},
			NoHotAdd: func(m vm.Machine) {
				ref, err := object.NewSearchIndex(c.Client).FindByUuid(t.Context(), nil, m.ID.String(), true, types.NewBool(true))
				require.NoError(t, err)
				task, err := object.NewVirtualMachine(c.Client, ref.Reference()).Reconfigure(t.Context(), types.VirtualMachineConfigSpec{CpuHotAddEnabled: types.NewBool(false), MemoryHotAddEnabled: types.NewBool(false)})
				require.NoError(t, err)
				require.NoError(t, task.WaitEx(t.Context()))
			},
			Slow: s.Slow, Another: func() vm.Hypervisor { return provider(t, s) }}
	})
}

func spec(t *testing.T, p *vsphere.Provider) contract.VM {
	t.Helper()
	page, err := p.Hypervisors(t.Context(), contract.Page{Limit: 1})
	require.NoError(t, err)
	h := page.Hypervisors[0]
	return contract.VM{ID: models.NewID(), Name: "web", Tenant: "acme", Size: models.Size{VCPU: 2, MemoryMiB: 2048, StorageGiB: 20}, Template: vcenter.Templates[0],
		Host:    contract.Host{Name: h.Name, Ref: h.Ref},
		Network: contract.Network{Name: vcenter.Networks[0], Address: "10.1.0.9/16", Hostname: "web"}}
}

func TestVCentersFaultsBecomeSentences(t *testing.T) {
	t.Parallel()
	s, p := start(t)
	v := spec(t, p)
	for _, c := range []struct {
		fault types.BaseMethodFault
		code  models.Code
	}{
		{&types.NoDiskSpace{Datastore: "store-1"}, models.CodeStorageFull},
		{&types.TaskInProgress{}, models.CodeBusy},
		{&types.NoPermission{PrivilegeId: "VirtualMachine.Provisioning.DeployTemplate"}, models.CodeLoginRefused},
		{&types.InvalidArgument{InvalidProperty: "spec.location"}, models.CodeInvalidSpec},
		{&types.HostNotConnected{}, models.CodeHostUnusable},
		{&types.RuntimeFault{}, models.CodeTaskFailed},
	} {
		s.Fail("CloneVM_Task", 1, c.fault)
		err := p.Clone(t.Context(), v, models.NewID(), vm.Task{})
		f := models.AsFault(err)
		require.NotNil(t, f, "%v", err)
		require.Equal(t, c.code, f.Code, f.Message)
		require.NotContains(t, f.Message, "secret")
		require.Regexp(t, `^vCenter 127\.0\.0\.1:\d+ of region tw could not make vm web .*\.$`, f.Message)
	}
	require.NoError(t, p.Clone(t.Context(), v, models.NewID(), vm.Task{}))
}

func TestASessionThatIsGoneIsRenewed(t *testing.T) {
	t.Parallel()
	s, p := start(t)
	v := spec(t, p) // logs in
	c, err := s.Client(t.Context())
	require.NoError(t, err)
	var manager mo.SessionManager
	require.NoError(t, property.DefaultCollector(c.Client).RetrieveOne(t.Context(), *c.ServiceContent.SessionManager, []string{"sessionList", "currentSession"}, &manager))
	var others []string
	for _, session := range manager.SessionList {
		if session.Key != manager.CurrentSession.Key {
			others = append(others, session.Key)
		}
	}
	require.NotEmpty(t, others)
	require.NoError(t, c.SessionManager.TerminateSession(t.Context(), others))
	_, err = p.Status(t.Context(), vm.Machine{ID: v.ID, Name: v.Name})
	require.NoError(t, err)
}

func TestAVCenterThatIsNotThereIsUnreachable(t *testing.T) {
	t.Parallel()
	p, err := vsphere.New(vsphere.Options{Region: "tw", URL: "https://127.0.0.1:1/sdk", Username: "u", PasswordFile: "/nonexistent"})
	require.NoError(t, err)
	require.True(t, models.IsCode(p.Check(t.Context()), models.CodeUnreachable))
}

// TestATemplateSurvivesItsMachines makes machines after others were destroyed: their disks are their own.
func TestATemplateSurvivesItsMachines(t *testing.T) {
	t.Parallel()
	_, p := start(t)
	for range 4 {
		v := spec(t, p)
		m := vm.Machine{ID: v.ID, Name: v.Name}
		require.NoError(t, p.Clone(t.Context(), v, models.NewID(), vm.Task{}))
		got, err := p.Status(t.Context(), m)
		require.NoError(t, err)
		require.Equal(t, v.Size, got.Size)
		require.NoError(t, p.Destroy(t.Context(), m, vm.Task{}))
	}
}

// A worker that died left a task behind that failed since: its ref comes back with every attempt, and must not end them.
func TestACloneWhoseEarlierTaskFailedIsBegunAgain(t *testing.T) {
	t.Parallel()
	s, p := start(t)
	v := spec(t, p)
	c, err := s.Client(t.Context())
	require.NoError(t, err)
	finder := find.NewFinder(c.Client)
	template, err := finder.VirtualMachine(t.Context(), "/*/vm/templates/"+vcenter.Templates[0])
	require.NoError(t, err)
	folder, err := finder.Folder(t.Context(), "/*/vm/templates")
	require.NoError(t, err)
	pools, err := finder.ResourcePoolList(t.Context(), "*/Resources")
	require.NoError(t, err)
	pool := pools[0].Reference()
	failed, err := template.Clone(t.Context(), folder, vcenter.Templates[1], types.VirtualMachineCloneSpec{Location: types.VirtualMachineRelocateSpec{Pool: &pool}})
	require.NoError(t, err)
	require.Error(t, failed.WaitEx(t.Context()), "the name is taken")
	require.NoError(t, p.Clone(t.Context(), v, models.NewID(), vm.Task{Resume: failed.Reference().Value}))
	other := v
	other.ID = models.NewID()
	require.NoError(t, p.Clone(t.Context(), other, models.NewID(), vm.Task{Resume: "task-that-is-gone"}))
	got, err := p.Status(t.Context(), vm.Machine{ID: other.ID, Name: other.Name})
	require.NoError(t, err)
	require.True(t, got.Found)
}

func TestATemplateThatIsLargerThanAskedIsRefusedForGood(t *testing.T) {
	t.Parallel()
	_, p := start(t)
	v := spec(t, p)
	v.Size.StorageGiB = vcenter.TemplateGiB - 1
	err := p.Clone(t.Context(), v, models.NewID(), vm.Task{})
	f := models.AsFault(err)
	require.NotNil(t, f, "%v", err)
	require.Equal(t, models.CodeInvalidSpec, f.Code)
	require.False(t, f.Code.Info().Retryable)
	require.Regexp(t, `^The template ubuntu-24\.04 in vCenter .* has 8 GiB of disks, which do not shrink to the 7 GiB that vm web \(.*\) asks for\. .*\.$`, f.Message)
	page, err := p.Machines(t.Context(), contract.Page{})
	require.NoError(t, err)
	require.Empty(t, page.Machines)
	v.Size.StorageGiB = vcenter.TemplateGiB
	require.NoError(t, p.Clone(t.Context(), v, models.NewID(), vm.Task{}), "exactly as large as the template")
}

// Pages of one listing come from one look: what is removed meanwhile is still listed, and another listing sees it gone.
func TestPagesOfOneListingAreOneLook(t *testing.T) {
	t.Parallel()
	s, p := start(t)
	for range 3 {
		require.NoError(t, p.Clone(t.Context(), spec(t, p), models.NewID(), vm.Task{}))
	}
	page := contract.Page{Limit: 2, Listing: models.NewID()}
	first, err := p.Machines(t.Context(), page)
	require.NoError(t, err)
	require.Len(t, first.Machines, 2)
	gone := first.Machines[0]
	require.NoError(t, p.Destroy(t.Context(), vm.Machine{ID: gone.ID, Name: "web"}, vm.Task{}))

	s.Fail("CreateContainerView", 1, &types.RuntimeFault{}) // a second look would fail
	page.After = first.Next
	second, err := p.Machines(t.Context(), page)
	require.NoError(t, err)
	require.Len(t, second.Machines, 1)
	require.Empty(t, second.Next)

	s.Mend()
	fresh, err := p.Machines(t.Context(), contract.Page{Listing: models.NewID()})
	require.NoError(t, err)
	require.Len(t, fresh.Machines, 2)
	require.NotContains(t, fresh.Machines, gone)

	hosts := contract.Page{Limit: 7, Listing: models.NewID()}
	some, err := p.Hypervisors(t.Context(), hosts)
	require.NoError(t, err)
	s.Fail("CreateContainerView", 1, &types.RuntimeFault{})
	hosts.After = some.Next
	rest, err := p.Hypervisors(t.Context(), hosts)
	require.NoError(t, err)
	require.Len(t, rest.Hypervisors, 1)
	_, err = p.Hypervisors(t.Context(), contract.Page{Listing: models.NewID()})
	require.Error(t, err, "another listing looks for itself")
}
