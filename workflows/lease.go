package workflows

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// BaremetalLease provisions a machine for a tenant. Until its image has reported, the machine goes back to the spare ones
// if anything fails.
func (s Set) BaremetalLease(ctx workflow.Context, in contract.BaremetalLeaseInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		r.baremetal = &contract.BaremetalFacts{Role: models.RoleSpare, State: models.BaremetalAvailable}
		r.inDoubt = &contract.BaremetalFacts{State: models.BaremetalFailed}
		met, err := r.identify(ctx)
		if err != nil {
			return err
		}
		if _, _, err := r.bootInto(ctx, image{Boot: in.Boot, limit: r.timing.Boot, others: worthRetry(models.CodeTaskFailed),
			judge: func(got contract.BootReport) error { return r.credible(got, met.Identity) }}); err != nil {
			return err
		}
		if err := r.closeBoot(ctx); err != nil {
			return err
		}
		r.baremetal = &contract.BaremetalFacts{Role: models.RoleLeased, State: models.BaremetalInUse, Power: models.PowerOn}
		return nil
	})
}

// BaremetalRelease takes a machine back from its tenant, wiped. Once the wipe has begun there is nothing to give back to the
// tenant: if it fails then, the lease has ended, and the machine waits for somebody who sees to its disks.
func (s Set) BaremetalRelease(ctx workflow.Context, in contract.BaremetalReleaseInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		got, left, err := onBMCOr(ctx, r, "power-off", contract.BMSetPower, powered(false), skippable)
		if err != nil {
			return err
		}
		if left != nil {
			r.baremetal = unusable("It was given back without being turned off or wiped: %s did without, because: %s", left.Actor, left.Reason)
			return nil
		}
		r.know(got.Power)
		if in.Boot == (contract.Boot{}) {
			r.baremetal = &contract.BaremetalFacts{Role: models.RoleSpare, State: models.BaremetalAvailable, Power: got.Power}
			return nil
		}
		return r.wipe(ctx, in.Boot)
	})
}

// wipe boots the wipe image and hands the machine over when every disk was seen to be empty.
func (r *run) wipe(ctx workflow.Context, b contract.Boot) error {
	met, err := r.identify(ctx) // before disks are emptied, whose they are
	if err != nil {
		return err
	}
	got, left, err := r.bootInto(ctx, image{Boot: b, limit: r.timing.Wipe, others: skippable,
		judge: func(got contract.BootReport) error { return r.wiped(got, met.Identity) },
		begun: func() {
			r.baremetal = unusable("Its wipe was begun and not finished, so that it may hold what its last tenant left. Wipe it before it returns to service.")
			r.inDoubt = r.baremetal
		},
	})
	if err != nil {
		return err
	}
	if left != nil {
		r.baremetal = unusable("Its disks were not seen to be empty: %s did without, because: %s", left.Actor, left.Reason)
		return r.closeBoot(ctx)
	}
	if err := r.leave(ctx, b); err != nil {
		return err
	}
	if err := r.setPower(ctx, "turn-off", powered(false)); err != nil {
		return err
	}
	r.result, _ = json.Marshal(map[string]any{"wiped": got.Wiped}) //workflowcheck:ignore // structs of texts and numbers cannot fail, and always encode the same
	r.baremetal = &contract.BaremetalFacts{Role: models.RoleSpare, State: models.BaremetalAvailable, Power: models.PowerOff}
	return nil
}

// wiped refuses a report that does not say of every disk that it was read back empty, or is silent about one that the image saw.
func (r *run) wiped(got contract.BootReport, met models.HardwareIdentity) error {
	name := r.op.ResourceName
	if got.Error != "" {
		return models.Faultf(models.CodeWipeFailed, "The wipe image on %s reported that it failed: %s. Replace the disk, or resume to wipe again.", name, got.Error)
	}
	if err := r.credible(got, met); err != nil {
		return err
	}
	if len(got.Wiped) == 0 {
		return models.Faultf(models.CodeWipeFailed, "The wipe image on %s found no disk. Look at its console, then resume to wipe again; skip with a reason if it has none.", name)
	}
	var full []string
	for _, d := range got.Wiped {
		if !d.Verified {
			full = append(full, fmt.Sprintf("%s (serial %s, %d GiB)", d.Name, cmp.Or(d.Serial, "unknown"), d.SizeGiB))
		}
	}
	for _, d := range found(got) {
		if !slices.ContainsFunc(got.Wiped, func(w models.Wiped) bool { return w.Name == d.Name }) {
			full = append(full, fmt.Sprintf("%s (serial %s, %d GiB, not wiped)", d.Name, cmp.Or(d.Serial, "unknown"), d.SizeGiB))
		}
	}
	if full != nil {
		return models.Faultf(models.CodeWipeFailed, "Disks of %s could not be seen to be empty: %s. Replace them, or resume to wipe again.", name, strings.Join(full, ", "))
	}
	return nil
}

// found are the disks that the image itself saw. An image need not tell of them.
func found(got contract.BootReport) []models.Disk {
	if got.Inventory == nil {
		return nil
	}
	return got.Inventory.Disks
}

// unusable are the facts of a machine that no tenant has any more, and that nobody may use until somebody has seen to it.
func unusable(format string, args ...any) *contract.BaremetalFacts {
	return &contract.BaremetalFacts{Role: models.RoleSpare, State: models.BaremetalFailed, EndService: fmt.Sprintf(format, args...)}
}
