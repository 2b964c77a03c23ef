package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// BaremetalEnroll takes a machine in by its BMC. Until that is done it is nobody's: if it fails, the machine is gone.
func (s Set) BaremetalEnroll(ctx workflow.Context, in contract.BaremetalEnrollInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		r.baremetal = &contract.BaremetalFacts{State: models.BaremetalGone}
		probed, err := r.identify(ctx)
		if err != nil {
			return err
		}
		seen, err := r.inspect(ctx, probed.Identity)
		if err != nil {
			return err
		}
		if err := r.checkHealth(ctx, probed.Identity, &seen); err != nil {
			return err
		}
		if err := r.bootFromDisk(ctx); err != nil {
			return err
		}
		if in.Rotate {
			if err := r.rotate(ctx); err != nil {
				return err
			}
		}
		r.baremetal = &contract.BaremetalFacts{State: models.BaremetalAvailable, Probed: &probed, Inspected: &seen, Power: seen.Power}
		return nil
	})
}

// bootFromDisk sets the boot order that policy wants. A BMC that cannot is no reason to refuse the machine.
func (r *run) bootFromDisk(ctx workflow.Context) error {
	_, err := onBMC(ctx, r, "boot-order", contract.BMSetBoot, bootsFrom(models.BootDisk, true))
	if models.IsCode(err, models.CodeNotSupported) {
		r.waive(ctx, "boot-order", err)
		return nil
	}
	return err
}

// BaremetalInspect reads a machine anew. One that returns to service must be healthy, or be taken as it is.
func (s Set) BaremetalInspect(ctx workflow.Context, in contract.BaremetalInspectInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		probed, err := r.identify(ctx)
		if err != nil {
			return err
		}
		seen, err := r.inspect(ctx, probed.Identity)
		if err != nil {
			return err
		}
		r.baremetal = &contract.BaremetalFacts{Inspected: &seen, Power: seen.Power} // known whatever comes of the return
		if !in.Return {
			return nil
		}
		err = r.checkHealth(ctx, probed.Identity, &seen)
		r.baremetal.Power = seen.Power
		r.baremetal.Serviceable = err == nil
		return err
	})
}
