package vsphere

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/models"
)

// Clone makes the machine, off. Whatever an earlier attempt left is found by our id, by the task it had begun, or by
// the machine's name, and brought to its end.
func (p *Provider) Clone(ctx context.Context, want contract.VM, operation models.ID, task vm.Task) error {
	m := vm.Machine{ID: want.ID, Name: want.Name}
	doing := "make " + label(m)
	c, err := p.client(ctx, doing)
	if err != nil {
		return err
	}
	release, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	err = p.clone(ctx, c, m, want, operation, task)
	if err != nil {
		p.forget() // the belief that led here may be wrong
	}
	return p.fault(doing, err)
}

func (p *Provider) clone(ctx context.Context, c *vim25.Client, m vm.Machine, want contract.VM, operation models.ID, task vm.Task) error {
	if task.Resume != "" {
		// First of all: a machine that is still being made may lack our mark. How the earlier task ended does not
		// matter: what is there now decides, and a failed one is begun again.
		if _, err := wait(ctx, c, taskRef(task.Resume)); err != nil && vimFault(err) == nil {
			return err
		}
	}
	have, err := p.find(ctx, c, m)
	if err != nil {
		return err
	}
	if have == nil {
		if have, err = p.begin(ctx, c, m, want, operation, task); err != nil {
			return err
		}
	}
	return p.complete(ctx, c, have, want.Size)
}

// begin starts the clone and waits for it.
func (p *Provider) begin(ctx context.Context, c *vim25.Client, m vm.Machine, want contract.VM, operation models.ID, progress vm.Task) (*machine, error) {
	if other, err := p.findByLabel(ctx, c, m); err != nil {
		return nil, err
	} else if other != nil && other.mark != m.ID.String() && other.instanceUUID != "" {
		return nil, p.notOurs(other.name, m)
	} else if other != nil {
		return nil, p.faultf(models.CodeBusy, "make "+label(m), "an earlier attempt is still being made. The step is tried again.")
	}
	at, err := p.placeOf(ctx, c, want.Host.Ref, want.Host.Name)
	if err != nil {
		return nil, err
	}
	from, err := p.templateNamed(ctx, c, at.dc, want.Template)
	if err != nil {
		return nil, err
	}
	spec, err := p.cloneSpec(ctx, c, at, from, want, operation)
	if err != nil {
		return nil, err
	}
	folder, err := p.folderIn(ctx, c, at.dc)
	if err != nil {
		return nil, err
	}
	t, err := object.NewVirtualMachine(c, from.ref).Clone(ctx, folder, m.Label(), *spec)
	if err != nil {
		return nil, err
	}
	progress.Start(t.Reference().Value)
	if _, err := wait(ctx, c, t.Reference()); err != nil {
		var ended task.Error
		if !errors.As(err, &ended) {
			p.abandon(ctx, c, t) // we stopped waiting, not vCenter
		}
		return nil, err
	}
	return p.must(ctx, c, m)
}

// abandon ends a clone or a move that nobody wants any more and waits until it has ended, so that the undo that comes
// next finds all of it or nothing.
func (p *Provider) abandon(ctx context.Context, c *vim25.Client, t *object.Task) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	_ = t.Cancel(ctx) // it may be too late, or not possible; then it ends by itself
	if _, err := wait(ctx, c, t.Reference()); err != nil {
		p.options.Logger.InfoContext(ctx, "abandoned task ended", "task", t.Reference().Value, "error", err)
	}
}

// cloneSpec is everything about the new machine.
func (p *Provider) cloneSpec(ctx context.Context, c *vim25.Client, at place, from template, want contract.VM, operation models.ID) (*types.VirtualMachineCloneSpec, error) {
	store, err := p.roomiest(ctx, c, at, want.Size, want.Host.Name)
	if err != nil {
		return nil, err
	}
	plug, err := p.backing(ctx, c, at, want.Host.Name, want.Network.Name)
	if err != nil {
		return nil, err
	}
	devices, err := object.NewVirtualMachine(c, from.ref).Device(ctx)
	if err != nil {
		return nil, err
	}
	config := &types.VirtualMachineConfigSpec{
		InstanceUuid: want.ID.String(), NumCPUs: int32(want.Size.VCPU), MemoryMB: want.Size.MemoryMiB,
		CpuHotAddEnabled: types.NewBool(true), MemoryHotAddEnabled: types.NewBool(true),
		Annotation:  "vm " + want.Name + " of tenant " + want.Tenant,
		ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: markID, Value: want.ID.String()}, &types.OptionValue{Key: markOperation, Value: operation.String()}},
	}
	if have := diskBytes(devices); have > want.Size.StorageGiB*gib {
		return nil, models.Faultf(models.CodeInvalidSpec, "The template %s in vCenter %s of region %s has %d GiB of disks, which do not shrink to the %d GiB that %s asks for. Ask for more storage, and give the image its min_storage_gib.",
			want.Template, p.host, p.options.Region, (have+gib-1)/gib, want.Size.StorageGiB, label(vm.Machine{ID: want.ID, Name: want.Name}))
	}
	if grow := growDisk(devices, want.Size.StorageGiB); grow != nil {
		config.DeviceChange = append(config.DeviceChange, grow)
	}
	nics := devices.SelectByType((*types.VirtualEthernetCard)(nil))
	if len(nics) == 0 {
		return nil, models.Faultf(models.CodeInvalidSpec, "The template %s in vCenter %s of region %s has no network card. Correct the template.", want.Template, p.host, p.options.Region)
	}
	card := nics[0].(types.BaseVirtualEthernetCard).GetVirtualEthernetCard()
	card.Backing = plug
	config.DeviceChange = append(config.DeviceChange, &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: nics[0]})
	customization, err := customize(want.Network)
	if err != nil {
		return nil, err
	}
	return &types.VirtualMachineCloneSpec{
		Location:      types.VirtualMachineRelocateSpec{Host: &at.host, Pool: &at.pool, Datastore: &store},
		Config:        config,
		Customization: customization,
	}, nil
}

// customize tells the guest its name and its place in the subnet.
func customize(n contract.Network) (*types.CustomizationSpec, error) {
	address, err := netip.ParsePrefix(n.Address)
	if err != nil {
		return nil, models.Faultf(models.CodeInvalidSpec, "The address %q is not one with a prefix length.", n.Address)
	}
	adapter := types.CustomizationIPSettings{DnsServerList: n.DNS}
	if address.Addr().Is4() {
		adapter.Ip = &types.CustomizationFixedIp{IpAddress: address.Addr().String()}
		adapter.SubnetMask = net.IP(net.CIDRMask(address.Bits(), 32)).String()
		if n.Gateway != "" {
			adapter.Gateway = []string{n.Gateway}
		}
	} else {
		adapter.Ip = &types.CustomizationDhcpIpGenerator{}
		adapter.IpV6Spec = &types.CustomizationIPSettingsIpV6AddressSpec{
			Ip: []types.BaseCustomizationIpV6Generator{&types.CustomizationFixedIpV6{IpAddress: address.Addr().String(), SubnetMask: int32(address.Bits())}},
		}
		if n.Gateway != "" {
			adapter.IpV6Spec.Gateway = []string{n.Gateway}
		}
	}
	return &types.CustomizationSpec{
		Identity:         &types.CustomizationLinuxPrep{HostName: &types.CustomizationFixedName{Name: n.Hostname}, Domain: "local", HwClockUTC: types.NewBool(true)},
		GlobalIPSettings: types.CustomizationGlobalIPSettings{DnsServerList: n.DNS},
		NicSettingMap:    []types.CustomizationAdapterMapping{{Adapter: adapter}},
	}, nil
}

// complete brings a fresh machine to its size and hot add, where the clone did not already.
func (p *Provider) complete(ctx context.Context, c *vim25.Client, have *machine, size models.Size) error {
	if have.on || have.cpuHotAdd && have.memoryHotAdd && have.size() == size {
		return nil
	}
	spec := types.VirtualMachineConfigSpec{NumCPUs: int32(size.VCPU), MemoryMB: size.MemoryMiB, CpuHotAddEnabled: types.NewBool(true), MemoryHotAddEnabled: types.NewBool(true)}
	if grow := growDisk(have.hardware.Device, size.StorageGiB); grow != nil {
		spec.DeviceChange = append(spec.DeviceChange, grow)
	}
	t, err := object.NewVirtualMachine(c, have.ref).Reconfigure(ctx, spec)
	return finish(ctx, c, t, err)
}

// growDisk enlarges the first disk until all together have the storage, or returns nil if they do.
func growDisk(devices []types.BaseVirtualDevice, storageGiB int64) types.BaseVirtualDeviceConfigSpec {
	missing := storageGiB*gib - diskBytes(devices)
	if missing <= 0 {
		return nil
	}
	for _, d := range devices {
		if disk, ok := d.(*types.VirtualDisk); ok {
			larger := *disk
			larger.CapacityInKB += missing >> 10
			larger.CapacityInBytes = larger.CapacityInKB << 10
			return &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: &larger}
		}
	}
	return nil
}

// diskBytes is what all disks hold.
func diskBytes(devices []types.BaseVirtualDevice) int64 {
	var sum int64
	for _, d := range devices {
		if disk, ok := d.(*types.VirtualDisk); ok {
			sum += max(disk.CapacityInBytes, disk.CapacityInKB<<10)
		}
	}
	return sum
}
