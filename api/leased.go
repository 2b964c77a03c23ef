package api

import (
	"context"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Leased is who has a physical server.
type Leased struct {
	TenantID *models.ID `json:"tenant_id,omitempty" format:"uuid" doc:"Tenant that leases it whole." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6d"`
	Tenant   string     `json:"tenant,omitempty" doc:"Full name of the tenant." example:"acme/dev"`
}

func leased(b store.Baremetal) Leased { return Leased{TenantID: b.TenantID, Tenant: text(b.Tenant)} }

// seesHardware reports whether the actor sees physical servers as those do who run them: all of them, and all of each.
func (a *API) seesHardware(ctx context.Context) bool {
	return a.authz.Can(actor(ctx), "baremetal.read", authz.Resource{Kind: "baremetal"})
}

// leasedTo is a physical server as the policies see it: the tenant's that leases it, towards those who see that tenant, and
// towards everybody else the platform's. So a machine that is somebody else's answers like a spare one, and like none.
func (a *API) leasedTo(ctx context.Context, b store.Baremetal) authz.Resource {
	r := authz.Resource{Kind: "baremetal"}
	if a.authz.Can(actor(ctx), "tenant.read", authz.Resource{Kind: "tenant", Path: b.TenantPath}) && len(b.TenantPath) > 0 {
		r.Path = b.TenantPath
	}
	return r
}

// theirs is what a tenant sees of a machine that it leases. Where it stands, and how it is reached and driven, is the
// platform's business. What is new of a baremetal stays hidden unless it is named here.
func theirs(b Baremetal) Baremetal {
	return Baremetal{ID: b.ID, Region: b.Region, Name: b.Name, Role: b.Role, State: b.State, GroupID: b.GroupID, Group: b.Group, Capacity: b.Capacity,
		Labels: b.Labels, Power: b.Power, Health: b.Health, Connected: b.Connected, Maintenance: b.Maintenance, Vendor: b.Vendor, Model: b.Model, Leased: b.Leased, Stamps: b.Stamps}
}

// readBaremetal reads a physical server that the actor may see, and says whether they see all of it.
func (a *API) readBaremetal(ctx context.Context, id models.ID) (b store.Baremetal, whole bool, err error) {
	b, missing := a.store.Baremetal(ctx, id)
	if missing != nil && !models.IsCode(missing, models.CodeNotFound) {
		return b, false, missing
	}
	r, err := a.checkOn(ctx, "baremetal.read", a.leasedTo(ctx, b), id.String())
	if err != nil {
		return b, false, err
	}
	if missing != nil {
		return b, false, missing
	}
	if a.seesHardware(ctx) || r.Maintained {
		return b, true, nil
	}
	whole, err = a.maintains(ctx, "baremetal", id.String())()
	return b, whole, err
}

func (a *API) visibleBaremetal(ctx context.Context, id models.ID) (Baremetal, error) {
	b, whole, err := a.readBaremetal(ctx, id)
	if err != nil || whole {
		return baremetal(b), err
	}
	return theirs(baremetal(b)), nil
}
