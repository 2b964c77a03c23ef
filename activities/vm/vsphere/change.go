package vsphere

import (
	"context"
	"errors"
	"net/netip"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/models"
)

// change runs a change of a machine that must be there, one of a bounded number at once.
func (p *Provider) change(ctx context.Context, m vm.Machine, doing string, do func(*vim25.Client, *machine) error) error {
	c, err := p.client(ctx, doing)
	if err != nil {
		return err
	}
	release, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	have, err := p.must(ctx, c, m)
	if err != nil {
		return p.fault(doing, err)
	}
	return p.fault(doing, do(c, have))
}

// Reconfigure changes the machine's size.
func (p *Provider) Reconfigure(ctx context.Context, m vm.Machine, size models.Size, task vm.Task) error {
	return p.change(ctx, m, "resize "+label(m), func(c *vim25.Client, have *machine) error {
		now := have.size()
		size.StorageGiB, size.GPU = max(size.StorageGiB, now.StorageGiB), now.GPU
		if size == now {
			return nil
		}
		if have.on && !have.growsRunning(size) {
			return models.Faultf(models.CodeNeedsPowerOff, "The machine of %s does not allow this change of its size while it runs. Power it off first, or allow a restart.", label(m))
		}
		spec := types.VirtualMachineConfigSpec{}
		if size.VCPU != now.VCPU {
			spec.NumCPUs = int32(size.VCPU)
		}
		if size.MemoryMiB != now.MemoryMiB {
			spec.MemoryMB = size.MemoryMiB
		}
		if grow := growDisk(have.hardware.Device, size.StorageGiB); grow != nil {
			spec.DeviceChange = append(spec.DeviceChange, grow)
		}
		t, err := object.NewVirtualMachine(c, have.ref).Reconfigure(ctx, spec)
		if err == nil {
			task.Start(t.Reference().Value)
		}
		return finish(ctx, c, t, err)
	})
}

// growsRunning reports whether the machine may take this size while it is on.
func (m *machine) growsRunning(size models.Size) bool {
	now := m.size()
	if size.VCPU < now.VCPU || size.MemoryMiB < now.MemoryMiB {
		return false
	}
	if size.VCPU > now.VCPU && !m.cpuHotAdd {
		return false
	}
	more := size.MemoryMiB > now.MemoryMiB
	return !more || m.memoryHotAdd && (m.memoryLimit == 0 || size.MemoryMiB <= m.memoryLimit)
}

// SetPower turns the machine on or off.
func (p *Provider) SetPower(ctx context.Context, m vm.Machine, on bool, task vm.Task) error {
	doing := "power off " + label(m)
	if on {
		doing = "power on " + label(m)
	}
	return p.change(ctx, m, doing, func(c *vim25.Client, have *machine) error {
		if have.on == on {
			return nil
		}
		machine := object.NewVirtualMachine(c, have.ref)
		if !on && p.shutdown(ctx, c, machine) {
			return nil
		}
		act := machine.PowerOff
		if on {
			act = machine.PowerOn
		}
		t, err := act(ctx)
		if err == nil {
			task.Start(t.Reference().Value)
		}
		return already(finish(ctx, c, t, err), on)
	})
}

// already takes a machine that was brought to the wanted power by somebody else for done.
func already(err error, on bool) error {
	state, is := vimFault(err).(*types.InvalidPowerState)
	if is && (state.ExistingState == types.VirtualMachinePowerStatePoweredOn) == on {
		return nil
	}
	return err
}

// shutdown asks the guest to shut down, and reports whether it did in time.
func (p *Provider) shutdown(ctx context.Context, c *vim25.Client, machine *object.VirtualMachine) bool {
	ctx, cancel := context.WithTimeout(ctx, p.options.ShutdownTimeout)
	defer cancel()
	if err := machine.ShutdownGuest(ctx); err != nil {
		return false // no tools in the guest, or it is not up yet: the plug is pulled
	}
	err := watch(ctx, c, machine.Reference(), []string{"runtime.powerState"}, func(changes []types.PropertyChange) bool {
		for _, change := range changes {
			if change.Val == types.VirtualMachinePowerStatePoweredOff {
				return true
			}
		}
		return false
	})
	return err == nil
}

// AwaitGuest returns once the guest has reported the address.
func (p *Provider) AwaitGuest(ctx context.Context, m vm.Machine, address string) error {
	doing := "hear from the guest of " + label(m)
	want, err := netip.ParseAddr(address)
	if err != nil {
		return models.Faultf(models.CodeInvalidSpec, "The address %q that the guest of %s should report is not an IP address.", address, label(m))
	}
	c, err := p.client(ctx, doing)
	if err != nil {
		return err
	}
	have, err := p.must(ctx, c, m)
	if err != nil {
		return p.fault(doing, err)
	}
	bounded, cancel := context.WithTimeout(ctx, p.options.GuestTimeout)
	defer cancel()
	seen := machine{}
	err = watch(bounded, c, have.ref, []string{"guest.ipAddress", "guest.net"}, func(changes []types.PropertyChange) bool {
		for _, change := range changes {
			switch v := change.Val.(type) {
			case string:
				seen.address = v
			case types.ArrayOfGuestNicInfo:
				seen.nics = v.GuestNicInfo
			}
		}
		return seen.reports(want)
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return models.Faultf(models.CodeGuestSilent, "The guest of %s did not report the address %s within %s. Check the image and its guest tools.", label(m), address, p.options.GuestTimeout)
	}
	return p.fault(doing, err)
}

// Destroy removes the machine, running or not, and a half-made one too.
func (p *Provider) Destroy(ctx context.Context, m vm.Machine, task vm.Task) error {
	doing := "remove " + label(m)
	c, err := p.client(ctx, doing)
	if err != nil {
		return err
	}
	release, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	have, err := p.find(ctx, c, m)
	if err == nil && have == nil {
		have, err = p.findByLabel(ctx, c, m)
	}
	if err != nil || have == nil {
		return p.fault(doing, err)
	}
	if have.mark != m.ID.String() && have.instanceUUID == "" {
		return p.faultf(models.CodeBusy, doing, "vCenter is still making it. The step is tried again.")
	}
	if have.mark != m.ID.String() {
		return p.notOurs(have.name, m)
	}
	return p.fault(doing, gone(p.destroy(ctx, c, have, task)))
}

// destroy pulls the plug and removes the machine with its disks.
func (p *Provider) destroy(ctx context.Context, c *vim25.Client, have *machine, task vm.Task) error {
	if have.on {
		t, err := object.NewVirtualMachine(c, have.ref).PowerOff(ctx)
		if err := already(finish(ctx, c, t, err), false); err != nil {
			return err
		}
	}
	res, err := methods.Destroy_Task(ctx, c, &types.Destroy_Task{This: have.ref})
	if err != nil {
		return err
	}
	task.Start(res.Returnval.Value)
	_, err = wait(ctx, c, res.Returnval)
	return err
}

// gone takes what somebody else removed for removed.
func gone(err error) error {
	if isFault[*types.ManagedObjectNotFound](err) {
		return nil
	}
	return err
}
