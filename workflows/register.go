package workflows

import (
	"go.temporal.io/sdk/worker"

	"github.com/yunshu/yunshu/activities/contract"
)

// Register binds every workflow to its name.
func (s Set) Register(r worker.WorkflowRegistry) {
	contract.VMProvision.Register(r, s.VMProvision)
	contract.VMDelete.Register(r, s.VMDelete)
	contract.VMPower.Register(r, s.VMPower)
	contract.VMResize.Register(r, s.VMResize)
	contract.VMMigrate.Register(r, s.VMMigrate)
	contract.BaremetalDrain.Register(r, s.BaremetalDrain)
	contract.RegionImport.Register(r, s.RegionImport)
	contract.LeakCheck.Register(r, s.LeakCheck)
	contract.Sweep.Register(r, s.Sweep)
	contract.Settle.Register(r, s.Settle)
	contract.UsageWatch.Register(r, s.UsageWatch)
}
