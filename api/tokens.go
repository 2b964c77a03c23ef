package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// How long tokens last.
const (
	usualTokenLife   = 30 * 24 * time.Hour
	longestTokenLife = 366 * 24 * time.Hour
)

// Token is a bearer token, without its secret.
type Token struct {
	ID         models.ID  `json:"id" format:"uuid" doc:"Id of the token." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Name       string     `json:"name" doc:"What the token is for." example:"laptop"`
	Prefix     string     `json:"prefix" doc:"How the secret begins, to recognise it by." example:"ys_Zk9qPw"`
	UserID     models.ID  `json:"user_id" format:"uuid" doc:"Whom the token belongs to." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	User       string     `json:"user" doc:"Name of the user." example:"ada"`
	ExpiresAt  time.Time  `json:"expires_at" doc:"When the token ends." example:"2027-01-31T12:00:00Z"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty" doc:"When the token was last used, to the minute." example:"2027-01-30T08:15:00Z"`
	RevokedAt  *time.Time `json:"revoked_at,omitempty" doc:"When the token was revoked." example:"2027-01-30T09:00:00Z"`
	CreatedAt  time.Time  `json:"created_at" doc:"When the token was made." example:"2027-01-01T12:00:00Z"`
}

// NewToken is a token with its secret.
type NewToken struct {
	Token
	Secret string `json:"token,omitempty" doc:"The token itself. It is shown this once; a repetition of the request with the same Idempotency-Key does not show it again." example:"ys_Zk9qPwVb3o0c3mQ2x7yJd1s8uR5tN6fH4gK0lE2aBcD"`
}

type tokenCreate struct {
	Idempotent
	Body struct {
		_         struct{}   `additionalProperties:"false"`
		Name      string     `json:"name" minLength:"1" maxLength:"63" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a DNS label: small letters, digits and inner hyphens" doc:"What the token is for." example:"laptop"`
		ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When the token ends; in 30 days unless given, in 366 days at most." example:"2027-01-31T12:00:00Z"`
		User      string     `json:"user,omitempty" maxLength:"63" doc:"Name or id of the user whom the token is for; yourself unless given. Only an admin of the platform makes tokens for others." example:"ada"`
	}
}

// TokenPath is the input of what is about one token.
type TokenPath struct {
	ID models.ID `path:"id" format:"uuid" doc:"Id of the token." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
}

type tokenList struct {
	Paging
	User string `query:"user" maxLength:"63" doc:"Name or id of the user; yourself unless given. Only an admin of the platform lists those of others." example:"ada"`
}

func (a *API) registerTokens(h huma.API) {
	register(h, endpoint{ID: "list-tokens", Method: http.MethodGet, Path: "/v1/tokens", Action: "token.read", Summary: "List tokens",
		Description: "Your own tokens, the newest first."}, a.listTokens)
	register(h, endpoint{ID: "create-token", Method: http.MethodPost, Path: "/v1/tokens", Action: "token.create", Status: http.StatusCreated, Summary: "Create a token",
		Description: "The answer is the only place where the token itself ever appears."}, a.createToken)
	register(h, endpoint{ID: "get-token", Method: http.MethodGet, Path: "/v1/tokens/{id}", Action: "token.read", Summary: "Read a token"}, a.getToken)
	register(h, endpoint{ID: "revoke-token", Method: http.MethodDelete, Path: "/v1/tokens/{id}", Action: "token.revoke", Summary: "Revoke a token",
		Description: "The token ends at once; other gateways notice within 5 seconds."}, a.revokeToken)
}

// tokenOwner finds whose tokens a request is about. Those of others are the business of who may do the action on users.
func (a *API) tokenOwner(db *gorm.DB, who authz.Actor, ref, action string) (models.User, error) {
	if ref == "" || ref == who.Name || ref == who.ID.String() {
		return models.User{ID: who.ID, Name: who.Name}, nil
	}
	if err := a.authz.Check(who, action, authz.Resource{Kind: "user"}); err != nil {
		return models.User{}, models.Faultf(models.CodeForbidden, "You may only work with your own tokens; those of others are the business of an admin of the platform.")
	}
	return store.FindUser(db, ref)
}

func (a *API) listTokens(ctx context.Context, in *tokenList) (*ListOutput[Token], error) {
	owner, err := a.tokenOwner(a.store.DB.WithContext(ctx), actor(ctx), in.User, "user.read")
	if err != nil {
		return nil, err
	}
	filter := "tokens of " + owner.ID.String()
	after, err := in.afterID(filter)
	if err != nil {
		return nil, err
	}
	rows, err := a.store.Tokens(ctx, owner.ID, store.Page{After: after, Limit: in.Limit, Descending: true})
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, rows, func(t models.Token) string { return t.ID.String() }, func(t models.Token) Token { return wireToken(t, owner.Name) }, filter), nil
}

func (a *API) createToken(ctx context.Context, in *tokenCreate) (*Resource[NewToken], error) {
	now := time.Now()
	expires := now.Add(usualTokenLife)
	if in.Body.ExpiresAt != nil {
		expires = *in.Body.ExpiresAt
	}
	if !expires.After(now) || expires.After(now.Add(longestTokenLife)) {
		return nil, invalid("body.expires_at", "must be in the future, and within 366 days")
	}
	answer, err := store.Write(ctx, a.store, change(ctx, "token.create"), func(tx store.Tx) (store.Answer[NewToken], error) {
		owner, err := a.tokenOwner(tx.DB, tx.Actor, in.Body.User, "user.update")
		if err != nil {
			return store.Answer[NewToken]{}, err
		}
		secret, row := store.NewToken(owner.ID, in.Body.Name, expires)
		if err := tx.Create(&row).Error; err != nil {
			return store.Answer[NewToken]{}, err
		}
		wire := wireToken(row, owner.Name)
		return store.Answer[NewToken]{
			Status: http.StatusCreated, Location: path("tokens/%s", row.ID), Body: NewToken{wire, secret}, Remember: &NewToken{Token: wire},
			Subject: store.Subject{Kind: "token", ID: row.ID.String(), Name: row.Name}, Detail: wire,
		}, nil
	})
	if err != nil {
		return nil, err
	}
	return created(answer, false, 0), nil
}

// ownToken reads a token that the actor may know of.
func (a *API) ownToken(db *gorm.DB, who authz.Actor, id models.ID, action string) (models.Token, models.User, error) {
	t, err := store.Token(db, id)
	if err != nil {
		return t, models.User{}, err
	}
	owner, err := a.tokenOwner(db, who, t.ActorID.String(), action)
	if models.IsCode(err, models.CodeForbidden) {
		err = models.Faultf(models.CodeNotFound, "There is no such token that you can see.")
	}
	return t, owner, err
}

func (a *API) getToken(ctx context.Context, in *TokenPath) (*Resource[Token], error) {
	t, owner, err := a.ownToken(a.store.DB.WithContext(ctx), actor(ctx), in.ID, "user.read")
	if err != nil {
		return nil, err
	}
	return &Resource[Token]{Body: wireToken(t, owner.Name)}, nil
}

func (a *API) revokeToken(ctx context.Context, in *TokenPath) (*struct{}, error) {
	_, err := store.Write(ctx, a.store, change(ctx, "token.revoke"), func(tx store.Tx) (store.Answer[struct{}], error) {
		t, _, err := a.ownToken(tx.DB, tx.Actor, in.ID, "user.update")
		if err != nil {
			return store.Answer[struct{}]{}, err
		}
		return store.Answer[struct{}]{Subject: store.Subject{Kind: "token", ID: t.ID.String(), Name: t.Name}}, store.RevokeToken(tx.DB, t.ID)
	})
	a.tokens.after(err)
	return nil, err
}

func wireToken(t models.Token, user string) Token {
	return Token{ID: t.ID, Name: t.Name, Prefix: t.Prefix, UserID: t.ActorID, User: user, ExpiresAt: t.ExpiresAt.UTC(), LastUsedAt: t.LastUsedAt, RevokedAt: t.RevokedAt, CreatedAt: t.CreatedAt.UTC()}
}
