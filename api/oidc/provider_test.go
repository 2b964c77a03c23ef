package oidc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/openid"
)

// clock is a time that the test moves.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += by
}

// trusting is a Provider that believes one of the test's.
func trusting(t *testing.T) (*Provider, *openid.Provider, *clock) {
	t.Helper()
	there, c := openid.New(t), &clock{}
	p := New(Config{Issuer: there.Issuer(), ClientID: openid.ClientID, GroupsClaim: "groups", Client: there.Client()})
	p.now = c.now
	return p, there, c
}

func TestAGoodTokenIsBelieved(t *testing.T) {
	t.Parallel()
	p, there, _ := trusting(t)
	claims := there.Claims("ada").With(openid.Claims{"groups": []string{"admins", "users"}, "nonce": "n"})
	who, err := p.Verify(t.Context(), there.Token(claims), "n")
	require.NoError(t, err)
	require.Equal(t, models.Claims{Issuer: there.Issuer(), Subject: "ada", Username: "ada", Email: "ada@example.com", Groups: []string{"admins", "users"},
		IssuedAt: time.Unix(claims["iat"].(int64), 0).UTC(), ExpiresAt: time.Unix(claims["exp"].(int64), 0).UTC()}, who)

	for name, c := range map[string]struct {
		claims openid.Claims
		want   func(models.Claims) any
		is     any
	}{
		"one group as a text":           {openid.Claims{"groups": "admins"}, func(c models.Claims) any { return c.Groups }, []string{"admins"}},
		"no groups":                     {openid.Claims{}, func(c models.Claims) any { return c.Groups }, []string(nil)},
		"several audiences, and for us": {openid.Claims{"aud": []string{"other", openid.ClientID}, "azp": openid.ClientID}, func(c models.Claims) any { return c.Subject }, "ada"},
		"an endless address":            {openid.Claims{"email": strings.Repeat("a", 250) + "@b.example"}, func(c models.Claims) any { return c.Email }, ""},
		"an address with a NUL":         {openid.Claims{"email": "a\x00@b.example"}, func(c models.Claims) any { return c.Email }, ""},
		"a clock half a minute ahead":   {openid.Claims{"iat": time.Now().Add(30 * time.Second).Unix()}, func(c models.Claims) any { return c.Subject }, "ada"},
	} {
		who, err := p.Verify(t.Context(), there.Token(there.Claims("ada").With(c.claims)), "")
		require.NoError(t, err, name)
		require.Equal(t, c.is, c.want(who), name)
	}
}

// unsigned is a token with a header of one's own and no signature.
func unsigned(t *testing.T, header string, claims openid.Claims) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	require.NoError(t, err)
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
}

// tampered is a token with other claims than those that were signed.
func tampered(t *testing.T, good string, claims openid.Claims) string {
	t.Helper()
	parts := strings.Split(good, ".")
	payload, err := json.Marshal(claims)
	require.NoError(t, err)
	return parts[0] + "." + base64.RawURLEncoding.EncodeToString(payload) + "." + parts[2]
}

func TestBadTokensAreRefused(t *testing.T) {
	t.Parallel()
	p, there, _ := trusting(t)
	foreign := openid.New(t)
	ada := there.Claims("ada")
	with := func(c openid.Claims) string { return there.Token(ada.With(c)) }
	key, stranger := there.Key(), openid.NewKey(t, "key-1")
	now := time.Now()
	groups := make([]string, mostGroups+1)
	for i := range groups {
		groups[i] = fmt.Sprint("g", i)
	}
	_, err := p.Verify(t.Context(), there.Token(ada), "")
	require.NoError(t, err, "the others must not fail for another reason")
	for name, raw := range map[string]string{
		"nothing":                            "",
		"garbage":                            "no token at all",
		"dots":                               "..",
		"binary":                             "\x00\xff.\x00.\xff",
		"three parts of nothing":             "e30.e30.e30",
		"expired":                            with(openid.Claims{"exp": now.Add(-time.Second).Unix(), "iat": now.Add(-time.Minute).Unix()}),
		"without an end":                     with(openid.Claims{"exp": nil}),
		"not valid yet":                      with(openid.Claims{"nbf": now.Add(time.Hour).Unix()}),
		"made in the future":                 with(openid.Claims{"iat": now.Add(2 * skew).Unix(), "exp": now.Add(time.Hour).Unix()}),
		"made at no time":                    with(openid.Claims{"iat": nil}),
		"of another issuer, with its key":    foreign.Token(foreign.Claims("ada")),
		"of another issuer in our name":      foreign.Token(ada),
		"that names another issuer":          with(openid.Claims{"iss": foreign.Issuer()}),
		"that names no issuer":               with(openid.Claims{"iss": nil}),
		"for another client":                 with(openid.Claims{"aud": "portal"}),
		"for no client":                      with(openid.Claims{"aud": nil}),
		"for several, made for another":      with(openid.Claims{"aud": []string{openid.ClientID, "portal"}, "azp": "portal"}),
		"for several, and for whom":          with(openid.Claims{"aud": []string{openid.ClientID, "portal"}}),
		"given to another party":             with(openid.Claims{"azp": "portal"}),
		"about nobody":                       with(openid.Claims{"sub": ""}),
		"about an endless name":              with(openid.Claims{"sub": strings.Repeat("a", 256)}),
		"about a name with a NUL":            with(openid.Claims{"sub": "a\x00b"}),
		"about a number":                     with(openid.Claims{"sub": 7}),
		"with a nonce that nobody sent":      with(openid.Claims{"nonce": "theirs"}),
		"with a group's name with a NUL":     with(openid.Claims{"groups": []string{"a\x00"}}),
		"with groups that are none":          with(openid.Claims{"groups": openid.Claims{"admins": true}}),
		"with too many groups":               with(openid.Claims{"groups": groups}),
		"signed by nobody":                   unsigned(t, `{"alg":"none"}`, ada),
		"signed by nobody, in capitals":      unsigned(t, `{"alg":"NoNe","kid":"key-1"}`, ada),
		"signed by a good name, and nobody":  unsigned(t, `{"alg":"ES256","kid":"key-1"}`, ada),
		"signed with the public key as text": openid.Sign(t, jose.HS256, key.PEM(t), key.ID, ada),
		"signed with a stranger's key":       openid.Sign(t, jose.ES256, stranger.Private, key.ID, ada),
		"signed with a key that nobody has":  openid.Sign(t, jose.ES256, stranger.Private, "key-99", ada),
		"signed with no name of a key":       openid.Sign(t, jose.ES256, stranger.Private, "", ada),
		"tampered":                           tampered(t, there.Token(ada), ada.With(openid.Claims{"sub": "root"})),
		"cut short":                          there.Token(ada)[:60],
		"huge":                               strings.Repeat("a", mostToken+1),
	} {
		who, err := p.Verify(t.Context(), raw, "")
		require.True(t, models.IsCode(err, models.CodeUnauthenticated), "%s: %v", name, err)
		require.Zero(t, who, name)
		if raw != "" {
			require.NotContains(t, models.AsFault(err).Message, raw, name)
		}
	}
	_, err = p.Verify(t.Context(), with(openid.Claims{"nonce": "mine"}), "another")
	require.True(t, models.IsCode(err, models.CodeUnauthenticated), "the nonce of another attempt")
	_, err = p.Verify(t.Context(), there.Token(ada), "mine")
	require.True(t, models.IsCode(err, models.CodeUnauthenticated), "a nonce that the token does not have")
}

// TestTheHeaderBringsNoKey: a token that carries or names the key to check it with is not believed.
func TestTheHeaderBringsNoKey(t *testing.T) {
	t.Parallel()
	p, there, _ := trusting(t)
	mine := openid.NewKey(t, there.Key().ID)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: mine.Private, KeyID: mine.ID}},
		(&jose.SignerOptions{EmbedJWK: true}).WithHeader("jku", "https://evil.example/keys"))
	require.NoError(t, err)
	payload, err := json.Marshal(there.Claims("ada"))
	require.NoError(t, err)
	signed, err := signer.Sign(payload)
	require.NoError(t, err)
	raw, err := signed.CompactSerialize()
	require.NoError(t, err)
	_, err = p.Verify(t.Context(), raw, "")
	require.True(t, models.IsCode(err, models.CodeUnauthenticated), "%v", err)
}

func TestKeysRotate(t *testing.T) {
	t.Parallel()
	p, there, c := trusting(t)
	good := func(raw string) error {
		_, err := p.Verify(t.Context(), raw, "")
		return err
	}
	old := there.Token(there.Claims("ada").With(openid.Claims{"exp": time.Now().Add(time.Hour).Unix()}))
	require.NoError(t, good(old))
	there.Rotate()
	require.NoError(t, good(there.Token(there.Claims("ada"))), "a new key is asked for as soon as it is used")
	require.Error(t, good(old), "a withdrawn key is worth nothing any more")

	// A key that was withdrawn while nobody used the new one ends within minutes.
	old = there.Token(there.Claims("ada").With(openid.Claims{"exp": time.Now().Add(time.Hour).Unix()}))
	there.Rotate()
	require.NoError(t, good(old), "it is still believed")
	c.advance(freshKeys + time.Second)
	require.Error(t, good(old))
}

func TestMadeUpKeysDoNotFloodTheProvider(t *testing.T) {
	t.Parallel()
	p, there, c := trusting(t)
	stranger := openid.NewKey(t, "")
	flood := func() {
		for i := range 100 {
			_, err := p.Verify(t.Context(), openid.Sign(t, jose.ES256, stranger.Private, fmt.Sprint("made-up-", i), there.Claims("ada")), "")
			require.True(t, models.IsCode(err, models.CodeUnauthenticated), "%v", err)
		}
	}
	flood()
	require.LessOrEqual(t, there.Asked(), 4, "once for the first, and three times for what is not there")
	c.advance(10 * time.Second)
	before := there.Asked()
	flood()
	require.LessOrEqual(t, there.Asked()-before, 1)
}

func TestAProviderThatIsDown(t *testing.T) {
	t.Parallel()
	p, there, c := trusting(t)
	code := func() models.Code {
		_, err := p.Verify(t.Context(), there.Token(there.Claims("ada")), "")
		if err == nil {
			return ""
		}
		return models.AsFault(err).Code
	}
	there.SetDown(true)
	require.Equal(t, models.CodeUnavailable, code(), "it was never there")
	there.SetDown(false)
	require.Equal(t, models.CodeUnavailable, code(), "it is left alone for a moment")
	c.advance(patience)
	require.Empty(t, code())

	there.SetDown(true)
	c.advance(freshKeys + time.Second)
	claims := there.Claims("ada").With(openid.Claims{"iat": c.now().Unix(), "exp": c.now().Add(time.Minute).Unix()})
	_, err := p.Verify(t.Context(), there.Token(claims), "")
	require.NoError(t, err, "keys that were good a while ago are good enough")
	c.advance(staleKeys)
	claims = claims.With(openid.Claims{"iat": c.now().Unix(), "exp": c.now().Add(time.Minute).Unix()})
	_, err = p.Verify(t.Context(), there.Token(claims), "")
	require.True(t, models.IsCode(err, models.CodeUnavailable), "%v", err)
}

func TestAProviderThatSaysItIsAnother(t *testing.T) {
	t.Parallel()
	there := openid.New(t)
	p := New(Config{Issuer: there.Issuer() + "/", ClientID: openid.ClientID, GroupsClaim: "groups", Client: there.Client()})
	_, err := p.Verify(context.Background(), there.Token(there.Claims("ada")), "")
	require.True(t, models.IsCode(err, models.CodeUnavailable), "%v", err)
}
