// Package openid is an OpenID provider for tests: it serves real documents over TLS, and signs whatever it is told to,
// also what no provider should.
package openid

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
)

// ClientID is for whom the provider's tokens are made, unless they say otherwise.
const ClientID = "yunshu"

// Claims are what a token says.
type Claims map[string]any

// With is the same claims, but for these. Nil takes one away.
func (c Claims) With(others Claims) Claims {
	out := maps.Clone(c)
	for name, value := range others {
		if out[name] = value; value == nil {
			delete(out, name)
		}
	}
	return out
}

// Key is a pair of keys that a provider signs with.
type Key struct {
	ID      string
	Private *ecdsa.PrivateKey
}

// NewKey makes a pair.
func NewKey(t testing.TB, id string) Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return Key{id, private}
}

// PEM is the public half, which everybody knows.
func (k Key) PEM(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.Private.Public())
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Provider is the provider. Its first key signs; all are published.
type Provider struct {
	t      testing.TB
	server *httptest.Server

	mu    sync.Mutex
	keys  []Key
	made  int
	asked int
	down  bool
}

// New starts a provider with one key, until the test ends.
func New(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{t: t}
	p.Rotate()
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", p.document)
	mux.HandleFunc("/keys", p.published)
	p.server = httptest.NewTLSServer(p.unlessDown(mux))
	t.Cleanup(p.server.Close)
	return p
}

// Issuer is how the provider calls itself.
func (p *Provider) Issuer() string { return p.server.URL }

// Client is one that trusts the provider's certificate.
func (p *Provider) Client() *http.Client { return p.server.Client() }

// Rotate withdraws the keys there are, and signs with a new one.
func (p *Provider) Rotate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made++
	p.keys = []Key{NewKey(p.t, "key-"+strconv.Itoa(p.made))}
}

// SetDown makes the provider answer nothing but 503, or lets it answer again.
func (p *Provider) SetDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// Asked is how often somebody wanted the keys.
func (p *Provider) Asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// Key is the one that signs.
func (p *Provider) Key() Key {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[0]
}

// Claims are those of a good token about somebody, made at this moment.
func (p *Provider) Claims(subject string) Claims {
	now := time.Now()
	return Claims{
		"iss": p.Issuer(), "aud": ClientID, "sub": subject, "preferred_username": subject, "email": subject + "@example.com",
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": rand.Text(),
	}
}

// Token is a good token with these claims.
func (p *Provider) Token(claims Claims) string {
	p.t.Helper()
	key := p.Key()
	return Sign(p.t, jose.ES256, key.Private, key.ID, claims)
}

// Sign makes a token with any key.
func Sign(t testing.TB, by jose.SignatureAlgorithm, key any, keyID string, claims Claims) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT")
	if keyID != "" {
		options = options.WithHeader("kid", keyID)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: by, Key: key}, options)
	require.NoError(t, err)
	payload, err := json.Marshal(claims)
	require.NoError(t, err)
	signed, err := signer.Sign(payload)
	require.NoError(t, err)
	raw, err := signed.CompactSerialize()
	require.NoError(t, err)
	return raw
}

func (p *Provider) unlessDown(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		down := p.down
		p.mu.Unlock()
		if down {
			http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (p *Provider) document(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{
		"issuer": p.Issuer(), "jwks_uri": p.Issuer() + "/keys", "authorization_endpoint": p.Issuer() + "/authorize", "token_endpoint": p.Issuer() + "/token",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"},
	})
}

func (p *Provider) published(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	set := jose.JSONWebKeySet{}
	for _, key := range p.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Private.Public(), KeyID: key.ID, Algorithm: string(jose.ES256), Use: "sig"})
	}
	answer(w, set)
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // who asked sees what is missing
}
