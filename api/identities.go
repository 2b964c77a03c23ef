package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Identity is who a user is at an OpenID provider.
type Identity struct {
	ID        models.ID `json:"id" format:"uuid" doc:"Id of the identity." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	UserID    models.ID `json:"user_id" format:"uuid" doc:"Whose it is." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	Issuer    string    `json:"issuer" doc:"The provider." example:"https://id.example.com"`
	Subject   string    `json:"subject" doc:"How the provider calls the person, for good." example:"248289761001"`
	CreatedAt time.Time `json:"created_at" doc:"When it was linked." example:"2027-01-01T12:00:00Z"`
}

type identityList struct {
	UserPath
	Paging
}

type identityCreate struct {
	UserPath
	Idempotent
	Body struct {
		_       struct{} `additionalProperties:"false"`
		Issuer  string   `json:"issuer" minLength:"1" maxLength:"255" doc:"The provider, exactly as it calls itself." example:"https://id.example.com"`
		Subject string   `json:"subject" minLength:"1" maxLength:"255" doc:"How the provider calls the person." example:"248289761001"`
	}
}

type identityPath struct {
	UserPath
	Identity models.ID `path:"identity" format:"uuid" doc:"Id of the identity." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
}

func (a *API) registerIdentities(h huma.API) {
	register(h, endpoint{ID: "list-identities", Method: http.MethodGet, Path: "/v1/users/{id}/identities", Action: "user.read", Summary: "List who a user is at OpenID providers"}, a.listIdentities)
	register(h, endpoint{ID: "link-identity", Method: http.MethodPost, Path: "/v1/users/{id}/identities", Action: "user.update", Status: http.StatusCreated, Summary: "Link a user to an OpenID provider",
		Description: "Whoever signs in as this subject of the provider is this user from now on. Without a link, a first sign-in makes a new user: names and addresses change hands, and so are no proof."}, a.linkIdentity)
	register(h, endpoint{ID: "get-identity", Method: http.MethodGet, Path: "/v1/users/{id}/identities/{identity}", Action: "user.read", Summary: "Read who a user is at an OpenID provider"}, a.getIdentity)
	register(h, endpoint{ID: "unlink-identity", Method: http.MethodDelete, Path: "/v1/users/{id}/identities/{identity}", Action: "user.update", Summary: "Unlink a user from an OpenID provider",
		Description: "The roles of the provider's groups go with the last link. Tokens that there are stay."}, a.unlinkIdentity)
}

func (a *API) listIdentities(ctx context.Context, in *identityList) (*ListOutput[Identity], error) {
	if err := a.check(ctx, actor(ctx), "user.read", users); err != nil {
		return nil, err
	}
	u, err := store.FindUser(a.store.DB.WithContext(ctx), in.ID.String())
	if err != nil {
		return nil, err
	}
	filter := "identities of " + u.ID.String()
	after, err := in.afterID(filter)
	if err != nil {
		return nil, err
	}
	rows, err := a.store.Identities(ctx, u.ID, store.Page{After: after, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, rows, func(i models.Identity) string { return i.ID.String() }, wireIdentity, filter), nil
}

func (a *API) getIdentity(ctx context.Context, in *identityPath) (*Resource[Identity], error) {
	if err := a.check(ctx, actor(ctx), "user.read", users); err != nil {
		return nil, err
	}
	i, err := store.FindIdentity(a.store.DB.WithContext(ctx), in.ID, in.Identity)
	if err != nil {
		return nil, err
	}
	return &Resource[Identity]{Body: wireIdentity(i)}, nil
}

func (a *API) linkIdentity(ctx context.Context, in *identityCreate) (*Resource[Identity], error) {
	answer, err := store.Write(ctx, a.store, change(ctx, "user.link"), func(tx store.Tx) (store.Answer[Identity], error) {
		u, err := a.lockUser(ctx, tx, in.ID, "user.update", Precondition{})
		if err != nil {
			return store.Answer[Identity]{}, err
		}
		if u.TenantID != nil {
			return store.Answer[Identity]{}, models.Faultf(models.CodeWrongState, "%s is a service account: it has tokens, and nobody signs in as it.", u.Name)
		}
		row := models.Identity{ID: models.NewID(), UserID: u.ID, Issuer: in.Body.Issuer, Subject: in.Body.Subject, CreatedAt: time.Now().UTC().Truncate(time.Microsecond)}
		if err := store.CreateIdentity(tx.DB, &row); err != nil {
			return store.Answer[Identity]{}, err
		}
		return store.Created(path("users/%s/identities/%s", u.ID, row.ID), wireIdentity(row), userSubject(u)), nil
	})
	if err != nil {
		return nil, err
	}
	return created(answer, false, 0), nil
}

func (a *API) unlinkIdentity(ctx context.Context, in *identityPath) (*struct{}, error) {
	_, err := store.Write(ctx, a.store, restructure(change(ctx, "user.unlink")), func(tx store.Tx) (store.Answer[struct{}], error) {
		u, err := a.lockUser(ctx, tx, in.ID, "user.update", Precondition{})
		if err != nil {
			return store.Answer[struct{}]{}, err
		}
		i, err := store.DeleteIdentity(tx.DB, u.ID, in.Identity)
		return store.Answer[struct{}]{Subject: userSubject(u), Detail: wireIdentity(i)}, err
	})
	a.tokens.after(err)
	return nil, err
}

func wireIdentity(i models.Identity) Identity {
	return Identity{ID: i.ID, UserID: i.UserID, Issuer: i.Issuer, Subject: i.Subject, CreatedAt: i.CreatedAt.UTC()}
}
