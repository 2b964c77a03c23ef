package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// shell runs the command line against a gateway that answers as a test says.
type shell struct {
	t        *testing.T
	url      string
	requests []string // method, path and body of each
}

// serve starts a gateway with an answer for each method and path, or for them and how many-th call it is.
func serve(t *testing.T, answers map[string]string) *shell {
	t.Helper()
	s := &shell{t: t}
	calls := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		key := r.Method + " " + r.URL.Path
		calls[key]++
		s.requests = append(s.requests, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
		answer, found := answers[fmt.Sprintf("%s #%d", key, calls[key])]
		if !found {
			answer, found = answers[key]
		}
		if !found {
			answer = `404 {"code": "not_found", "status": 404, "title": "Not found", "detail": "There is nothing here."}`
		}
		status, text, _ := strings.Cut(answer, " ")
		var code int
		if _, err := fmt.Sscan(status, &code); err != nil {
			t.Error(err)
		}
		if code == http.StatusAccepted {
			w.Header().Set("Location", "/v1/operations/0197-op")
		}
		w.WriteHeader(code)
		if _, err := io.WriteString(w, text); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// run carries out a command and returns its exit status and what it wrote to each stream.
func (s *shell) run(args ...string) (status int, out, errs string) {
	s.t.Helper()
	return yunshu(s.t, s.url, args...)
}

func yunshu(t *testing.T, url string, args ...string) (status int, out, errs string) {
	t.Helper()
	files := [2]*os.File{}
	for i := range files {
		f, err := os.CreateTemp(t.TempDir(), "out")
		require.NoError(t, err)
		defer f.Close()
		files[i] = f
	}
	if url != "" {
		args = append(args, "--url", url)
	}
	status = run(context.Background(), args, files[0], files[1])
	var texts [2]string
	for i, f := range files {
		raw, err := os.ReadFile(f.Name())
		require.NoError(t, err)
		texts[i] = string(raw)
	}
	return status, texts[0], texts[1]
}

const flavors = `200 {"items": [
	{"id": "f1", "name": "small", "vcpu": 1, "memory_mib": 2048, "storage_gib": 20, "gpu": 0},
	{"id": "f2", "name": "large", "vcpu": 8, "memory_mib": 9007199254740993, "storage_gib": 80, "gpu": 0}]}`

func TestEachFormat(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{"GET /v1/flavors": flavors, "GET /v1/me": `200 {"name": "ann", "roles": [{"role": "admin", "tenant": "acme"}], "links": {}}`})
	var all strings.Builder
	for _, what := range [][]string{{"flavor", "list"}, {"me"}} {
		for _, format := range []string{"table", "json", "yaml"} {
			status, out, errs := s.run(append(what, "-o", format)...)
			require.Zero(t, status, errs)
			require.Empty(t, errs)
			fmt.Fprintf(&all, "$ yunshu %s -o %s\n%s\n", strings.Join(what, " "), format, out)
		}
	}
	golden := filepath.Join("testdata", "formats.golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(all.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), all.String())
}

// TestMistakesAreSentences: what is wrong goes to the standard error, in a sentence, and the exit status says whose it is.
func TestMistakesAreSentences(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"GET /v1/flavors":  `403 {"code": "forbidden", "status": 403, "title": "Not allowed", "detail": "None of your roles allows it.", "request_id": "r-1"}`,
		"GET /v1/regions":  `502 <html>bad gateway</html>`,
		"POST /v1/flavors": `422 {"code": "invalid", "status": 422, "title": "The request is not valid", "errors": [{"field": "vcpu", "message": "must be at least 1"}, {"field": "name", "message": "is not a DNS label"}]}`,
		"GET /v1/vms":      `200 {"items": [{"id": "a"}, {"id": "b"}]}`,
		"GET /v1/images":   `200 {"items": []}`,
	})
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"flavor list", exitRefused, "^None of your roles allows it\\.\n  request r-1\n$"},
		{"flavor create Small --vcpu 0", exitRefused, "^The request is not valid\n  vcpu: must be at least 1\n  name: is not a DNS label\n$"},
		{"region list", exitRefused, `^http://.* did not answer like a Yunshu gateway \(502 Bad Gateway\)\.\n$`},
		{"vm get web", exitUsage, `^There are several vms named "web": give --tenant, or the id\.\n$`},
		{"image get none", exitRefused, `^There is no image "none" that you can see\.\n$`},
		{"flavor create small --vcpu two", exitUsage, `^--vcpu: "two" is not a whole number\n$`},
		{"flavor create", exitUsage, `^accepts 1 arg\(s\), received 0\n$`},
		{"flavor list --colour", exitUsage, `^unknown flag: --colour\n$`},
		{"flavour list", exitUsage, `^unknown command "flavour" for "yunshu"\n`},
		{"flavor paint", exitUsage, `^unknown command "paint" for "yunshu flavor"\n`},
		{"flavor list -o xml", exitUsage, `^The output format must be table, json or yaml; it is "xml"\.\n$`},
		{"me --token-file /nonexistent", exitUsage, `^The token cannot be read: open /nonexistent: no such file or directory\n$`},
	} {
		status, out, errs := s.run(strings.Fields(c.args)...)
		require.Equal(t, c.status, status, "%s: %s", c.args, errs)
		require.Regexp(t, c.says, errs, c.args)
		require.Empty(t, out, c.args)
	}
}

func TestAGatewayThatIsAway(t *testing.T) {
	t.Parallel()
	status, out, errs := yunshu(t, "http://127.0.0.1:1", "flavor", "delete", "019734c6-0000-7000-8000-000000000001")
	require.Equal(t, exitUnreachable, status)
	require.Empty(t, out)
	require.Regexp(t, `^The gateway at http://127\.0\.0\.1:1 cannot be reached: `, errs)
}

// operation is one answer about an operation.
func operation(state string, rest string) string {
	return `200 {"id": "0197-op", "kind": "vm.provision", "state": "` + state + `", "resource_kind": "vm", "resource_name": "web"` + rest + `}`
}

const cloning = `, "steps": [{"number": 1, "name": "clone", "state": "running"}], "waiting": "Waiting for a worker of region tw."`

func TestWaitShowsTheStepsAndEndsAsTheOperationDoes(t *testing.T) {
	t.Parallel()
	accepted := strings.Replace(operation("accepted", ""), "200", "202", 1)
	for _, c := range []struct {
		end    string
		status int
		shown  string
	}{
		{operation("succeeded", `, "steps": [{"number": 1, "name": "clone", "state": "succeeded", "started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:02.5Z"}]`), 0,
			"  … clone            running\n  Waiting for a worker of region tw.\n  ✓ clone            succeeded  2.5 s\nvm.provision vm web: succeeded\n"},
		{operation("failed", `, "steps": [{"number": 1, "name": "clone", "state": "failed", "message": "No room."}], "error": {"code": "storage_full", "message": "No datastore has room.", "step": "clone"}`), exitFailed,
			"  … clone            running\n  Waiting for a worker of region tw.\n  ✗ clone            failed  No room.\nvm.provision vm web: failed\nNo datastore has room.\n"},
		{operation("cancelled", ""), exitFailed,
			"  … clone            running\n  Waiting for a worker of region tw.\nvm.provision vm web: cancelled\n"},
	} {
		s := serve(t, map[string]string{"POST /v1/vms": accepted, "GET /v1/operations/0197-op #1": operation("running", cloning), "GET /v1/operations/0197-op": c.end})
		status, out, errs := s.run("vm", "create", "web", "--tenant", "acme", "--flavor", "small", "--away-from", "db", "--wait")
		require.Equal(t, c.status, status, errs)
		require.Empty(t, errs)
		require.Equal(t, c.shown, out)
		require.Equal(t, []string{
			`POST /v1/vms {"flavor":"small","name":"web","placement":{"anti_affinity":{"vms":["db"]}},"tenant":"acme"}`,
			"GET /v1/operations/0197-op", "GET /v1/operations/0197-op",
		}, s.requests)

		s = serve(t, map[string]string{"GET /v1/operations/0197-op": c.end})
		status, out, _ = s.run("operation", "watch", "0197-op", "-o", "json")
		require.Equal(t, c.status, status)
		require.True(t, json.Valid([]byte(out)), "nothing but JSON: %s", out)
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{"GET /v1/flavors": flavors, "GET /v1/tenants": `200 {"items": [{"id": "t", "name": "dev", "full_name": "acme/dev"}]}`})
	for args, want := range map[string]string{
		"flavor get s":        "small\n:4\n",
		"vm create web --fl":  "--flavor\tnamed size\n:4\n",
		"vm list --tenant ac": "acme/dev\n:4\n",
		"ro":                  "role-binding\tWho has which role where\n:4\n",
	} {
		// The line comes last, so the gateway is named before it.
		status, out, _ := yunshu(s.t, "", append([]string{"__complete", "--url", s.url}, strings.Fields(args)...)...)
		require.Zero(t, status, args)
		require.Equal(t, want, out, args)
	}
	status, out, _ := yunshu(t, "", "completion", "bash")
	require.Zero(t, status)
	require.Contains(t, out, "__start_yunshu")
}
