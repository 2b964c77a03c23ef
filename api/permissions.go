package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
)

// Permissions answers "may I?" and "why not?" for every action in one place.
type Permissions struct {
	ResourceKind string       `json:"resource_kind,omitempty" doc:"Kind of the resource that was asked about; absent for the platform." example:"vm"`
	ResourceID   string       `json:"resource_id,omitempty" doc:"Its id; of a region its name." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	ResourceName string       `json:"resource_name,omitempty" doc:"Its name." example:"web-1"`
	Permissions  []Permission `json:"permissions" doc:"Every action there, by name."`
}

// Permission says whether you may do one thing, and why or why not.
type Permission struct {
	Action  string `json:"action" doc:"The action, which is also what the right is called." example:"vm.power"`
	Allowed bool   `json:"allowed" doc:"Whether you may." example:"false"`
	Why     string `json:"why" doc:"What gives you the right; or that you lack it, and which roles have it." example:"You have the role member on the tenant, or on one above it."`
}

type permissionsInput struct {
	ResourceKind string `query:"resource_kind" enum:"region,rack,group,baremetal,tenant,vm" doc:"Ask about a resource of this kind, together with resource." example:"vm"`
	Resource     string `query:"resource" maxLength:"1100" doc:"The resource, by its id; a region by its name, a tenant also by its full name." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	Tenant       string `query:"tenant" maxLength:"1100" doc:"Ask about a tenant and everything that it owns, by full name or id." example:"acme/dev"`
	Action       string `query:"action" maxLength:"63" doc:"Only about this action." example:"vm.power"`
}

// Resolve finds what a schema cannot: one place to ask about.
func (in *permissionsInput) Resolve(huma.Context) []error {
	switch {
	case (in.ResourceKind == "") != (in.Resource == ""):
		return []error{&huma.ErrorDetail{Location: "query.resource", Message: "resource_kind and resource are given together, or neither"}}
	case in.Resource != "" && in.Tenant != "":
		return []error{&huma.ErrorDetail{Location: "query.tenant", Message: "must be absent where a resource is named"}}
	}
	return nil
}

func (a *API) registerPermissions(h huma.API) {
	register(h, endpoint{ID: "get-my-permissions", Method: http.MethodGet, Path: "/v1/me/permissions", Action: "me.read", Summary: "What may I do, and why not?",
		Description: "Answers for every action on a resource, on a tenant and everything that it owns, or on the platform. For what you may not see it answers 404, as for what there is not."}, a.getPermissions)
}

func (a *API) getPermissions(ctx context.Context, in *permissionsInput) (*Resource[Permissions], error) {
	kind, ref := in.ResourceKind, in.Resource
	if in.Tenant != "" {
		kind, ref = "tenant", in.Tenant
	}
	out, r := Permissions{Permissions: []Permission{}}, authz.Resource{}
	if kind != "" {
		var on store.Assigned
		var err error
		if on, r, err = a.visibleAssigned(ctx, kind, ref); err != nil {
			return nil, err
		}
		if r, err = a.asMaintainer(ctx, r, on); err != nil {
			return nil, err
		}
		out.ResourceKind, out.ResourceID, out.ResourceName = on.Kind, on.ID, on.Name
	}
	above, err := a.above(ctx, r)
	if err != nil {
		return nil, err
	}
	who := actor(ctx)
	for _, action := range authz.Actions() {
		if in.Action != "" && action != in.Action || !concerns(action, kind) {
			continue
		}
		e := a.authz.Explain(who, action, decidedOn(action, r, above))
		out.Permissions = append(out.Permissions, Permission{Action: action, Allowed: e.Allowed, Why: e.Why})
	}
	if in.Action != "" && len(out.Permissions) == 0 {
		return nil, invalid("query.action", "is not an action there")
	}
	return &Resource[Permissions]{Body: out}, nil
}

// asMaintainer is a resource with whether the actor maintains it.
func (a *API) asMaintainer(ctx context.Context, r authz.Resource, on store.Assigned) (out authz.Resource, err error) {
	r.Maintained, err = a.store.Maintains(ctx, actor(ctx).Answerable(), on.Kind, on.ID)
	return r, err
}

// concerns reports whether an action is about resources of a kind. Everything can be about a tenant, or the platform.
func concerns(action, kind string) bool {
	of, _, _ := strings.Cut(action, ".")
	return kind == "" || kind == "tenant" || of == kind || of == "assignment"
}

// decidedAbove are the actions on a tenant that take the right on what is above it: see checkAbove.
var decidedAbove = []string{"tenant.delete", "tenant.move", "tenant.suspend", "quota.update"}

// above is what is above a tenant, as the policies see it.
func (a *API) above(ctx context.Context, r authz.Resource) (out authz.Resource, err error) {
	if r.Kind != "tenant" {
		return out, nil
	}
	out = authz.Resource{Kind: "tenant", Path: r.Path[:len(r.Path)-1]}
	out.Frozen, err = store.FrozenAbove(a.store.DB.WithContext(ctx), r.Path[len(r.Path)-1])
	return out, err
}

// decidedOn is the resource that the right for an action is asked on.
func decidedOn(action string, r, above authz.Resource) authz.Resource {
	if r.Kind == "tenant" && slices.Contains(decidedAbove, action) {
		return above
	}
	return r
}
