//go:build e2e

// Package e2e tries the whole stack from outside, as a newcomer does: make run, the first VM with the command line, the
// very same VM in the vCenter, everything stopped, and everything still there the second time.
package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stack is a running make run with its .dev elsewhere, so that it does not meet a developer's.
type stack struct {
	*testing.T
	root string
	cmd  *exec.Cmd
	out  *bytes.Buffer
	env  map[string]string
}

func start(t *testing.T, root string, env ...string) *stack {
	t.Helper()
	s := &stack{T: t, root: root, out: &bytes.Buffer{}, env: map[string]string{}}
	s.cmd = exec.Command(filepath.Join(root, "bin", "yunshu-dev"), "run", "-root", root)
	s.cmd.Dir, s.cmd.Env = root, append(os.Environ(), env...)
	pipe, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	s.cmd.Stderr = s.out
	require.NoError(t, s.cmd.Start())
	up := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(pipe)
		for lines.Scan() {
			t.Log(lines.Text())
			if strings.HasPrefix(lines.Text(), "Yunshu is up") {
				up <- true
			}
		}
		up <- false
	}()
	select {
	case ok := <-up:
		require.True(t, ok, "it ended: %s", s.out)
	case <-time.After(3 * time.Minute):
		_ = s.cmd.Process.Kill()
		t.Fatal("not up within three minutes")
	}
	s.readEnv()
	return s
}

var export = regexp.MustCompile(`^export (\w+)='(.*)'$`)

func (s *stack) readEnv() {
	s.Helper()
	path := filepath.Join(s.root, ".dev", "env")
	info, err := os.Stat(path)
	require.NoError(s, err)
	require.Equal(s, os.FileMode(0o600), info.Mode().Perm(), "the token is nobody else's")
	raw, err := os.ReadFile(path)
	require.NoError(s, err)
	for _, line := range strings.Split(string(raw), "\n") {
		if m := export.FindStringSubmatch(line); m != nil {
			s.env[m[1]] = m[2]
		}
	}
}

// yunshu runs the command line and returns what it printed and its exit status.
func (s *stack) yunshu(args ...string) (string, int) {
	s.Helper()
	return s.program("yunshu", args...)
}

func (s *stack) program(name string, args ...string) (string, int) {
	s.Helper()
	cmd := exec.Command(filepath.Join(s.root, "bin", name), args...)
	cmd.Env = s.environment()
	out, err := cmd.CombinedOutput()
	if ended := new(exec.ExitError); err != nil && !errors.As(err, &ended) {
		require.NoError(s, err)
	}
	s.Logf("$ %s %s\n%s", name, strings.Join(args, " "), out)
	return string(out), cmd.ProcessState.ExitCode()
}

func (s *stack) must(args ...string) string {
	s.Helper()
	out, status := s.yunshu(args...)
	require.Zero(s, status, out)
	return out
}

// inVCenter is what a vCenter client sees.
func (s *stack) inVCenter() string {
	s.Helper()
	out, status := s.program("yunshu-vcsim", "ls", "--url", s.env["YUNSHU_VCENTER_TW_URL"], "--username", s.env["YUNSHU_VCENTER_TW_USERNAME"],
		"--password-file", s.env["YUNSHU_VCENTER_TW_PASSWORD_FILE"], "--ca", s.env["YUNSHU_VCENTER_TW_CA"])
	require.Zero(s, status, out)
	return out
}

// requireNothingListens proves that every part is gone.
func (s *stack) requireNothingListens() {
	s.Helper()
	for _, name := range []string{"YUNSHU_URL", "YUNSHU_DATABASE_URL", "TEMPORAL_UI_URL", "YUNSHU_VCENTER_TW_URL", "YUNSHU_VCENTER_JP_URL"} {
		u, err := url.Parse(s.env[name])
		require.NoError(s, err)
		// The kernel kills the parts one by one, so the last may take a moment.
		require.Eventually(s, func() bool {
			c, err := net.DialTimeout("tcp", u.Host, time.Second)
			if err == nil {
				_ = c.Close()
			}
			return err != nil
		}, 20*time.Second, 100*time.Millisecond, "%s still answers at %s", name, u.Host)
	}
}

func field(t *testing.T, raw, name string) string {
	t.Helper()
	var one map[string]any
	require.NoError(t, json.Unmarshal([]byte(raw), &one), raw)
	v, _ := one[name].(string)
	return v
}

func TestANewcomersFirstDay(t *testing.T) {
	repository, err := filepath.Abs("../..")
	require.NoError(t, err)
	root := t.TempDir()
	for dir := root; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		require.NoError(t, os.Chmod(dir, 0o755)) // PostgreSQL's account must get through
	}
	require.NoError(t, os.Symlink(filepath.Join(repository, "bin"), filepath.Join(root, "bin")))

	seen := collect(t)
	s := start(t, root, "OTEL_EXPORTER_OTLP_ENDPOINT="+seen.server.URL)
	require.Contains(t, s.must("region", "list"), "polling")
	require.Contains(t, s.must("group", "list"), "general")
	s.must("tenant", "create", "acme", "--quota", "vcpu=4")
	create := []string{"vm", "create", "web-1", "--tenant", "acme", "--region", "tw", "--group", "general", "--image", "ubuntu-24-04", "--flavor", "small", "--subnet", "lan"}
	require.Contains(t, s.must(append(create, "--dry-run")...), "fits")
	out := s.must(append(create, "--wait")...)
	require.Contains(t, out, "boot")

	vm := s.must("vm", "get", "web-1", "-o", "json")
	id, address := field(t, vm, "id"), field(t, vm, "address")
	require.Equal(t, "running", field(t, vm, "state"))
	require.Regexp(t, id+`.*`+field(t, vm, "baremetal")+`.*poweredOn.*`+regexp.QuoteMeta(address), s.inVCenter(), "the very same VM")

	seen.requireOne("yunshu-gateway POST /v1/vms", "yunshu-gateway StartWorkflow:vm.provision", "yunshu-gateway RunWorkflow:vm.provision",
		"yunshu-worker RunActivity:vm.clone", "yunshu-worker vcenter CloneVM_Task", "yunshu-gateway RunActivity:operation.report")
	s.peopleComeAndGo()
	refused, status := s.yunshu("vm", "create", "big", "--tenant", "acme", "--region", "tw", "--group", "general", "--image", "ubuntu-24-04", "--flavor", "large", "--subnet", "lan")
	require.Equal(t, 4, status)
	require.Contains(t, refused, "vcpu of tenant acme: 8 asked, 3 free")
	s.must("vm", "power-off", "web-1", "--wait")
	require.Contains(t, s.inVCenter(), "poweredOff")
	s.must("vm", "power-on", "web-1", "--wait")
	s.must("vm", "resize", "web-1", "--vcpu", "2", "--memory-mib", "4096", "--wait")
	require.Regexp(t, id+`.* 2 +4096`, s.inVCenter())

	require.NoError(t, s.cmd.Process.Signal(syscall.SIGINT))
	require.NoError(t, s.cmd.Wait())
	s.requireNothingListens()

	s = start(t, root)
	require.Equal(t, "running", field(t, s.must("vm", "get", "web-1", "-o", "json"), "state"), "the data is kept")
	require.Regexp(t, id+`.*poweredOn.* 2 +4096 +`+regexp.QuoteMeta(address), s.inVCenter(), "and the vCenter's machines")
	require.Empty(t, s.must("leak-check"))
	s.must("vm", "delete", "web-1", "--wait")
	require.NotContains(t, s.inVCenter(), id)
	require.Contains(t, s.must("tenant", "usage", "acme", "-o", "json"), `"vcpu": 0`)
	require.Empty(t, s.must("leak-check"))

	require.NoError(t, s.cmd.Process.Kill())
	_ = s.cmd.Wait() // it was killed
	s.requireNothingListens()
}
