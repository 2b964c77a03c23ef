package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// GroupBinding gives a role to everybody who is in a group at the OpenID provider.
type GroupBinding struct {
	ID        models.ID   `json:"id" format:"uuid" doc:"Id of the group binding." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Group     string      `json:"group" doc:"The group, as the provider calls it." example:"acme-members"`
	Role      models.Role `json:"role" enum:"owner,admin,operator,auditor,member,viewer" doc:"The role." example:"member"`
	TenantID  *models.ID  `json:"tenant_id,omitempty" format:"uuid" doc:"The tenant on which, and below which, the role counts; absent for a role on the platform." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	Tenant    string      `json:"tenant,omitempty" doc:"Full name of the tenant." example:"acme/dev"`
	CreatedAt time.Time   `json:"created_at" doc:"When the role was given." example:"2027-01-01T12:00:00Z"`
}

type groupBindingCreate struct {
	Idempotent
	DryRun
	Body struct {
		_      struct{}    `additionalProperties:"false"`
		Group  string      `json:"group" minLength:"1" maxLength:"255" doc:"The group, exactly as the provider's claim has it." example:"acme-members"`
		Role   models.Role `json:"role" enum:"owner,admin,operator,auditor,member,viewer" doc:"On a tenant: viewer, member, admin or owner. On the platform: auditor, operator or admin." example:"member"`
		Tenant string      `json:"tenant,omitempty" maxLength:"1100" doc:"Full name or id of the tenant; without one, the role is on the platform." example:"acme/dev"`
	}
}

type groupBindingList struct {
	Paging
	Tenant string `query:"tenant" maxLength:"1100" doc:"Only those on this tenant itself, by full name or id." example:"acme/dev"`
}

func (a *API) registerGroupBindings(h huma.API) {
	register(h, endpoint{ID: "list-group-bindings", Method: http.MethodGet, Path: "/v1/group-bindings", Action: "group-binding.read", Summary: "List group bindings",
		Description: "Those on the tenants that you see."}, a.listGroupBindings)
	register(h, endpoint{ID: "create-group-binding", Method: http.MethodPost, Path: "/v1/group-bindings", Action: "group-binding.create", Status: http.StatusCreated,
		Summary: "Give a role to a group", Description: "Whoever is in the group at the OpenID provider has the role from their next sign-in on, until they sign in without it. The same may give it who may give the role to a user."}, a.createGroupBinding)
	register(h, endpoint{ID: "get-group-binding", Method: http.MethodGet, Path: "/v1/group-bindings/{id}", Action: "group-binding.read", Summary: "Read a group binding"}, a.getGroupBinding)
	register(h, endpoint{ID: "delete-group-binding", Method: http.MethodDelete, Path: "/v1/group-bindings/{id}", Action: "group-binding.delete", Summary: "Take a role from a group",
		Description: "Everybody who has the role from there loses it at once."}, a.deleteGroupBinding)
}

func (a *API) listGroupBindings(ctx context.Context, in *groupBindingList) (*ListOutput[GroupBinding], error) {
	var tenant *models.ID
	if in.Tenant != "" {
		t, err := a.visibleTenant(ctx, in.Tenant)
		if err != nil {
			return nil, err
		}
		tenant = &t.ID
	}
	filters := []string{"group bindings", in.Tenant}
	after, err := in.afterID(filters...)
	if err != nil {
		return nil, err
	}
	rows, err := a.store.GroupBindings(ctx, store.ScopeOf(actor(ctx)), tenant, store.Page{After: after, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, rows, store.GroupBinding.Key, wireGroupBinding, filters...), nil
}

func (a *API) createGroupBinding(ctx context.Context, in *groupBindingCreate) (*Resource[GroupBinding], error) {
	if err := fitsPlace(in.Body.Role, in.Body.Tenant); err != nil {
		return nil, err
	}
	c := trial(change(ctx, "group-binding.create"), in.DryRun)
	c.Share = true
	answer, err := store.Write(ctx, a.store, c, func(tx store.Tx) (store.Answer[GroupBinding], error) {
		row := store.GroupBinding{GroupBinding: models.GroupBinding{ID: models.NewID(), Group: in.Body.Group, Role: in.Body.Role, CreatedAt: time.Now().UTC().Truncate(time.Microsecond)}}
		if in.Body.Tenant != "" {
			t, err := a.tenantToBind(ctx, tx, in.Body.Tenant)
			if err != nil {
				return store.Answer[GroupBinding]{}, err
			}
			row.TenantID, row.TenantName, row.Path, row.Frozen = &t.ID, t.FullName, t.Path, t.Frozen
		}
		if err := a.mayBindGroup(ctx, tx.Actor, "group-binding.create", row); err != nil {
			return store.Answer[GroupBinding]{}, err
		}
		if err := store.CreateGroupBinding(tx.DB, &row.GroupBinding); err != nil {
			return store.Answer[GroupBinding]{}, err
		}
		return store.Created(path("group-bindings/%s", row.ID), wireGroupBinding(row), groupBindingSubject(row)), nil
	})
	if err != nil {
		return nil, err
	}
	return created(answer, c.DryRun, 0), nil
}

// mayBindGroup is mayBind for a group: who is in it is somebody else's to say, so that it takes the very same rights.
func (a *API) mayBindGroup(ctx context.Context, who authz.Actor, action string, b store.GroupBinding) error {
	on := authz.Resource{Kind: "group-binding", Path: b.Path, Frozen: b.Frozen}
	if err := a.check(ctx, who, action, on); err != nil {
		return err
	}
	return a.check(ctx, who, "role-"+string(b.Role)+".give", on)
}

func (a *API) getGroupBinding(ctx context.Context, in *ByID) (*Resource[GroupBinding], error) {
	b, err := store.FindGroupBinding(a.store.DB.WithContext(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	if !a.seesGroupBinding(actor(ctx), b) {
		return nil, models.Faultf(models.CodeNotFound, "There is no such group-binding that you can see.")
	}
	return &Resource[GroupBinding]{Body: wireGroupBinding(b)}, nil
}

func (a *API) seesGroupBinding(who authz.Actor, b store.GroupBinding) bool {
	return a.authz.Can(who, "group-binding.read", authz.Resource{Kind: "group-binding", Path: b.Path})
}

func (a *API) deleteGroupBinding(ctx context.Context, in *ByID) (*struct{}, error) {
	_, err := store.Write(ctx, a.store, restructure(change(ctx, "group-binding.delete")), func(tx store.Tx) (store.Answer[struct{}], error) {
		b, err := store.FindGroupBinding(tx.DB, in.ID)
		if err != nil {
			return store.Answer[struct{}]{}, err
		}
		if !a.seesGroupBinding(tx.Actor, b) {
			return store.Answer[struct{}]{}, models.Faultf(models.CodeNotFound, "There is no such group-binding that you can see.")
		}
		if err := a.mayBindGroup(ctx, tx.Actor, "group-binding.delete", b); err != nil {
			return store.Answer[struct{}]{}, err
		}
		return store.Answer[struct{}]{Subject: groupBindingSubject(b), Detail: wireGroupBinding(b)}, store.DeleteGroupBinding(tx.DB, b)
	})
	a.tokens.after(err)
	return nil, err
}

func groupBindingSubject(b store.GroupBinding) store.Subject {
	return store.Subject{Kind: "group-binding", ID: b.ID.String(), Name: b.Group, TenantID: b.TenantID}
}

func wireGroupBinding(b store.GroupBinding) GroupBinding {
	return GroupBinding{ID: b.ID, Group: b.Group, Role: b.Role, TenantID: b.TenantID, Tenant: b.TenantName, CreatedAt: b.CreatedAt.UTC()}
}
