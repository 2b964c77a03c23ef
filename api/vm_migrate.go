package api

import (
	"context"

	"github.com/yunshu/yunshu/api/accept"
)

type migrateVMInput struct {
	ByID
	Precondition
	Idempotent
	Preference
	Body *Migration `required:"false"`
}

// Migration says where a machine shall go.
type Migration struct {
	Baremetal string `json:"baremetal,omitempty" minLength:"1" maxLength:"255" doc:"Another host of the machine's group, by name or id. Without it the group's policy chooses one." example:"esx-02"`
}

func (a *API) migrateVM(ctx context.Context, in *migrateVMInput) (*AcceptedOutput, error) {
	var m accept.VMMove
	if in.Body != nil {
		m.To = in.Body.Baremetal
	}
	done, err := a.accept.MigrateVM(ctx, intent(ctx), in.ID, m, in.version())
	return a.accepted(ctx, done, err, in.Preference)
}
