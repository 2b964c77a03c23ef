package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	scopeGroups = "groups"

	signInPatience = 10 * time.Minute // for a person to fill in the form
	codeLifetime   = time.Minute      // for the application to come for its tokens
)

// storage is what the provider remembers, all of it in memory: whoever is in the middle of signing in when it ends
// begins again.
type storage struct {
	people directory
	ring   *ring
	now    func() time.Time
	pace   time.Duration // between two questions of a device

	mu       sync.Mutex
	requests map[string]*request // by id
	codes    map[string]*request // by code
	devices  map[string]*device  // by device code
	access   map[string]access   // by the access token's id
}

// access is what an access token opens: the claims of one person.
type access struct {
	subject string
	scopes  []string
	ends    time.Time
}

func newStorage(people directory, keys *ring, now func() time.Time, pace time.Duration) *storage {
	return &storage{
		people: people, ring: keys, now: now, pace: pace,
		requests: map[string]*request{}, codes: map[string]*request{}, devices: map[string]*device{}, access: map[string]access{},
	}
}

// secret is a text that nobody can guess.
func secret() string { return rand.Text() }

var _ interface {
	op.Storage
	op.DeviceAuthorizationStorage
	op.CanSetUserinfoFromRequest
} = (*storage)(nil)

// CreateAuthRequest begins a sign-in. The application is public, so it must use PKCE, and not by a method in which the
// challenge is the verifier.
func (s *storage) CreateAuthRequest(_ context.Context, asked *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	switch {
	case asked.CodeChallenge == "":
		return nil, oidc.ErrInvalidRequest().WithDescription("PKCE is required: send a code_challenge.")
	case asked.CodeChallengeMethod != oidc.CodeChallengeMethodS256:
		return nil, oidc.ErrInvalidRequest().WithDescription("The code_challenge_method must be S256.")
	case len(asked.Prompt) == 1 && asked.Prompt[0] == oidc.PromptNone:
		return nil, oidc.ErrLoginRequired().WithDescription("Nobody stays signed in here: a person has to fill in the form.")
	}
	r := &request{id: secret(), asked: *asked, ends: s.now().Add(signInPatience)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetEnded()
	s.requests[r.id] = r
	return r, nil
}

var errUnknown = errors.New("there is no such sign-in, or it was left too long")

// AuthRequestByID finds a sign-in that has begun.
func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	r, err := s.request(id)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (s *storage) request(id string) (*request, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.requests[id]
	if r == nil || s.now().After(r.ends) {
		return nil, errUnknown
	}
	return r, nil
}

// signedIn ends the part of the person. The sign-in goes on under another id: whoever began it knows the old one, and
// need not be who filled in the form.
func (s *storage) signedIn(id string, p Person) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.requests[id]
	if r == nil || r.Done() || s.now().After(r.ends) {
		return "", errUnknown
	}
	delete(s.requests, id)
	now := s.now()
	done := &request{id: secret(), asked: r.asked, ends: now.Add(codeLifetime), subject: p.Subject, at: now}
	s.requests[done.id] = done
	return done.id, nil
}

// SaveAuthCode remembers the code that the application is sent. Each sign-in has one.
func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.requests[id]
	if r == nil {
		return errUnknown
	}
	delete(s.requests, id)
	s.codes[code] = r
	return nil
}

// AuthRequestByCode finds a sign-in by its code, once: a code that is shown again is worth nothing.
func (s *storage) AuthRequestByCode(_ context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.codes[code]
	delete(s.codes, code)
	if r == nil || s.now().After(r.ends) {
		return nil, errors.New("there is no such code, or it was used, or it has ended")
	}
	return r, nil
}

// DeleteAuthRequest has nothing left to do when the code was used.
func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, id)
	return nil
}

// CreateAccessToken opens the claims of the person for as long as their ID token lives.
func (s *storage) CreateAccessToken(_ context.Context, r op.TokenRequest) (string, time.Time, error) {
	a := access{subject: r.GetSubject(), scopes: r.GetScopes(), ends: s.now().Add(tokenLifetime)}
	id := secret()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.access[id] = a
	return id, a.ends, nil
}

// RevokeToken ends an access token.
func (s *storage) RevokeToken(_ context.Context, id, _, _ string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.access, id)
	return nil
}

// forgetEnded drops what nobody will come for any more.
func (s *storage) forgetEnded() {
	now := s.now()
	for _, all := range []map[string]*request{s.requests, s.codes} {
		for key, r := range all {
			if now.After(r.ends) {
				delete(all, key)
			}
		}
	}
	for key, d := range s.devices {
		if now.After(d.ends) {
			delete(s.devices, key)
		}
	}
	for key, a := range s.access {
		if now.After(a.ends) {
			delete(s.access, key)
		}
	}
}

// GetClientByClientID knows one application.
func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != ClientID {
		return nil, errors.New("there is no such application here; the only one is " + ClientID)
	}
	return application{}, nil
}

// SigningKey returns the key of the moment.
func (s *storage) SigningKey(context.Context) (op.SigningKey, error) { return s.ring.signing() }

// SignatureAlgorithms are those of the keys.
func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{algorithm}, nil
}

// KeySet lists the keys with which a token may be signed.
func (s *storage) KeySet(context.Context) ([]op.Key, error) { return s.ring.public() }

// Health is good while the process lives: there is nothing else that could be ill.
func (s *storage) Health(context.Context) error { return nil }

// SetUserinfoFromScopes is left to SetUserinfoFromRequest, as op recommends.
func (s *storage) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

// SetUserinfoFromRequest writes who somebody is into their ID token.
func (s *storage) SetUserinfoFromRequest(_ context.Context, into *oidc.UserInfo, r op.IDTokenRequest, scopes []string) error {
	return s.describe(into, r.GetSubject(), scopes)
}

// SetUserinfoFromToken answers the same to the bearer of an access token.
func (s *storage) SetUserinfoFromToken(_ context.Context, into *oidc.UserInfo, id, _, _ string) error {
	s.mu.Lock()
	a, found := s.access[id]
	s.mu.Unlock()
	if !found || s.now().After(a.ends) {
		return errors.New("there is no such access token, or it has ended")
	}
	return s.describe(into, a.subject, a.scopes)
}

// describe writes the claims that the scopes ask for.
func (s *storage) describe(into *oidc.UserInfo, subject string, scopes []string) error {
	p, found := s.people.bySubject[subject]
	if !found {
		return fmt.Errorf("there is no person with the subject %q", subject)
	}
	for _, scope := range scopes {
		switch scope {
		case oidc.ScopeOpenID:
			into.Subject = p.Subject
		case oidc.ScopeProfile:
			into.Name, into.PreferredUsername = p.Name, p.Username
		case oidc.ScopeEmail:
			into.Email, into.EmailVerified = p.Email, p.Email != ""
		case scopeGroups:
			into.AppendClaims("groups", p.Groups)
		}
	}
	return nil
}
