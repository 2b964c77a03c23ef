package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Group is an elastic set of baremetals, the scope of a quota and of placement.
type Group struct {
	ID           models.ID     `json:"id" format:"uuid" doc:"Id of the group." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Region       string        `json:"region" doc:"Where its hosts are." example:"tw"`
	Name         string        `json:"name" doc:"Name, unique in its region." example:"general"`
	Description  string        `json:"description" doc:"What it is for." example:"For everyone"`
	Policy       models.Policy `json:"policy" enum:"spread,pack" doc:"Whether machines go to the emptiest host, or to the fullest that fits." example:"spread"`
	VCPURatio    float64       `json:"vcpu_ratio" doc:"How much of a host's processors may be promised." example:"4"`
	MemoryRatio  float64       `json:"memory_ratio" doc:"How much of a host's memory may be promised." example:"1"`
	StorageRatio float64       `json:"storage_ratio" doc:"How much of a host's storage may be promised." example:"1"`
	Rule         string        `json:"rule" doc:"Which machines join it by themselves: an expression over their facts. Empty: none do." example:"gpu.model == \"H100\" and rack in [\"tw-r01\", \"tw-r02\"]"`
	HealthPolicy string        `json:"health_policy" enum:"stop,report" doc:"What a machine whose health is critical means: it gets no new work, or that is only reported." example:"stop"`
	Capacity     Capacity      `json:"capacity" doc:"The room of its hosts."`
	Machines     GroupMachines `json:"machines" doc:"Its machines, hosts or not."`
	Membership   *Membership   `json:"membership,omitempty" doc:"Who joined and left by this change, or would; only in its answer."`
	Stamps
}

// Capacity is the room of a set of hosts.
type Capacity struct {
	Hosts     int64 `json:"hosts" doc:"How many hosts there are." example:"24"`
	Placeable int64 `json:"placeable" doc:"How many of them take new machines." example:"22"`
	Total     Size  `json:"total" doc:"What may be promised."`
	Allocated Size  `json:"allocated" doc:"What was promised of it."`
	Free      Size  `json:"free" doc:"What is left of it; negative where more was promised than the ratios allow now."`
}

// Ratios are bounded like the database bounds them.
type createGroupInput struct {
	Idempotent
	DryRun
	Body struct {
		Region       string        `json:"region" minLength:"1" maxLength:"63" doc:"Where its hosts are." example:"tw"`
		Name         string        `json:"name" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a DNS label" doc:"Name, unique in its region." example:"general"`
		Description  string        `json:"description,omitempty" maxLength:"1000" doc:"What it is for." example:"For everyone"`
		Policy       models.Policy `json:"policy,omitempty" enum:"spread,pack" default:"spread" doc:"Whether machines go to the emptiest host, or to the fullest that fits." example:"spread"`
		VCPURatio    float64       `json:"vcpu_ratio,omitempty" minimum:"0.1" maximum:"64" default:"1" doc:"How much of a host's processors may be promised." example:"4"`
		MemoryRatio  float64       `json:"memory_ratio,omitempty" minimum:"0.1" maximum:"64" default:"1" doc:"How much of a host's memory may be promised." example:"1"`
		StorageRatio float64       `json:"storage_ratio,omitempty" minimum:"0.1" maximum:"64" default:"1" doc:"How much of a host's storage may be promised." example:"1"`
		Rule         string        `json:"rule,omitempty" maxLength:"2000" doc:"Which machines join it by themselves; see docs/baremetal-groups.md." example:"gpu.count > 0 and health != \"critical\""`
		HealthPolicy string        `json:"health_policy,omitempty" enum:"stop,report" default:"stop" doc:"Whether a machine whose health is critical gets no new work, or that is only reported." example:"stop"`
	}
}

type listGroupsInput struct {
	Paging
	Region string `query:"region" maxLength:"63" doc:"Only of this region." example:"tw"`
	Name   string `query:"name" maxLength:"63" doc:"Only with this name." example:"general"`
}

type updateGroupInput struct {
	ByID
	Precondition
	Preview bool `query:"dry_run" doc:"Check everything, answer what the group would be and who would join and leave it, and change nothing."`
	Body    struct {
		Description  *string        `json:"description,omitempty" maxLength:"1000" doc:"What it is for." example:"For everyone"`
		Policy       *models.Policy `json:"policy,omitempty" enum:"spread,pack" doc:"Whether machines go to the emptiest host, or to the fullest that fits." example:"pack"`
		VCPURatio    *float64       `json:"vcpu_ratio,omitempty" minimum:"0.1" maximum:"64" doc:"How much of a host's processors may be promised." example:"4"`
		MemoryRatio  *float64       `json:"memory_ratio,omitempty" minimum:"0.1" maximum:"64" doc:"How much of a host's memory may be promised." example:"1"`
		StorageRatio *float64       `json:"storage_ratio,omitempty" minimum:"0.1" maximum:"64" doc:"How much of a host's storage may be promised." example:"1"`
		Rule         *string        `json:"rule,omitempty" maxLength:"2000" doc:"Which machines join it by themselves; empty for none." example:"gpu.count > 0"`
		HealthPolicy *string        `json:"health_policy,omitempty" enum:"stop,report" doc:"Whether a machine whose health is critical gets no new work, or that is only reported." example:"report"`
	}
}

func (a *API) registerGroups(h huma.API) {
	register(h, endpoint{ID: "create-group", Method: http.MethodPost, Path: "/v1/groups", Action: "group.create", Status: http.StatusCreated, Summary: "Add a group",
		Description: "Adds a group. Baremetals join it by a change of their own, or by its rule."}, a.createGroup)
	register(h, endpoint{ID: "list-groups", Method: http.MethodGet, Path: "/v1/groups", Action: "group.read", Summary: "List groups"}, a.listGroups)
	register(h, endpoint{ID: "get-group", Method: http.MethodGet, Path: "/v1/groups/{id}", Action: "group.read", Summary: "Show a group and its capacity"}, a.getGroup)
	register(h, endpoint{ID: "update-group", Method: http.MethodPatch, Path: "/v1/groups/{id}", Action: "group.update", Summary: "Change a group",
		Description: "Changes the given fields. Ratios that promise less than is taken leave hosts without room; no VM is moved. With another rule, machines join and leave at once, but for those that are in use."}, a.updateGroup)
	register(h, endpoint{ID: "delete-group", Method: http.MethodDelete, Path: "/v1/groups/{id}", Action: "group.delete", Status: http.StatusNoContent,
		Summary: "Remove a group", Description: "Removes a group without hosts, machines and quotas."}, a.deleteGroup)
}

func (a *API) createGroup(ctx context.Context, in *createGroupInput) (*Resource[Group], error) {
	b := in.Body
	g := models.Group{ID: models.NewID(), Region: b.Region, Name: b.Name, Description: b.Description, Policy: b.Policy,
		VCPURatio: b.VCPURatio, MemoryRatio: b.MemoryRatio, StorageRatio: b.StorageRatio, Rule: b.Rule, HealthPolicy: b.HealthPolicy}
	if err := understood(g.Rule); err != nil {
		return nil, err
	}
	answer, err := platformWrite(ctx, a, restructure(trial(change(ctx, "group.create"), in.DryRun)), func(tx *gorm.DB) (store.Answer[Group], error) {
		if err := regionExists(tx, b.Region); err != nil {
			return store.Answer[Group]{}, err
		}
		if err := store.CreateGroup(tx, &g); err != nil {
			return store.Answer[Group]{}, err
		}
		view, err := regrouped(tx, g, g.Rule != "")
		return store.Created(path("groups/%s", g.ID), view, subject("group", g.ID, g.Name)), err
	})
	if err != nil {
		return nil, err
	}
	return created(answer, in.DryRun.DryRun, answer.Body.Version), nil
}

func (a *API) listGroups(ctx context.Context, in *listGroupsInput) (*ListOutput[Group], error) {
	filters := []string{in.Region, in.Name}
	page, err := afterOrNone(in.Paging, filters...)
	if err != nil {
		return nil, err
	}
	if err := a.mayRead(ctx, "group"); err != nil {
		return nil, err
	}
	groups, err := a.store.Groups(ctx, store.GroupFilter{Region: in.Region, Name: in.Name, IDPage: page})
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, groups, func(g store.Group) string { return g.ID.String() }, group, filters...), nil
}

func (a *API) getGroup(ctx context.Context, in *ByID) (*Resource[Group], error) {
	if err := a.mayRead(ctx, "group"); err != nil {
		return nil, err
	}
	g, err := a.store.Group(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return seen(group(g), g.Version)
}

func (a *API) updateGroup(ctx context.Context, in *updateGroupInput) (*Resource[Group], error) {
	if in.Body.Rule != nil {
		if err := understood(*in.Body.Rule); err != nil {
			return nil, err
		}
	}
	c := restructure(change(ctx, "group.update"))
	c.DryRun = in.Preview
	answer, err := platformWrite(ctx, a, c, func(tx *gorm.DB) (store.Answer[Group], error) {
		var none store.Answer[Group]
		g, err := store.GroupByID(tx, in.ID)
		if err != nil {
			return none, err
		}
		if err := in.holds(g.Version); err != nil {
			return none, err
		}
		set(&g.Description, in.Body.Description)
		set(&g.Policy, in.Body.Policy)
		set(&g.VCPURatio, in.Body.VCPURatio)
		set(&g.MemoryRatio, in.Body.MemoryRatio)
		set(&g.StorageRatio, in.Body.StorageRatio)
		set(&g.Rule, in.Body.Rule)
		set(&g.HealthPolicy, in.Body.HealthPolicy)
		if err := store.UpdateGroup(tx, g.Group); err != nil {
			return none, err
		}
		view, err := regrouped(tx, g.Group, in.Body.Rule != nil)
		return store.Changed(view, subject("group", g.ID, g.Name)), err
	})
	if err != nil {
		return nil, err
	}
	if c.DryRun {
		return &Resource[Group]{Body: answer.Body}, nil
	}
	return seen(answer.Body, answer.Body.Version)
}

func (a *API) deleteGroup(ctx context.Context, in *deleteInput) (*struct{}, error) {
	_, err := platformWrite(ctx, a, restructure(change(ctx, "group.delete")), func(tx *gorm.DB) (store.Answer[struct{}], error) {
		g, err := store.GroupByID(tx, in.ID)
		if err == nil {
			err = in.holds(g.Version)
		}
		if err == nil {
			err = store.DeleteGroup(tx, g.Group)
		}
		return removed("group", g.ID, g.Name), err
	})
	return nil, err
}

func group(g store.Group) Group {
	return Group{ID: g.ID, Region: g.Region, Name: g.Name, Description: g.Description, Policy: g.Policy,
		VCPURatio: g.VCPURatio, MemoryRatio: g.MemoryRatio, StorageRatio: g.StorageRatio, Rule: g.Rule, HealthPolicy: g.HealthPolicy,
		Capacity: Capacity{Hosts: g.Hosts, Placeable: g.Placeable, Total: Size(g.Total), Allocated: Size(g.Total.Sub(g.Free)), Free: Size(g.Free)},
		Machines: groupMachines(g.Machines), Stamps: stamps(g.Stamps)}
}
