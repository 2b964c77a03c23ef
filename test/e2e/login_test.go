//go:build e2e

package e2e

import (
	"bufio"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// signIn signs somebody in with the command line and a browser, and makes them who the next commands are.
func (s *stack) signIn(username string) {
	s.Helper()
	s.env["XDG_CONFIG_HOME"] = s.TempDir()
	s.env["YUNSHU_TOKEN"] = ""
	cmd := exec.CommandContext(s.Context(), filepath.Join(s.root, "bin", "yunshu"), "login", "--no-browser")
	cmd.Env = s.environment()
	errs, err := cmd.StderrPipe()
	require.NoError(s, err)
	require.NoError(s, cmd.Start())
	lines := bufio.NewScanner(errs)
	address := ""
	for address == "" && lines.Scan() {
		address = signInAddress.FindString(lines.Text())
	}
	require.NotEmpty(s, address, "the command line shows where to sign in")
	atBrowser(s.T, address, username, s.env["YUNSHU_DEMO_PASSWORD"])
	_, _ = io.Copy(io.Discard, errs)
	require.NoError(s, cmd.Wait())
}

var (
	signInAddress = regexp.MustCompile(`http://\S+/authorize\?\S+`)
	hiddenID      = regexp.MustCompile(`name="id" value="([^"]+)"`)
)

// atBrowser is what a person does at the provider, all the way back to the command line.
func atBrowser(t *testing.T, address, username, password string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar, Timeout: time.Minute}
	page, form := read(t, func() (*http.Response, error) { return browser.Get(address) })
	id := hiddenID.FindStringSubmatch(page)
	require.NotNil(t, id, page)
	fill := url.Values{"id": {id[1]}, "username": {username}, "password": {password}}
	done, _ := read(t, func() (*http.Response, error) { return browser.PostForm(form.String(), fill) })
	require.Contains(t, done, "Back to the command line")
}

// read is a page and where it came from at last.
func read(t *testing.T, ask func() (*http.Response, error)) (string, *url.URL) {
	t.Helper()
	resp, err := ask()
	require.NoError(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", raw)
	return string(raw), resp.Request.URL
}

// peopleComeAndGo is sign-in from outside: the real provider, a browser, and roles that come with a group.
func (s *stack) peopleComeAndGo() {
	s.Helper()
	admin := s.env["YUNSHU_TOKEN"]
	s.must("group-binding", "create", "acme-members", "--role", "member", "--tenant", "acme")
	s.signIn("mei")
	require.Regexp(s, `(?m)^name +mei$`, s.must("whoami"))
	require.Contains(s, s.must("vm", "list"), "web-1")
	_, status := s.yunshu("tenant", "delete", "acme")
	require.Equal(s, 4, status, "a member does not delete the tenant")
	s.must("logout")
	_, status = s.yunshu("vm", "list")
	require.Equal(s, 4, status)
	s.env["YUNSHU_TOKEN"] = admin
	require.Contains(s, s.must("audit-event", "list", "--action", "user.sign-in"), "mei")
}
