package identity

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// ring holds the keys that sign ID tokens: the newest signs, and an older one is served until the last token that it
// signed has ended. It turns when it is looked at, so it needs no clockwork.
type ring struct {
	every time.Duration // a key signs for so long
	keep  time.Duration // a token lives for so long
	now   func() time.Time

	mu   sync.Mutex
	keys []signingKey // the newest last
}

// signingKey is one key of the ring, and its private half for op.
type signingKey struct {
	id      string
	private *rsa.PrivateKey
	since   time.Time
}

func (k signingKey) ID() string                                  { return k.id }
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return algorithm }
func (k signingKey) Key() any                                    { return k.private }

// publicKey is the half that everyone may see.
type publicKey struct{ signingKey }

func (k publicKey) Algorithm() jose.SignatureAlgorithm { return algorithm }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return k.private.Public() }

// algorithm is the one that every OpenID client must understand.
const algorithm = jose.RS256

// signing returns the key of the moment.
func (r *ring) signing() (signingKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.turn(); err != nil {
		return signingKey{}, err
	}
	return r.keys[len(r.keys)-1], nil
}

// public lists the keys with which a token may still be signed.
func (r *ring) public() ([]op.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.turn(); err != nil {
		return nil, err
	}
	var out []op.Key
	for _, k := range r.keys {
		out = append(out, publicKey{k})
	}
	return out, nil
}

// turn makes a new key when it is time to, and forgets those whose last token has ended.
func (r *ring) turn() error {
	now := r.now()
	if n := len(r.keys); n == 0 || now.Sub(r.keys[n-1].since) >= r.every {
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return fmt.Errorf("make a signing key: %w", err)
		}
		r.keys = append(r.keys, signingKey{id: secret(), private: private, since: now})
	}
	for len(r.keys) > 1 && now.Sub(r.keys[1].since) > r.keep {
		r.keys = r.keys[1:]
	}
	return nil
}
