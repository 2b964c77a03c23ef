// Package identity is a real OpenID provider for the development stack and its tests: authorization code with PKCE, the
// device flow, keys that rotate, and a few demo people. Production has its own.
package identity

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// Options say who can sign in, and where.
type Options struct {
	Issuer string // URL under which the provider is reached
	People []Person

	KeyEvery time.Duration    // a new signing key so often; 0: every 12 hours
	Pace     time.Duration    // whole seconds between two questions of a device; 0: 2 s
	Now      func() time.Time // nil: time.Now
}

const (
	devicePath     = "/device"
	deviceLifetime = 5 * time.Minute
)

// New makes a provider, to be served at its issuer.
func New(o Options) (http.Handler, error) {
	if o.KeyEvery == 0 {
		o.KeyEvery = 12 * time.Hour
	}
	if o.Pace == 0 {
		o.Pace = 2 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	people, err := newDirectory(o.People)
	if err != nil {
		return nil, err
	}
	s := newStorage(people, &ring{every: o.KeyEvery, keep: tokenLifetime, now: o.Now}, o.Now, o.Pace)
	provider, err := op.NewProvider(configuration(o.Pace), s, op.StaticIssuer(o.Issuer), op.WithAllowInsecure())
	if err != nil {
		return nil, fmt.Errorf("make the provider %s: %w", o.Issuer, err)
	}
	p := &pages{storage: s, guesses: newGuesses(people), finish: func(id string) string {
		return op.AuthCallbackURL(provider)(op.ContextWithIssuer(context.Background(), o.Issuer), id)
	}}
	mux := http.NewServeMux()
	mux.Handle("/", provider)
	p.register(mux)
	return mux, nil
}

func configuration(pace time.Duration) *op.Config {
	c := &op.Config{
		CodeMethodS256:  true,
		SupportedScopes: []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, scopeGroups},
		SupportedClaims: []string{"sub", "aud", "exp", "iat", "iss", "auth_time", "nonce", "amr", "at_hash", "c_hash", "azp", "name", "preferred_username", "email", "email_verified", "groups"},
		DeviceAuthorization: op.DeviceAuthorizationConfig{
			Lifetime: deviceLifetime, PollInterval: pace, UserFormPath: devicePath, UserCode: op.UserCodeBase20,
		},
	}
	_, _ = rand.Read(c.CryptoKey[:]) // it never fails; codes and access tokens end with the process
	return c
}

// Serve answers at a listener until ctx ends.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 15 * time.Second, MaxHeaderBytes: 64 << 10}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() }) // nothing is under way that matters
	defer stopped()
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}
