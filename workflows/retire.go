package workflows

import (
	"slices"
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// BaremetalRetire takes a machine out for good. Cancelled before that, the machine returns to where it was.
func (s Set) BaremetalRetire(ctx workflow.Context, in contract.BaremetalRetireInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		r.baremetal = &contract.BaremetalFacts{State: in.From}
		if in.BMC {
			got, _, err := onBMCOr(ctx, r, "power-off", contract.BMSetPower, powered(false), whatever)
			if err != nil {
				return err
			}
			r.know(got.Power)
		}
		r.baremetal = &contract.BaremetalFacts{State: models.BaremetalGone}
		return nil
	})
}

// whatever lets a person do without a step, whatever is the matter: the machine may have died.
func whatever(*models.Fault) []models.Way { return []models.Way{models.WaySkip} }

// BaremetalJoin makes a machine a hypervisor: it is linked to its host in the region's vCenter, which knows the hardware by
// the same UUID.
func (s Set) BaremetalJoin(ctx workflow.Context, in contract.BaremetalJoinInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		host, _, err := attempt(ctx, r, "find-host", func(ctx workflow.Context) (contract.Hypervisor, error) {
			return r.findHost(ctx, in.UUID)
		}, worthRetry(models.CodeHostMissing))
		if err != nil {
			return err
		}
		r.baremetal = &contract.BaremetalFacts{Role: models.RoleHypervisor, Host: &host, State: models.BaremetalInUse}
		return nil
	})
}

// sameUUID compares hardware UUIDs in either of their spellings.
func sameUUID(a, b string) bool {
	return a != "" && (strings.EqualFold(a, b) || strings.EqualFold(a, models.SwappedUUID(b)))
}

// findHost looks for the hardware among the region's hypervisors.
func (r *run) findHost(ctx workflow.Context, uuid string) (contract.Hypervisor, error) {
	page := contract.Page{Limit: hostsPerPage, Listing: r.op.ID}
	for {
		got, err := contract.VMHypervisors.Do(ctx, contract.VMQueue(r.op.Region), "find the host of "+r.op.ResourceName, page)
		if err != nil {
			return contract.Hypervisor{}, err
		}
		if n := slices.IndexFunc(got.Hypervisors, func(h contract.Hypervisor) bool { return sameUUID(h.UUID, uuid) }); n >= 0 {
			return got.Hypervisors[n], nil
		}
		if page.After = got.Next; got.Next == "" {
			return contract.Hypervisor{}, models.Faultf(models.CodeHostMissing, "The vCenter of region %s knows no host with the hardware UUID %s of %s. Install ESXi on it and add it to the vCenter, then resume.",
				r.op.Region, uuid, r.op.ResourceName)
		}
	}
}
