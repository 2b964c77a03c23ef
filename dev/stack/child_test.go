package stack

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// small is a stack of shell scripts instead of programs.
func small(t *testing.T, scripts map[string]string) (*stack, *bytes.Buffer) {
	t.Helper()
	root, out := t.TempDir(), &bytes.Buffer{}
	s := &stack{root: root, dir: filepath.Join(root, ".dev"), out: out, failed: make(chan *child, 16)}
	require.NoError(t, os.MkdirAll(filepath.Join(s.dir, "log"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "bin"), 0o755))
	for name, script := range scripts {
		require.NoError(t, os.WriteFile(filepath.Join(root, "bin", name), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	}
	return s, out
}

// gone reports whether no process has this id, nor its group any member.
func gone(c *child) bool {
	return syscall.Kill(c.cmd.Process.Pid, 0) == syscall.ESRCH && syscall.Kill(-c.cmd.Process.Pid, 0) == syscall.ESRCH
}

// ready runs a script, and returns when it has said that it is ready.
func ready(t *testing.T, s *stack, name string) *child {
	t.Helper()
	c, err := s.run(name, nil, name)
	require.NoError(t, err)
	select {
	case <-c.tail.ready:
	case <-time.After(10 * time.Second):
		require.FailNow(t, "it is not ready", name)
	}
	return c
}

// TestAPartThatDiesEndsTheRest: the error names it and what it last said, and stopping takes the others along.
func TestAPartThatDiesEndsTheRest(t *testing.T) {
	t.Parallel()
	s, _ := small(t, map[string]string{"well": "echo ready now; exec sleep 600", "ill": "echo ready now; echo 'the disk is full' >&2; exit 3"})
	well := ready(t, s, "well")
	ill := ready(t, s, "ill")
	err := s.supervise(t.Context())
	require.ErrorContains(t, err, "ill ended (exit status 3). Its last words, from "+ill.log+":\n")
	require.ErrorContains(t, err, "    the disk is full")
	s.stop()
	require.True(t, gone(ill))
	require.True(t, gone(well))
}

// TestInterruptingLeavesNothing: each part is asked to stop, the last first, and ends.
func TestInterruptingLeavesNothing(t *testing.T) {
	t.Parallel()
	polite := `trap 'echo "$0" | sed "s|.*/||" >> "$(dirname "$0")/../order"; exit 0' TERM; echo ready now; while :; do sleep 0.05; done`
	s, out := small(t, map[string]string{"first": polite, "second": polite})
	first, second := ready(t, s, "first"), ready(t, s, "second")
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	require.NoError(t, s.supervise(ctx), "to be asked to stop is no error")
	s.stop()
	require.Equal(t, "\nStopping.\n", out.String())
	order, err := os.ReadFile(filepath.Join(s.root, "order"))
	require.NoError(t, err)
	require.Equal(t, "second\nfirst\n", string(order))
	for _, c := range []*child{first, second} {
		// A script's last sleep ends by itself in a moment.
		require.Eventually(t, func() bool { return gone(c) }, 5*time.Second, 10*time.Millisecond, c.name)
	}
}

// TestAPartThatDoesNotListenIsKilled: stopping never hangs.
func TestAPartThatDoesNotListenIsKilled(t *testing.T) {
	t.Parallel()
	s, _ := small(t, map[string]string{"deaf": "trap '' TERM; echo ready now; while :; do sleep 0.05; done"})
	deaf := ready(t, s, "deaf")
	deaf.stop(100 * time.Millisecond)
	require.EqualError(t, deaf.err, "signal: killed")
	require.Eventually(t, func() bool { return gone(deaf) }, 5*time.Second, 10*time.Millisecond, "its last sleep ends in a moment")
}
