// Package memory is a hypervisor that keeps its machines in memory. It is a real little provider with hosts that fill
// up and work that takes time and fails when told to, for tests, benchmarks and trying things out.
package memory

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/models"
)

// Steps that can be made to fail or to take time.
const (
	Status      = "status"
	Clone       = "clone"
	Reconfigure = "reconfigure"
	Migrate     = "migrate"
	SetPower    = "set-power"
	AwaitGuest  = "await-guest"
	Destroy     = "destroy"
	Hypervisors = "hypervisors"
	Machines    = "machines"
)

// Options describe the region that a provider plays. The zero value is a region tw with 2 racks of 24 hosts.
type Options struct {
	Region   string
	Clusters int
	Hosts    int         // in each cluster
	Capacity models.Size // of each host
	// Templates and Networks that exist; nil accepts every name.
	Templates []string
	Networks  []string
	Delay     time.Duration // of every step that changes something
}

// Provider is the hypervisor. Make one with New.
type Provider struct {
	mu       sync.Mutex
	options  Options
	hosts    map[string]contract.Hypervisor
	machines map[models.ID]*machine
	foreign  map[string]bool // names of machines that are not ours
	faults   map[string][]error
	next     int
}

var _ vm.Hypervisor = (*Provider)(nil)

// machine is one virtual machine.
type machine struct {
	vm     contract.VM
	ref    string
	on     bool
	hotAdd bool
	silent bool
}

// New returns a provider with its hosts.
func New(o Options) *Provider {
	if o.Region == "" {
		o.Region = "tw"
	}
	if o.Clusters == 0 {
		o.Clusters = 2
	}
	if o.Hosts == 0 {
		o.Hosts = 24
	}
	if o.Capacity == (models.Size{}) {
		o.Capacity = models.Size{VCPU: 64, MemoryMiB: 512 << 10, StorageGiB: 4 << 10}
	}
	p := &Provider{
		options:  o,
		hosts:    map[string]contract.Hypervisor{},
		machines: map[models.ID]*machine{},
		foreign:  map[string]bool{},
		faults:   map[string][]error{},
	}
	for c := range o.Clusters {
		for h := range o.Hosts {
			p.addHost(c, h)
		}
	}
	return p
}

// addHost adds the host number h of cluster number c.
func (p *Provider) addHost(c, h int) {
	cluster := fmt.Sprintf("%s-%c", p.options.Region, 'a'+c)
	name := fmt.Sprintf("%s-%02d", cluster, h+1)
	ref := fmt.Sprintf("host-%d", 1000*(c+1)+h)
	p.hosts[ref] = contract.Hypervisor{
		Ref: ref, UUID: uuid.NewSHA1(uuid.NameSpaceDNS, []byte(name)).String(), Name: name, Cluster: cluster,
		Capacity: p.options.Capacity, Model: "memory", Connected: true,
	}
}

// Status tells what a machine is like.
func (p *Provider) Status(ctx context.Context, m vm.Machine) (contract.VMStatus, error) {
	if err := p.enter(ctx, Status, 0); err != nil {
		return contract.VMStatus{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.machines[m.ID]
	if have == nil {
		return contract.VMStatus{}, nil
	}
	return have.status(), nil
}

// Clone makes a machine.
func (p *Provider) Clone(ctx context.Context, want contract.VM, _ models.ID, task vm.Task) error {
	task.Start("task-" + want.ID.String())
	if err := p.enter(ctx, Clone, p.delay()); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.machines[want.ID] != nil {
		return nil
	}
	if err := p.admit(want); err != nil {
		return err
	}
	p.next++
	ref := fmt.Sprintf("vm-%d", p.next)
	p.machines[want.ID] = &machine{vm: want, ref: ref, hotAdd: true}
	return nil
}

// admit says why a machine cannot be made. The lock is held.
func (p *Provider) admit(want contract.VM) error {
	m := vm.Machine{ID: want.ID, Name: want.Name}
	if p.foreign[m.Label()] {
		return models.Faultf(models.CodeNotOurs, "Region %s has a machine %s that does not carry our mark. Rename or remove it.", p.options.Region, m.Label())
	}
	host, err := p.usable(want.Host)
	switch {
	case err != nil:
		return err
	case p.options.Templates != nil && !slices.Contains(p.options.Templates, want.Template):
		return models.Faultf(models.CodeTemplateMissing, "Region %s has no template %s. Correct the image.", p.options.Region, want.Template)
	case p.options.Networks != nil && !slices.Contains(p.options.Networks, want.Network.Name):
		return models.Faultf(models.CodeNetworkMissing, "Region %s has no network %s on the host %s. Correct the subnet.", p.options.Region, want.Network.Name, host.Name)
	}
	return p.holds(host, want.Size)
}

// usable returns a host that takes machines, or says why it is none. The lock is held.
func (p *Provider) usable(h contract.Host) (contract.Hypervisor, error) {
	host, found := p.hosts[h.Ref]
	switch {
	case !found:
		return host, models.Faultf(models.CodeHostMissing, "Region %s has no host %s (%s). Import the region again.", p.options.Region, h.Name, h.Ref)
	case !host.Connected || host.Maintenance:
		return host, models.Faultf(models.CodeHostUnusable, "The host %s of region %s is disconnected or in maintenance. Bring it back, or put it in maintenance here as well.", host.Name, p.options.Region)
	}
	return host, nil
}

// holds says why a host has no storage for a machine. The lock is held.
func (p *Provider) holds(host contract.Hypervisor, size models.Size) error {
	if p.used(host.Ref).StorageGiB+size.StorageGiB > host.Capacity.StorageGiB {
		return models.Faultf(models.CodeStorageFull, "No datastore of the host %s in region %s has %d GiB free. Free or add storage.", host.Name, p.options.Region, size.StorageGiB)
	}
	return nil
}

// used is what the machines on a host take. The lock is held.
func (p *Provider) used(host string) models.Size {
	var sum models.Size
	for _, m := range p.machines {
		if m.vm.Host.Ref == host {
			sum = sum.Add(m.vm.Size)
		}
	}
	return sum
}

// Reconfigure changes a machine's size.
func (p *Provider) Reconfigure(ctx context.Context, m vm.Machine, size models.Size, _ vm.Task) error {
	if err := p.enter(ctx, Reconfigure, p.delay()); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.machines[m.ID]
	if have == nil {
		return vm.Missing(m)
	}
	now := have.vm.Size
	size.StorageGiB = max(size.StorageGiB, now.StorageGiB)
	shrinks := size.VCPU < now.VCPU || size.MemoryMiB < now.MemoryMiB
	grows := size.VCPU > now.VCPU || size.MemoryMiB > now.MemoryMiB
	if have.on && (shrinks || grows && !have.hotAdd) {
		return models.Faultf(models.CodeNeedsPowerOff, "The machine of vm %s does not allow this change of its size while it runs. Power it off first, or allow a restart.", m.Name)
	}
	have.vm.Size = size
	return nil
}

// Migrate moves a machine to another host.
func (p *Provider) Migrate(ctx context.Context, m vm.Machine, to contract.Host, task vm.Task) error {
	task.Start("task-" + m.ID.String())
	if err := p.enter(ctx, Migrate, p.delay()); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.machines[m.ID]
	if have == nil {
		return vm.Missing(m)
	}
	if have.vm.Host.Ref == to.Ref {
		return nil
	}
	host, err := p.usable(to)
	if err == nil {
		err = p.holds(host, have.vm.Size)
	}
	if err == nil {
		have.vm.Host = to
	}
	return err
}

// SetPower turns a machine on or off.
func (p *Provider) SetPower(ctx context.Context, m vm.Machine, on bool, _ vm.Task) error {
	if err := p.enter(ctx, SetPower, p.delay()); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.machines[m.ID]
	if have == nil {
		return vm.Missing(m)
	}
	have.on = on
	return nil
}

// AwaitGuest returns when the machine is on.
func (p *Provider) AwaitGuest(ctx context.Context, m vm.Machine, address string) error {
	if err := p.enter(ctx, AwaitGuest, p.delay()); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.machines[m.ID]
	if have == nil {
		return vm.Missing(m)
	}
	want, err := netip.ParseAddr(address)
	if err != nil {
		return models.Faultf(models.CodeInvalidSpec, "The address %q that the guest of vm %s should report is not an IP address.", address, m.Name)
	}
	if !slices.Contains(have.status().Addresses, want.Unmap().String()) {
		return models.Faultf(models.CodeGuestSilent, "The guest of vm %s did not report the address %s. Check the image and its guest tools.", m.Name, address)
	}
	return nil
}

// Destroy removes a machine.
func (p *Provider) Destroy(ctx context.Context, m vm.Machine, _ vm.Task) error {
	if err := p.enter(ctx, Destroy, p.delay()); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.machines, m.ID)
	return nil
}

// Hypervisors lists the hosts.
func (p *Provider) Hypervisors(ctx context.Context, page contract.Page) (contract.HypervisorPage, error) {
	if err := p.enter(ctx, Hypervisors, 0); err != nil {
		return contract.HypervisorPage{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]contract.Hypervisor, 0, len(p.hosts))
	for _, h := range p.hosts {
		all = append(all, h)
	}
	items, next := vm.Cut(all, func(h contract.Hypervisor) string { return h.Ref }, page)
	return contract.HypervisorPage{Hypervisors: items, Next: next}, nil
}

// Machines lists the machines of ours.
func (p *Provider) Machines(ctx context.Context, page contract.Page) (contract.MachinePage, error) {
	if err := p.enter(ctx, Machines, 0); err != nil {
		return contract.MachinePage{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]contract.Machine, 0, len(p.machines))
	for id, m := range p.machines {
		all = append(all, contract.Machine{ID: id, Ref: m.ref, Name: vm.Machine{ID: id, Name: m.vm.Name}.Label()})
	}
	items, next := vm.Cut(all, func(m contract.Machine) string { return m.ID.String() }, page)
	return contract.MachinePage{Machines: items, Next: next}, nil
}

// Check always succeeds: memory is there.
func (p *Provider) Check(context.Context) error { return nil }

// delay is how long a step takes at the moment.
func (p *Provider) delay() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.options.Delay
}

// enter takes the step's time and returns the fault that it was told to have.
func (p *Provider) enter(ctx context.Context, step string, delay time.Duration) error {
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	queue := p.faults[step]
	if len(queue) == 0 {
		return nil
	}
	p.faults[step] = queue[1:]
	return queue[0]
}

// status is what is to be seen of a machine. The lock is held.
func (m *machine) status() contract.VMStatus {
	s := contract.VMStatus{Found: true, Ref: m.ref, On: m.on, Size: m.vm.Size, Host: m.vm.Host.Ref}
	if !m.on || m.silent {
		return s
	}
	s.Hostname = m.vm.Network.Hostname
	if prefix, err := netip.ParsePrefix(m.vm.Network.Address); err == nil {
		s.Addresses = []string{prefix.Addr().String()}
	} else if a := strings.TrimSpace(m.vm.Network.Address); a != "" {
		s.Addresses = []string{a}
	}
	return s
}
