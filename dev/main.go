// Command dev runs Yunshu and everything it stands on, on one machine: PostgreSQL, Temporal with its Web UI, a vCenter
// simulator for each region, an OpenID provider, the gateway, a worker for each region.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/yunshu/yunshu/dev/stack"
	"github.com/yunshu/yunshu/dev/temporal"
	"github.com/yunshu/yunshu/test/postgres"
)

const usage = `yunshu-dev runs the whole stack on one machine.

  yunshu-dev run                     everything, in the foreground, until Ctrl-C
  yunshu-dev temporal                a Temporal server alone, in memory, until stdin closes
  yunshu-dev identity                an OpenID provider alone, with the people of a file
  yunshu-dev with-stack -- CMD ARG…  CMD with a throwaway PostgreSQL and Temporal to test against
`

func main() {
	runtime.LockOSThread() // the kernel ties the death signal to this thread
	if err := run(); err != nil {
		var ended *exec.ExitError
		if errors.As(err, &ended) {
			os.Exit(ended.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "yunshu-dev:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := dieWithParent(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if len(os.Args) < 2 {
		fmt.Print(usage)
		return nil
	}
	switch flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError); os.Args[1] {
	case "run":
		root := flags.String("root", ".", "checkout, with bin/ built")
		_ = flags.Parse(os.Args[2:]) // it exits on an error
		return stack.Run(ctx, *root, os.Stdout)
	case "temporal":
		port := flags.Int("port", 0, "of the frontend; 0: a free one")
		ui := flags.Int("ui-port", 0, "of the Web UI; 0: none")
		_ = flags.Parse(os.Args[2:]) // it exits on an error
		return serveTemporal(ctx, *port, *ui)
	case "identity":
		listen := flags.String("listen", "127.0.0.1:0", "loopback address; port 0: a free one")
		people := flags.String("people", ".dev/people.yaml", "file with the people who can sign in")
		_ = flags.Parse(os.Args[2:]) // it exits on an error
		return serveIdentity(ctx, *listen, *people)
	case "with-stack":
		_ = flags.Parse(os.Args[2:]) // it exits on an error
		return withStack(ctx, flags.Args())
	}
	return fmt.Errorf("there is no command %q\n\n%s", os.Args[1], usage)
}

// dieWithParent makes this process end when the one that started it does, where that is wanted: a stack must not
// outlive the make that runs it.
func dieWithParent() error {
	if os.Getenv("YUNSHU_DIE_WITH_PARENT") == "" {
		return nil
	}
	parent := os.Getppid()
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGTERM), 0); errno != 0 {
		return fmt.Errorf("ask the kernel for a signal at the parent's death: %w", errno)
	}
	if os.Getppid() != parent {
		return errors.New("the process that started this one is gone")
	}
	return nil
}

// serveTemporal is a server for tests: it says where it is and ends with its reader.
func serveTemporal(ctx context.Context, port, ui int) error {
	if port == 0 {
		ports, err := temporal.FreePorts(1)
		if err != nil {
			return err
		}
		port = ports[0]
	}
	s, err := temporal.Start(ctx, temporal.Options{Port: port, UIPort: ui, Keys: os.Getenv("YUNSHU_PAYLOAD_KEYS")})
	if err != nil {
		return err
	}
	defer s.Stop()
	fmt.Printf("ready grpc=%s ui=%s\n", s.Address, s.UI)
	closed := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // however it ends, it has ended
		close(closed)
	}()
	select {
	case <-ctx.Done():
	case <-closed:
	}
	return nil
}

// withStack runs a command with servers of its own to test against.
func withStack(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("with-stack needs a command")
	}
	dir, err := os.MkdirTemp("", "yunshu-test-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL's account must reach its directory
		return err
	}
	db, err := postgres.Start(ctx, postgres.Options{Dir: dir + "/postgres"})
	if err != nil {
		return err
	}
	defer db.Stop()
	ports, err := temporal.FreePorts(1)
	if err != nil {
		return err
	}
	t, err := temporal.Start(ctx, temporal.Options{Port: ports[0]})
	if err != nil {
		return err
	}
	defer t.Stop()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "YUNSHU_TEST_DATABASE_URL="+db.DSN("postgres"), "YUNSHU_TEST_TEMPORAL_ADDRESS="+t.Address)
	return cmd.Run()
}
