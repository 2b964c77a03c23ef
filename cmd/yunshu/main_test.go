package main

import (
	"context"
	"encoding/json"
	"flag"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api"
	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/postgres"
	"github.com/yunshu/yunshu/vault"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { postgres.Main(m) }

// shell runs the command line against a gateway of the test's own.
type shell struct {
	*testing.T
	store *store.Store
	url   string
	token string // file
}

func newShell(t *testing.T) *shell {
	t.Helper()
	s, err := store.Open(t.Context(), postgres.New(t, "gateway", func(ctx context.Context, dsn string) error {
		_, err := store.Migrate(ctx, dsn)
		return err
	}))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	keys, err := vault.Parse("s1=AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=")
	require.NoError(t, err)
	s.Keys = store.Keys{Rest: keys, Way: keys}
	policies, err := authz.New()
	require.NoError(t, err)
	gate := httptest.NewServer(api.New(api.Options{Store: s, Authz: policies, Logger: slog.New(slog.DiscardHandler), Version: "test",
		Accept: accept.New(t.Context(), accept.Options{Store: s, Authz: policies})}).Handler())
	t.Cleanup(gate.Close)
	token, err := s.Bootstrap(t.Context(), "root", time.Hour)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(token+"\n"), 0o600))
	return &shell{T: t, store: s, url: gate.URL, token: file}
}

// try runs one command and returns its exit status and what it wrote.
func (s *shell) try(args ...string) (status int, out, errs string) {
	s.Helper()
	return execute(s.T, append([]string{"--url", s.url, "--token-file", s.token}, args...)...)
}

// must runs a command that ends well.
func (s *shell) must(args ...string) string {
	s.Helper()
	status, out, errs := s.try(args...)
	require.Equal(s, 0, status, errs)
	require.Empty(s, errs)
	return out
}

func execute(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	open := func(name string) *os.File {
		f, err := os.Create(filepath.Join(t.TempDir(), name))
		require.NoError(t, err)
		return f
	}
	o, e := open("out"), open("err")
	status = run(t.Context(), args, o, e)
	read := func(f *os.File) string {
		require.NoError(t, f.Close())
		raw, err := os.ReadFile(f.Name())
		require.NoError(t, err)
		return string(raw)
	}
	return status, read(o), read(e)
}

// golden compares with testdata/name, with ids and times made equal.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`).ReplaceAllString(got, "00000000-0000-7000-8000-000000000000")
	got = regexp.MustCompile(`20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?`).ReplaceAllString(got, "2026-01-01 00:00:00")
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestTheSameListInEveryFormat(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.must("tenant", "create", "acme", "--description", "makes everything", "--quota", "vcpu=16", "--quota", "vms=4")
	s.must("tenant", "create", "dev", "--parent", "acme")
	for _, format := range []string{"table", "json", "yaml"} {
		golden(t, "tenants."+format, s.must("tenant", "list", "-o", format))
	}
	golden(t, "tenant.table", s.must("tenant", "get", "acme/dev"))
	golden(t, "usage.table", s.must("tenant", "usage", "acme"))
	require.Contains(t, s.must("me"), "root")
	require.Empty(t, s.must("tenant", "delete", "acme/dev"))
	golden(t, "one.table", s.must("tenant", "list"))
}

func TestErrorsAreSentencesWithAStatus(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	for name, c := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"no such thing":   {[]string{"tenant", "get", "nobody"}, exitRefused, `^There is no tenant "nobody" that you can see`},
		"bad input":       {[]string{"tenant", "create", "Not A Name"}, exitRefused, `(?s)name`},
		"unknown flag":    {[]string{"vm", "list", "--colour"}, exitUsage, `unknown flag: --colour`},
		"unknown verb":    {[]string{"vm", "explode"}, exitUsage, `There is no command "explode" of vm`},
		"missing name":    {[]string{"vm", "create"}, exitUsage, `accepts 1 arg`},
		"bad format":      {[]string{"vm", "list", "-o", "xml"}, exitUsage, `must be table, json or yaml; it is "xml"`},
		"no token file":   {[]string{"vm", "list", "--token-file", "/nonexistent"}, exitUsage, `^The token cannot be read`},
		"nobody is there": {[]string{"vm", "list", "--url", "http://127.0.0.1:1"}, exitUnreachable, `127\.0\.0\.1:1`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, out, errs := s.try(c.args...)
			require.Equal(t, c.status, status, errs)
			require.Regexp(t, c.says, errs)
			require.Empty(t, out, "errors do not go where the answer goes")
		})
	}
	status, _, errs := execute(t, "--url", "", "vm", "list")
	require.Equal(t, exitUsage, status)
	require.Contains(t, errs, "Where is the gateway?")
}

// operation waits for the newest operation's row.
func (s *shell) operation() (id models.ID) {
	s.Helper()
	require.Eventually(s, func() bool {
		return s.store.Pool.QueryRow(context.Background(), `SELECT id FROM operations WHERE state = 'accepted' ORDER BY id DESC LIMIT 1`).Scan(&id) == nil
	}, 10*time.Second, 10*time.Millisecond)
	return id
}

func (s *shell) report(r contract.Report) {
	s.Helper()
	got, err := s.store.Report(s.Context(), r)
	require.NoError(s, err)
	require.True(s, got.Applied)
}

// TestACommandThatWaitsEndsAsItsOperation plays the workflow's part: it reports steps and an end.
func TestACommandThatWaitsEndsAsItsOperation(t *testing.T) {
	t.Parallel()
	found := json.RawMessage(`{"findings":[{"kind":"orphan","region":"tw","resource_kind":"vm","message":"A machine of ours that no row knows."}]}`)
	for name, c := range map[string]struct {
		end    contract.Report
		status int
	}{
		"clean":    {contract.Report{State: models.OperationSucceeded, Result: json.RawMessage(`{"findings":[]}`)}, 0},
		"findings": {contract.Report{State: models.OperationSucceeded, Result: found}, exitFailed},
		"failed":   {contract.Report{State: models.OperationFailed, Fault: models.Faultf(models.CodeUnreachable, "The vCenter of region tw does not answer.")}, exitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShell(t)
			type end struct {
				status    int
				out, errs string
			}
			done := make(chan end, 1)
			go func() {
				status, out, errs := s.try("leak-check")
				done <- end{status, out, errs}
			}()
			id := s.operation()
			began := time.Now().UTC().Truncate(time.Second)
			step := contract.Step{Number: 1, Name: "list", State: models.StepSucceeded, Started: began, Ended: began.Add(1500 * time.Millisecond)}
			c.end.OperationID, c.end.Seq, c.end.Steps = id, 2, []contract.Step{step}
			s.report(c.end)
			got := <-done
			require.Equal(t, c.status, got.status, got.out+got.errs)
			golden(t, "leak-check-"+name, got.out)
			status, out, _ := s.try("operation", "watch", id.String())
			require.Equal(t, c.end.State == models.OperationSucceeded, status == 0)
			golden(t, "watch-"+name, out)
		})
	}
}

func TestTheShellCompletesNames(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.must("tenant", "create", "acme")
	s.must("tenant", "create", "apex")
	s.must("tenant", "create", "other")
	status, out, _ := execute(t, "__complete", "--url", s.url, "--token-file", s.token, "tenant", "get", "a")
	require.Zero(t, status)
	golden(t, "completion", out)
	status, out, _ = execute(t, "__complete", "vm", "power")
	require.Zero(t, status, "without a gateway, too")
	golden(t, "completion-verbs", out)
}
