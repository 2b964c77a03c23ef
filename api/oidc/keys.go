package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/time/rate"
)

// keySet has the provider's public keys. It follows their rotation: a key that it does not know makes it ask again, but
// not as often as somebody who makes up keys would like.
type keySet struct {
	url    string
	client *http.Client
	asking *rate.Limiter
	now    func() time.Time

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time
	retryAt time.Time // not earlier, after a failure: else everybody would wait for a provider that is down
}

var errSilent = errors.New("the OpenID provider did not answer a moment ago")

// silenceKey is where a verification's context has room for the error of a provider that did not answer: the library
// keeps only the text of what a key set returns.
type silenceKey struct{}

// silent notes that the provider did not answer.
func silent(ctx context.Context, err error) error {
	if room, ok := ctx.Value(silenceKey{}).(*error); ok {
		*room = err
	}
	return err
}

const (
	// freshKeys is how long keys are believed without asking: a key that the provider withdrew ends with it.
	freshKeys = 5 * time.Minute
	// staleKeys is how long they are believed when the provider does not answer.
	staleKeys = time.Hour
	mostKeys  = 256 << 10
)

func newKeySet(url string, client *http.Client, now func() time.Time) *keySet {
	return &keySet{url: url, client: client, now: now, asking: rate.NewLimiter(rate.Every(10*time.Second), 3)}
}

var _ oidc.KeySet = (*keySet)(nil)

var errUnknownKey = errors.New("no key of the provider fits the signature")

// VerifySignature returns what a token says, if one of the provider's keys signed it.
func (k *keySet) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	algorithms := make([]jose.SignatureAlgorithm, len(signatures))
	for i, s := range signatures {
		algorithms[i] = jose.SignatureAlgorithm(s)
	}
	token, err := jose.ParseSigned(raw, algorithms)
	if err != nil {
		return nil, fmt.Errorf("read the token: %w", err)
	}
	if len(token.Signatures) != 1 {
		return nil, errUnknownKey
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if age := k.now().Sub(k.fetched); age > freshKeys {
		if err := k.fetch(ctx); err != nil && age > staleKeys {
			return nil, silent(ctx, err)
		}
	}
	id := token.Signatures[0].Header.KeyID
	if !k.has(id) && k.asking.AllowN(k.now(), 1) {
		if err := k.fetch(ctx); err != nil {
			return nil, silent(ctx, err)
		}
	}
	for _, key := range k.keys {
		if id != "" && key.KeyID != id || key.Use == "enc" {
			continue
		}
		if said, err := token.Verify(key); err == nil {
			return said, nil
		}
	}
	return nil, errUnknownKey
}

func (k *keySet) has(id string) bool {
	for _, key := range k.keys {
		if id == "" || key.KeyID == id {
			return true
		}
	}
	return false
}

// fetch asks for the keys. Only public ones are kept: a symmetric key in the list could be anybody's.
func (k *keySet) fetch(ctx context.Context) (err error) {
	if k.now().Before(k.retryAt) {
		return errSilent
	}
	defer func() {
		if err != nil {
			k.retryAt = k.now().Add(patience)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return fmt.Errorf("ask for the OpenID provider's keys: %w", err)
	}
	answer, err := k.client.Do(request)
	if err != nil {
		return fmt.Errorf("ask for the OpenID provider's keys: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostKeys))
	if err != nil {
		return fmt.Errorf("read the OpenID provider's keys: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the OpenID provider answered %s instead of its keys", answer.Status)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(body, &set); err != nil {
		return fmt.Errorf("read the OpenID provider's keys: %w", err)
	}
	k.keys = k.keys[:0]
	for _, key := range set.Keys {
		if key.Valid() && key.IsPublic() {
			k.keys = append(k.keys, key)
		}
	}
	k.fetched = k.now()
	return nil
}
