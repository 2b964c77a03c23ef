package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Responsible answers "who is responsible for this?".
type Responsible struct {
	ResourceKind string            `json:"resource_kind" enum:"region,rack,group,baremetal,tenant,vm" doc:"Kind of the resource." example:"baremetal"`
	ResourceID   string            `json:"resource_id" doc:"Id of the resource; of a region its name." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	ResourceName string            `json:"resource_name" doc:"Name of the resource." example:"esx-01"`
	Through      []ResponsibleLink `json:"through" doc:"Who is responsible for the resource itself, and then for what it stands in, the nearest first. Empty if nobody is."`
}

// ResponsibleLink is one link of the chain from a resource up to what it stands in, with those responsible for it.
type ResponsibleLink struct {
	ResourceKind string    `json:"resource_kind" enum:"region,rack,group,baremetal,tenant,vm" doc:"Kind of what they are assigned to." example:"rack"`
	ResourceID   string    `json:"resource_id" doc:"Its id; of a region its name." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	ResourceName string    `json:"resource_name" doc:"Its name." example:"r1"`
	People       []Contact `json:"people" doc:"Whom to ask, the primary first."`
}

// Contact is a person to turn to.
type Contact struct {
	Maintainer      string `json:"maintainer" doc:"Name of the maintainer." example:"ada"`
	DisplayName     string `json:"display_name" doc:"Name for people." example:"Ada Lovelace"`
	Email           string `json:"email" doc:"Where to write to." example:"ada@example.com"`
	Phone           string `json:"phone" doc:"Where to call." example:"+886 2 5550 0100"`
	Chat            string `json:"chat" doc:"Where to chat." example:"@ada"`
	MaintainerGroup string `json:"maintainer_group,omitempty" doc:"The group through which they are responsible." example:"night-shift"`
	Primary         bool   `json:"primary" doc:"Whether they, or their group, are whom to ask first." example:"true"`
}

// Assignable is a resource that someone can be responsible for.
type Assignable struct {
	ResourceKind string     `json:"resource_kind" enum:"region,rack,group,baremetal,tenant,vm" doc:"Kind of the resource." example:"baremetal"`
	ResourceID   string     `json:"resource_id" doc:"Id of the resource; of a region its name." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	ResourceName string     `json:"resource_name" doc:"Name of the resource; of a tenant its full name." example:"esx-01"`
	Region       string     `json:"region,omitempty" doc:"Where it is." example:"tw"`
	TenantID     *models.ID `json:"tenant_id,omitempty" format:"uuid" doc:"Tenant that owns it; absent for the platform's own." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
}

// Responsibility is a resource that you are responsible for.
type Responsibility struct {
	Assignable
	AssignmentID    models.ID `json:"assignment_id" format:"uuid" doc:"The assignment by which you are." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6d"`
	ThroughKind     string    `json:"through_kind" enum:"region,rack,group,baremetal,tenant,vm" doc:"Kind of what you are assigned to: the resource itself, or what it stands in." example:"rack"`
	ThroughID       string    `json:"through_id" doc:"Its id; of a region its name." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6e"`
	Through         string    `json:"through" doc:"Its name." example:"r1"`
	MaintainerGroup string    `json:"maintainer_group,omitempty" doc:"The group through which you are." example:"night-shift"`
	Primary         bool      `json:"primary" doc:"Whether you, or your group, are whom to ask first." example:"true"`
}

type responsibleInRegion struct {
	Name string `path:"name" maxLength:"63" doc:"Name of the region." example:"tw"`
}

// OfKind chooses a kind of resources. Embed it.
type OfKind struct {
	ResourceKind string `query:"resource_kind" enum:"region,rack,group,baremetal,tenant,vm" default:"baremetal" doc:"The kind of resources." example:"baremetal"`
}

type listUnmaintainedInput struct {
	Paging
	OfKind
	Region string `query:"region" maxLength:"63" doc:"Only of this region." example:"tw"`
}

type listResponsibilitiesInput struct {
	Paging
	OfKind
}

func (a *API) registerResponsibility(h huma.API) {
	const summary = "Who is responsible for it?"
	about := "Everyone who is responsible for the resource itself, and then for what it stands in: a baremetal's group, rack and region; a vm's tenant, and the tenants above."
	register(h, endpoint{ID: "get-responsible-region", Method: http.MethodGet, Path: "/v1/regions/{name}/responsible", Action: "region.read", Summary: summary, Description: about},
		func(ctx context.Context, in *responsibleInRegion) (*Resource[Responsible], error) {
			return a.responsible(ctx, "region", in.Name)
		})
	for _, kind := range []string{"rack", "group", "baremetal", "tenant", "vm"} {
		register(h, endpoint{ID: "get-responsible-" + kind, Method: http.MethodGet, Path: "/v1/" + kind + "s/{id}/responsible", Action: kind + ".read", Summary: summary, Description: about},
			func(ctx context.Context, in *ByID) (*Resource[Responsible], error) {
				return a.responsible(ctx, kind, in.ID.String())
			})
	}
	register(h, endpoint{ID: "list-unmaintained-resources", Method: http.MethodGet, Path: "/v1/unmaintained-resources", Action: "assignment.read", Summary: "List resources without a maintainer",
		Description: "Resources of one kind for which nobody is responsible: neither for itself, nor for anything that it stands in."}, a.listUnmaintained)
	register(h, endpoint{ID: "list-my-responsibilities", Method: http.MethodGet, Path: "/v1/me/responsibilities", Action: "me.read", Summary: "What am I responsible for?",
		Description: "Resources of one kind that you maintain, by an assignment of their own or of what they stand in, yourself or through a maintainer group."}, a.listResponsibilities)
}

// visibleAssigned finds a resource that the request's actor may read, by a role or because they maintain it.
func (a *API) visibleAssigned(ctx context.Context, kind, ref string) (store.Assigned, authz.Resource, error) {
	found, err := store.FindAssigned(a.store.DB.WithContext(ctx), kind, ref)
	missing := models.IsCode(err, models.CodeNotFound)
	if err != nil && !missing {
		return found, authz.Resource{}, err
	}
	r := found.Resource()
	r.Kind = kind
	ours := kind != "tenant" && kind != "vm"
	if missing && !ours {
		return found, r, err
	}
	r, denied := a.checkOn(ctx, kind+".read", r, ref)
	if denied != nil {
		return found, r, denied
	}
	return found, r, err
}

// checkOn asks for a right on one resource: by the actor's roles and, where these say no, by whether they maintain it.
// It returns the resource as it was decided on.
func (a *API) checkOn(ctx context.Context, action string, r authz.Resource, ref string) (authz.Resource, error) {
	return a.checkMaintained(ctx, action, r, a.maintains(ctx, r.Kind, ref))
}

// maintaining tells whether the actor is a maintainer of a resource.
type maintaining func() (bool, error)

// maintains asks the database once, and only when somebody wants to know.
func (a *API) maintains(ctx context.Context, kind, ref string) maintaining {
	return sync.OnceValues(func() (bool, error) { return a.store.Maintains(ctx, actor(ctx).ID, kind, ref) })
}

func (a *API) checkMaintained(ctx context.Context, action string, r authz.Resource, maintains maintaining) (authz.Resource, error) {
	who := actor(ctx)
	err := a.check(ctx, who, action, r)
	if err == nil {
		return r, nil
	}
	maintained, asked := maintains()
	if asked != nil || !maintained {
		return r, cmp.Or(asked, err)
	}
	r.Maintained = true
	return r, a.check(ctx, who, action, r)
}

// mayChange is checkOn within the transaction of a change.
func (a *API) mayChange(ctx context.Context, tx store.Tx, action string, r authz.Resource, ref string) (err error) {
	denied := a.check(ctx, tx.Actor, action, r)
	if denied == nil {
		return nil
	}
	if r.Maintained, err = store.Maintains(tx.DB, tx.Actor.ID, r.Kind, ref); err != nil || !r.Maintained {
		return cmp.Or(err, denied)
	}
	return a.check(ctx, tx.Actor, action, r)
}

func (a *API) responsible(ctx context.Context, kind, ref string) (*Resource[Responsible], error) {
	on, _, err := a.visibleAssigned(ctx, kind, ref)
	if err != nil {
		return nil, err
	}
	people, err := a.store.ResponsibleFor(ctx, on)
	if err != nil {
		return nil, err
	}
	out := Responsible{ResourceKind: on.Kind, ResourceID: on.ID, ResourceName: on.Name, Through: []ResponsibleLink{}}
	link := 0
	for _, p := range people {
		if p.Link != link {
			link = p.Link
			out.Through = append(out.Through, ResponsibleLink{ResourceKind: p.Kind, ResourceID: p.ID, ResourceName: p.Name})
		}
		last := &out.Through[len(out.Through)-1]
		last.People = append(last.People, Contact{Maintainer: p.Maintainer, DisplayName: p.DisplayName, Email: p.Email, Phone: p.Phone, Chat: p.Chat,
			MaintainerGroup: text(p.MaintainerGroup), Primary: p.Primary})
	}
	return &Resource[Responsible]{Body: out}, nil
}

func (a *API) listUnmaintained(ctx context.Context, in *listUnmaintainedInput) (*ListOutput[Assignable], error) {
	who, kind := actor(ctx), in.ResourceKind
	if kind != "tenant" && kind != "vm" {
		if err := a.check(ctx, who, "assignment.read", authz.Resource{Kind: kind}); err != nil {
			return nil, err
		}
	}
	filters := []string{"unmaintained", kind, in.Region}
	after, err := in.afterKind(kind, in.Paging, filters)
	if err != nil {
		return nil, err
	}
	rows, err := a.store.Unmaintained(ctx, store.ScopeOf(who), store.UnmaintainedFilter{Kind: kind, Region: in.Region, After: after, Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, rows, func(r store.Assigned) string { return r.ID }, assignableResource, filters...), nil
}

// afterKind is the key that a page of resources of a kind begins behind.
func (OfKind) afterKind(kind string, p Paging, filters []string) (string, error) {
	if kind == "region" {
		return p.after(filters...)
	}
	return p.afterID(filters...)
}

func assignableResource(r store.Assigned) Assignable {
	return Assignable{ResourceKind: r.Kind, ResourceID: r.ID, ResourceName: r.Name, Region: r.Region, TenantID: r.TenantID}
}

func (a *API) listResponsibilities(ctx context.Context, in *listResponsibilitiesInput) (*ListOutput[Responsibility], error) {
	who := actor(ctx)
	filters := []string{"responsibilities", who.ID.String(), in.ResourceKind}
	after, err := in.afterKind(in.ResourceKind, in.Paging, filters)
	if err != nil {
		return nil, err
	}
	rows, err := a.store.Responsibilities(ctx, who.ID, in.ResourceKind, after, in.Limit+1)
	if err != nil {
		return nil, fmt.Errorf("answer what %s maintains: %w", who.Name, err)
	}
	return pageOf(in.Paging, rows, func(r store.Responsibility) string { return r.ID }, responsibility, filters...), nil
}

func responsibility(r store.Responsibility) Responsibility {
	return Responsibility{Assignable: assignableResource(r.Assigned), AssignmentID: r.AssignmentID, ThroughKind: r.ThroughKind, ThroughID: r.ThroughID,
		Through: r.ThroughName, MaintainerGroup: text(r.Group), Primary: r.Primary}
}
