package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// settleBaremetal puts right what a lost operation on a physical server left, and adds to the report what is so. It turns
// machines off where the undo would, and on never: nobody asks for it any more. An error means that the next sweep tries again.
func settleBaremetal(ctx workflow.Context, op contract.Operation, report *contract.Report) error {
	r := &run{op: op}
	switch op.Kind {
	case contract.BaremetalEnroll.Name, contract.BaremetalRotate.Name:
		// A generated password that only the database knows must not go with the row, or be forgotten.
		if err := patiently(func() error { return r.keepPassword(ctx) }); err != nil && !noMachine(err) {
			return err
		}
		if op.Kind == contract.BaremetalEnroll.Name {
			if report.Baremetal = r.baremetal; report.Baremetal == nil {
				report.Baremetal = &contract.BaremetalFacts{State: models.BaremetalGone}
			}
		}
	case contract.BaremetalPower.Name, contract.BaremetalBoot.Name, contract.BaremetalMedia.Name, contract.BaremetalLocate.Name, contract.BaremetalInspect.Name:
		report.Baremetal = r.now(ctx)
	case contract.BaremetalLease.Name:
		report.Baremetal = r.takeOver(ctx)
	case contract.BaremetalRelease.Name:
		report.Baremetal = unusable("The workflow that took it back was lost, so that it may hold what its last tenant left. Wipe it before it returns to service.")
		return r.closed(ctx)
	case contract.BaremetalDiscover.Name:
		report.Baremetal = &contract.BaremetalFacts{State: models.BaremetalFailed,
			EndService: "The workflow that booted the discovery image was lost; the machine may still run it. Turn it off, then return it to service."}
		return r.closed(ctx)
	case contract.BaremetalRetire.Name:
		// Gone cannot be taken back, and whoever ended the workflow may have wanted just that it does not happen.
		report.Baremetal = &contract.BaremetalFacts{State: models.BaremetalFailed,
			EndService: "The workflow that retired it was lost before the end. Retire it again, or return it to service."}
	case contract.BaremetalJoin.Name:
		if report.Baremetal = r.joined(ctx); report.Baremetal != nil {
			report.State, report.Fault = models.OperationSucceeded, nil
		}
	}
	return ctx.Err()
}

// now is what the machine is like, as far as its BMC tells.
func (r *run) now(ctx workflow.Context) *contract.BaremetalFacts {
	var seen contract.Inspected
	if err := patiently(func() (err error) {
		seen, err = callBMC(ctx, r, "settle: inspect "+r.op.ResourceName, contract.BMInspect, itself)
		return err
	}); err != nil {
		workflow.GetLogger(ctx).Warn("machine not seen while settling", "operation_id", r.op.ID, "error", err)
		return nil
	}
	return &contract.BaremetalFacts{Power: seen.Power}
}

// takeOver takes a machine back that was about to become a tenant's. Where its BMC does not let it, somebody has to see to
// the machine; the tenant gets its quota back either way.
func (r *run) takeOver(ctx workflow.Context) *contract.BaremetalFacts {
	spare := &contract.BaremetalFacts{Role: models.RoleSpare, State: models.BaremetalAvailable}
	for _, undo := range []func() error{
		func() error { return r.closed(ctx) },
		func() error { return r.powerBack(ctx, false) },
		func() error {
			_, err := callBMC(ctx, r, r.summary("boot from disk again on"), contract.BMSetBoot, bootsFrom(models.BootDisk, true))
			return unlessIdle(err)
		},
		func() error {
			_, err := callBMC(ctx, r, r.summary("take the image out on"), contract.BMMedia, media(""))
			return unlessIdle(err)
		},
	} {
		if err := patiently(undo); err != nil {
			return unusable("The workflow that provisioned it was lost, and taking that back failed: %s Turn the machine off, then return it to service.", contract.FaultOf(err).Message)
		}
	}
	if r.baremetal != nil {
		spare.Power = r.baremetal.Power
	}
	return spare
}

// joined is what links a machine to its host, if the region's vCenter knows it. What cannot be told leaves it as it was.
func (r *run) joined(ctx workflow.Context) *contract.BaremetalFacts {
	var host contract.Hypervisor
	if err := patiently(func() error {
		probed, err := callBMC(ctx, r, "settle: probe "+r.op.ResourceName, contract.BMProbe, itself)
		if err == nil {
			host, err = r.findHost(ctx, probed.Identity.UUID)
		}
		return err
	}); err != nil {
		workflow.GetLogger(ctx).Warn("host not found while settling", "operation_id", r.op.ID, "error", err)
		return nil
	}
	return &contract.BaremetalFacts{Role: models.RoleHypervisor, Host: &host, State: models.BaremetalInUse}
}
