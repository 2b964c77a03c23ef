package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"github.com/stretchr/testify/require"
)

// Signing in with a provider that does as it should is tested in dev/identity, which has one. The one here does what the
// test wants.

// counter is a gateway and its provider, and what is kept of it.
type counter struct {
	*testing.T
	url         string
	credentials string // file

	issuer string                      // that the gateway names; empty: none
	claims map[string]any              // what the provider writes into an ID token beside the usual
	polls  []string                    // errors with which the provider answers a device, one after the other; then a token
	back   func(url.Values) url.Values // what the browser brings back for what it was sent with
	gives  func(w http.ResponseWriter) // the gateway's answer to an ID token
	key    *ecdsa.PrivateKey

	mu     sync.Mutex // guards polls, and what follows
	nonce  string     // that the browser was sent with
	tokens []string   // with which the gateway was asked
}

func newCounter(t *testing.T) *counter {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &counter{T: t, key: key, credentials: filepath.Join(t.TempDir(), "yunshu", "credentials.json")}
	c.back = func(sent url.Values) url.Values {
		return url.Values{"state": {sent.Get("state")}, "code": {"the-code"}}
	}
	c.gives = func(w http.ResponseWriter) { reply(w, http.StatusCreated, good(time.Now().Add(time.Hour))) }
	keys := &oidctest.Server{PublicKeys: []oidctest.PublicKey{{PublicKey: key.Public(), KeyID: "k1", Algorithm: oidc.ES256}}}
	mux := http.NewServeMux()
	mux.Handle("GET /keys", keys)
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]any{"issuer": c.url, "authorization_endpoint": c.url + "/auth", "token_endpoint": c.url + "/token",
			"device_authorization_endpoint": c.url + "/device", "jwks_uri": c.url + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"}})
	})
	mux.HandleFunc("POST /token", c.token)
	mux.HandleFunc("POST /device", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]any{"device_code": "d", "user_code": "BCDF-GHJK", "verification_uri": c.url + "/enter", "expires_in": 60, "interval": 1})
	})
	mux.HandleFunc("GET /v1/sign-in", func(w http.ResponseWriter, _ *http.Request) {
		if c.issuer == "" {
			reply(w, http.StatusNotFound, map[string]any{"status": 404, "code": "sign_in_disabled", "detail": "Nobody signs in here."})
			return
		}
		reply(w, http.StatusOK, map[string]any{"issuer": c.issuer, "client_id": "yunshu", "scopes": []string{"openid"}})
	})
	mux.HandleFunc("POST /v1/sign-in", func(w http.ResponseWriter, _ *http.Request) { c.gives(w) })
	mux.HandleFunc("POST /v1/sign-out", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /v1/me", func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.tokens = append(c.tokens, r.Header.Get("Authorization"))
		reply(w, http.StatusOK, map[string]any{"id": "1", "name": "ming"})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c.url, c.issuer = server.URL, server.URL
	keys.SetIssuer(c.url)
	return c
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the test sees what is missing
}

func good(until time.Time) signIn {
	return signIn{Token: "yst_secret", Prefix: "yst_", ExpiresAt: until.UTC().Truncate(time.Second), User: "ming", UserID: "1"}
}

// token is the provider's answer to a code, or to a device that asks.
func (c *counter) token(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.polls) > 0 {
		reply(w, http.StatusBadRequest, map[string]string{"error": c.polls[0]})
		c.polls = c.polls[1:]
		return
	}
	claims := map[string]any{"iss": c.url, "aud": "yunshu", "sub": "2001", "nonce": c.nonce, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
	maps.Copy(claims, c.claims)
	raw, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	reply(w, http.StatusOK, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": oidctest.SignIDToken(c.key, "k1", oidc.ES256, string(raw))})
}

// run runs one command, which a browser plays along with as soon as there is an address.
func (c *counter) run(args ...string) (status int, out, errs string) {
	c.Helper()
	open := func(name string) *os.File {
		f, err := os.Create(filepath.Join(c.TempDir(), name))
		require.NoError(c, err)
		return f
	}
	o, e := open("out"), open("err")
	defer o.Close()
	defer e.Close()
	read := func(f *os.File) string {
		raw, err := os.ReadFile(f.Name())
		require.NoError(c, err)
		return string(raw)
	}
	done := make(chan int, 1)
	go func() {
		done <- run(c.Context(), append([]string{"--url", c.url, "--credentials", c.credentials}, args...), o, e)
	}()
	visited := false
	// The address appears on the screen when it does; a person looks again and again.
	require.Eventually(c, func() bool {
		if m := authorizeAddress.FindString(read(e)); m != "" && !visited {
			visited = true
			c.visit(m)
		}
		select {
		case status = <-done:
			return true
		default:
			return false
		}
	}, 30*time.Second, 5*time.Millisecond, "it does not end")
	return status, read(o), read(e)
}

var authorizeAddress = regexp.MustCompile(`http://\S+/auth\?\S+`)

// visit is a browser that the provider sends back at once.
func (c *counter) visit(address string) {
	u, err := url.Parse(address)
	require.NoError(c, err)
	sent := u.Query()
	c.mu.Lock()
	c.nonce = sent.Get("nonce")
	c.mu.Unlock()
	resp, err := http.Get(sent.Get("redirect_uri") + "?" + c.back(sent).Encode())
	require.NoError(c, err)
	require.NoError(c, resp.Body.Close())
}

// TestASignInThatCannotBeTrustedIsRefused: nothing is kept, and a sentence says why.
func TestASignInThatCannotBeTrustedIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*counter)
		status int
		says   string
	}{
		"another nonce":    {func(c *counter) { c.claims = map[string]any{"nonce": "other"} }, exitRefused, `belongs to another sign-in: its nonce is not ours`},
		"no nonce":         {func(c *counter) { c.claims = map[string]any{"nonce": ""} }, exitRefused, `belongs to another sign-in: its nonce is not ours`},
		"another audience": {func(c *counter) { c.claims = map[string]any{"aud": "other"} }, exitRefused, `The ID token of http\S+ cannot be trusted: .*audience`},
		"another issuer":   {func(c *counter) { c.claims = map[string]any{"iss": "http://other"} }, exitRefused, `cannot be trusted: .*issue`},
		"expired":          {func(c *counter) { c.claims = map[string]any{"exp": 1} }, exitRefused, `cannot be trusted: .*expired`},
		"another token's":  {func(c *counter) { c.claims = map[string]any{"at_hash": "AAAA"} }, exitRefused, `does not belong to the access token beside it`},
		"another key":      {func(c *counter) { c.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }, exitRefused, `cannot be trusted: .*signature`},
		"a refusal":        {func(c *counter) { c.back = sendBack("error", "access_denied") }, exitRefused, `The sign-in was refused: access_denied`},
		"nobody signs in":  {func(c *counter) { c.issuer = "" }, exitRefused, `^Nobody signs in here\.`},
		"without https":    {func(c *counter) { c.issuer = "http://login.example" }, exitRefused, `Without https, whoever is on the way could sign in as you`},
		"provider away":    {func(c *counter) { c.issuer = "http://127.0.0.1:1" }, exitUnreachable, `The sign-in provider http://127\.0\.0\.1:1 cannot be used: .*refused`},
		"the gateway's no": {func(c *counter) {
			c.gives = func(w http.ResponseWriter) { reply(w, 401, map[string]any{"status": 401, "detail": "You may not."}) }
		}, exitRefused, `You may not\.`},
		"no token":       {func(c *counter) { c.gives = func(w http.ResponseWriter) { reply(w, 201, map[string]any{}) } }, exitRefused, `accepted the sign-in and gave no token`},
		"a refused code": {func(c *counter) { c.polls = []string{"invalid_grant"} }, exitRefused, `The sign-in provider http\S+ refused: invalid_grant`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := newCounter(t)
			c.change(at)
			status, out, errs := at.run("login", "--no-browser")
			require.Equal(t, c.status, status, errs)
			require.Regexp(t, c.says, errs)
			require.Empty(t, out)
			require.NoFileExists(t, at.credentials)
		})
	}
}

func sendBack(key, value string) func(url.Values) url.Values {
	return func(sent url.Values) url.Values { return url.Values{"state": {sent.Get("state")}, key: {value}} }
}

// TestAnAnswerWithoutTheStateChangesNothing: any page in the browser can send one, and the right one still counts.
func TestAnAnswerWithoutTheStateChangesNothing(t *testing.T) {
	t.Parallel()
	c := newCounter(t)
	right := c.back
	c.back = func(sent url.Values) url.Values {
		for _, forged := range []url.Values{{"state": {"guess"}, "code": {"forged"}}, {"error": {"access_denied"}}, {}} {
			resp, err := http.Get(sent.Get("redirect_uri") + "?" + forged.Encode())
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusBadRequest, resp.StatusCode)
		}
		return right(sent)
	}
	status, out, errs := c.run("login", "--no-browser")
	require.Zero(t, status, errs)
	require.Contains(t, out, " as ming, until ")
}

func TestADeviceSlowsDownWhenItIsTold(t *testing.T) {
	t.Parallel()
	c := newCounter(t)
	c.polls = []string{"authorization_pending", "slow_down"}
	begin := time.Now()
	status, out, errs := c.run("login", "--device")
	require.Zero(t, status, errs)
	require.Contains(t, errs, "/enter\n  BCDF-GHJK\n")
	require.Contains(t, out, " as ming, until ")
	require.GreaterOrEqual(t, time.Since(begin), 8*time.Second, "1 s, 1 s, and 5 s more")
}

func TestADeviceThatIsTooLate(t *testing.T) {
	t.Parallel()
	c := newCounter(t)
	c.polls = []string{"expired_token"}
	status, _, errs := c.run("login", "--device")
	require.Equal(t, exitRefused, status)
	require.Contains(t, errs, "Nobody signed in at "+c.url+" in time. Try again.\n")
}

// TestTheSignInIsUsedAtItsGatewayOnly, and only while it lasts.
func TestTheSignInIsUsedAtItsGatewayOnly(t *testing.T) {
	t.Parallel()
	c := newCounter(t)
	kept := credentials{c.credentials}
	require.NoError(t, kept.put("https://Elsewhere.example/", good(time.Now().Add(time.Hour))))
	status, _, errs := c.run("me")
	require.Equal(t, exitRefused, status)
	require.Contains(t, errs, "You are not signed in to "+c.url+".")
	require.Empty(t, c.tokens, "no other gateway's token was sent there")

	require.NoError(t, kept.put(c.url+"/", good(time.Now().Add(time.Hour))))
	status, out, errs := c.run("whoami", "-o", "json")
	require.Zero(t, status, errs)
	require.Contains(t, out, `"token_from": "yunshu login"`)
	require.Equal(t, []string{"Bearer yst_secret"}, c.tokens)

	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("yst_file\n"), 0o600))
	status, out, errs = c.run("whoami", "-o", "json", "--token-file", file)
	require.Zero(t, status, errs)
	require.Contains(t, out, `"token_from": "--token-file"`)
	require.Equal(t, []string{"Bearer yst_secret", "Bearer yst_file"}, c.tokens)

	require.NoError(t, kept.put(c.url, good(time.Now().Add(-time.Second))))
	status, _, errs = c.run("me")
	require.Equal(t, exitRefused, status)
	require.Regexp(t, `^Your sign-in to http\S+ as ming ended on 20\S+ \S+\. Sign in again with: yunshu login\n$`, errs)
	require.Len(t, c.tokens, 2, "it was not sent")

	status, out, errs = c.run("logout")
	require.Zero(t, status, errs)
	require.Equal(t, "You are signed out of "+c.url+".\n", out)
	_, found, err := kept.of("https://elsewhere.example")
	require.NoError(t, err)
	require.True(t, found, "other sign-ins stay")
}

func TestCredentialsAreNobodyElses(t *testing.T) {
	t.Parallel()
	c := newCounter(t)
	kept := credentials{c.credentials}
	want := good(time.Now().Add(time.Hour))
	require.NoError(t, kept.put(c.url, want))
	for path, mode := range map[string]os.FileMode{c.credentials: 0o600, filepath.Dir(c.credentials): 0o700} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), path)
	}
	got, found, err := kept.of(c.url)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, want, got)
	left, err := os.ReadDir(filepath.Dir(c.credentials))
	require.NoError(t, err)
	require.Len(t, left, 1, "nothing half-written is left")

	require.NoError(t, os.Chmod(c.credentials, 0o644))
	status, _, errs := c.run("me")
	require.Equal(t, exitUsage, status)
	require.Contains(t, errs, "Others can read the tokens in "+c.credentials)
	require.NoError(t, os.Chmod(c.credentials, 0o600))
	require.NoError(t, os.WriteFile(c.credentials, []byte("{"), 0o600))
	status, _, errs = c.run("me")
	require.Equal(t, exitUsage, status)
	require.Contains(t, errs, c.credentials+" is damaged; remove it, and sign in again with yunshu login")
}
