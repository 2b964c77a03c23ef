package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/stretchr/testify/require"
)

// The command line signs in here with a real provider, against as much of a gateway as that takes.

var yunshu string // the program

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "yunshu-login-")
	if err != nil {
		panic(err)
	}
	yunshu = filepath.Join(dir, "yunshu")
	build := exec.Command("go", "build", "-o", yunshu, "./cmd/yunshu")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		panic(string(out))
	}
	status := m.Run()
	_ = os.RemoveAll(dir) // it is in a temporary directory
	os.Exit(status)
}

// gate speaks the gateway's part of signing in.
type gate struct {
	*testing.T
	issuer, url string
	verifier    *oidc.IDTokenVerifier

	mu     sync.Mutex
	tokens map[string]string // token to user
}

func newGate(t *testing.T, issuer string) *gate {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), issuer)
	require.NoError(t, err)
	g := &gate{T: t, issuer: issuer, verifier: provider.Verifier(&oidc.Config{ClientID: ClientID}), tokens: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/sign-in", func(w http.ResponseWriter, _ *http.Request) {
		g.answer(w, http.StatusOK, map[string]any{"issuer": issuer, "client_id": ClientID, "scopes": []string{"openid", "profile", "email", "groups"}})
	})
	mux.HandleFunc("POST /v1/sign-in", g.signIn)
	mux.HandleFunc("POST /v1/sign-out", g.authenticated(func(w http.ResponseWriter, token, _ string) {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.tokens, token)
		w.WriteHeader(http.StatusNoContent)
	}))
	mux.HandleFunc("GET /v1/me", g.authenticated(func(w http.ResponseWriter, _, user string) {
		g.answer(w, http.StatusOK, map[string]string{"id": "0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a", "name": user})
	}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

// users are those whose tokens are good.
func (g *gate) users() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Values(g.tokens))
}

func (g *gate) answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the test sees what is missing
}

func (g *gate) refuse(w http.ResponseWriter, detail string) {
	g.answer(w, http.StatusUnauthorized, map[string]any{"status": http.StatusUnauthorized, "code": "unauthenticated", "title": "Not signed in", "detail": detail})
}

func (g *gate) signIn(w http.ResponseWriter, r *http.Request) {
	var in struct {
		IDToken string `json:"id_token"`
		Nonce   string `json:"nonce"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		g.refuse(w, err.Error())
		return
	}
	id, err := g.verifier.Verify(r.Context(), in.IDToken)
	if err != nil || id.Nonce != in.Nonce {
		g.refuse(w, "The ID token is not good.")
		return
	}
	var claims struct {
		Username string `json:"preferred_username"`
	}
	if err := id.Claims(&claims); err != nil {
		g.refuse(w, err.Error())
		return
	}
	token := "yst_" + secret()
	g.mu.Lock()
	g.tokens[token] = claims.Username
	g.mu.Unlock()
	g.answer(w, http.StatusCreated, map[string]any{"token": token, "prefix": token[:8], "expires_at": time.Now().Add(8 * time.Hour), "user": claims.Username, "user_id": "0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"})
}

func (g *gate) authenticated(h func(w http.ResponseWriter, token, user string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		g.mu.Lock()
		user := g.tokens[token]
		g.mu.Unlock()
		if user == "" {
			g.refuse(w, "This token is worth nothing.")
			return
		}
		h(w, token, user)
	}
}

// terminal is a person's shell: a configuration directory of its own, and no token in the environment.
type terminal struct {
	*gate
	config string
}

func newTerminal(t *testing.T) terminal {
	t.Helper()
	issuer, _ := serve(t)
	return terminal{newGate(t, issuer), t.TempDir()}
}

// running is a command that waits for a person.
type running struct {
	cmd       *exec.Cmd
	out, errs screen
}

// screen is written by a command and read by a person meanwhile.
type screen struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

func (s terminal) start(env []string, args ...string) *running {
	s.Helper()
	c := &running{}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	s.Cleanup(cancel)
	c.cmd = exec.CommandContext(ctx, yunshu, args...)
	c.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.config, "XDG_CONFIG_HOME=" + s.config, "YUNSHU_URL=" + s.url}, env...)
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.errs
	require.NoError(s, c.cmd.Start())
	return c
}

func (s terminal) wait(c *running) (status int, out, errs string) {
	s.Helper()
	if err := c.cmd.Wait(); err != nil {
		var ended *exec.ExitError
		require.ErrorAs(s, err, &ended)
	}
	return c.cmd.ProcessState.ExitCode(), c.out.String(), c.errs.String()
}

func (s terminal) run(args ...string) (status int, out, errs string) {
	s.Helper()
	return s.wait(s.start(nil, args...))
}

// shown waits until a command shows what a pattern finds; a process has no better signal.
func (s terminal) shown(c *running, pattern string) string {
	s.Helper()
	p := regexp.MustCompile(pattern)
	require.Eventually(s, func() bool { return p.MatchString(c.errs.String()) }, 20*time.Second, 10*time.Millisecond, "it does not show %s", pattern)
	return p.FindStringSubmatch(c.errs.String())[1]
}

const signInAddress = `(http://\S+/authorize\?\S+)`

// atBrowser is what a person does at the address, all the way back to the command line.
func (s terminal) atBrowser(address, username string) {
	s.Helper()
	b := newBrowser(s.T)
	b.client.CheckRedirect = nil
	got := b.submit(b.open(address), map[string]string{"username": username, "password": password})
	require.Equal(s, http.StatusOK, got.status, got.page)
	require.Contains(s, got.page, "Back to the command line")
	require.Equal(s, "/callback", got.from.Path)
}

func TestLoginWithABrowserThatOpens(t *testing.T) {
	t.Parallel()
	s := newTerminal(t)
	opened := filepath.Join(t.TempDir(), "opened")
	script := filepath.Join(t.TempDir(), "browser")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\nprintf %s \"$1\" > "+opened+".new && mv "+opened+".new "+opened+"\n"), 0o755))
	c := s.start([]string{"BROWSER=" + script}, "login")
	address := s.shown(c, signInAddress)
	require.Eventually(t, func() bool { _, err := os.Stat(opened); return err == nil }, 20*time.Second, 10*time.Millisecond, "another process writes it")
	raw, err := os.ReadFile(opened)
	require.NoError(t, err)
	require.Equal(t, address, string(raw))
	s.atBrowser(address, "ming")
	status, out, errs := s.wait(c)
	require.Zero(t, status, errs)
	require.Regexp(t, `^You are signed in to http://127\.0\.0\.1:\d+ as ming, until 20\d\d-\d\d-\d\d \d\d:\d\d\.\n$`, out)

	info, err := os.Stat(filepath.Join(s.config, "yunshu", "credentials.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	status, out, errs = s.run("whoami")
	require.Zero(t, status, errs)
	require.Regexp(t, `(?m)^name +ming$`, out)
	require.Regexp(t, `(?m)^token from +yunshu login$`, out)

	status, out, errs = s.run("logout")
	require.Zero(t, status, errs)
	require.Equal(t, "You are signed out of "+s.url+".\n", out)
	require.Empty(t, s.users(), "the gateway revoked it")
	status, _, errs = s.run("whoami")
	require.Equal(t, 4, status)
	require.Equal(t, "You are not signed in to "+s.url+". Sign in with: yunshu login. Or give a token in YUNSHU_TOKEN or with --token-file.\n", errs)
	status, out, _ = s.run("logout")
	require.Zero(t, status)
	require.Equal(t, "You are not signed in to "+s.url+".\n", out)
}

func TestLoginWithoutABrowserHere(t *testing.T) {
	t.Parallel()
	s := newTerminal(t)
	c := s.start([]string{"BROWSER=/nonexistent", "YUNSHU_TOKEN=another"}, "login", "-o", "json")
	s.shown(c, `(No browser opened by itself)`)
	s.atBrowser(s.shown(c, signInAddress), "viv")
	status, out, errs := s.wait(c)
	require.Zero(t, status, errs)
	var got map[string]string
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.NotEmpty(t, got["expires_at"])
	delete(got, "expires_at")
	require.Equal(t, map[string]string{"gateway": s.url, "user": "viv", "user_id": "0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"}, got, "the token is not shown")
	require.Contains(t, errs, "YUNSHU_TOKEN is set and goes before this sign-in.")

	c = s.start(nil, "login", "--no-browser")
	s.atBrowser(s.shown(c, signInAddress), "mei")
	status, _, errs = s.wait(c)
	require.Zero(t, status, errs)
	require.Equal(t, []string{"mei"}, s.users(), "the token of the sign-in before is revoked")
}

func TestLoginOfADevice(t *testing.T) {
	t.Parallel()
	s := newTerminal(t)
	c := s.start(nil, "login", "--device")
	code := s.shown(c, `\n  ([B-Z]{4}-[B-Z]{4})\n`)
	b := newBrowser(t)
	got := b.submit(b.open(s.issuer+"/device"), map[string]string{"user_code": code, "username": "olga", "password": password, "answer": "allow"})
	require.Equal(t, http.StatusOK, got.status, got.page)
	status, out, errs := s.wait(c)
	require.Zero(t, status, errs)
	require.Contains(t, out, " as olga, until ")
	status, out, _ = s.run("whoami")
	require.Zero(t, status)
	require.Regexp(t, `(?m)^name +olga$`, out)
}

func TestLoginThatAPersonRefuses(t *testing.T) {
	t.Parallel()
	s := newTerminal(t)
	c := s.start(nil, "login", "--device")
	address := s.shown(c, `(http://\S+/device\?user_code=\S+)`)
	b := newBrowser(t)
	got := b.submit(b.open(address), map[string]string{"username": "olga", "password": password, "answer": "deny"})
	require.Equal(t, http.StatusOK, got.status, got.page)
	status, out, errs := s.wait(c)
	require.Equal(t, 4, status)
	require.Empty(t, out)
	require.Contains(t, errs, "The sign-in was refused at "+s.issuer+".\n")
	require.NoFileExists(t, filepath.Join(s.config, "yunshu", "credentials.json"))
}
