package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Maintainer is a person to turn to about resources.
type Maintainer struct {
	ID          models.ID  `json:"id" format:"uuid" doc:"Id of the maintainer." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Name        string     `json:"name" doc:"Short name, unique." example:"ada"`
	DisplayName string     `json:"display_name" doc:"Name for people." example:"Ada Lovelace"`
	Email       string     `json:"email" doc:"Where to write to." example:"ada@example.com"`
	Phone       string     `json:"phone" doc:"Where to call." example:"+886 2 5550 0100"`
	Chat        string     `json:"chat" doc:"Where to chat." example:"@ada"`
	UserID      *models.ID `json:"user_id,omitempty" format:"uuid" doc:"Their account, which has rights on what they maintain; absent if they have none." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	User        string     `json:"user,omitempty" doc:"Name of the account." example:"ada"`
	Stamps
}

type createMaintainerInput struct {
	Idempotent
	DryRun
	Body struct {
		Name        string `json:"name" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a DNS label" doc:"Short name, unique." example:"ada"`
		DisplayName string `json:"display_name,omitempty" maxLength:"200" doc:"Name for people." example:"Ada Lovelace"`
		Email       string `json:"email" format:"email" minLength:"3" maxLength:"254" doc:"Where to write to." example:"ada@example.com"`
		Phone       string `json:"phone,omitempty" maxLength:"63" doc:"Where to call." example:"+886 2 5550 0100"`
		Chat        string `json:"chat,omitempty" maxLength:"200" doc:"Where to chat." example:"@ada"`
		User        string `json:"user,omitempty" maxLength:"63" doc:"Their account, by name or id. It gets rights on what they maintain." example:"ada"`
	}
}

type updateMaintainerInput struct {
	ByID
	Precondition
	Body struct {
		DisplayName *string `json:"display_name,omitempty" maxLength:"200" doc:"Name for people." example:"Ada Lovelace"`
		Email       *string `json:"email,omitempty" format:"email" minLength:"3" maxLength:"254" doc:"Where to write to." example:"ada@example.com"`
		Phone       *string `json:"phone,omitempty" maxLength:"63" doc:"Where to call." example:"+886 2 5550 0100"`
		Chat        *string `json:"chat,omitempty" maxLength:"200" doc:"Where to chat." example:"@ada"`
		User        *string `json:"user,omitempty" maxLength:"63" doc:"Their account, by name or id; empty for none." example:"ada"`
	}
}

type listMaintainersInput struct {
	Paging
	Name string `query:"name" maxLength:"63" doc:"Only with this name." example:"ada"`
}

func (a *API) registerMaintainers(h huma.API) {
	register(h, endpoint{ID: "create-maintainer", Method: http.MethodPost, Path: "/v1/maintainers", Action: "maintainer.create", Status: http.StatusCreated, Summary: "Add a maintainer",
		Description: "Adds a person to the directory of those who can be responsible for resources."}, a.createMaintainer)
	register(h, endpoint{ID: "list-maintainers", Method: http.MethodGet, Path: "/v1/maintainers", Action: "maintainer.read", Summary: "List maintainers"}, a.listMaintainers)
	register(h, endpoint{ID: "get-maintainer", Method: http.MethodGet, Path: "/v1/maintainers/{id}", Action: "maintainer.read", Summary: "Show a maintainer"}, a.getMaintainer)
	register(h, endpoint{ID: "update-maintainer", Method: http.MethodPatch, Path: "/v1/maintainers/{id}", Action: "maintainer.update", Summary: "Change a maintainer", Description: "Changes the given fields."}, a.updateMaintainer)
	register(h, endpoint{ID: "delete-maintainer", Method: http.MethodDelete, Path: "/v1/maintainers/{id}", Action: "maintainer.delete", Status: http.StatusNoContent,
		Summary: "Remove a maintainer", Description: "Removes a maintainer who is responsible for nothing and in no group."}, a.deleteMaintainer)
}

// account finds the account that a maintainer shall have; an empty reference is none.
func account(tx *gorm.DB, ref string) (*models.ID, error) {
	if ref == "" {
		return nil, nil
	}
	u, err := store.FindUser(tx, ref)
	if models.IsCode(err, models.CodeNotFound) {
		return nil, invalid("body.user", "there is no such user")
	}
	return &u.ID, err
}

func (a *API) createMaintainer(ctx context.Context, in *createMaintainerInput) (*Resource[Maintainer], error) {
	b := in.Body
	m := models.Maintainer{ID: models.NewID(), Name: b.Name, DisplayName: b.DisplayName, Email: b.Email, Phone: b.Phone, Chat: b.Chat}
	answer, err := platformWrite(ctx, a, trial(change(ctx, "maintainer.create"), in.DryRun), func(tx *gorm.DB) (answer store.Answer[Maintainer], err error) {
		if m.UserID, err = account(tx, b.User); err != nil {
			return answer, err
		}
		if err := store.CreateMaintainer(tx, &m); err != nil {
			return answer, err
		}
		view, err := store.FindMaintainer(tx, m.ID.String())
		return store.Created(path("maintainers/%s", m.ID), maintainer(view), subject("maintainer", m.ID, m.Name)), err
	})
	if err != nil {
		return nil, err
	}
	return created(answer, in.DryRun.DryRun, answer.Body.Version), nil
}

func (a *API) listMaintainers(ctx context.Context, in *listMaintainersInput) (*ListOutput[Maintainer], error) {
	if err := a.mayRead(ctx, "maintainer"); err != nil {
		return nil, err
	}
	after, err := in.after("maintainers", in.Name)
	if err != nil {
		return nil, err
	}
	rows, err := a.store.Maintainers(ctx, in.Name, store.NamePage{After: after, Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, rows, func(m store.Maintainer) string { return m.Name }, maintainer, "maintainers", in.Name), nil
}

func (a *API) getMaintainer(ctx context.Context, in *ByID) (*Resource[Maintainer], error) {
	if err := a.mayRead(ctx, "maintainer"); err != nil {
		return nil, err
	}
	m, err := store.FindMaintainer(a.store.DB.WithContext(ctx), in.ID.String())
	if err != nil {
		return nil, err
	}
	return seen(maintainer(m), m.Version)
}

func (a *API) updateMaintainer(ctx context.Context, in *updateMaintainerInput) (*Resource[Maintainer], error) {
	answer, err := platformWrite(ctx, a, change(ctx, "maintainer.update"), func(tx *gorm.DB) (none store.Answer[Maintainer], err error) {
		m, err := store.LockMaintainer(tx, in.ID)
		if err != nil {
			return none, err
		}
		if err := in.holds(m.Version); err != nil {
			return none, err
		}
		set(&m.DisplayName, in.Body.DisplayName)
		set(&m.Email, in.Body.Email)
		set(&m.Phone, in.Body.Phone)
		set(&m.Chat, in.Body.Chat)
		if in.Body.User != nil {
			if m.UserID, err = account(tx, *in.Body.User); err != nil {
				return none, err
			}
		}
		if err := store.UpdateMaintainer(tx, m.Maintainer); err != nil {
			return none, err
		}
		view, err := store.FindMaintainer(tx, m.ID.String())
		return store.Changed(maintainer(view), subject("maintainer", m.ID, m.Name)), err
	})
	if err != nil {
		return nil, err
	}
	return seen(answer.Body, answer.Body.Version)
}

func (a *API) deleteMaintainer(ctx context.Context, in *deleteInput) (*struct{}, error) {
	_, err := platformWrite(ctx, a, change(ctx, "maintainer.delete"), func(tx *gorm.DB) (store.Answer[struct{}], error) {
		m, err := store.LockMaintainer(tx, in.ID)
		if err == nil {
			err = in.holds(m.Version)
		}
		if err == nil {
			err = store.DeleteMaintainer(tx, m.Maintainer)
		}
		return removed("maintainer", m.ID, m.Name), err
	})
	return nil, err
}

func maintainer(m store.Maintainer) Maintainer {
	return Maintainer{ID: m.ID, Name: m.Name, DisplayName: m.DisplayName, Email: m.Email, Phone: m.Phone, Chat: m.Chat,
		UserID: m.UserID, User: text(m.User), Stamps: stamps(m.Stamps)}
}
