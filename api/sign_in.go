package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/oidc"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// SignInOptions say with whom people sign in.
type SignInOptions struct {
	Provider *oidc.Provider // nil: nobody signs in
	Lifetime time.Duration  // of the token that a sign-in gives
}

// SignInProvider tells a client where to send people.
type SignInProvider struct {
	Issuer   string   `json:"issuer" doc:"The OpenID provider; what else it offers is at its /.well-known/openid-configuration." example:"https://id.example.com"`
	ClientID string   `json:"client_id" doc:"The public client that asks it, with PKCE and without a secret." example:"yunshu"`
	Scopes   []string `json:"scopes" doc:"What to ask for."`
}

// SignedIn is the token of a sign-in.
type SignedIn struct {
	Token     string    `json:"token" doc:"The bearer token. It is shown this once." example:"ys_Zk9qPwVb3o0c3mQ2x7yJd1s8uR5tN6fH4gK0lE2aBcD"`
	TokenID   models.ID `json:"token_id" format:"uuid" doc:"Id of the token." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Prefix    string    `json:"prefix" doc:"How the token begins, to recognise it by." example:"ys_Zk9qPw"`
	ExpiresAt time.Time `json:"expires_at" doc:"When the token ends." example:"2027-01-01T20:00:00Z"`
	User      string    `json:"user" doc:"Name of the user." example:"ada"`
	UserID    models.ID `json:"user_id" format:"uuid" doc:"Id of the user." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
}

type signInInput struct {
	Body struct {
		_       struct{} `additionalProperties:"false"`
		IDToken string   `json:"id_token" minLength:"1" maxLength:"16384" doc:"The ID token that the provider gave. It is good for one sign-in." example:"eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.e30.c2ln"`
		Nonce   string   `json:"nonce,omitempty" maxLength:"255" doc:"The nonce that the client sent to the provider; needed if the ID token has one." example:"kN5vZ0c1sT8"`
	}
}

type signOutInput struct{ Idempotent }

func (a *API) registerSignIn(h huma.API) {
	register(h, endpoint{ID: "get-sign-in", Method: http.MethodGet, Path: "/v1/sign-in", Action: "sign-in.read", Open: true, Summary: "Where to sign in",
		Description: "The OpenID provider that people sign in with. Needs no token."}, a.getSignIn)
	register(h, endpoint{ID: "sign-in", Method: http.MethodPost, Path: "/v1/sign-in", Action: "user.sign-in", Open: true, Status: http.StatusCreated, Summary: "Sign in",
		Description: "Gives a token for an ID token of the provider. Whoever comes for the first time becomes a user; roles come with the provider's groups (see group bindings). Needs no token."}, a.postSignIn)
	register(h, endpoint{ID: "sign-out", Method: http.MethodPost, Path: "/v1/sign-out", Action: "token.revoke", Summary: "Sign out",
		Description: "Revokes the token that the request comes with."}, a.signOut)
}

func (a *API) getSignIn(context.Context, *struct{}) (*Resource[SignInProvider], error) {
	p := a.signIn.Provider
	if p == nil {
		return nil, signInDisabled()
	}
	return &Resource[SignInProvider]{Body: SignInProvider{Issuer: p.Issuer(), ClientID: p.ClientID(), Scopes: []string{"openid", "profile", "email", "groups"}}}, nil
}

func signInDisabled() error {
	return models.Faultf(models.CodeSignInDisabled, "Nobody signs in here: this gateway knows no OpenID provider. Use a token.")
}

func (a *API) postSignIn(ctx context.Context, in *signInInput) (*Resource[SignedIn], error) {
	out, err := a.exchange(ctx, in.Body.IDToken, in.Body.Nonce)
	if err == nil {
		a.tokens.forget() // the roles of the user's other tokens may be others now
		return &Resource[SignedIn]{Status: http.StatusCreated, Body: out}, nil
	}
	if models.IsCode(err, models.CodeUnauthenticated) {
		a.refusals.SignInRefused(change(ctx, ""), models.CodeUnauthenticated)
	}
	return nil, err
}

// exchange gives a token for an ID token.
func (a *API) exchange(ctx context.Context, raw, nonce string) (SignedIn, error) {
	if a.signIn.Provider == nil {
		return SignedIn{}, signInDisabled()
	}
	who, err := a.signIn.Provider.Verify(ctx, raw, nonce)
	if err != nil {
		return SignedIn{}, err
	}
	s, err := a.store.SignIn(ctx, change(ctx, ""), raw, who, a.signIn.Lifetime)
	if err != nil {
		return SignedIn{}, err
	}
	return SignedIn{Token: s.Secret, TokenID: s.Token.ID, Prefix: s.Token.Prefix, ExpiresAt: s.Token.ExpiresAt.UTC(), User: s.User.Name, UserID: s.User.ID}, nil
}

func (a *API) signOut(ctx context.Context, _ *signOutInput) (*struct{}, error) {
	_, err := store.Write(ctx, a.store, change(ctx, "user.sign-out"), func(tx store.Tx) (store.Answer[struct{}], error) {
		t, err := store.Token(tx.DB, tx.Actor.TokenID)
		if err != nil {
			return store.Answer[struct{}]{}, err
		}
		return store.Answer[struct{}]{Subject: store.Subject{Kind: "token", ID: t.ID.String(), Name: t.Name}}, store.RevokeToken(tx.DB, t.ID)
	})
	a.tokens.after(err)
	return nil, err
}
