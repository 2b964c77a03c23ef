package vcenter

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Slow makes clones that begin from now on take this long. The simulator's own delay is one for the whole process; this
// is a server's own, and nothing else waits for it.
func (s *Server) Slow(d time.Duration) { s.rules.slow.Store(int64(d)) }

// slowTemplate is a template whose clones take time, as copying a disk does.
type slowTemplate struct {
	*simulator.VirtualMachine
	takes time.Duration
}

// CloneVMTask begins a task that takes its time and then clones.
func (t *slowTemplate) CloneVMTask(ctx *simulator.Context, req *types.CloneVM_Task) soap.HasFault {
	// The task is about something of its own: the simulator locks that for as long as the task takes.
	about := types.ManagedObjectReference{Type: "VirtualMachine", Value: "clone-of-" + t.Self.Value + "-" + req.Name}
	task := simulator.CreateTask(about, "cloneVm", func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
		time.Sleep(t.takes)
		body := t.VirtualMachine.CloneVMTask(ctx, req).(*methods.CloneVM_TaskBody)
		if body.Fault_ != nil {
			fault, _ := body.Fault_.VimFault().(types.BaseMethodFault)
			return nil, fault
		}
		real := ctx.Map.Get(body.Res.Returnval).(*simulator.Task)
		real.Wait()
		if real.Info.Error != nil {
			return nil, real.Info.Error.Fault
		}
		return real.Info.Result, nil
	})
	return &methods.CloneVM_TaskBody{Res: &types.CloneVM_TaskResponse{Returnval: task.Run(ctx)}}
}
