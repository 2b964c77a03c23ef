// Package vmtest says in tests what every method of a hypervisor must do. It runs on each provider.
package vmtest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/models"
)

// Fixture is a provider to exercise, and what its world offers.
type Fixture struct {
	Provider vm.Hypervisor
	Template string
	Network  string
	Hosts    int
	// Foreign puts a machine of this name there that somebody else made, and reports whether it still is.
	Foreign func(name string)
	HasName func(name string) bool
	// NoHotAdd makes the machine one that cannot grow while it runs.
	NoHotAdd func(m vm.Machine)
	// Slow makes clones and moves that begin from now on take this long.
	Slow func(d time.Duration)
	// Another is a provider on the same world, as another worker has one.
	Another func() vm.Hypervisor
}

// Exercise runs the whole suite, each part on a provider of its own.
func Exercise(t *testing.T, fresh func(t *testing.T) Fixture) {
	for name, part := range map[string]func(*exercise){
		"a machine's life":                (*exercise).life,
		"everything may be repeated":      (*exercise).twice,
		"what is missing is named":        (*exercise).missing,
		"foreign machines are let alone":  (*exercise).foreign,
		"size changes":                    (*exercise).sizes,
		"a machine moves":                 (*exercise).moves,
		"hosts are listed page by page":   (*exercise).hosts,
		"machines are listed by their id": (*exercise).machines,
		"many at once":                    (*exercise).many,
		"a clone can be cancelled":        (*exercise).cancelled,
		"a clone goes on elsewhere":       (*exercise).resumed,
		"a clone is begun twice":          (*exercise).begunTwice,
		"a move can be cancelled":         (*exercise).moveCancelled,
		"a move goes on elsewhere":        (*exercise).moveResumed,
		"a move is begun twice":           (*exercise).moveBegunTwice,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			part(&exercise{T: t, Fixture: fresh(t), ctx: t.Context()})
		})
	}
}

type exercise struct {
	*testing.T
	Fixture
	ctx  context.Context
	next int
}

var small = models.Size{VCPU: 2, MemoryMiB: 2048, StorageGiB: 20}

// spec is a new machine on the first host.
func (e *exercise) spec(name string) contract.VM {
	e.Helper()
	page, err := e.Provider.Hypervisors(e.ctx, contract.Page{Limit: 1})
	require.NoError(e, err)
	h := page.Hypervisors[0]
	e.next++
	return contract.VM{ID: models.NewID(), Name: name, Tenant: "acme", Size: small, Template: e.Template,
		Host:    contract.Host{ID: models.NewID(), Name: h.Name, Ref: h.Ref},
		Network: contract.Network{Name: e.Network, Address: fmt.Sprintf("10.1.0.%d/16", 10+e.next), Gateway: "10.1.0.1", DNS: []string{"10.1.0.2"}, Hostname: name}}
}

func of(v contract.VM) vm.Machine { return vm.Machine{ID: v.ID, Name: v.Name} }

func (e *exercise) status(v contract.VM) contract.VMStatus {
	e.Helper()
	got, err := e.Provider.Status(e.ctx, of(v))
	require.NoError(e, err)
	return got
}

func (e *exercise) clone(v contract.VM) {
	e.Helper()
	require.NoError(e, e.Provider.Clone(e.ctx, v, models.NewID(), vm.Task{}))
}

func (e *exercise) power(v contract.VM, on bool) {
	e.Helper()
	require.NoError(e, e.Provider.SetPower(e.ctx, of(v), on, vm.Task{}))
}

func (e *exercise) code(err error, want models.Code) {
	e.Helper()
	f := models.AsFault(err)
	require.NotNil(e, f, "%v", err)
	require.Equal(e, want, f.Code, f.Message)
	require.Regexp(e, `^(vCenter|[A-Z]).*\.$`, f.Message, "a sentence")
}

func (e *exercise) life() {
	v := e.spec("web")
	require.False(e, e.status(v).Found)
	e.clone(v)
	got := e.status(v)
	require.Equal(e, contract.VMStatus{Found: true, Ref: got.Ref, Size: small, Host: v.Host.Ref}, got)
	e.power(v, true)
	require.NoError(e, e.Provider.AwaitGuest(e.ctx, of(v), host(v)))
	require.NoError(e, e.Provider.AwaitGuest(e.ctx, of(v), "::ffff:"+host(v)), "the same address, spelled otherwise")
	require.Equal(e, contract.VMStatus{Found: true, Ref: got.Ref, On: true, Size: small, Hostname: "web", Addresses: []string{host(v)}, Host: v.Host.Ref}, e.status(v))
	e.power(v, false)
	require.False(e, e.status(v).On)
	e.power(v, true)
	require.NoError(e, e.Provider.Destroy(e.ctx, of(v), vm.Task{}), "although it runs")
	require.False(e, e.status(v).Found)
}

func host(v contract.VM) string {
	for i, r := range v.Network.Address {
		if r == '/' {
			return v.Network.Address[:i]
		}
	}
	return v.Network.Address
}

func (e *exercise) twice() {
	v := e.spec("web")
	for range 2 {
		e.clone(v)
	}
	for range 2 {
		e.power(v, true)
	}
	for range 2 {
		require.NoError(e, e.Provider.Reconfigure(e.ctx, of(v), models.Size{VCPU: 4, MemoryMiB: 4096, StorageGiB: 30}, vm.Task{}))
	}
	page, err := e.Provider.Machines(e.ctx, contract.Page{})
	require.NoError(e, err)
	require.Len(e, page.Machines, 1)
	for range 2 {
		e.power(v, false)
	}
	for range 2 {
		require.NoError(e, e.Provider.Destroy(e.ctx, of(v), vm.Task{}))
	}
}

func (e *exercise) missing() {
	v := e.spec("web")
	m := of(v)
	e.code(e.Provider.SetPower(e.ctx, m, true, vm.Task{}), models.CodeMachineMissing)
	e.code(e.Provider.Reconfigure(e.ctx, m, small, vm.Task{}), models.CodeMachineMissing)
	e.code(e.Provider.AwaitGuest(e.ctx, m, "10.1.0.9"), models.CodeMachineMissing)
	e.code(e.Provider.Migrate(e.ctx, m, v.Host, vm.Task{}), models.CodeMachineMissing)
	for _, c := range []struct {
		code models.Code
		spec func(*contract.VM)
	}{
		{models.CodeTemplateMissing, func(v *contract.VM) { v.Template = "none" }},
		{models.CodeNetworkMissing, func(v *contract.VM) { v.Network.Name = "none" }},
		{models.CodeHostMissing, func(v *contract.VM) { v.Host.Ref = "host-999999" }},
		{models.CodeStorageFull, func(v *contract.VM) { v.Size.StorageGiB = 1 << 30 }},
	} {
		bad := v
		c.spec(&bad)
		e.code(e.Provider.Clone(e.ctx, bad, models.NewID(), vm.Task{}), c.code)
		require.False(e, e.status(bad).Found)
	}
}

func (e *exercise) foreign() {
	v := e.spec("web")
	label := of(v).Label()
	e.Foreign(label)
	e.code(e.Provider.Clone(e.ctx, v, models.NewID(), vm.Task{}), models.CodeNotOurs)
	err := e.Provider.Destroy(e.ctx, of(v), vm.Task{})
	if err != nil {
		e.code(err, models.CodeNotOurs)
	}
	require.True(e, e.HasName(label))
	page, err := e.Provider.Machines(e.ctx, contract.Page{})
	require.NoError(e, err)
	require.Empty(e, page.Machines)
}

func (e *exercise) sizes() {
	v := e.spec("web")
	e.clone(v)
	e.power(v, true)
	larger := models.Size{VCPU: 4, MemoryMiB: 4096, StorageGiB: 40}
	require.NoError(e, e.Provider.Reconfigure(e.ctx, of(v), larger, vm.Task{}), "hot")
	require.Equal(e, larger, e.status(v).Size)
	e.code(e.Provider.Reconfigure(e.ctx, of(v), models.Size{VCPU: 2, MemoryMiB: 4096, StorageGiB: 40}, vm.Task{}), models.CodeNeedsPowerOff)
	e.power(v, false)
	require.NoError(e, e.Provider.Reconfigure(e.ctx, of(v), small, vm.Task{}), "cold")
	require.Equal(e, models.Size{VCPU: 2, MemoryMiB: 2048, StorageGiB: 40}, e.status(v).Size, "storage never shrinks")

	e.NoHotAdd(of(v))
	e.power(v, true)
	e.code(e.Provider.Reconfigure(e.ctx, of(v), larger, vm.Task{}), models.CodeNeedsPowerOff)
}

func (e *exercise) hosts() {
	seen := map[string]bool{}
	page := contract.Page{Limit: 7}
	for {
		got, err := e.Provider.Hypervisors(e.ctx, page)
		require.NoError(e, err)
		require.LessOrEqual(e, len(got.Hypervisors), 7)
		for _, h := range got.Hypervisors {
			require.False(e, seen[h.Ref], "each host once")
			seen[h.Ref] = true
			require.Positive(e, h.Capacity.VCPU*h.Capacity.MemoryMiB*h.Capacity.StorageGiB, "%+v", h)
			require.True(e, h.Connected)
			require.NotEmpty(e, h.UUID+h.Cluster+h.Name)
		}
		if page.After = got.Next; got.Next == "" {
			break
		}
	}
	require.Len(e, seen, e.Hosts)
}

func (e *exercise) machines() {
	want := map[models.ID]bool{}
	for i := range 5 {
		v := e.spec(fmt.Sprintf("web-%d", i))
		e.clone(v)
		want[v.ID] = true
	}
	var before string
	page := contract.Page{Limit: 2}
	for {
		got, err := e.Provider.Machines(e.ctx, page)
		require.NoError(e, err)
		for _, m := range got.Machines {
			require.Greater(e, m.ID.String(), before)
			before = m.ID.String()
			require.True(e, want[m.ID])
			delete(want, m.ID)
		}
		if page.After = got.Next; got.Next == "" {
			break
		}
	}
	require.Empty(e, want)
}

func (e *exercise) many() {
	specs := make([]contract.VM, 16)
	for i := range specs {
		specs[i] = e.spec(fmt.Sprintf("web-%d", i))
	}
	errs := make([]error, len(specs))
	var wg sync.WaitGroup
	for i, v := range specs {
		wg.Go(func() {
			errs[i] = e.Provider.Clone(e.ctx, v, models.NewID(), vm.Task{})
			if errs[i] == nil {
				errs[i] = e.Provider.SetPower(e.ctx, of(v), true, vm.Task{})
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(e, err)
	}
	page, err := e.Provider.Machines(e.ctx, contract.Page{})
	require.NoError(e, err)
	require.Len(e, page.Machines, len(specs))
}
