package baremetal

import (
	"context"

	"github.com/yunshu/yunshu/activities/contract"
)

// Page looks at machines without Temporal around it.
func (a *Activities) Page(ctx context.Context, bmcs []contract.BMC) []contract.Observation {
	return a.page(ctx, bmcs, nil, func(contract.Observation) {}).Observations
}
