//go:build e2e || boot

// Package e2e tries the whole stack from outside, as a newcomer does: make run, the first VM with the command line, the
// very same VM in the vCenter, everything stopped, and everything still there the second time; and a server that really
// boots.
package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newRoot is a directory to run the stack in, with the programs of this checkout.
func newRoot(t *testing.T) string {
	t.Helper()
	repository, err := filepath.Abs("../..")
	require.NoError(t, err)
	root := t.TempDir()
	for dir := root; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		require.NoError(t, os.Chmod(dir, 0o755)) // PostgreSQL's account must get through
	}
	require.NoError(t, os.Symlink(filepath.Join(repository, "bin"), filepath.Join(root, "bin")))
	return root
}

// stack is a running make run with its .dev elsewhere, so that it does not meet a developer's.
type stack struct {
	*testing.T
	root string
	cmd  *exec.Cmd
	out  *bytes.Buffer
	read chan struct{} // closed when all that it printed was read
	env  map[string]string
}

func start(t *testing.T, root string, env ...string) *stack {
	t.Helper()
	s := &stack{T: t, root: root, out: &bytes.Buffer{}, read: make(chan struct{}), env: map[string]string{}}
	s.cmd = exec.Command(filepath.Join(root, "bin", "yunshu-dev"), "run", "-root", root)
	s.cmd.Dir, s.cmd.Env = root, append(os.Environ(), env...)
	pipe, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	s.cmd.Stderr = s.out
	require.NoError(t, s.cmd.Start())
	up := make(chan bool, 1)
	go func() {
		defer close(s.read)
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

// end sends a signal, and returns what became of the process when it has ended.
func (s *stack) end(signal os.Signal) error {
	if err := s.cmd.Process.Signal(signal); err != nil {
		return err
	}
	<-s.read
	return s.cmd.Wait()
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
	return s.feed("", name, args...)
}

// feed runs a program with something on its standard input.
func (s *stack) feed(in, name string, args ...string) (string, int) {
	s.Helper()
	cmd := exec.Command(filepath.Join(s.root, "bin", name), args...)
	cmd.Env, cmd.Stdin = s.environment(), strings.NewReader(in)
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

// environment is ours with the stack's.
func (s *stack) environment() []string {
	env := os.Environ()
	for k, v := range s.env {
		env = append(env, k+"="+v)
	}
	return env
}
