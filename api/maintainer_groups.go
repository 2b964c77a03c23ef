package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// MaintainerGroup is a set of maintainers who look after things together.
type MaintainerGroup struct {
	ID          models.ID `json:"id" format:"uuid" doc:"Id of the maintainer group." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Name        string    `json:"name" doc:"Name, unique." example:"night-shift"`
	Description string    `json:"description" doc:"What it is for." example:"On call from 22 to 6"`
	Members     []string  `json:"members" doc:"Names of its maintainers." example:"[\"ada\"]"`
	Stamps
}

type createMaintainerGroupInput struct {
	Idempotent
	DryRun
	Body struct {
		Name        string   `json:"name" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a DNS label" doc:"Name, unique." example:"night-shift"`
		Description string   `json:"description,omitempty" maxLength:"1000" doc:"What it is for." example:"On call from 22 to 6"`
		Members     []string `json:"members,omitempty" maxItems:"1000" doc:"Its maintainers, by name or id." example:"[\"ada\"]"`
	}
}

type updateMaintainerGroupInput struct {
	ByID
	Precondition
	Body struct {
		Description *string   `json:"description,omitempty" maxLength:"1000" doc:"What it is for." example:"On call from 22 to 6"`
		Members     *[]string `json:"members,omitempty" maxItems:"1000" doc:"All its maintainers, by name or id." example:"[\"ada\"]"`
	}
}

type listMaintainerGroupsInput struct {
	Paging
	Name string `query:"name" maxLength:"63" doc:"Only with this name." example:"night-shift"`
}

func (a *API) registerMaintainerGroups(h huma.API) {
	register(h, endpoint{ID: "create-maintainer-group", Method: http.MethodPost, Path: "/v1/maintainer-groups", Action: "maintainer-group.create", Status: http.StatusCreated,
		Summary: "Add a maintainer group"}, a.createMaintainerGroup)
	register(h, endpoint{ID: "list-maintainer-groups", Method: http.MethodGet, Path: "/v1/maintainer-groups", Action: "maintainer-group.read", Summary: "List maintainer groups"}, a.listMaintainerGroups)
	register(h, endpoint{ID: "get-maintainer-group", Method: http.MethodGet, Path: "/v1/maintainer-groups/{id}", Action: "maintainer-group.read", Summary: "Show a maintainer group"}, a.getMaintainerGroup)
	register(h, endpoint{ID: "update-maintainer-group", Method: http.MethodPatch, Path: "/v1/maintainer-groups/{id}", Action: "maintainer-group.update", Summary: "Change a maintainer group",
		Description: "Changes the given fields. Members are all that the group shall have; who leaves it loses the rights that it gave."}, a.updateMaintainerGroup)
	register(h, endpoint{ID: "delete-maintainer-group", Method: http.MethodDelete, Path: "/v1/maintainer-groups/{id}", Action: "maintainer-group.delete", Status: http.StatusNoContent,
		Summary: "Remove a maintainer group", Description: "Removes a group that is responsible for nothing."}, a.deleteMaintainerGroup)
}

// members finds the maintainers that a body names, and says which there are not.
func members(tx *gorm.DB, refs []string) ([]models.ID, error) {
	ids, wrong := []models.ID{}, []models.FieldError(nil)
	for i, ref := range refs {
		m, err := store.FindMaintainer(tx, ref)
		switch {
		case models.IsCode(err, models.CodeNotFound):
			wrong = append(wrong, models.FieldError{Field: fmt.Sprintf("body.members[%d]", i), Message: "there is no such maintainer"})
		case err != nil:
			return nil, err
		default:
			ids = append(ids, m.ID)
		}
	}
	return ids, faulty(wrong)
}

func (a *API) createMaintainerGroup(ctx context.Context, in *createMaintainerGroupInput) (*Resource[MaintainerGroup], error) {
	g := models.MaintainerGroup{ID: models.NewID(), Name: in.Body.Name, Description: in.Body.Description}
	answer, err := platformWrite(ctx, a, trial(change(ctx, "maintainer-group.create"), in.DryRun), func(tx *gorm.DB) (none store.Answer[MaintainerGroup], err error) {
		ids, err := members(tx, in.Body.Members)
		if err != nil {
			return none, err
		}
		if err := store.CreateMaintainerGroup(tx, &g, ids); err != nil {
			return none, err
		}
		view, err := store.FindMaintainerGroup(tx, g.ID.String())
		return store.Created(path("maintainer-groups/%s", g.ID), maintainerGroup(view), subject("maintainer-group", g.ID, g.Name)), err
	})
	if err != nil {
		return nil, err
	}
	return created(answer, in.DryRun.DryRun, answer.Body.Version), nil
}

func (a *API) listMaintainerGroups(ctx context.Context, in *listMaintainerGroupsInput) (*ListOutput[MaintainerGroup], error) {
	if err := a.mayRead(ctx, "maintainer-group"); err != nil {
		return nil, err
	}
	after, err := in.after("maintainer groups", in.Name)
	if err != nil {
		return nil, err
	}
	rows, err := a.store.MaintainerGroups(ctx, in.Name, store.NamePage{After: after, Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, rows, func(g store.MaintainerGroup) string { return g.Name }, maintainerGroup, "maintainer groups", in.Name), nil
}

func (a *API) getMaintainerGroup(ctx context.Context, in *ByID) (*Resource[MaintainerGroup], error) {
	if err := a.mayRead(ctx, "maintainer-group"); err != nil {
		return nil, err
	}
	g, err := store.FindMaintainerGroup(a.store.DB.WithContext(ctx), in.ID.String())
	if err != nil {
		return nil, err
	}
	return seen(maintainerGroup(g), g.Version)
}

func (a *API) updateMaintainerGroup(ctx context.Context, in *updateMaintainerGroupInput) (*Resource[MaintainerGroup], error) {
	answer, err := platformWrite(ctx, a, change(ctx, "maintainer-group.update"), func(tx *gorm.DB) (none store.Answer[MaintainerGroup], err error) {
		g, err := store.LockMaintainerGroup(tx, in.ID)
		if err != nil {
			return none, err
		}
		if err := in.holds(g.Version); err != nil {
			return none, err
		}
		set(&g.Description, in.Body.Description)
		var ids []models.ID
		if in.Body.Members != nil {
			if ids, err = members(tx, *in.Body.Members); err != nil {
				return none, err
			}
		}
		if err := store.UpdateMaintainerGroup(tx, g.MaintainerGroup, ids); err != nil {
			return none, err
		}
		view, err := store.FindMaintainerGroup(tx, g.ID.String())
		return store.Changed(maintainerGroup(view), subject("maintainer-group", g.ID, g.Name)), err
	})
	if err != nil {
		return nil, err
	}
	return seen(answer.Body, answer.Body.Version)
}

func (a *API) deleteMaintainerGroup(ctx context.Context, in *deleteInput) (*struct{}, error) {
	_, err := platformWrite(ctx, a, change(ctx, "maintainer-group.delete"), func(tx *gorm.DB) (store.Answer[struct{}], error) {
		g, err := store.LockMaintainerGroup(tx, in.ID)
		if err == nil {
			err = in.holds(g.Version)
		}
		if err == nil {
			err = store.DeleteMaintainerGroup(tx, g.MaintainerGroup)
		}
		return removed("maintainer-group", g.ID, g.Name), err
	})
	return nil, err
}

func maintainerGroup(g store.MaintainerGroup) MaintainerGroup {
	return MaintainerGroup{ID: g.ID, Name: g.Name, Description: g.Description, Members: append([]string{}, g.Members...), Stamps: stamps(g.Stamps)}
}
