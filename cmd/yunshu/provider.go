package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// provider is who knows the people: the gateway names it, and trusts what it signs.
type provider struct {
	*oidc.Provider
	issuer string
	config oauth2.Config
	http   *http.Client
	tell   io.Writer // where people are told what to do
}

// idToken is what the gateway takes for a token of its own. A device's has no nonce: nothing comes back through a browser.
type idToken struct {
	Raw   string `json:"id_token"`
	Nonce string `json:"nonce,omitempty"`
}

// providerAway is a provider that did not answer.
type providerAway struct {
	issuer string
	err    error
}

// Error says so.
func (p *providerAway) Error() string {
	return fmt.Sprintf("The sign-in provider %s cannot be used: %v", p.issuer, p.err)
}

// Unwrap returns the cause.
func (p *providerAway) Unwrap() error { return p.err }

// errInterrupted ends a sign-in that its person gave up.
var errInterrupted = errors.New("You are not signed in: it was interrupted.")

const (
	signInPatience = 5 * time.Minute // for a person at a browser
	callTimeout    = 30 * time.Second
)

// provider asks the gateway who signs people in, and that provider where its doors are.
func (a *app) provider(ctx context.Context) (*provider, error) {
	var way struct {
		Issuer   string   `json:"issuer"`
		ClientID string   `json:"client_id"`
		Scopes   []string `json:"scopes"`
	}
	a.client.Token = "" // who signs in has none
	if err := a.client.Get(ctx, "/v1/sign-in", nil, &way); err != nil {
		return nil, err
	}
	if !secure(way.Issuer) {
		return nil, refuse("The gateway at %s names the sign-in provider %q. Without https, whoever is on the way could sign in as you.", a.client.URL, way.Issuer)
	}
	p := &provider{issuer: way.Issuer, http: &http.Client{Timeout: callTimeout}}
	var err error
	if p.Provider, err = oidc.NewProvider(p.context(ctx), way.Issuer); err != nil {
		return nil, &providerAway{way.Issuer, err}
	}
	p.config = oauth2.Config{ClientID: way.ClientID, Scopes: way.Scopes, Endpoint: p.Endpoint()}
	p.config.Endpoint.AuthStyle = oauth2.AuthStyleInParams // a public client has no secret to authenticate with
	return p, nil
}

// secure reports whether an address is encrypted, or does not leave this machine.
func secure(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
}

func (p *provider) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.http)
}

// throughBrowser signs in with a browser on this machine: authorization code with PKCE, back to a port of ours.
func (p *provider) throughBrowser(ctx context.Context, open bool) (idToken, error) {
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	back, err := receive(state)
	if err != nil {
		return idToken{}, err
	}
	defer back.close()
	p.config.RedirectURL = back.url
	where := p.config.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonce))
	fmt.Fprintf(p.tell, "Sign in here:\n\n  %s\n\n", where)
	if open {
		openBrowser(ctx, where, p.tell)
	}
	ctx, cancel := context.WithTimeout(p.context(ctx), signInPatience)
	defer cancel()
	code, err := back.code(ctx)
	if err != nil {
		return idToken{}, err
	}
	token, err := p.config.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return idToken{}, p.why(err)
	}
	return p.verify(ctx, token, nonce)
}

// throughDevice signs in with a browser anywhere (RFC 8628).
func (p *provider) throughDevice(ctx context.Context) (idToken, error) {
	if p.config.Endpoint.DeviceAuthURL == "" {
		return idToken{}, refuse("The sign-in provider %s does not let devices in. Sign in with a browser on this machine: yunshu login", p.issuer)
	}
	ctx = p.context(ctx)
	device, err := p.config.DeviceAuth(ctx)
	if err != nil {
		return idToken{}, p.why(err)
	}
	fmt.Fprintf(p.tell, "Open this address in a browser on any machine, and enter the code:\n\n  %s\n  %s\n\n", device.VerificationURI, device.UserCode)
	if device.VerificationURIComplete != "" {
		fmt.Fprintf(p.tell, "Or open this one, and compare the code:\n\n  %s\n\n", device.VerificationURIComplete)
	}
	token, err := p.config.DeviceAccessToken(ctx, device) // it asks no oftener than it is told to
	if err != nil && time.Now().After(device.Expiry) {
		err = &oauth2.RetrieveError{ErrorCode: "expired_token"} // whatever it was, it is over
	}
	if err != nil {
		return idToken{}, p.why(err)
	}
	return p.verify(ctx, token, "")
}

// verify makes sure that the provider signed the ID token, for us and for this very sign-in, before anybody else sees it.
func (p *provider) verify(ctx context.Context, token *oauth2.Token, nonce string) (idToken, error) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return idToken{}, refuse("The sign-in provider %s did not say who you are: there is no ID token in its answer.", p.issuer)
	}
	id, err := p.Verifier(&oidc.Config{ClientID: p.config.ClientID}).Verify(ctx, raw)
	if err != nil {
		return idToken{}, refuse("The ID token of %s cannot be trusted: %v", p.issuer, err)
	}
	if nonce != "" && id.Nonce != nonce {
		return idToken{}, refuse("The ID token of %s belongs to another sign-in: its nonce is not ours. Try again.", p.issuer)
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return idToken{}, refuse("The ID token of %s does not belong to the access token beside it.", p.issuer)
		}
	}
	return idToken{Raw: raw, Nonce: nonce}, nil
}

// why says in a sentence what went wrong at the provider.
func (p *provider) why(err error) error {
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused) && refused.ErrorCode == "access_denied":
		return refuse("The sign-in was refused at %s.", p.issuer)
	case errors.As(err, &refused) && refused.ErrorCode == "expired_token":
		return refuse("Nobody signed in at %s in time. Try again.", p.issuer)
	case errors.Is(err, context.Canceled):
		return errInterrupted
	case errors.As(err, &refused) && refused.ErrorCode != "":
		return refuse("The sign-in provider %s refused: %s %s", p.issuer, refused.ErrorCode, refused.ErrorDescription)
	}
	return &providerAway{p.issuer, err}
}
