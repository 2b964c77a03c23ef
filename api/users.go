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

// User is a person, or a program that acts like one.
type User struct {
	ID        models.ID `json:"id" format:"uuid" doc:"Id of the user." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Name      string    `json:"name" doc:"Name of the user." example:"ada"`
	Email     string    `json:"email" doc:"Where to reach them." example:"ada@example.com"`
	Version   int64     `json:"version" doc:"Counts the changes; also in ETag." example:"1"`
	CreatedAt time.Time `json:"created_at" doc:"When the user was made." example:"2027-01-01T12:00:00Z"`
	UpdatedAt time.Time `json:"updated_at" doc:"When the user was last changed." example:"2027-01-01T12:00:00Z"`
}

type userCreate struct {
	Idempotent
	DryRun
	Body struct {
		_     struct{} `additionalProperties:"false"`
		Name  string   `json:"name" minLength:"1" maxLength:"63" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a DNS label: small letters, digits and inner hyphens" doc:"Name of the user." example:"ada"`
		Email string   `json:"email,omitempty" maxLength:"254" doc:"Where to reach them." example:"ada@example.com"`
	}
}

type userUpdate struct {
	UserPath
	Precondition
	Body struct {
		_     struct{} `additionalProperties:"false"`
		Email string   `json:"email" maxLength:"254" doc:"Where to reach them." example:"ada@example.com"`
	}
}

type userDelete struct {
	UserPath
	Precondition
}

// UserPath is the input of what is about one user. Embedded types must be exported, or huma does not look into them.
type UserPath struct {
	ID models.ID `path:"id" format:"uuid" doc:"Id of the user." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
}

func (a *API) registerUsers(h huma.API) {
	register(h, endpoint{ID: "list-users", Method: http.MethodGet, Path: "/v1/users", Action: "user.read", Summary: "List users"}, a.listUsers)
	register(h, endpoint{ID: "create-user", Method: http.MethodPost, Path: "/v1/users", Action: "user.create", Status: http.StatusCreated, Summary: "Create a user",
		Description: "A new user may do nothing before they have a role."}, a.createUser)
	register(h, endpoint{ID: "get-user", Method: http.MethodGet, Path: "/v1/users/{id}", Action: "user.read", Summary: "Read a user"}, a.getUser)
	register(h, endpoint{ID: "update-user", Method: http.MethodPatch, Path: "/v1/users/{id}", Action: "user.update", Summary: "Change a user"}, a.updateUser)
	register(h, endpoint{ID: "delete-user", Method: http.MethodDelete, Path: "/v1/users/{id}", Action: "user.delete", Summary: "Delete a user",
		Description: "Their tokens end at once, and their roles with them. What they did stays in the audit log."}, a.deleteUser)
}

var users = authz.Resource{Kind: "user"}

func (a *API) listUsers(ctx context.Context, in *struct{ Paging }) (*ListOutput[User], error) {
	if err := a.check(ctx, actor(ctx), "user.read", users); err != nil {
		return nil, err
	}
	after, err := in.after("users")
	if err != nil {
		return nil, err
	}
	rows, err := a.store.Users(ctx, store.Page{After: after, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, rows, func(u models.User) string { return u.Name }, wireUser, "users"), nil
}

func (a *API) createUser(ctx context.Context, in *userCreate) (*Resource[User], error) {
	c := change(ctx, "user.create")
	c.DryRun = in.DryRun.DryRun
	answer, err := store.Write(ctx, a.store, c, func(tx store.Tx) (store.Answer[User], error) {
		if err := a.check(ctx, tx.Actor, "user.create", users); err != nil {
			return store.Answer[User]{}, err
		}
		u := models.User{ID: models.NewID(), Name: in.Body.Name, Email: in.Body.Email}
		if err := store.CreateUser(tx.DB, &u); err != nil {
			return store.Answer[User]{}, err
		}
		return store.Created(path("users/%s", u.ID), wireUser(u), userSubject(u)), nil
	})
	if err != nil {
		return nil, err
	}
	return created(answer, c.DryRun, answer.Body.Version), nil
}

func (a *API) getUser(ctx context.Context, in *UserPath) (*Resource[User], error) {
	if err := a.check(ctx, actor(ctx), "user.read", users); err != nil {
		return nil, err
	}
	u, err := store.FindUser(a.store.DB.WithContext(ctx), in.ID.String())
	if err != nil {
		return nil, err
	}
	return &Resource[User]{ETag: etag(u.Version), Body: wireUser(u)}, nil
}

func (a *API) updateUser(ctx context.Context, in *userUpdate) (*Resource[User], error) {
	answer, err := store.Write(ctx, a.store, change(ctx, "user.update"), func(tx store.Tx) (store.Answer[User], error) {
		u, err := a.lockUser(ctx, tx, in.ID, "user.update", in.Precondition)
		if err != nil {
			return store.Answer[User]{}, err
		}
		err = tx.Raw("UPDATE users SET email = ?, version = version + 1, updated_at = now() WHERE id = ? RETURNING *", in.Body.Email, u.ID).Scan(&u).Error
		return store.Changed(wireUser(u), userSubject(u)), err
	})
	if err != nil {
		return nil, err
	}
	return &Resource[User]{ETag: etag(answer.Body.Version), Body: answer.Body}, nil
}

// lockUser authorises a change of a user and holds its row until the end.
func (a *API) lockUser(ctx context.Context, tx store.Tx, id models.ID, action string, p Precondition) (models.User, error) {
	if err := a.check(ctx, tx.Actor, action, users); err != nil {
		return models.User{}, err
	}
	u, err := store.FindUser(forUpdate(tx), id.String())
	if err != nil {
		return u, err
	}
	return u, p.holds(u.Version)
}

func (a *API) deleteUser(ctx context.Context, in *userDelete) (*struct{}, error) {
	c := change(ctx, "user.delete")
	c.Restructure = true
	_, err := store.Write(ctx, a.store, c, func(tx store.Tx) (store.Answer[struct{}], error) {
		u, err := a.lockUser(ctx, tx, in.ID, "user.delete", in.Precondition)
		if err != nil {
			return store.Answer[struct{}]{}, err
		}
		return store.Answer[struct{}]{Subject: userSubject(u)}, store.DeleteUser(tx.DB, u.ID)
	})
	a.tokens.after(err)
	return nil, err
}

func userSubject(u models.User) store.Subject {
	return store.Subject{Kind: "user", ID: u.ID.String(), Name: u.Name}
}

func wireUser(u models.User) User {
	return User{ID: u.ID, Name: u.Name, Email: u.Email, Version: u.Version, CreatedAt: u.CreatedAt.UTC(), UpdatedAt: u.UpdatedAt.UTC()}
}
