package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// BaremetalDiscover boots the discovery image, and records what it finds beside what the BMC says.
func (s Set) BaremetalDiscover(ctx workflow.Context, in contract.BaremetalDiscoverInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		met, err := r.identify(ctx)
		if err != nil {
			return err
		}
		seen, err := r.inspect(ctx, met.Identity)
		if err != nil {
			return err
		}
		got, _, err := r.bootInto(ctx, image{Boot: in.Boot, limit: r.timing.Boot,
			judge: r.discovered(met.Identity), others: worthRetry(models.CodeTaskFailed)})
		if err != nil {
			return err
		}
		if err := r.leave(ctx, in.Boot); err != nil {
			return err
		}
		if err := r.setPower(ctx, "turn-off", powered(false)); err != nil {
			return err
		}
		seen.Inventory, seen.Inside, seen.Power = seen.Inventory.With(*got.Inventory), true, r.baremetal.Power
		r.baremetal.Inspected = &seen
		return nil
	})
}

// discovered refuses a report that names nothing, or another machine.
func (r *run) discovered(met models.HardwareIdentity) func(contract.BootReport) error {
	return func(got contract.BootReport) error {
		if err := r.credible(got, met); err != nil {
			return err
		}
		if got.Inventory == nil {
			return models.Faultf(models.CodeInventoryEmpty, "The discovery image on %s reported no inventory. Look at its console; resume boots it again.", r.op.ResourceName)
		}
		return nil
	}
}

// credible refuses the report of an image that failed, or runs on another machine.
func (r *run) credible(got contract.BootReport, met models.HardwareIdentity) error {
	if got.Error != "" {
		return models.Faultf(models.CodeTaskFailed, "The image on %s reported that it failed: %s. Mend what it names; resume boots it again.", r.op.ResourceName, got.Error)
	}
	if got.Inventory == nil {
		return nil
	}
	return sameMachine(r.op.ResourceName, met, got.Inventory.HardwareIdentity)
}
