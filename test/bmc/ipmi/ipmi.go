// Package ipmi simulates a server that has no Redfish, only IPMI over the network: OpenIPMI's ipmi_sim answers, and a
// small hook makes its power switch and its boot device those of a simulated machine.
package ipmi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/yunshu/yunshu/test/bmc"
	"github.com/yunshu/yunshu/test/bmc/guest"
)

// Options say what a simulated machine looks like.
type Options struct {
	Dir      string // keeps its state
	Name     string // empty: ipmi-01
	Listen   string // UDP address on loopback; empty: a free port
	Username string // empty: root
	Password string
	Hardware bmc.Hardware               // bmc.Machine makes one
	Media    string                     // URL of what is in its drive, if anything: IPMI cannot insert it
	Guest    func(m *Machine) bmc.Guest // makes what runs on the machine; nil: something that only stops when asked
	Log      io.Writer                  // nil: standard error; only of an installation
}

// Machine is a server with an IPMI BMC that runs.
type Machine struct {
	Name string

	options Options
	guest   bmc.Guest
	cmd     *exec.Cmd
	stdin   io.WriteCloser // takes the simulator's commands
	hooks   *os.File       // what the hook tells
	exited  chan struct{}
	heard   chan struct{} // closed when nothing more is heard
	once    sync.Once

	mu     sync.Mutex
	events []bmc.Event
	boots  int // counts them, so that the end of an earlier one is not taken for that of this
	lit    bool
}

// Start returns when the BMC answers.
func Start(ctx context.Context, o Options) (*Machine, error) {
	o = o.orDefaults()
	if err := Install(ctx, o.Log); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil || strings.ContainsAny(dir, `'"\`) {
		return nil, fmt.Errorf("the directory %q cannot be used: its name must be free of quotes", o.Dir)
	}
	o.Dir = dir
	if o.Listen, err = freePort(o.Listen); err != nil {
		return nil, err
	}
	if err := prepare(o); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", o.Dir, err)
	}
	m := &Machine{Name: o.Name, options: o, guest: guest.New(guest.Options{}), exited: make(chan struct{}), heard: make(chan struct{})}
	if o.Guest != nil {
		m.guest = o.Guest(m)
	}
	// Open for both, it waits for no writer and meets no end.
	if m.hooks, err = os.OpenFile(filepath.Join(o.Dir, "events"), os.O_RDWR, 0); err != nil {
		return nil, err
	}
	go m.listen()
	if err := m.launch(); err != nil {
		_ = m.hooks.Close() // it was open
		return nil, err
	}
	if err := m.ready(ctx); err != nil {
		m.Stop()
		return nil, err
	}
	if m.Power() {
		m.boot() // it was on when the simulator ended
	}
	return m, nil
}

func (o Options) orDefaults() Options {
	if o.Name == "" {
		o.Name = "ipmi-01"
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Username == "" {
		o.Username = "root"
	}
	if o.Hardware.UUID == "" {
		o.Hardware = bmc.Machine(o.Name, 0)
	}
	return o
}

// freePort chooses one now, since ipmi_sim cannot.
func freePort(at string) (string, error) {
	c, err := net.ListenPacket("udp", at)
	if err != nil {
		return "", err
	}
	return c.LocalAddr().String(), c.Close()
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

func (m *Machine) launch() error {
	dir := m.options.Dir
	output, err := os.OpenFile(filepath.Join(dir, "ipmi_sim.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	m.cmd = exec.Command("ipmi_sim", "-c", filepath.Join(dir, "lan.conf"), "-f", filepath.Join(dir, "machine.emu"), "-s", filepath.Join(dir, "state"))
	m.cmd.Stdout, m.cmd.Stderr = output, output
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if m.stdin, err = m.cmd.StdinPipe(); err != nil {
		_ = output.Close() // nothing was written
		return err
	}
	started := make(chan error)
	launches() <- func() { started <- m.cmd.Start() }
	if err := <-started; err != nil {
		_ = output.Close() // nothing was written
		return fmt.Errorf("start ipmi_sim: %w", err)
	}
	go func() {
		_ = m.cmd.Wait()   // how it ends is in its log
		_ = output.Close() // which is for people
		close(m.exited)
	}()
	return nil
}

// ping is a question that needs no session: are you there?
var ping = []byte{6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 0, 0, 0}

// ready waits until the BMC answers a ping.
func (m *Machine) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "udp", m.options.Listen)
	if err != nil {
		return err
	}
	defer c.Close()
	for answer := make([]byte, 64); ; {
		_, _ = c.Write(ping) // nobody listens yet
		if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			return err
		}
		if n, err := c.Read(answer); err == nil && n > 8 && answer[8] == 0x40 {
			return nil
		}
		select {
		case <-m.exited:
			return fmt.Errorf("ipmi_sim ended at once: %s", m.tail())
		case <-ctx.Done():
			return fmt.Errorf("ipmi_sim does not answer at %s: %s", m.options.Listen, m.tail())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// tail is the end of what ipmi_sim had to say.
func (m *Machine) tail() string {
	raw, err := os.ReadFile(filepath.Join(m.options.Dir, "ipmi_sim.log"))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(raw[max(0, len(raw)-400):]))
}

// Stop ends the BMC and what runs on the machine. The switch stays as it is.
func (m *Machine) Stop() {
	m.once.Do(func() {
		_ = m.cmd.Process.Signal(syscall.SIGCONT) // it may be frozen, or have ended
		_ = m.cmd.Process.Kill()                  // it may have ended
		<-m.exited
		_ = m.stdin.Close() // it went with the process
		_ = m.hooks.Close() // it was open
		<-m.heard
		m.tell(m.guest.Stop)
	})
}

// Address is where the BMC answers, such as 127.0.0.1:9623.
func (m *Machine) Address() string { return m.options.Listen }

// Hardware returns what the machine is made of.
func (m *Machine) Hardware() bmc.Hardware { return m.options.Hardware.Clone() }

// Freeze makes the BMC deaf, as one is that hangs; it hears again when it is not frozen any more.
func (m *Machine) Freeze(frozen bool) error {
	if frozen {
		return m.cmd.Process.Signal(syscall.SIGSTOP)
	}
	return m.cmd.Process.Signal(syscall.SIGCONT)
}

// command speaks to the simulator.
func (m *Machine) command(format string, args ...any) error {
	select {
	case <-m.exited:
		return errors.New("ipmi_sim has ended")
	default:
		_, err := fmt.Fprintf(m.stdin, format+"\n", args...)
		return err
	}
}
