// Package postgres runs a real PostgreSQL on this machine: for the development stack, and a database per test.
package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options say where and how a server runs.
type Options struct {
	Dir     string    // of the data; made and initialised if it is empty
	Port    int       // on loopback; 0: a free one
	Log     io.Writer // of the server; nil: nowhere
	Durable bool      // false: faster, for data that may be lost with the machine
	Set     []string  // further settings, each name=value
}

// Server is a running PostgreSQL.
type Server struct {
	Port int
	cmd  *exec.Cmd
	done chan struct{}
	err  error
	stop sync.Once
}

// Start initialises the directory if it must, starts a server and waits until it answers. The server ends with this
// process, however that ends.
func Start(ctx context.Context, o Options) (*Server, error) {
	bin, err := binaries(ctx, o.Log)
	if err != nil {
		return nil, err
	}
	who, err := account()
	if err != nil {
		return nil, err
	}
	if err := initialise(ctx, bin, o.Dir, who); err != nil {
		return nil, err
	}
	if o.Port == 0 {
		if o.Port, err = freePort(); err != nil {
			return nil, err
		}
	}
	s := &Server{Port: o.Port, done: make(chan struct{})}
	s.cmd = exec.Command(filepath.Join(bin, "postgres"), serverArgs(o)...)
	s.cmd.Dir = o.Dir
	var tail tailBuffer
	s.cmd.Stdout = &tail
	if o.Log != nil {
		s.cmd.Stdout = io.MultiWriter(o.Log, &tail)
	}
	s.cmd.Stderr = s.cmd.Stdout
	// SIGQUIT makes the server leave at once; its data is as safe as after a crash.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Pdeathsig: syscall.SIGQUIT, Setpgid: true}
	if err := s.launch(); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := s.await(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("PostgreSQL did not come up: %w\n%s", err, tail.String())
	}
	return s, nil
}

func serverArgs(o Options) []string {
	args := []string{"-D", o.Dir, "-h", "127.0.0.1", "-p", strconv.Itoa(o.Port), "-k", "",
		"-c", "max_connections=500", "-c", "shared_buffers=128MB", "-c", "log_min_messages=warning", "-c", "log_checkpoints=off"}
	if !o.Durable {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "autovacuum=off")
	}
	for _, setting := range o.Set {
		args = append(args, "-c", setting)
	}
	return args
}

// launch starts the child from a thread that lives as long as this process: the kernel sends the death signal when
// the thread that started the child ends, not the process.
func (s *Server) launch() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := s.cmd.Start()
		started <- err
		if err == nil {
			s.err = s.cmd.Wait()
			close(s.done)
		}
	}()
	return <-started
}

// DSN is the address of one of the server's databases.
func (s *Server) DSN(database string) string {
	return fmt.Sprintf("postgres://yunshu@127.0.0.1:%d/%s?sslmode=disable", s.Port, database)
}

// PID is the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Done is closed when the server has ended.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop ends the server in order: connections are cut, data is written. It waits for the end.
func (s *Server) Stop() {
	s.stop.Do(func() {
		_ = s.cmd.Process.Signal(syscall.SIGINT) // it may have ended already
		select {
		case <-s.done:
		case <-time.After(10 * time.Second):
			_ = s.cmd.Process.Signal(syscall.SIGQUIT) // it may have ended already
			<-s.done
		}
	})
}

// await polls until the server takes connections; there is no better signal.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.DSN("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer within 30 s: %w", err)
		case <-s.done:
			return fmt.Errorf("it ended: %w", s.err)
		case <-tick.C:
		}
	}
}

// initialise makes an empty directory a database cluster that trusts loopback.
func initialise(ctx context.Context, bin, dir string, who *syscall.Credential) error {
	if _, err := os.Stat(filepath.Join(dir, "PG_VERSION")); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	if who != nil {
		if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
			return fmt.Errorf("give the data directory to PostgreSQL's account: %w", err)
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", dir, "-U", "yunshu", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-instructions")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initialise PostgreSQL in %s: %w\n%s", dir, err, bytes.TrimSpace(out))
	}
	return nil
}

// account is whom the server runs as: PostgreSQL refuses to run as root.
func account() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uerr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(uerr, gerr); err != nil {
			return nil, fmt.Errorf("read the account %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither an account postgres nor nobody to run it as")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// tailBuffer keeps the last of what is written, to show when the server fails.
type tailBuffer struct {
	mu   sync.Mutex
	last []byte
}

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p...)
	t.last = t.last[max(0, len(t.last)-4096):]
	return len(p), nil
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.last))
}
