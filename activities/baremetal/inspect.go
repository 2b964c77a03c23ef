package baremetal

import (
	"context"
	"fmt"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// Inspect reads everything that a BMC tells of its machine.
func (a *Activities) Inspect(ctx context.Context, in contract.BMC) (contract.Inspected, error) {
	_, stop := heartbeat[contract.None](ctx)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, inspectLimit)
	defer cancel()
	var out contract.Inspected
	err := a.with(ctx, a.long, in, func(ctx context.Context, t Target, bmc BMC) (err error) {
		out, err = look(ctx, t, bmc)
		return err
	})
	return out, crossing(err)
}

// look reads everything, and the identity before and after it: a BMC that stands for one machine now and for another then,
// as one behind a wrong switch or a chassis controller does, is not believed.
func look(ctx context.Context, t Target, bmc BMC) (contract.Inspected, error) {
	before, err := bmc.Identity(ctx)
	if err != nil {
		return contract.Inspected{}, err
	}
	seen, err := bmc.Inspect(ctx)
	if err != nil {
		return contract.Inspected{}, err
	}
	after, err := bmc.Identity(ctx)
	if err != nil {
		return contract.Inspected{}, err
	}
	for _, other := range []models.HardwareIdentity{seen.Inventory.HardwareIdentity, after} {
		if other != before {
			return contract.Inspected{}, t.Faultf(models.CodeIdentityChanged, "said first that it is %s, and then that it is %s. Nothing was recorded. Find out which machine answers there.", named(before), named(other))
		}
	}
	return seen, nil
}

// named is an identity in a sentence.
func named(i models.HardwareIdentity) string {
	return fmt.Sprintf("%s %s with the serial %q and the UUID %q", i.Vendor, i.Model, i.Serial, i.UUID)
}
