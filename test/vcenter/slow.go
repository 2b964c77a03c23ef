package vcenter

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Slow makes clones and moves that begin from now on take this long. The simulator's own delay is one for the whole
// process; this is a server's own, and nothing else waits for it.
func (s *Server) Slow(d time.Duration) { s.rules.slow.Store(int64(d)) }

// slow stands in for a machine whose work takes time, as copying a disk or memory does. The simulator asks the session
// for what a call is about, and would not take a stand-in from anywhere else.
type slow struct {
	Self    types.ManagedObjectReference
	machine *simulator.VirtualMachine
	takes   time.Duration
	ended   func()
}

// Reference is not the machine's: everybody else still finds that.
func (s *slow) Reference() types.ManagedObjectReference { return s.Self }

// divert sends a call to a stand-in, if calls are slow at the moment. What ended does is done when its work has ended.
func (r *rules) divert(ctx *simulator.Context, m *simulator.Method, ended func()) {
	takes := time.Duration(r.slow.Load())
	machine, ok := ctx.Map.Get(m.This).(*simulator.VirtualMachine)
	if takes == 0 || !ok {
		ended()
		return
	}
	in := &slow{types.ManagedObjectReference{Type: "VirtualMachine", Value: "slow-" + m.This.Value}, machine, takes, ended}
	ctx.Session.Put(in)
	m.This = in.Self
}

// CloneVMTask begins a task that takes its time and then clones.
func (s *slow) CloneVMTask(ctx *simulator.Context, req *types.CloneVM_Task) soap.HasFault {
	ref := s.begin(ctx, "cloneVm", req.Name, func() (types.ManagedObjectReference, soap.HasFault) {
		body := s.machine.CloneVMTask(ctx, req).(*methods.CloneVM_TaskBody)
		if body.Fault_ != nil {
			return types.ManagedObjectReference{}, body
		}
		return body.Res.Returnval, nil
	})
	return &methods.CloneVM_TaskBody{Res: &types.CloneVM_TaskResponse{Returnval: ref}}
}

// RelocateVMTask begins a task that takes its time and then moves the machine.
func (s *slow) RelocateVMTask(ctx *simulator.Context, req *types.RelocateVM_Task) soap.HasFault {
	ref := s.begin(ctx, "relocateVm", "", func() (types.ManagedObjectReference, soap.HasFault) {
		return s.machine.RelocateVMTask(ctx, req).(*methods.RelocateVM_TaskBody).Res.Returnval, nil
	})
	return &methods.RelocateVM_TaskBody{Res: &types.RelocateVM_TaskResponse{Returnval: ref}}
}

// begin runs a task that takes its time and then does what the machine itself would have done at once. It is about
// something of its own: the simulator locks that for as long as the task takes.
func (s *slow) begin(ctx *simulator.Context, name, what string, do func() (types.ManagedObjectReference, soap.HasFault)) types.ManagedObjectReference {
	about := types.ManagedObjectReference{Type: "VirtualMachine", Value: name + "-of-" + s.machine.Self.Value + "-" + what}
	task := simulator.CreateTask(about, name, func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
		defer s.ended()
		time.Sleep(s.takes)
		ref, refused := do()
		if refused != nil {
			fault, _ := refused.Fault().VimFault().(types.BaseMethodFault)
			return nil, fault
		}
		real := ctx.Map.Get(ref).(*simulator.Task)
		real.Wait()
		if real.Info.Error != nil {
			return nil, real.Info.Error.Fault
		}
		return real.Info.Result, nil
	})
	return task.Run(ctx)
}
