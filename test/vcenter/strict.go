package vcenter

import (
	"fmt"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// judge sees every call before the simulator does, and refuses what a real vCenter would refuse and the simulator does
// not: an instance UUID that is taken, sizes that no host has, a host in maintenance, growth that the machine's hot add
// does not allow, a disk that shrinks, a second move of a machine that is being moved.
func (r *rules) judge(ctx *simulator.Context, m *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	if fault := r.wanted(m.Name); fault != nil {
		return nil, fault
	}
	if strings.HasSuffix(m.Name, "_Task") && r.dirty != nil {
		r.dirty()
	}
	switch req := m.Body.(type) {
	case *types.CloneVM_Task:
		fault := judgeClone(ctx, req)
		if fault == nil {
			r.divert(ctx, m, func() {})
		}
		return nil, fault
	case *types.RelocateVM_Task:
		return nil, r.judgeRelocate(ctx, m, req)
	case *types.ReconfigVM_Task:
		return nil, judgeReconfigure(ctx, req)
	case *types.CancelTask:
		// The simulator would call the task ended while it goes on; a task that cannot be cancelled is the truth.
		return nil, &types.NotSupported{}
	}
	return nil, nil
}

func judgeClone(ctx *simulator.Context, req *types.CloneVM_Task) types.BaseMethodFault {
	if spec := req.Spec.Config; spec != nil {
		if fault := judgeSize(spec); fault != nil {
			return fault
		}
		if spec.InstanceUuid != "" && uuidTaken(ctx, spec.InstanceUuid) {
			return &types.InvalidArgument{InvalidProperty: "configSpec.instanceUuid"}
		}
	}
	ownDisk(ctx, req)
	return judgeHost(ctx, req.Spec.Location.Host)
}

// judgeHost refuses a host that takes no machines.
func judgeHost(ctx *simulator.Context, ref *types.ManagedObjectReference) types.BaseMethodFault {
	if ref == nil {
		return nil
	}
	host, ok := ctx.Map.Get(*ref).(*simulator.HostSystem)
	if !ok {
		return &types.ManagedObjectNotFound{Obj: *ref}
	}
	if host.Runtime.InMaintenanceMode || host.Runtime.ConnectionState != types.HostSystemConnectionStateConnected {
		return &types.InvalidHostState{Host: ref}
	}
	return nil
}

// ownDisk makes the change of a clone's disk be about the clone's own file. A change names the file of the source, as it
// must; a real vCenter knows better, but the simulator would let both share it, and delete it with the first clone.
func ownDisk(ctx *simulator.Context, req *types.CloneVM_Task) {
	if req.Spec.Config == nil || req.Spec.Location.Datastore == nil {
		return
	}
	store, ok := ctx.Map.Get(*req.Spec.Location.Datastore).(*simulator.Datastore)
	if !ok {
		return
	}
	for _, change := range req.Spec.Config.DeviceChange {
		disk, ok := change.GetVirtualDeviceConfigSpec().Device.(*types.VirtualDisk)
		if !ok {
			continue
		}
		if backing, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok {
			backing.FileName = fmt.Sprintf("[%s] %s/%s.vmdk", store.Name, req.Name, req.Name)
		}
	}
}

func uuidTaken(ctx *simulator.Context, id string) bool {
	for _, e := range ctx.Map.All("VirtualMachine") {
		if vm, ok := e.(*simulator.VirtualMachine); ok && vm.Config != nil && vm.Config.InstanceUuid == id {
			return true
		}
	}
	return false
}

func judgeSize(spec *types.VirtualMachineConfigSpec) types.BaseMethodFault {
	switch {
	case spec.NumCPUs < 0 || spec.NumCPUs > HostThreads:
		return &types.InvalidArgument{InvalidProperty: "configSpec.numCPUs"}
	case spec.MemoryMB < 0 || spec.MemoryMB > HostMemoryMiB || spec.MemoryMB%4 != 0:
		return &types.InvalidArgument{InvalidProperty: "configSpec.memoryMB"}
	}
	return nil
}

func judgeReconfigure(ctx *simulator.Context, req *types.ReconfigVM_Task) (fault types.BaseMethodFault) {
	vm, ok := ctx.Map.Get(req.This).(*simulator.VirtualMachine)
	if !ok {
		return nil // the simulator says so itself
	}
	if fault := judgeSize(&req.Spec); fault != nil {
		return fault
	}
	ctx.WithLock(vm, func() {
		if vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn {
			fault = judgeHot(vm, &req.Spec)
		}
		if fault == nil {
			fault = judgeDisks(vm, req.Spec.DeviceChange)
		}
	})
	return fault
}

// judgeHot checks a change of a running machine against what its hot add allows.
func judgeHot(vm *simulator.VirtualMachine, spec *types.VirtualMachineConfigSpec) types.BaseMethodFault {
	on := &types.InvalidPowerState{RequestedState: types.VirtualMachinePowerStatePoweredOff, ExistingState: types.VirtualMachinePowerStatePoweredOn}
	allowed := func(flag *bool) bool { return flag != nil && *flag }
	cpu, memory := vm.Config.Hardware.NumCPU, int64(vm.Config.Hardware.MemoryMB)
	switch {
	case spec.NumCPUs != 0 && spec.NumCPUs < cpu, spec.MemoryMB != 0 && spec.MemoryMB < memory:
		return on
	case spec.NumCPUs > cpu && !allowed(vm.Config.CpuHotAddEnabled):
		return &types.CpuHotPlugNotSupported{}
	case spec.MemoryMB > memory && !allowed(vm.Config.MemoryHotAddEnabled):
		return &types.MemoryHotPlugNotSupported{}
	case spec.CpuHotAddEnabled != nil && *spec.CpuHotAddEnabled != allowed(vm.Config.CpuHotAddEnabled):
		return on
	}
	return nil
}

// judgeDisks refuses disks that shrink.
func judgeDisks(vm *simulator.VirtualMachine, changes []types.BaseVirtualDeviceConfigSpec) types.BaseMethodFault {
	for _, change := range changes {
		spec := change.GetVirtualDeviceConfigSpec()
		disk, ok := spec.Device.(*types.VirtualDisk)
		if !ok || spec.Operation != types.VirtualDeviceConfigSpecOperationEdit {
			continue
		}
		for _, d := range vm.Config.Hardware.Device {
			if have, ok := d.(*types.VirtualDisk); ok && have.Key == disk.Key && disk.CapacityInKB < have.CapacityInKB {
				return &types.InvalidDeviceSpec{DeviceIndex: 0}
			}
		}
	}
	return nil
}

// judgeRelocate refuses to move a machine that is being moved.
func (r *rules) judgeRelocate(ctx *simulator.Context, m *simulator.Method, req *types.RelocateVM_Task) types.BaseMethodFault {
	if fault := judgeHost(ctx, req.Spec.Host); fault != nil {
		return fault
	}
	if _, moves := r.moving.LoadOrStore(req.This, true); moves {
		return &types.TaskInProgress{}
	}
	r.divert(ctx, m, func() { r.moving.Delete(req.This) })
	return nil
}
