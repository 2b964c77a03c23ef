package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// RoleBinding gives a user a role.
type RoleBinding struct {
	ID        models.ID   `json:"id" format:"uuid" doc:"Id of the role binding." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	UserID    models.ID   `json:"user_id" format:"uuid" doc:"Who has the role." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	User      string      `json:"user" doc:"Name of the user." example:"ada"`
	Role      models.Role `json:"role" enum:"owner,admin,operator,auditor,member,viewer" doc:"The role." example:"member"`
	TenantID  *models.ID  `json:"tenant_id,omitempty" format:"uuid" doc:"The tenant on which, and below which, the role counts; absent for a role on the platform." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	Tenant    string      `json:"tenant,omitempty" doc:"Full name of the tenant." example:"acme/dev"`
	Group     string      `json:"group,omitempty" doc:"The group at the OpenID provider that it comes from; absent if it was given by hand." example:"acme-members"`
	CreatedAt time.Time   `json:"created_at" doc:"When the role was given." example:"2027-01-01T12:00:00Z"`
}

type roleBindingCreate struct {
	Idempotent
	DryRun
	Body struct {
		_      struct{}    `additionalProperties:"false"`
		User   string      `json:"user" minLength:"1" maxLength:"1200" doc:"Name or id of the user, or of a service account." example:"ada"`
		Role   models.Role `json:"role" enum:"owner,admin,operator,auditor,member,viewer" doc:"On a tenant: viewer, member, admin or owner. On the platform: auditor, operator or admin." example:"member"`
		Tenant string      `json:"tenant,omitempty" maxLength:"1100" doc:"Full name or id of the tenant; without one, the role is on the platform." example:"acme/dev"`
	}
}

// RoleBindingPath is the input of what is about one role binding.
type RoleBindingPath struct {
	ID models.ID `path:"id" format:"uuid" doc:"Id of the role binding." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
}

type roleBindingList struct {
	Paging
	User   string `query:"user" maxLength:"1200" doc:"Only those of this user, by name or id." example:"ada"`
	Tenant string `query:"tenant" maxLength:"1100" doc:"Only those on this tenant itself, by full name or id." example:"acme/dev"`
}

func (a *API) registerRoleBindings(h huma.API) {
	register(h, endpoint{ID: "list-role-bindings", Method: http.MethodGet, Path: "/v1/role-bindings", Action: "role-binding.read", Summary: "List role bindings",
		Description: "Your own, and those on the tenants that you see."}, a.listRoleBindings)
	register(h, endpoint{ID: "create-role-binding", Method: http.MethodPost, Path: "/v1/role-bindings", Action: "role-binding.create", Status: http.StatusCreated,
		Summary: "Give a role", Description: "An admin of a tenant gives roles on it and below it, all but owner, which only owners give; only an admin of the platform gives roles on the platform."}, a.createRoleBinding)
	register(h, endpoint{ID: "get-role-binding", Method: http.MethodGet, Path: "/v1/role-bindings/{id}", Action: "role-binding.read", Summary: "Read a role binding"}, a.getRoleBinding)
	register(h, endpoint{ID: "delete-role-binding", Method: http.MethodDelete, Path: "/v1/role-bindings/{id}", Action: "role-binding.delete", Summary: "Take a role away"}, a.deleteRoleBinding)
}

func (a *API) listRoleBindings(ctx context.Context, in *roleBindingList) (*ListOutput[RoleBinding], error) {
	who, f := actor(ctx), store.RoleBindingFilter{}
	if in.Tenant != "" {
		t, err := a.visibleTenant(ctx, in.Tenant)
		if err != nil {
			return nil, err
		}
		f.Tenant = &t.ID
	}
	if in.User != "" {
		u, err := store.FindUser(a.store.DB.WithContext(ctx), in.User)
		if err != nil && !models.IsCode(err, models.CodeNotFound) {
			return nil, err
		}
		// A user that there is not is looked for like one without roles that one sees: by an id that nobody has.
		f.User = &u.ID
	}
	filters := []string{"role bindings", in.User, in.Tenant}
	after, err := in.afterID(filters...)
	if err != nil {
		return nil, err
	}
	rows, err := a.store.RoleBindings(ctx, store.ScopeOf(who), who.ID, f, store.Page{After: after, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, rows, store.RoleBinding.Key, wireRoleBinding, filters...), nil
}

func (a *API) createRoleBinding(ctx context.Context, in *roleBindingCreate) (*Resource[RoleBinding], error) {
	if err := fitsPlace(in.Body.Role, in.Body.Tenant); err != nil {
		return nil, err
	}
	c := change(ctx, "role-binding.create")
	c.DryRun, c.Share = in.DryRun.DryRun, true
	answer, err := store.Write(ctx, a.store, c, func(tx store.Tx) (store.Answer[RoleBinding], error) {
		row := store.RoleBinding{RoleBinding: models.RoleBinding{ID: models.NewID(), Role: in.Body.Role}}
		if in.Body.Tenant != "" {
			t, err := a.tenantToBind(ctx, tx, in.Body.Tenant)
			if err != nil {
				return store.Answer[RoleBinding]{}, err
			}
			row.TenantID, row.TenantName, row.Path, row.Frozen = &t.ID, t.FullName, t.Path, t.Frozen
		}
		if err := a.mayBind(ctx, tx.Actor, "role-binding.create", row); err != nil {
			return store.Answer[RoleBinding]{}, err
		}
		u, err := store.FindUser(tx.DB, in.Body.User)
		if err != nil {
			return store.Answer[RoleBinding]{}, err
		}
		if err := stays(u, row); err != nil {
			return store.Answer[RoleBinding]{}, err
		}
		row.ActorID, row.UserName = u.ID, u.Name
		if err := store.CreateRoleBinding(tx.DB, &row.RoleBinding); err != nil {
			return store.Answer[RoleBinding]{}, err
		}
		return store.Created(path("role-bindings/%s", row.ID), wireRoleBinding(row), bindingSubject(row)), nil
	})
	a.tokens.after(err)
	if err != nil {
		return nil, err
	}
	return created(answer, c.DryRun, 0), nil
}

// fitsPlace refuses a role that there is not in that place: on a tenant, or without one on the platform.
func fitsPlace(role models.Role, tenant string) error {
	roles := models.PlatformRoles
	if tenant != "" {
		roles = models.TenantRoles
	}
	if !slices.Contains(roles, role) {
		return invalid("body.role", "must be viewer, member, admin or owner on a tenant, and auditor, operator or admin on the platform")
	}
	return nil
}

// tenantToBind finds a tenant that somebody wants to give something on. What they may not see is refused in the words for
// a tenant that there is not.
func (a *API) tenantToBind(ctx context.Context, tx store.Tx, ref string) (store.Tenant, error) {
	t, err := store.FindTenant(tx.DB, ref)
	if err != nil {
		return t, err
	}
	return t, a.check(ctx, tx.Actor, "tenant.read", t.Resource("tenant"))
}

// mayBind asks for the right to give or take roles there, and for that to give this very role: nobody gives, or takes
// from others, what they do not have themselves.
func (a *API) mayBind(ctx context.Context, who authz.Actor, action string, b store.RoleBinding) error {
	if err := a.check(ctx, who, action, bindingResource(b)); err != nil {
		return err
	}
	return a.check(ctx, who, "role-"+string(b.Role)+".give", bindingResource(b))
}

// stays refuses a service account a role outside of its own tenant: it would not count.
func stays(u models.User, b store.RoleBinding) error {
	if u.TenantID == nil || slices.Contains(b.Path, *u.TenantID) {
		return nil
	}
	return invalid("body.tenant", "must be the service account's own tenant, or one below it")
}

// bindingResource is what a role binding is about, as the policies see it.
func bindingResource(b store.RoleBinding) authz.Resource {
	return authz.Resource{Kind: "role-binding", Path: b.Path, Frozen: b.Frozen}
}

func (a *API) getRoleBinding(ctx context.Context, in *RoleBindingPath) (*Resource[RoleBinding], error) {
	who := actor(ctx)
	b, err := store.FindRoleBinding(a.store.DB.WithContext(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	if b.ActorID != who.ID && !a.authz.Can(who, "role-binding.read", bindingResource(b)) {
		return nil, models.Faultf(models.CodeNotFound, "There is no such role-binding that you can see.")
	}
	return &Resource[RoleBinding]{Body: wireRoleBinding(b)}, nil
}

func (a *API) deleteRoleBinding(ctx context.Context, in *RoleBindingPath) (*struct{}, error) {
	c := change(ctx, "role-binding.delete")
	c.Restructure = true
	_, err := store.Write(ctx, a.store, c, func(tx store.Tx) (store.Answer[struct{}], error) {
		b, err := store.FindRoleBinding(tx.DB, in.ID)
		if err != nil {
			return store.Answer[struct{}]{}, err
		}
		if b.ActorID != tx.Actor.ID && !a.authz.Can(tx.Actor, "role-binding.read", bindingResource(b)) {
			return store.Answer[struct{}]{}, models.Faultf(models.CodeNotFound, "There is no such role-binding that you can see.")
		}
		if err := a.mayBind(ctx, tx.Actor, "role-binding.delete", b); err != nil {
			return store.Answer[struct{}]{}, err
		}
		if b.Group != "" {
			return store.Answer[struct{}]{}, models.Faultf(models.CodeInUse, "The role comes with the group %s at the OpenID provider. Take the user out of the group there, or delete the group binding %s.", b.Group, *b.GroupBindingID)
		}
		return store.Answer[struct{}]{Subject: bindingSubject(b), Detail: wireRoleBinding(b)}, store.DeleteRoleBinding(tx.DB, b)
	})
	a.tokens.after(err)
	return nil, err
}

func bindingSubject(b store.RoleBinding) store.Subject {
	return store.Subject{Kind: "role-binding", ID: b.ID.String(), Name: b.UserName, TenantID: b.TenantID}
}

func wireRoleBinding(b store.RoleBinding) RoleBinding {
	return RoleBinding{ID: b.ID, UserID: b.ActorID, User: b.UserName, Group: b.Group, Role: b.Role, TenantID: b.TenantID, Tenant: b.TenantName, CreatedAt: b.CreatedAt.UTC()}
}
