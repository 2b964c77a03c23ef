package vsphere

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/models"
)

// machine is what we read of a machine in vCenter.
type machine struct {
	ref          types.ManagedObjectReference
	name         string
	instanceUUID string
	mark         string // our id, as it was written when the machine was made
	on           bool
	host         types.ManagedObjectReference
	hardware     types.VirtualHardware
	cpuHotAdd    bool
	memoryHotAdd bool
	memoryLimit  int64 // of hot add, in MiB; 0 is none known
	hostname     string
	address      string
	nics         []types.GuestNicInfo
}

// markPath reads one extra configuration value without the dozens of others.
const markPath = `config.extraConfig["` + markID + `"]`

// machinePaths are the properties that machine is made of.
var machinePaths = []string{
	"name", "config.instanceUuid", markPath, "config.hardware", "config.cpuHotAddEnabled", "config.memoryHotAddEnabled",
	"config.hotPlugMemoryLimit", "runtime.powerState", "runtime.host", "guest.hostName", "guest.ipAddress", "guest.net",
}

// Status tells what a machine is like.
func (p *Provider) Status(ctx context.Context, m vm.Machine) (contract.VMStatus, error) {
	doing := "read " + label(m)
	c, err := p.client(ctx, doing)
	if err != nil {
		return contract.VMStatus{}, err
	}
	have, err := p.find(ctx, c, m)
	if err != nil || have == nil {
		return contract.VMStatus{}, p.fault(doing, err)
	}
	return have.status(), nil
}

// find returns the machine with our id, or nil. One with our id and another mark is not ours; one without any may be
// one that vCenter is still making.
func (p *Provider) find(ctx context.Context, c *vim25.Client, m vm.Machine) (*machine, error) {
	ref, err := object.NewSearchIndex(c).FindByUuid(ctx, nil, m.ID.String(), true, types.NewBool(true))
	if err != nil || ref == nil {
		return nil, err
	}
	have, err := read(ctx, c, ref.Reference())
	if err != nil || have == nil {
		return nil, err
	}
	switch have.mark {
	case m.ID.String():
		return have, nil
	case "":
		return nil, p.faultf(models.CodeBusy, "find "+label(m), "the machine with its id does not carry our mark; an earlier attempt may still be making it. The step is tried again.")
	}
	return nil, p.notOurs(have.name, m)
}

// must returns the machine, or machine_missing.
func (p *Provider) must(ctx context.Context, c *vim25.Client, m vm.Machine) (*machine, error) {
	have, err := p.find(ctx, c, m)
	if err == nil && have == nil {
		err = vm.Missing(m)
	}
	return have, err
}

// findByLabel returns the machine that has the name which we would give it, or nil. That is how a machine that vCenter
// is still making is found, since it gets its instance UUID last.
func (p *Provider) findByLabel(ctx context.Context, c *vim25.Client, m vm.Machine) (*machine, error) {
	all, err := p.datacenters(ctx, c)
	if err != nil {
		return nil, err
	}
	index := object.NewSearchIndex(c)
	for _, dc := range all {
		folder, err := index.FindChild(ctx, dc.vmFolder, p.options.Folder)
		if err != nil {
			return nil, err
		}
		if folder == nil {
			continue
		}
		ref, err := index.FindChild(ctx, folder.Reference(), m.Label())
		if err != nil {
			return nil, err
		}
		if ref != nil {
			return read(ctx, c, ref.Reference())
		}
	}
	return nil, nil
}

// read reads a machine, or nil if it is gone by now.
func read(ctx context.Context, c *vim25.Client, ref types.ManagedObjectReference) (*machine, error) {
	var content []types.ObjectContent
	err := property.DefaultCollector(c).Retrieve(ctx, []types.ManagedObjectReference{ref}, machinePaths, &content)
	if isFault[*types.ManagedObjectNotFound](err) || err == nil && len(content) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := machineOf(content[0])
	return &m, nil
}

// machineOf reads what vCenter returned. Properties that are not there yet stay empty.
func machineOf(content types.ObjectContent) machine {
	m := machine{ref: content.Obj}
	for _, p := range content.PropSet {
		switch v := p.Val.(type) {
		case string:
			switch p.Name {
			case "name":
				m.name = v
			case "config.instanceUuid":
				m.instanceUUID = v
			case "guest.hostName":
				m.hostname = v
			case "guest.ipAddress":
				m.address = v
			}
		case bool:
			switch p.Name {
			case "config.cpuHotAddEnabled":
				m.cpuHotAdd = v
			case "config.memoryHotAddEnabled":
				m.memoryHotAdd = v
			}
		case int64:
			m.memoryLimit = v
		case types.OptionValue:
			m.mark, _ = v.Value.(string)
		case types.VirtualHardware:
			m.hardware = v
		case types.VirtualMachinePowerState:
			m.on = v == types.VirtualMachinePowerStatePoweredOn
		case types.ManagedObjectReference:
			m.host = v
		case types.ArrayOfGuestNicInfo:
			m.nics = v.GuestNicInfo
		}
	}
	return m
}

// status is the machine in the words of the contract.
func (m *machine) status() contract.VMStatus {
	s := contract.VMStatus{Found: true, Ref: m.ref.Value, On: m.on, Size: m.size(), Host: m.host.Value}
	if m.on { // vCenter remembers what the guest last said when it is long off
		s.Hostname, s.Addresses = m.hostname, m.addresses()
	}
	return s
}

// size is what the machine really has. Storage is the sum of its disks, rounded up.
func (m *machine) size() models.Size {
	return models.Size{
		VCPU:       int64(m.hardware.NumCPU),
		MemoryMiB:  int64(m.hardware.MemoryMB),
		StorageGiB: (diskBytes(m.hardware.Device) + gib - 1) / gib,
	}
}

// addresses lists what the guest reports, link-local ones left out.
func (m *machine) addresses() []string {
	var out []string
	for _, text := range append(nicAddresses(m.nics), m.address) {
		a, err := netip.ParseAddr(text)
		a = a.Unmap() // some guests report IPv4 in IPv6's clothes
		if err != nil || a.IsLinkLocalUnicast() || a.IsLoopback() || slices.Contains(out, a.String()) {
			continue
		}
		out = append(out, a.String())
	}
	return out
}

// reports says whether the guest reports the address, however it spells it.
func (m *machine) reports(want netip.Addr) bool {
	return slices.Contains(m.addresses(), want.Unmap().String())
}

// nicAddresses lists the addresses of network cards.
func nicAddresses(nics []types.GuestNicInfo) []string {
	var out []string
	for _, n := range nics {
		out = append(out, n.IpAddress...)
	}
	return out
}

// notOurs is the fault of a machine that someone else made.
func (p *Provider) notOurs(name string, m vm.Machine) error {
	return models.Faultf(models.CodeNotOurs, "vCenter %s of region %s has a machine %s in the place of %s that does not carry our mark. Rename or remove it, then resume.",
		p.host, p.options.Region, name, label(m))
}

// label names a machine in a sentence.
func label(m vm.Machine) string { return fmt.Sprintf("vm %s (%s)", m.Name, m.ID) }

// ours reports whether text is an id of ours.
func ours(text string) (models.ID, bool) {
	id, err := uuid.Parse(text)
	return id, err == nil
}
