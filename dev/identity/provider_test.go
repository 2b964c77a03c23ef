package identity

import (
	"context"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/oauth2"
)

const password = "correct horse <battery> & staple"

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

// serve runs a provider on a free port.
func serve(t *testing.T) (issuer string, c *clock) {
	t.Helper()
	people, err := withPassword(password, bcrypt.MinCost)
	require.NoError(t, err)
	c = &clock{}
	server := httptest.NewUnstartedServer(nil)
	issuer = "http://" + server.Listener.Addr().String()
	server.Config.Handler, err = New(Options{Issuer: issuer, People: people, KeyEvery: time.Hour, Pace: time.Second, Now: c.now})
	require.NoError(t, err)
	server.Start()
	t.Cleanup(server.Close)
	return issuer, c
}

// browser is somebody at a browser: it follows links, keeps cookies, and fills in forms.
type browser struct {
	*testing.T
	client *http.Client
}

func newBrowser(t *testing.T) browser {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return browser{t, &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/callback" {
			return http.ErrUseLastResponse // the application's part
		}
		return nil
	}}}
}

// result is a page, or where the browser was sent at last.
type result struct {
	status   int
	location *url.URL
	page     string
	from     *url.URL
}

func (b browser) do(r *http.Request) result {
	b.Helper()
	resp, err := b.client.Do(r)
	require.NoError(b, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(b, err)
	got := result{status: resp.StatusCode, page: string(raw), from: resp.Request.URL}
	if resp.Header.Get("Location") != "" {
		got.location, err = resp.Location()
		require.NoError(b, err)
	}
	return got
}

func (b browser) open(address string) result {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, address, nil)
	require.NoError(b, err)
	return b.do(r)
}

var (
	field  = regexp.MustCompile(`<input [^>]*name="(\w+)"(?: [a-z]+="[^"]*"| required| autofocus)*>`)
	preset = regexp.MustCompile(`value="([^"]*)"`)
	action = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
)

// submit sends the form of a page with what is filled in.
func (b browser) submit(p result, fill map[string]string, change ...func(*http.Request)) result {
	b.Helper()
	form := url.Values{}
	for _, m := range field.FindAllStringSubmatch(p.page, -1) {
		form.Set(m[1], "")
		if v := preset.FindStringSubmatch(m[0]); v != nil {
			form.Set(m[1], html.UnescapeString(v[1]))
		}
	}
	require.NotEmpty(b, form, p.page)
	for k, v := range fill {
		form.Set(k, v)
	}
	to, err := p.from.Parse(action.FindStringSubmatch(p.page)[1])
	require.NoError(b, err)
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, to.String(), strings.NewReader(form.Encode()))
	require.NoError(b, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", p.from.Scheme+"://"+p.from.Host)
	for _, f := range change {
		f(r)
	}
	return b.do(r)
}

// client is an application that signs people in.
type client struct {
	*testing.T
	provider *oidc.Provider
	config   oauth2.Config
	verifier string
}

func newClient(t *testing.T, issuer string) *client {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), issuer)
	require.NoError(t, err)
	endpoint := provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInParams
	return &client{T: t, provider: provider, verifier: oauth2.GenerateVerifier(), config: oauth2.Config{
		ClientID: ClientID, Endpoint: endpoint, RedirectURL: "http://127.0.0.1:45678/callback", Scopes: []string{"openid", "profile", "email", "groups"},
	}}
}

func (c *client) address(options ...oauth2.AuthCodeOption) string {
	return c.config.AuthCodeURL("the-state", append([]oauth2.AuthCodeOption{oauth2.S256ChallengeOption(c.verifier), oidc.Nonce("the-nonce")}, options...)...)
}

// code signs somebody in and returns the code that their browser brings back.
func (c *client) code(username string) string {
	c.Helper()
	b := newBrowser(c.T)
	got := b.submit(b.open(c.address()), map[string]string{"username": username, "password": password})
	require.Equal(c, http.StatusFound, got.status, got.page)
	require.Equal(c, "http://127.0.0.1:45678/callback", got.location.Scheme+"://"+got.location.Host+got.location.Path)
	require.Equal(c, "the-state", got.location.Query().Get("state"))
	return got.location.Query().Get("code")
}

// idToken signs somebody in to the end.
func (c *client) idToken(username string) string {
	c.Helper()
	token, err := c.config.Exchange(c.Context(), c.code(username), oauth2.VerifierOption(c.verifier))
	require.NoError(c, err)
	raw, ok := token.Extra("id_token").(string)
	require.True(c, ok)
	return raw
}

func (c *client) verify(ctx context.Context, raw string) (*oidc.IDToken, error) {
	return c.provider.Verifier(&oidc.Config{ClientID: ClientID}).Verify(ctx, raw)
}

func TestACodeWithPKCEGivesAnIDToken(t *testing.T) {
	t.Parallel()
	issuer, _ := serve(t)
	c := newClient(t, issuer)
	token, err := c.verify(t.Context(), c.idToken("ming"))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(tokenLifetime), token.Expiry, 5*time.Second)
	var claims map[string]any
	require.NoError(t, token.Claims(&claims))
	for _, varies := range []string{"iat", "exp", "auth_time", "at_hash", "c_hash"} {
		require.NotEmpty(t, claims[varies], varies)
		delete(claims, varies)
	}
	require.Equal(t, map[string]any{
		"iss": issuer, "sub": "2001", "aud": []any{"yunshu"}, "azp": "yunshu", "client_id": "yunshu", "nonce": "the-nonce", "amr": []any{"pwd"},
		"name": "Ming Li", "preferred_username": "ming", "email": "ming@acme.example", "email_verified": true, "groups": []any{"acme-owners"},
	}, claims)
}

func TestScopesSayWhichClaimsAreGiven(t *testing.T) {
	t.Parallel()
	issuer, _ := serve(t)
	c := newClient(t, issuer)
	c.config.Scopes = []string{"openid"}
	token, err := c.verify(t.Context(), c.idToken("ming"))
	require.NoError(t, err)
	var claims map[string]any
	require.NoError(t, token.Claims(&claims))
	require.NotContains(t, claims, "email")
	require.NotContains(t, claims, "groups")
	require.NotContains(t, claims, "preferred_username")
}

func TestTheUserInfoOfAnAccessToken(t *testing.T) {
	t.Parallel()
	issuer, clock := serve(t)
	c := newClient(t, issuer)
	token, err := c.config.Exchange(t.Context(), c.code("viv"), oauth2.VerifierOption(c.verifier))
	require.NoError(t, err)
	info, err := c.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token))
	require.NoError(t, err)
	require.Equal(t, "2003 viv@acme.example", info.Subject+" "+info.Email)
	clock.advance(tokenLifetime + time.Second)
	_, err = c.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token))
	require.Error(t, err, "it has ended")
}

// TestTheBeginningOfASignInIsChecked: the application hears what is wrong, or, where that may not be the application, the
// person.
func TestTheBeginningOfASignInIsChecked(t *testing.T) {
	t.Parallel()
	issuer, _ := serve(t)
	for name, tried := range map[string]struct {
		change func(url.Values)
		says   string // error and description that the application is sent; empty: the browser is not sent back
	}{
		"no PKCE":           {func(q url.Values) { q.Del("code_challenge"); q.Del("code_challenge_method") }, "invalid_request: PKCE is required: send a code_challenge."},
		"plain PKCE":        {func(q url.Values) { q.Set("code_challenge_method", "plain") }, "invalid_request: The code_challenge_method must be S256."},
		"default PKCE":      {func(q url.Values) { q.Del("code_challenge_method") }, "invalid_request: The code_challenge_method must be S256."},
		"no form":           {func(q url.Values) { q.Set("prompt", "none") }, "login_required: Nobody stays signed in here: a person has to fill in the form."},
		"implicit":          {func(q url.Values) { q.Set("response_type", "id_token") }, "unauthorized_client: "},
		"another place":     {func(q url.Values) { q.Set("redirect_uri", "https://evil.example/callback") }, ""},
		"another path":      {func(q url.Values) { q.Set("redirect_uri", "http://127.0.0.1:45678/other") }, ""},
		"another client":    {func(q url.Values) { q.Set("client_id", "other") }, ""},
		"a name like a URL": {func(q url.Values) { q.Set("redirect_uri", "http://127.0.0.1.evil.example/callback") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, err := url.Parse(newClient(t, issuer).address())
			require.NoError(t, err)
			q := address.Query()
			tried.change(q)
			address.RawQuery = q.Encode()
			got := newBrowser(t).open(address.String())
			if tried.says == "" {
				require.Equal(t, http.StatusBadRequest, got.status)
				require.Nil(t, got.location)
				return
			}
			require.Equal(t, http.StatusFound, got.status, got.page)
			answer := got.location.Query()
			if got.location.Fragment != "" {
				answer, err = url.ParseQuery(got.location.Fragment)
				require.NoError(t, err)
			}
			require.Contains(t, answer.Get("error")+": "+answer.Get("error_description"), tried.says)
			require.Empty(t, answer.Get("code"))
		})
	}
}

// TestACodeIsForWhoBeganAndOnce: neither a thief nor a repetition gets tokens.
func TestACodeIsForWhoBeganAndOnce(t *testing.T) {
	t.Parallel()
	issuer, clock := serve(t)
	c := newClient(t, issuer)
	for name, try := range map[string]func(code string) error{
		"wrong verifier": func(code string) error {
			_, err := c.config.Exchange(t.Context(), code, oauth2.VerifierOption(oauth2.GenerateVerifier()))
			return err
		},
		"no verifier": func(code string) error {
			_, err := c.config.Exchange(t.Context(), code)
			return err
		},
		"another redirect": func(code string) error {
			other := c.config
			other.RedirectURL = "http://127.0.0.1:45679/callback"
			_, err := other.Exchange(t.Context(), code, oauth2.VerifierOption(c.verifier))
			return err
		},
		"twice": func(code string) error {
			_, err := c.config.Exchange(t.Context(), code, oauth2.VerifierOption(c.verifier))
			require.NoError(t, err)
			_, err = c.config.Exchange(t.Context(), code, oauth2.VerifierOption(c.verifier))
			return err
		},
		"too late": func(code string) error {
			clock.advance(codeLifetime + time.Second)
			_, err := c.config.Exchange(t.Context(), code, oauth2.VerifierOption(c.verifier))
			return err
		},
	} {
		code := c.code("mei") // one after the other: one of them moves the clock
		var refused *oauth2.RetrieveError
		require.ErrorAs(t, try(code), &refused, name)
		require.Contains(t, []string{"invalid_grant", "invalid_request"}, refused.ErrorCode, name)
		_, err := c.config.Exchange(t.Context(), code, oauth2.VerifierOption(c.verifier))
		require.ErrorAs(t, err, &refused, "%s: the code was used up", name)
	}
}

func TestAWrongPasswordShowsTheFormAgain(t *testing.T) {
	t.Parallel()
	issuer, _ := serve(t)
	b := newBrowser(t)
	form := b.open(newClient(t, issuer).address())
	for name, fill := range map[string]map[string]string{
		"wrong password": {"username": "ada", "password": "guess"},
		"no password":    {"username": "ada"},
		"unknown name":   {"username": `"><script>alert(1)</script>`, "password": password},
	} {
		got := b.submit(form, fill)
		require.Equal(t, http.StatusUnauthorized, got.status, name)
		require.Contains(t, got.page, "The name or the password is wrong.", name)
		require.NotContains(t, got.page, "<script>", name)
		require.Nil(t, got.location, name)
	}
	got := b.submit(form, map[string]string{"username": "ada", "password": password})
	require.Equal(t, "/callback", got.location.Path, "the sign-in goes on")
	got = b.submit(form, map[string]string{"username": "ada", "password": password})
	require.Equal(t, http.StatusNotFound, got.status, "a form counts once")
}

// TestGuessingIsSlow: not even the right password is taken after too many wrong ones, and others are not held up.
func TestGuessingIsSlow(t *testing.T) {
	t.Parallel()
	issuer, _ := serve(t)
	b := newBrowser(t)
	form := b.open(newClient(t, issuer).address())
	for range 10 {
		require.Equal(t, http.StatusUnauthorized, b.submit(form, map[string]string{"username": "olga", "password": "guess"}).status)
	}
	got := b.submit(form, map[string]string{"username": "olga", "password": password})
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.Contains(t, got.page, "Too many tries for this name.")
	require.Equal(t, http.StatusFound, b.submit(form, map[string]string{"username": "viv", "password": password}).status)
}

func TestAFormFromAnotherSiteIsRefused(t *testing.T) {
	t.Parallel()
	issuer, _ := serve(t)
	b := newBrowser(t)
	form := b.open(newClient(t, issuer).address())
	for name, change := range map[string]func(*http.Request){
		"fetch metadata": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"origin":         func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
	} {
		got := b.submit(form, map[string]string{"username": "ada", "password": password}, change)
		require.Equal(t, http.StatusForbidden, got.status, name)
	}
}

// TestWhoBeganASignInCannotEndItForAnother: the id that the login page's address shows is worth nothing once the person
// has signed in.
func TestWhoBeganASignInCannotEndItForAnother(t *testing.T) {
	t.Parallel()
	issuer, _ := serve(t)
	attacker, victim := newBrowser(t), newBrowser(t)
	form := attacker.open(newClient(t, issuer).address())
	require.Equal(t, http.StatusFound, victim.submit(form, map[string]string{"username": "ada", "password": password}).status)
	got := attacker.open(issuer + "/authorize/callback?id=" + url.QueryEscape(form.from.Query().Get("id")))
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Nil(t, got.location)
}

// TestKeysRotate: a token of yesterday's key verifies until it ends, and new ones have a new key.
func TestKeysRotate(t *testing.T) {
	t.Parallel()
	issuer, clock := serve(t)
	c := newClient(t, issuer)
	old := c.idToken("ada")
	first := keyIDs(t, issuer)
	require.Len(t, first, 1)

	clock.advance(time.Hour)
	fresh := c.idToken("ada")
	both := keyIDs(t, issuer)
	require.Len(t, both, 2)
	require.Equal(t, first[0], both[0])
	for _, raw := range []string{old, fresh} {
		_, err := newClient(t, issuer).verify(t.Context(), raw) // with keys that it fetches now
		require.NoError(t, err)
	}
	_, err := c.verify(t.Context(), fresh)
	require.NoError(t, err, "who knew only the old key learns of the new one")

	clock.advance(tokenLifetime + time.Second)
	require.Equal(t, both[1:], keyIDs(t, issuer), "no token of the first key can be alive")
}

func keyIDs(t *testing.T, issuer string) (ids []string) {
	t.Helper()
	var set struct {
		Keys []struct {
			ID  string `json:"kid"`
			D   string `json:"d"`
			Alg string `json:"alg"`
		} `json:"keys"`
	}
	require.NoError(t, json.Unmarshal([]byte(newBrowser(t).open(issuer+"/keys").page), &set))
	for _, k := range set.Keys {
		require.Empty(t, k.D, "the private half stays here")
		require.Equal(t, "RS256", k.Alg)
		ids = append(ids, k.ID)
	}
	return ids
}
