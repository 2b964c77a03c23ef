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
	contract.BaremetalEnroll.Register(r, s.BaremetalEnroll)
	contract.BaremetalPower.Register(r, s.BaremetalPower)
	contract.BaremetalBoot.Register(r, s.BaremetalBoot)
	contract.BaremetalMedia.Register(r, s.BaremetalMedia)
	contract.BaremetalLocate.Register(r, s.BaremetalLocate)
	contract.BaremetalInspect.Register(r, s.BaremetalInspect)
	contract.BaremetalDiscover.Register(r, s.BaremetalDiscover)
	contract.BaremetalRotate.Register(r, s.BaremetalRotate)
	contract.BaremetalJoin.Register(r, s.BaremetalJoin)
	contract.BaremetalLease.Register(r, s.BaremetalLease)
	contract.BaremetalRelease.Register(r, s.BaremetalRelease)
	contract.BaremetalRetire.Register(r, s.BaremetalRetire)
	contract.BaremetalWatch.Register(r, s.BaremetalWatch)
	contract.LeakCheck.Register(r, s.LeakCheck)
	contract.Sweep.Register(r, s.Sweep)
	contract.Settle.Register(r, s.Settle)
	contract.UsageWatch.Register(r, s.UsageWatch)
}
