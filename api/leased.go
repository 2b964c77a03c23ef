package api

import (
	"context"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Leased is who has a physical server, and how it is: what a tenant knows of its own.
type Leased struct {
	TenantID *models.ID          `json:"tenant_id,omitempty" format:"uuid" doc:"Tenant that leases it whole." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6d"`
	Tenant   string              `json:"tenant,omitempty" doc:"Full name of the tenant." example:"acme/dev"`
	Power    models.Power        `json:"power" enum:"on,off," doc:"Whether it is on; empty where nobody knows." example:"on"`
	Health   models.HealthStatus `json:"health" enum:"ok,warning,critical," doc:"How its hardware is; empty where nobody knows." example:"ok"`
	Labels   map[string]string   `json:"labels" doc:"Its labels." example:"{\"gpu\":\"a100\"}"`
}

func leased(b store.Baremetal) Leased {
	out := Leased{TenantID: b.TenantID, Tenant: text(b.Tenant), Power: b.Power, Health: b.Health, Labels: b.Labels}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	return out
}

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
		Connected: b.Connected, Maintenance: b.Maintenance, Model: b.Model, Leased: b.Leased, Stamps: b.Stamps}
}

// visibleBaremetal reads a physical server as the actor may see it.
func (a *API) visibleBaremetal(ctx context.Context, id models.ID) (Baremetal, error) {
	b, missing := a.store.Baremetal(ctx, id)
	if missing != nil && !models.IsCode(missing, models.CodeNotFound) {
		return Baremetal{}, missing
	}
	r, err := a.checkOn(ctx, "baremetal.read", a.leasedTo(ctx, b), id.String())
	if err != nil {
		return Baremetal{}, err
	}
	if missing != nil {
		return Baremetal{}, missing
	}
	if a.seesHardware(ctx) || r.Maintained {
		return baremetal(b), nil
	}
	maintained, err := a.maintains(ctx, "baremetal", id.String())()
	if err != nil || maintained {
		return baremetal(b), err
	}
	return theirs(baremetal(b)), nil
}
