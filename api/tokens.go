package api

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

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
	ID     models.ID `json:"id" format:"uuid" doc:"Id of the token." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Name   string    `json:"name" doc:"What the token is for." example:"laptop"`
	Prefix string    `json:"prefix" doc:"How the secret begins, to recognise it by." example:"ys_Zk9qPw"`
	UserID models.ID `json:"user_id" format:"uuid" doc:"Whom the token belongs to." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	User   string    `json:"user" doc:"Name of the user." example:"ada"`
	Narrowing
	ExpiresAt  time.Time  `json:"expires_at" doc:"When the token ends." example:"2027-01-31T12:00:00Z"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty" doc:"When the token was last used, to the minute." example:"2027-01-30T08:15:00Z"`
	RevokedAt  *time.Time `json:"revoked_at,omitempty" doc:"When the token was revoked." example:"2027-01-30T09:00:00Z"`
	CreatedAt  time.Time  `json:"created_at" doc:"When the token was made." example:"2027-01-01T12:00:00Z"`
}

// Narrowing is how a token may do less than its owner.
type Narrowing struct {
	TenantID *models.ID    `json:"tenant_id,omitempty" format:"uuid" doc:"The token counts on this tenant and below it only; absent: wherever its owner's roles do." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	Tenant   string        `json:"tenant,omitempty" doc:"Full name of that tenant." example:"acme/dev"`
	Roles    []models.Role `json:"roles,omitempty" enum:"owner,admin,operator,auditor,member,viewer" doc:"The token has these roles only, where its owner has them or greater ones; absent: all that its owner has."`
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
		ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When the token ends; in 30 days unless given, or with a narrowed token that it is made with; in 366 days at most." example:"2027-01-31T12:00:00Z"`
		User      string     `json:"user,omitempty" maxLength:"1200" doc:"Name or id of the user whom the token is for; yourself unless given. Admins of a tenant make those of its service accounts, and only an admin of the platform makes those of other people." example:"ci@acme/dev"`

		Tenant string        `json:"tenant,omitempty" maxLength:"1100" doc:"Narrow the token to this tenant and what is below it, by full name or id." example:"acme/dev"`
		Roles  []models.Role `json:"roles,omitempty" minItems:"1" maxItems:"6" enum:"owner,admin,operator,auditor,member,viewer" doc:"Narrow the token to these roles: where its owner has a greater one, it has these."`
	}
}

// TokenPath is the input of what is about one token.
type TokenPath struct {
	ID models.ID `path:"id" format:"uuid" doc:"Id of the token." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
}

type tokenList struct {
	Paging
	User string `query:"user" maxLength:"1200" doc:"Name or id of the user, or of a service account; yourself unless given." example:"ada"`
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

func (a *API) listTokens(ctx context.Context, in *tokenList) (*ListOutput[Token], error) {
	owner, err := a.tokenOwner(ctx, a.now(ctx), in.User, "user.read")
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
	names, err := a.store.TenantNames(ctx, narrowedTo(rows...))
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, rows, func(t models.Token) string { return t.ID.String() }, func(t models.Token) Token { return wireToken(t, owner.Name, names) }, filter), nil
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
		owner, err := a.tokenOwner(ctx, tx, in.Body.User, "user.update")
		if err != nil {
			return store.Answer[NewToken]{}, err
		}
		secret, row := store.NewToken(owner.ID, in.Body.Name, expires)
		if err := a.narrow(ctx, tx, &row, in); err != nil {
			return store.Answer[NewToken]{}, err
		}
		if err := tx.Create(&row).Error; err != nil {
			return store.Answer[NewToken]{}, err
		}
		if err := useful(tx, row); err != nil {
			return store.Answer[NewToken]{}, err
		}
		names, err := store.TenantNames(tx.DB, narrowedTo(row))
		if err != nil {
			return store.Answer[NewToken]{}, err
		}
		wire := wireToken(row, owner.Name, names)
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
func (a *API) ownToken(ctx context.Context, tx store.Tx, id models.ID, action string) (models.Token, models.User, error) {
	t, err := store.Token(tx.DB, id)
	if err != nil && !models.IsCode(err, models.CodeNotFound) {
		return t, models.User{}, err
	}
	owner, denied := a.tokenOwner(ctx, tx, t.ActorID.String(), action) // also of a token that there is not: of nobody's
	if models.IsCode(denied, models.CodeForbidden) {
		denied = models.Faultf(models.CodeNotFound, "There is no such token that you can see.")
	}
	return t, owner, cmp.Or(err, denied)
}

func (a *API) getToken(ctx context.Context, in *TokenPath) (*Resource[Token], error) {
	t, owner, err := a.ownToken(ctx, a.now(ctx), in.ID, "user.read")
	if err != nil {
		return nil, err
	}
	names, err := a.store.TenantNames(ctx, narrowedTo(t))
	if err != nil {
		return nil, err
	}
	return &Resource[Token]{Body: wireToken(t, owner.Name, names)}, nil
}

func (a *API) revokeToken(ctx context.Context, in *TokenPath) (*struct{}, error) {
	_, err := store.Write(ctx, a.store, change(ctx, "token.revoke"), func(tx store.Tx) (store.Answer[struct{}], error) {
		t, _, err := a.ownToken(ctx, tx, in.ID, "user.update")
		if err != nil {
			return store.Answer[struct{}]{}, err
		}
		if tx.Actor.Narrowed && t.ActorID == tx.Actor.ID && t.ID != tx.Actor.TokenID {
			return store.Answer[struct{}]{}, models.Faultf(models.CodeForbidden, "Your token is narrowed: of your own tokens it ends only itself.")
		}
		return store.Answer[struct{}]{Subject: store.Subject{Kind: "token", ID: t.ID.String(), Name: t.Name}}, store.RevokeToken(tx.DB, t.ID)
	})
	a.tokens.after(err)
	return nil, err
}

// narrowedTo lists the tenants that tokens are narrowed to.
func narrowedTo(tokens ...models.Token) []models.ID {
	out := []models.ID{}
	for _, t := range tokens {
		if t.TenantID != nil {
			out = append(out, *t.TenantID)
		}
	}
	return out
}

func wireToken(t models.Token, user string, tenants map[models.ID]string) Token {
	return Token{
		ID: t.ID, Name: t.Name, Prefix: t.Prefix, UserID: t.ActorID, User: user, Narrowing: narrowing(t, tenants),
		ExpiresAt: t.ExpiresAt.UTC(), LastUsedAt: t.LastUsedAt, RevokedAt: t.RevokedAt, CreatedAt: t.CreatedAt.UTC(),
	}
}

func narrowing(t models.Token, tenants map[models.ID]string) Narrowing {
	out := Narrowing{TenantID: t.TenantID, Roles: t.Roles}
	if t.TenantID != nil {
		out.Tenant = tenants[*t.TenantID]
	}
	return out
}
