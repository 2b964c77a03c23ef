package vm

import (
	"context"
	"fmt"

	"go.temporal.io/sdk/worker"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// Activities implements the references to a region's vm activities over a hypervisor.
type Activities struct {
	Hypervisor Hypervisor
}

// Register binds the activities to their names.
func Register(r worker.ActivityRegistry, a Activities) {
	contract.VMClone.Register(r, a.Clone)
	contract.VMReconfigure.Register(r, a.Reconfigure)
	contract.VMRelocate.Register(r, a.Migrate)
	contract.VMSetPower.Register(r, a.SetPower)
	contract.VMBoot.Register(r, a.Boot)
	contract.VMDestroy.Register(r, a.Destroy)
	contract.VMRead.Register(r, a.Read)
	contract.VMHypervisors.Register(r, a.Hypervisors)
	contract.VMList.Register(r, a.List)
}

// Clone makes a machine, off.
func (a Activities) Clone(ctx context.Context, in contract.CloneInput) (contract.VMStatus, error) {
	if err := checkClone(in.VM); err != nil {
		return contract.VMStatus{}, contract.Error(err)
	}
	m := Machine{ID: in.VM.ID, Name: in.VM.Name}
	return a.change(ctx, m, func(ctx context.Context, task Task) error {
		return a.Hypervisor.Clone(ctx, in.VM, in.OperationID, task)
	})
}

// Reconfigure changes a machine's size.
func (a Activities) Reconfigure(ctx context.Context, in contract.ReconfigureInput) (contract.VMStatus, error) {
	m := machine(in.VMRef)
	return a.change(ctx, m, func(ctx context.Context, task Task) error {
		return a.Hypervisor.Reconfigure(ctx, m, in.Size, task)
	})
}

// Migrate moves a machine to another host.
func (a Activities) Migrate(ctx context.Context, in contract.MigrateInput) (contract.VMStatus, error) {
	m := machine(in.VMRef)
	return a.change(ctx, m, func(ctx context.Context, task Task) error {
		return a.Hypervisor.Migrate(ctx, m, in.To, task)
	})
}

// SetPower turns a machine on or off.
func (a Activities) SetPower(ctx context.Context, in contract.PowerInput) (contract.VMStatus, error) {
	m := machine(in.VMRef)
	return a.change(ctx, m, func(ctx context.Context, task Task) error {
		return a.Hypervisor.SetPower(ctx, m, in.On, task)
	})
}

// Boot turns a machine on and waits for its guest to report its address. Tried again, it turns on what went off
// meanwhile.
func (a Activities) Boot(ctx context.Context, in contract.BootInput) (contract.VMStatus, error) {
	m := machine(in.VMRef)
	return a.change(ctx, m, func(ctx context.Context, task Task) error {
		if err := a.Hypervisor.SetPower(ctx, m, true, task); err != nil {
			return err
		}
		return a.Hypervisor.AwaitGuest(ctx, m, in.Address)
	})
}

// Destroy removes a machine.
func (a Activities) Destroy(ctx context.Context, in contract.VMRef) (contract.None, error) {
	ctx, task, stop := heartbeat(ctx)
	defer stop()
	return contract.None{}, contract.Error(a.Hypervisor.Destroy(ctx, machine(in), task))
}

// Read tells what a machine is like.
func (a Activities) Read(ctx context.Context, in contract.VMRef) (contract.VMStatus, error) {
	status, err := a.Hypervisor.Status(ctx, machine(in))
	return status, contract.Error(err)
}

// Hypervisors lists physical hosts.
func (a Activities) Hypervisors(ctx context.Context, in contract.Page) (contract.HypervisorPage, error) {
	page, err := a.Hypervisor.Hypervisors(ctx, in)
	return page, contract.Error(err)
}

// List lists the machines that carry our mark.
func (a Activities) List(ctx context.Context, in contract.Page) (contract.MachinePage, error) {
	page, err := a.Hypervisor.Machines(ctx, in)
	return page, contract.Error(err)
}

// change runs a step that heartbeats, and returns what is to be seen of the machine after it.
func (a Activities) change(ctx context.Context, m Machine, step func(context.Context, Task) error) (contract.VMStatus, error) {
	ctx, task, stop := heartbeat(ctx)
	defer stop()
	if err := step(ctx, task); err != nil {
		return contract.VMStatus{}, contract.Error(err)
	}
	status, err := a.Hypervisor.Status(ctx, m)
	if err == nil && !status.Found {
		err = Missing(m)
	}
	return status, contract.Error(err)
}

// Missing is the fault of a machine that should be there.
func Missing(m Machine) error {
	return models.Faultf(models.CodeMachineMissing, "The machine of vm %s (%s) is no longer there: it was removed behind our back. Delete the vm here, or restore the machine.", m.Name, m.ID)
}

// machine names the machine that a reference means.
func machine(ref contract.VMRef) Machine { return Machine{ID: ref.ID, Name: ref.Name} }

// checkClone refuses what no provider should be asked to make.
func checkClone(vm contract.VM) error {
	for field, missing := range map[string]bool{
		"id":       vm.ID == models.NoID,
		"name":     vm.Name == "",
		"template": vm.Template == "",
		"host":     vm.Host.Ref == "",
		"vcpu":     vm.Size.VCPU <= 0,
		"memory":   vm.Size.MemoryMiB <= 0,
		"storage":  vm.Size.StorageGiB <= 0,
	} {
		if missing {
			return models.Faultf(models.CodeInvalidSpec, "The machine of vm %s cannot be made: its %s is missing.", label(vm), field)
		}
	}
	if vm.Size.GPU > 0 {
		return models.Faultf(models.CodeNotSupported, "The machine of vm %s cannot be made: it asks for %d GPUs, and this region does not pass GPUs through.", label(vm), vm.Size.GPU)
	}
	return nil
}

// label names a vm in a sentence, even one without a name.
func label(vm contract.VM) string {
	if vm.Name == "" {
		return vm.ID.String()
	}
	return fmt.Sprintf("%s (%s)", vm.Name, vm.ID)
}
