package identity

import (
	"net/url"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// ClientID is the only application that people can sign in to.
const ClientID = "yunshu"

// tokenLifetime is how long an ID token is good: long enough to be handed over, and no longer.
const tokenLifetime = 5 * time.Minute

// application is Yunshu as the provider knows it: a public client, which has no secret that it could keep, and proves
// with PKCE that whoever comes for the tokens is who asked for them.
type application struct{}

func (application) GetID() string { return ClientID }

// RedirectURIs are on loopback; op lets a native application choose its port (RFC 8252, section 7.3).
func (application) RedirectURIs() []string              { return []string{"http://127.0.0.1/callback"} }
func (application) PostLogoutRedirectURIs() []string    { return nil }
func (application) ApplicationType() op.ApplicationType { return op.ApplicationTypeNative }
func (application) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodNone }
func (application) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}

func (application) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeDeviceCode}
}

func (application) LoginURL(id string) string {
	return "/login?" + url.Values{"id": {id}}.Encode()
}

func (application) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeBearer }
func (application) IDTokenLifetime() time.Duration       { return tokenLifetime }
func (application) DevMode() bool                        { return false }
func (application) IsScopeAllowed(scope string) bool     { return scope == scopeGroups }
func (application) IDTokenUserinfoClaimsAssertion() bool { return true } // the ID token says who it is about
func (application) ClockSkew() time.Duration             { return 0 }

func (application) RestrictAdditionalIdTokenScopes() func([]string) []string     { return same }
func (application) RestrictAdditionalAccessTokenScopes() func([]string) []string { return same }

func same(scopes []string) []string { return scopes }
