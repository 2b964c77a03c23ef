package api

import (
	"cmp"
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Assignment makes a maintainer, or a group of them, responsible for a resource.
type Assignment struct {
	ID                models.ID  `json:"id" format:"uuid" doc:"Id of the assignment." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	ResourceKind      string     `json:"resource_kind" enum:"region,rack,group,baremetal,tenant,vm" doc:"Kind of the resource." example:"rack"`
	ResourceID        string     `json:"resource_id" doc:"Id of the resource; of a region its name." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	ResourceName      string     `json:"resource_name" doc:"Name of the resource." example:"r1"`
	TenantID          *models.ID `json:"tenant_id,omitempty" format:"uuid" doc:"Tenant that owns the resource; absent for the platform's own." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	MaintainerID      *models.ID `json:"maintainer_id,omitempty" format:"uuid" doc:"Who is responsible, if it is one person." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6d"`
	Maintainer        string     `json:"maintainer,omitempty" doc:"Name of the maintainer." example:"ada"`
	MaintainerGroupID *models.ID `json:"maintainer_group_id,omitempty" format:"uuid" doc:"Who is responsible, if it is a group." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6e"`
	MaintainerGroup   string     `json:"maintainer_group,omitempty" doc:"Name of the maintainer group." example:"night-shift"`
	Primary           bool       `json:"primary" doc:"Whether this is whom to ask first." example:"true"`
	Stamps
}

type createAssignmentInput struct {
	Idempotent
	DryRun
	Body struct {
		ResourceKind    string `json:"resource_kind" enum:"region,rack,group,baremetal,tenant,vm" doc:"Kind of the resource." example:"rack"`
		Resource        string `json:"resource" minLength:"1" maxLength:"1100" doc:"Id of the resource; of a region its name, of a tenant also its full name." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
		Maintainer      string `json:"maintainer,omitempty" maxLength:"63" doc:"Who shall be responsible, by name or id: a person," example:"ada"`
		MaintainerGroup string `json:"maintainer_group,omitempty" maxLength:"63" doc:"or a group." example:"night-shift"`
		Primary         bool   `json:"primary,omitempty" doc:"Whether to ask them first. The first one assigned always is the primary." example:"true"`
	}
}

// Resolve finds what a schema cannot: a person or a group, and never both.
func (in *createAssignmentInput) Resolve(huma.Context) []error {
	if (in.Body.Maintainer == "") == (in.Body.MaintainerGroup == "") {
		return []error{&huma.ErrorDetail{Location: "body.maintainer", Message: "is needed, or else maintainer_group, and never both"}}
	}
	return nil
}

type updateAssignmentInput struct {
	ByID
	Precondition
	Body struct {
		Primary bool `json:"primary" doc:"Whether this is whom to ask first. To make it another one, change that one." example:"true"`
	}
}

type listAssignmentsInput struct {
	Paging
	ResourceKind    string `query:"resource_kind" enum:"region,rack,group,baremetal,tenant,vm" doc:"Only of resources of this kind." example:"rack"`
	ResourceID      string `query:"resource_id" maxLength:"63" doc:"Only of this resource." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	Maintainer      string `query:"maintainer" maxLength:"63" doc:"Only to this maintainer, by name or id." example:"ada"`
	MaintainerGroup string `query:"maintainer_group" maxLength:"63" doc:"Only to this maintainer group, by name or id." example:"night-shift"`
}

func (a *API) registerAssignments(h huma.API) {
	register(h, endpoint{ID: "create-assignment", Method: http.MethodPost, Path: "/v1/assignments", Action: "assignment.create", Status: http.StatusCreated, Summary: "Make someone responsible",
		Description: "Maintainers may read what they are responsible for and what stands in it, mark its maintenance, and switch its power."}, a.createAssignment)
	register(h, endpoint{ID: "list-assignments", Method: http.MethodGet, Path: "/v1/assignments", Action: "assignment.read", Summary: "List assignments",
		Description: "Those of the tenants that you see, and your own; with a role on the platform, all."}, a.listAssignments)
	register(h, endpoint{ID: "get-assignment", Method: http.MethodGet, Path: "/v1/assignments/{id}", Action: "assignment.read", Summary: "Show an assignment"}, a.getAssignment)
	register(h, endpoint{ID: "update-assignment", Method: http.MethodPatch, Path: "/v1/assignments/{id}", Action: "assignment.update", Summary: "Choose the primary"}, a.updateAssignment)
	register(h, endpoint{ID: "delete-assignment", Method: http.MethodDelete, Path: "/v1/assignments/{id}", Action: "assignment.delete", Status: http.StatusNoContent, Summary: "End a responsibility",
		Description: "Their rights on the resource end at once. After the primary, the one who has been responsible longest is it."}, a.deleteAssignment)
}

func (a *API) createAssignment(ctx context.Context, in *createAssignmentInput) (*Resource[Assignment], error) {
	c := trial(change(ctx, "assignment.create"), in.DryRun)
	answer, err := store.Write(ctx, a.store, c, func(tx store.Tx) (none store.Answer[Assignment], err error) {
		on, err := a.assignable(ctx, tx, in.Body.ResourceKind, in.Body.Resource)
		if err != nil {
			return none, err
		}
		row := models.Assignment{ID: models.NewID(), ResourceKind: on.Kind, ResourceID: on.ID, TenantID: on.TenantID, Primary: in.Body.Primary}
		if row.MaintainerID, row.MaintainerGroupID, err = assignee(tx.DB, in.Body.Maintainer, in.Body.MaintainerGroup); err != nil {
			return none, err
		}
		if err := store.CreateAssignment(tx.DB, &row); err != nil {
			return none, err
		}
		view, err := store.FindAssignment(tx.DB, row.ID)
		return store.Created(path("assignments/%s", row.ID), assignment(view), assignmentSubject(view)), err
	})
	if err != nil {
		return nil, err
	}
	return created(answer, c.DryRun, answer.Body.Version), nil
}

// assignable finds the resource of a new assignment, if the actor may assign it, and keeps it. Who may not does not learn
// which there are.
func (a *API) assignable(ctx context.Context, tx store.Tx, kind, ref string) (store.Assigned, error) {
	on, err := store.FindAssigned(tx.DB, kind, ref)
	if err != nil && !models.IsCode(err, models.CodeNotFound) {
		return on, err
	}
	if denied := a.mayChange(ctx, tx, "assignment.create", on.Resource(), ref); denied != nil || err != nil {
		return on, cmp.Or(denied, err)
	}
	return on, store.HoldAssigned(tx.DB, on)
}

// assignee finds who shall be responsible.
func assignee(tx *gorm.DB, person, group string) (*models.ID, *models.ID, error) {
	if person != "" {
		m, err := store.FindMaintainer(tx, person)
		if models.IsCode(err, models.CodeNotFound) {
			err = invalid("body.maintainer", "there is no such maintainer")
		}
		return &m.ID, nil, err
	}
	g, err := store.FindMaintainerGroup(tx, group)
	if models.IsCode(err, models.CodeNotFound) {
		err = invalid("body.maintainer_group", "there is no such maintainer group")
	}
	return nil, &g.ID, err
}

func (a *API) listAssignments(ctx context.Context, in *listAssignmentsInput) (*ListOutput[Assignment], error) {
	filters := []string{"assignments", in.ResourceKind, in.ResourceID, in.Maintainer, in.MaintainerGroup}
	page, err := afterOrNone(in.Paging, filters...)
	if err != nil {
		return nil, err
	}
	f := store.AssignmentFilter{Kind: in.ResourceKind, Resource: in.ResourceID, IDPage: page}
	db := a.store.DB.WithContext(ctx)
	if in.Maintainer != "" {
		m, err := store.FindMaintainer(db, in.Maintainer)
		if err != nil {
			return nil, err
		}
		f.Maintainer = &m.ID
	}
	if in.MaintainerGroup != "" {
		g, err := store.FindMaintainerGroup(db, in.MaintainerGroup)
		if err != nil {
			return nil, err
		}
		f.MaintainerGroup = &g.ID
	}
	who := actor(ctx)
	rows, err := a.store.Assignments(ctx, store.ScopeOf(who), who.Answerable(), f)
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, rows, func(s store.Assignment) string { return s.ID.String() }, assignment, filters...), nil
}

func (a *API) getAssignment(ctx context.Context, in *ByID) (*Resource[Assignment], error) {
	row, err := a.visibleAssignment(ctx, a.store.DB.WithContext(ctx), actor(ctx), in.ID, "assignment.read")
	if err != nil {
		return nil, err
	}
	return seen(assignment(row), row.Version)
}

// visibleAssignment finds an assignment that the actor may do this to. One who may not read it does not learn that there
// is one.
func (a *API) visibleAssignment(ctx context.Context, db *gorm.DB, who authz.Actor, id models.ID, action string) (store.Assignment, error) {
	row, err := store.FindAssignment(db, id)
	r := authz.Resource{Kind: "assignment", Path: row.Path}
	switch {
	case models.IsCode(err, models.CodeNotFound):
		r.Path = authz.Nowhere
	case err != nil:
		return row, err
	}
	if !a.authz.Can(who, "assignment.read", r) {
		var asked error
		if r.Maintained, asked = store.IsOwnAssignment(db, who.Answerable(), id); asked != nil {
			return row, asked
		}
		if !r.Maintained {
			return row, models.Faultf(models.CodeNotFound, "There is no such assignment that you can see.")
		}
	}
	return row, cmp.Or(err, a.check(ctx, who, action, r))
}

// lockAssignment authorises a change of an assignment and holds it until the end.
func (a *API) lockAssignment(ctx context.Context, tx store.Tx, id models.ID, action string, p Precondition) (store.Assignment, error) {
	if row, err := a.visibleAssignment(ctx, tx.DB, tx.Actor, id, action); err != nil {
		return row, err
	}
	row, err := store.LockAssignment(tx.DB, id)
	if err != nil {
		return row, err
	}
	return row, p.holds(row.Version)
}

func (a *API) updateAssignment(ctx context.Context, in *updateAssignmentInput) (*Resource[Assignment], error) {
	answer, err := store.Write(ctx, a.store, change(ctx, "assignment.update"), func(tx store.Tx) (none store.Answer[Assignment], err error) {
		row, err := a.lockAssignment(ctx, tx, in.ID, "assignment.update", in.Precondition)
		if err != nil {
			return none, err
		}
		if row.Primary && !in.Body.Primary {
			return none, models.Faultf(models.CodeWrongState, "Someone has to be the primary of %s %s. Make another one the primary instead.", row.ResourceKind, row.ResourceName)
		}
		if !row.Primary && in.Body.Primary {
			if err := store.MakePrimary(tx.DB, row.Assignment); err != nil {
				return none, err
			}
		}
		view, err := store.FindAssignment(tx.DB, row.ID)
		return store.Changed(assignment(view), assignmentSubject(view)), err
	})
	if err != nil {
		return nil, err
	}
	return seen(answer.Body, answer.Body.Version)
}

func (a *API) deleteAssignment(ctx context.Context, in *deleteInput) (*struct{}, error) {
	_, err := store.Write(ctx, a.store, change(ctx, "assignment.delete"), func(tx store.Tx) (store.Answer[struct{}], error) {
		row, err := a.lockAssignment(ctx, tx, in.ID, "assignment.delete", in.Precondition)
		if err != nil {
			return store.Answer[struct{}]{}, err
		}
		return store.Answer[struct{}]{Subject: assignmentSubject(row), Detail: assignment(row)}, store.DeleteAssignment(tx.DB, row.Assignment)
	})
	return nil, err
}

func assignmentSubject(s store.Assignment) store.Subject {
	return store.Subject{Kind: "assignment", ID: s.ID.String(), Name: s.ResourceName, TenantID: s.TenantID}
}

func assignment(s store.Assignment) Assignment {
	return Assignment{ID: s.ID, ResourceKind: s.ResourceKind, ResourceID: s.ResourceID, ResourceName: s.ResourceName, TenantID: s.TenantID,
		MaintainerID: s.MaintainerID, Maintainer: text(s.Maintainer), MaintainerGroupID: s.MaintainerGroupID, MaintainerGroup: text(s.MaintainerGroup),
		Primary: s.Primary, Stamps: stamps(s.Stamps)}
}
