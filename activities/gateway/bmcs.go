package gateway

import (
	"context"

	"go.temporal.io/sdk/worker"

	"github.com/yunshu/yunshu/activities/contract"
)

// BMCs is what the activities need of the database to reach BMCs, and to tell their machines apart.
type BMCs interface {
	Access(ctx context.Context, in contract.AccessInput) (contract.BMC, error)
	AccessPage(ctx context.Context, in contract.AccessPageInput) (contract.AccessPage, error)
	StagePassword(ctx context.Context, in contract.AccessInput) (contract.Staged, error)
	CommitPassword(ctx context.Context, in contract.AccessInput) (contract.None, error)
	DropPassword(ctx context.Context, in contract.AccessInput) (contract.None, error)
	ClaimBaremetal(ctx context.Context, in contract.ClaimInput) (contract.None, error)
}

// registerBMCs binds the activities to their names.
func registerBMCs(r worker.ActivityRegistry, b BMCs) {
	contract.BMCAccess.Register(r, crossing(b.Access))
	contract.BMCAccessPage.Register(r, crossing(b.AccessPage))
	contract.BMCStagePassword.Register(r, crossing(b.StagePassword))
	contract.BMCCommitPassword.Register(r, crossing(b.CommitPassword))
	contract.BMCDropPassword.Register(r, crossing(b.DropPassword))
	contract.BaremetalClaim.Register(r, crossing(b.ClaimBaremetal))
}
