// Package oidc checks who somebody is by the ID token of an OpenID provider.
package oidc

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/yunshu/yunshu/models"
)

// Config is which provider is believed, and for whom its tokens must be made.
type Config struct {
	Issuer      string
	ClientID    string
	GroupsClaim string
	Client      *http.Client // towards the provider
}

// Provider checks ID tokens. It looks the provider up when it is first needed, so that the gateway starts without it.
type Provider struct {
	config Config
	now    func() time.Time

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier
	retryAt  time.Time // not earlier, after a failure
}

// signatures are those that only the provider can make. A token with another one, or with none, is refused.
var signatures = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

const (
	// mostToken bounds the work that a token can make.
	mostToken = 16 << 10
	// mostGroups bounds what a provider can make the database do.
	mostGroups = 500
	// mostEmail is the longest address that mail can be sent to.
	mostEmail = 254
	// skew is how far the provider's clock may be ahead.
	skew = time.Minute
	// patience is how long a provider that did not answer is left alone.
	patience = 2 * time.Second
	// fetchTimeout bounds a request to the provider.
	fetchTimeout = 5 * time.Second
)

// New connects to nothing yet.
func New(c Config) *Provider {
	if c.Client == nil {
		c.Client = &http.Client{Timeout: fetchTimeout}
	}
	return &Provider{config: c, now: time.Now}
}

// Issuer is whose tokens are believed.
func (p *Provider) Issuer() string { return p.config.Issuer }

// ClientID is for whom they must be made.
func (p *Provider) ClientID() string { return p.config.ClientID }

// Verify returns who an ID token is about, or a fault: unauthenticated if it is not good, unavailable if the provider
// that could tell does not answer. A token that carries a nonce is good only together with it.
func (p *Provider) Verify(ctx context.Context, raw, nonce string) (models.Claims, error) {
	if len(raw) > mostToken {
		return models.Claims{}, refused("is longer than 16 KiB")
	}
	verifier, err := p.ready(ctx)
	if err != nil {
		return models.Claims{}, unreachable(err)
	}
	var silence error
	token, err := verifier.Verify(context.WithValue(ctx, silenceKey{}, &silence), raw)
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		return models.Claims{}, refused("has expired").Because(err)
	case silence != nil:
		return models.Claims{}, unreachable(silence)
	case err != nil:
		return models.Claims{}, refused("is not whole, not signed by the provider, or not made by it for this gateway").Because(err)
	}
	return p.claims(token, nonce)
}

// claims checks what the library leaves to its caller, and reads the claims.
func (p *Provider) claims(token *oidc.IDToken, nonce string) (models.Claims, error) {
	var said struct {
		Party    string `json:"azp"`
		Username string `json:"preferred_username"`
		Email    string `json:"email"`
	}
	if err := token.Claims(&said); err != nil {
		return models.Claims{}, refused("has claims that cannot be read").Because(err)
	}
	switch {
	case token.Subject == "" || len(token.Subject) > 255 || !plain(token.Subject):
		return models.Claims{}, refused("names no subject that can be kept")
	case len(token.Audience) > 1 && said.Party == "", said.Party != "" && said.Party != p.config.ClientID:
		return models.Claims{}, refused("was made for another client")
	case token.IssuedAt.IsZero() || token.IssuedAt.After(p.now().Add(skew)):
		return models.Claims{}, refused("was made in the future")
	case subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1:
		return models.Claims{}, refused("belongs to another attempt to sign in: its nonce is not that of the request")
	}
	groups, err := p.groups(token)
	if err != nil {
		return models.Claims{}, err
	}
	if len(said.Email) > mostEmail || !plain(said.Email) {
		said.Email = ""
	}
	return models.Claims{
		Issuer: token.Issuer, Subject: token.Subject, Username: said.Username, Email: said.Email, Groups: groups,
		IssuedAt: token.IssuedAt.UTC(), ExpiresAt: token.Expiry.UTC(),
	}, nil
}

// plain says that the database can keep a text, which it cannot with a NUL in it.
func plain(text string) bool { return !strings.ContainsRune(text, 0) }

// groups reads the claim that names groups: a list, or one name. Without it there are none.
func (p *Provider) groups(token *oidc.IDToken) ([]string, error) {
	var claims map[string]json.RawMessage
	if err := token.Claims(&claims); err != nil {
		return nil, refused("has claims that cannot be read").Because(err)
	}
	raw, ok := claims[p.config.GroupsClaim]
	if !ok {
		return nil, nil
	}
	var names []string
	if err := json.Unmarshal(raw, &names); err != nil {
		var one string
		if err := json.Unmarshal(raw, &one); err != nil {
			return nil, refused("names groups in a way that cannot be read").Because(err)
		}
		names = []string{one}
	}
	if len(names) > mostGroups {
		return nil, refused(fmt.Sprintf("names more than %d groups", mostGroups))
	}
	for _, name := range names {
		if !plain(name) {
			return nil, refused("names groups in a way that cannot be read")
		}
	}
	return names, nil
}

// ready looks the provider up, once.
func (p *Provider) ready(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.verifier != nil {
		return p.verifier, nil
	}
	if p.now().Before(p.retryAt) {
		return nil, errors.New("it did not answer a moment ago")
	}
	found, err := p.discover(ctx)
	if err != nil {
		p.retryAt = p.now().Add(patience)
		return nil, err
	}
	p.verifier = oidc.NewVerifier(p.config.Issuer, newKeySet(found, p.config.Client, p.now),
		&oidc.Config{ClientID: p.config.ClientID, SupportedSigningAlgs: signatures, Now: p.now})
	return p.verifier, nil
}

// discover asks the provider where its keys are. That it is who it should be is checked on the way.
func (p *Provider) discover(ctx context.Context) (keysURL string, err error) {
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.config.Client), fetchTimeout)
	defer cancel()
	provider, err := oidc.NewProvider(ctx, p.config.Issuer)
	if err != nil {
		return "", fmt.Errorf("look the OpenID provider up: %w", err)
	}
	var document struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&document); err != nil {
		return "", fmt.Errorf("read what the OpenID provider says of itself: %w", err)
	}
	if document.Keys == "" {
		return "", errors.New("the OpenID provider does not say where its keys are")
	}
	return document.Keys, nil
}

func refused(why string) *models.Fault {
	return models.Faultf(models.CodeUnauthenticated, "The ID token %s. Sign in again.", why)
}

func unreachable(err error) *models.Fault {
	return models.Faultf(models.CodeUnavailable, "The OpenID provider does not answer, so nobody can sign in. Tokens that there are go on working; try again later.").Because(err)
}
