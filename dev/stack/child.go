package stack

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a process of the stack. It dies when this process does, however that ends.
type child struct {
	name string
	cmd  *exec.Cmd
	log  string
	tail *tail
	done chan struct{}
	err  error
}

// launches is served by one thread that lives as long as this process: the kernel sends the death signal when the
// thread that started the child ends.
var launches = sync.OnceValue(func() chan<- func() {
	queue := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range queue {
			f()
		}
	}()
	return queue
})

// start runs a program with more environment, its output in a log file.
func (s *stack) start(name string, env []string, program string, args ...string) (*child, error) {
	path := filepath.Join(s.dir, "log", name+".log")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	c := &child{name: name, log: path, tail: newTail(), done: make(chan struct{})}
	c.cmd = exec.Command(program, args...)
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stdout = io.MultiWriter(file, c.tail)
	c.cmd.Stderr = c.cmd.Stdout
	// A group of its own, so that Ctrl-C reaches only the supervisor, which stops things in their order.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	launches() <- func() { started <- c.cmd.Start() }
	if err := <-started; err != nil {
		file.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		c.err = c.cmd.Wait()
		file.Close()
		close(c.done)
	}()
	return c, nil
}

// stop asks the child to end, waits, and then makes it.
func (c *child) stop(patience time.Duration) {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-c.done:
	case <-time.After(patience):
		_ = c.cmd.Process.Kill() // it may have ended already
		<-c.done
	}
}

// died is the error of a child that ended by itself.
func (c *child) died() error {
	return fmt.Errorf("%s ended (%v). Its last words, from %s:\n%s", c.name, c.err, c.log, indent(c.tail.String()))
}

func indent(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") }

// tail keeps the last lines of an output and hands out lines that begin with ready.
type tail struct {
	mu    sync.Mutex
	last  []byte
	part  []byte
	ready chan string
}

func newTail() *tail { return &tail{ready: make(chan string, 1)} }

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p...)
	t.last = t.last[max(0, len(t.last)-2048):]
	t.part = append(t.part, p...)
	for {
		line, rest, found := bytes.Cut(t.part, []byte("\n"))
		if !found {
			return len(p), nil
		}
		t.part = append([]byte(nil), rest...)
		if bytes.HasPrefix(line, []byte("ready ")) {
			select {
			case t.ready <- string(line):
			default:
			}
		}
	}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.last))
}

// firstLine is the first line that a finished program printed.
func firstLine(out []byte) (string, error) {
	scanner := bufio.NewScanner(bytes.NewReader(out))
	if !scanner.Scan() || scanner.Text() == "" {
		return "", errors.New("it printed nothing")
	}
	return scanner.Text(), nil
}
