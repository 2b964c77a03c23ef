package api

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Tenant owns resources. Tenants form a tree.
type Tenant struct {
	ID          models.ID  `json:"id" format:"uuid" doc:"Id of the tenant." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Name        string     `json:"name" doc:"Name of the tenant, unique below its parent." example:"dev"`
	FullName    string     `json:"full_name" doc:"Names from the root down; this is what other resources call the tenant by." example:"acme/dev"`
	ParentID    *models.ID `json:"parent_id,omitempty" format:"uuid" doc:"The tenant above; absent for a root." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	Parent      string     `json:"parent,omitempty" doc:"Full name of the tenant above." example:"acme"`
	Description string     `json:"description" doc:"What the tenant is for." example:"Development of Acme"`
	SuspendedAt *time.Time `json:"suspended_at,omitempty" doc:"Since when the tenant itself is suspended." example:"2027-01-01T12:00:00Z"`
	Frozen      bool       `json:"frozen" doc:"The tenant, or one above it, is suspended: reads only." example:"false"`
	Overcommit  bool       `json:"overcommit" doc:"The tenants right below it may be promised more than it has." example:"false"`
	Version     int64      `json:"version" doc:"Counts the changes; also in ETag." example:"1"`
	CreatedAt   time.Time  `json:"created_at" doc:"When the tenant was made." example:"2027-01-01T12:00:00Z"`
	UpdatedAt   time.Time  `json:"updated_at" doc:"When the tenant was last changed." example:"2027-01-01T12:00:00Z"`
}

type tenantCreate struct {
	Idempotent
	DryRun
	Body struct {
		_           struct{} `additionalProperties:"false"`
		Name        string   `json:"name" minLength:"1" maxLength:"63" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a DNS label: small letters, digits and inner hyphens" doc:"Name of the tenant." example:"dev"`
		Parent      string   `json:"parent,omitempty" maxLength:"1100" doc:"Full name or id of the tenant above; without one, the tenant is a root, which only an admin of the platform makes." example:"acme"`
		Description string   `json:"description,omitempty" maxLength:"1000" doc:"What the tenant is for." example:"Development of Acme"`
		Quota       *Limits  `json:"quota,omitempty" doc:"Limits for everything that the tenant and all below it use, everywhere."`
	}
}

type tenantUpdate struct {
	TenantPath
	Precondition
	Body struct {
		_           struct{} `additionalProperties:"false"`
		Name        *string  `json:"name,omitempty" minLength:"1" maxLength:"63" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a DNS label: small letters, digits and inner hyphens" doc:"Name of the tenant. The full names of everything below it follow." example:"dev"`
		Description *string  `json:"description,omitempty" maxLength:"1000" doc:"What the tenant is for." example:"Development of Acme"`
		Overcommit  *bool    `json:"overcommit,omitempty" doc:"Let the tenants right below it be promised more than it has. Only an admin of what is above it may." example:"true"`
	}
}

type tenantDelete struct {
	TenantPath
	Precondition
}

// TenantPath is the input of what is about one tenant.
type TenantPath struct {
	ID models.ID `path:"id" format:"uuid" doc:"Id of the tenant." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
}

type tenantList struct {
	Paging
	FullName string `query:"full_name" maxLength:"1100" doc:"Only the tenant of this full name." example:"acme/dev"`
	Parent   string `query:"parent" maxLength:"1100" doc:"Only those directly below this tenant, by full name or id." example:"acme"`
	Subtree  string `query:"subtree" maxLength:"1100" doc:"Only this tenant and all below it, by full name or id." example:"acme"`
}

func (a *API) registerTenants(h huma.API) {
	register(h, endpoint{ID: "list-tenants", Method: http.MethodGet, Path: "/v1/tenants", Action: "tenant.read", Summary: "List tenants",
		Description: "The tenants that you have a role on, and all below these, by full name."}, a.listTenants)
	register(h, endpoint{ID: "create-tenant", Method: http.MethodPost, Path: "/v1/tenants", Action: "tenant.create", Status: http.StatusCreated, Summary: "Create a tenant"}, a.createTenant)
	register(h, endpoint{ID: "get-tenant", Method: http.MethodGet, Path: "/v1/tenants/{id}", Action: "tenant.read", Summary: "Read a tenant"}, a.getTenant)
	register(h, endpoint{ID: "update-tenant", Method: http.MethodPatch, Path: "/v1/tenants/{id}", Action: "tenant.update", Summary: "Rename or describe a tenant"}, a.updateTenant)
	register(h, endpoint{ID: "delete-tenant", Method: http.MethodDelete, Path: "/v1/tenants/{id}", Action: "tenant.delete", Summary: "Delete an empty tenant",
		Description: "Its quotas and role bindings go with it. Only an admin of what is above it may."}, a.deleteTenant)
}

// visibleTenant finds a tenant that the request's actor may see, by its full name or id.
func (a *API) visibleTenant(ctx context.Context, ref string) (store.Tenant, error) {
	t, err := a.store.Tenant(ctx, ref)
	if err != nil {
		return t, err
	}
	return t, a.authz.Check(actor(ctx), "tenant.read", t.Resource("tenant"))
}

// checkAbove asks for a right on what is above a tenant: that which sets its bounds must not be in its own hands.
func (a *API) checkAbove(ctx context.Context, tx store.Tx, action string, t store.Tenant) error {
	if err := a.check(ctx, tx.Actor, "tenant.read", t.Resource("tenant")); err != nil {
		return err
	}
	scope(ctx).tenant = &t.ID
	above := authz.Resource{Kind: "tenant", Path: t.Path[:len(t.Path)-1]}
	if !a.authz.Can(tx.Actor, action, above) {
		return models.Faultf(models.CodeForbidden, "None of your roles allows %s on tenant %s. That is the business of an admin of what is above it.", action, t.FullName)
	}
	var err error
	if above.Frozen, err = store.FrozenAbove(tx.DB, t.ID); err != nil {
		return err
	}
	return a.authz.Check(tx.Actor, action, above)
}

// forUpdate locks what is read until the transaction ends.
func forUpdate(tx store.Tx) *gorm.DB {
	return tx.DB.Session(&gorm.Session{}).Clauses(clause.Locking{Strength: clause.LockingStrengthUpdate})
}

func (a *API) listTenants(ctx context.Context, in *tenantList) (*ListOutput[Tenant], error) {
	f := store.TenantFilter{FullName: in.FullName}
	for ref, id := range map[string]**models.ID{in.Parent: &f.Parent, in.Subtree: &f.Subtree} {
		if ref == "" {
			continue
		}
		t, err := a.visibleTenant(ctx, ref)
		if err != nil {
			return nil, err
		}
		*id = &t.ID
	}
	filters := []string{"tenants", in.FullName, in.Parent, in.Subtree}
	after, err := in.after(filters...)
	if err != nil {
		return nil, err
	}
	rows, err := a.store.Tenants(ctx, store.ScopeOf(actor(ctx)), f, store.Page{After: after, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, rows, func(t store.Tenant) string { return t.FullName }, wireTenant, filters...), nil
}

func (a *API) createTenant(ctx context.Context, in *tenantCreate) (*Resource[Tenant], error) {
	c := change(ctx, "tenant.create")
	c.DryRun, c.Restructure = in.DryRun.DryRun, true
	answer, err := store.Write(ctx, a.store, c, func(tx store.Tx) (store.Answer[Tenant], error) {
		parent, err := a.parentFor(ctx, tx, in.Body.Parent)
		if err != nil {
			return store.Answer[Tenant]{}, err
		}
		t := store.Tenant{Tenant: models.Tenant{Name: in.Body.Name, Description: in.Body.Description}}
		if err := store.CreateTenant(tx.DB, &t, parent); err != nil {
			return store.Answer[Tenant]{}, err
		}
		if in.Body.Quota != nil {
			if _, err := store.PutQuota(tx.DB, t, nil, in.Body.Quota.model(), false); err != nil {
				return store.Answer[Tenant]{}, err
			}
		}
		answer := store.Created(path("tenants/%s", t.ID), wireTenant(t), tenantSubject(t))
		answer.Detail = map[string]any{"tenant": wireTenant(t), "quota": in.Body.Quota}
		return answer, nil
	})
	if err != nil {
		return nil, err
	}
	return created(answer, c.DryRun, answer.Body.Version), nil
}

// parentFor finds the tenant below which another is to be made. Making roots is the platform's business.
func (a *API) parentFor(ctx context.Context, tx store.Tx, ref string) (*store.Tenant, error) {
	if ref == "" {
		return nil, a.check(ctx, tx.Actor, "tenant.create", authz.Resource{Kind: "tenant"})
	}
	parent, err := store.FindTenant(tx.DB, ref)
	if err != nil {
		return nil, err
	}
	return &parent, a.check(ctx, tx.Actor, "tenant.create", parent.Resource("tenant"))
}

func (a *API) getTenant(ctx context.Context, in *TenantPath) (*Resource[Tenant], error) {
	t, err := a.store.Tenant(ctx, in.ID.String())
	if models.IsCode(err, models.CodeNotFound) {
		t.Path = authz.Nowhere
	} else if err != nil {
		return nil, err
	}
	if _, denied := a.checkOn(ctx, "tenant.read", t.Resource("tenant"), in.ID.String()); denied != nil || err != nil {
		return nil, cmp.Or(denied, err)
	}
	return &Resource[Tenant]{ETag: etag(t.Version), Body: wireTenant(t)}, nil
}

func (a *API) updateTenant(ctx context.Context, in *tenantUpdate) (*Resource[Tenant], error) {
	c := change(ctx, "tenant.update")
	c.Restructure = true
	answer, err := store.Write(ctx, a.store, c, func(tx store.Tx) (store.Answer[Tenant], error) {
		t, err := store.FindTenant(tx.DB, in.ID.String())
		if err != nil {
			return store.Answer[Tenant]{}, err
		}
		if err := a.check(ctx, tx.Actor, "tenant.update", t.Resource("tenant")); err != nil {
			return store.Answer[Tenant]{}, err
		}
		if err := in.holds(t.Version); err != nil {
			return store.Answer[Tenant]{}, err
		}
		name, description := given(in.Body.Name, t.Name), given(in.Body.Description, t.Description)
		if in.Body.Overcommit != nil && *in.Body.Overcommit != t.Overcommit {
			if err := a.checkAbove(ctx, tx, "quota.update", t); err != nil {
				return store.Answer[Tenant]{}, err
			}
			if err := store.SetOvercommit(tx.DB, &t, *in.Body.Overcommit); err != nil {
				return store.Answer[Tenant]{}, err
			}
		}
		if err := store.UpdateTenant(tx.DB, &t, name, description); err != nil {
			return store.Answer[Tenant]{}, err
		}
		return store.Changed(wireTenant(t), tenantSubject(t)), nil
	})
	if err != nil {
		return nil, err
	}
	return &Resource[Tenant]{ETag: etag(answer.Body.Version), Body: answer.Body}, nil
}

// given returns what was given, or what there is already.
func given[T any](v *T, already T) T {
	if v != nil {
		return *v
	}
	return already
}

func (a *API) deleteTenant(ctx context.Context, in *tenantDelete) (*struct{}, error) {
	c := change(ctx, "tenant.delete")
	c.Restructure = true
	_, err := store.Write(ctx, a.store, c, func(tx store.Tx) (store.Answer[struct{}], error) {
		t, err := store.FindTenant(tx.DB, in.ID.String())
		if err != nil {
			return store.Answer[struct{}]{}, err
		}
		if err := a.checkAbove(ctx, tx, "tenant.delete", t); err != nil {
			return store.Answer[struct{}]{}, err
		}
		if err := in.holds(t.Version); err != nil {
			return store.Answer[struct{}]{}, err
		}
		return store.Answer[struct{}]{Subject: tenantSubject(t), Detail: wireTenant(t)}, store.DeleteTenant(tx.DB, t)
	})
	a.tokens.after(err)
	return nil, err
}

func tenantSubject(t store.Tenant) store.Subject {
	return store.Subject{Kind: "tenant", ID: t.ID.String(), Name: t.FullName, TenantID: &t.ID}
}

func wireTenant(t store.Tenant) Tenant {
	out := Tenant{ID: t.ID, Name: t.Name, FullName: t.FullName, ParentID: t.ParentID, Description: t.Description, Frozen: t.Frozen, Overcommit: t.Overcommit, Version: t.Version, CreatedAt: t.CreatedAt.UTC(), UpdatedAt: t.UpdatedAt.UTC()}
	if t.SuspendedAt != nil {
		since := t.SuspendedAt.UTC()
		out.SuspendedAt = &since
	}
	if t.ParentID != nil {
		out.Parent = t.FullName[:len(t.FullName)-len(t.Name)-1]
	}
	return out
}
