// Package qemu is a machine that really boots, for a simulated BMC to turn on and off: QEMU, which emulates where the
// kernel offers no virtualisation.
package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/yunshu/yunshu/test/bmc"
)

// Host is the address by which a guest reaches this machine's 127.0.0.1.
const Host = "10.0.2.2"

// Options say what a machine is made of and where it finds the gateway.
type Options struct {
	Dir       string    // holds the disk and the log of the console; it must exist
	BootURL   string    // of the gateway's boot service, as seen from this machine
	Serial    string    // of the machine; its disk has the same with -disk behind it
	Vendor    string    // Yunshu if empty
	Model     string    // Simulated if empty
	CPUs      int       // 1 if zero
	MemoryMiB int       // 512 if zero
	DiskGiB   int       // 1 if zero
	Log       io.Writer // for what has to be installed; os.Stderr if nil
}

// Machine is one machine. It keeps its disk while it is off.
type Machine struct {
	options Options
	binary  string

	mu  sync.Mutex
	run *run // nil while the machine is off
}

var _ bmc.Guest = (*Machine)(nil)

// run is the time from power on to power off.
type run struct {
	cmd     *exec.Cmd
	monitor *monitor
	media   string
	cut     bool // somebody cut the power
	ended   chan struct{}
}

// New returns a machine that is off, with an empty disk if it is new.
func New(ctx context.Context, o Options) (*Machine, error) {
	o = o.defaults()
	binary, err := Binary(ctx, o.Log)
	if err != nil {
		return nil, err
	}
	m := &Machine{options: o, binary: binary}
	return m, m.makeDisk()
}

func (o Options) defaults() Options {
	if o.Vendor == "" {
		o.Vendor = "Yunshu"
	}
	if o.Model == "" {
		o.Model = "Simulated"
	}
	if o.CPUs == 0 {
		o.CPUs = 1
	}
	if o.MemoryMiB == 0 {
		o.MemoryMiB = 512
	}
	if o.DiskGiB == 0 {
		o.DiskGiB = 1
	}
	if o.Log == nil {
		o.Log = os.Stderr
	}
	return o
}

// Disk is the file that is the machine's disk, byte by byte.
func (m *Machine) Disk() string { return filepath.Join(m.options.Dir, "disk.raw") }

// Console is the file with everything that the machine wrote on its serial port.
func (m *Machine) Console() string { return filepath.Join(m.options.Dir, "console.log") }

func (m *Machine) makeDisk() error {
	f, err := os.OpenFile(m.Disk(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	err = f.Truncate(int64(m.options.DiskGiB) << 30) // takes room only where something is written
	return errors.Join(err, f.Close())
}

// Start turns the machine on.
func (m *Machine) Start(b bmc.Boot) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.run != nil {
		return errors.New("The machine is on already")
	}
	r := &run{ended: make(chan struct{})}
	if b.Device == bmc.CD || b.Device == bmc.USB {
		file, err := fetchMedia(b.Media, m.options.Dir)
		if err != nil {
			return err
		}
		r.media = file
	}
	args, err := arguments(m.options, b, m.Disk(), m.Console(), r.media)
	if err != nil {
		return err
	}
	if err := r.start(m.binary, args); err != nil {
		return err
	}
	m.run = r
	go m.wait(r, b.Stopped)
	return nil
}

func (r *run) start(binary string, args []string) error {
	r.cmd = exec.Command(binary, args...)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	in, err := r.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var complaints strings.Builder
	r.cmd.Stderr = &complaints
	if err := r.cmd.Start(); err != nil {
		return err
	}
	if r.monitor, err = connect(in, out); err != nil {
		// It ended, or it is not QEMU: either way there is nothing to keep.
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		return fmt.Errorf("QEMU did not start: %w: %s", err, strings.TrimSpace(complaints.String()))
	}
	return nil
}

// wait notes the end of a run. A machine that turned itself off tells so; one whose power was cut does not.
func (m *Machine) wait(r *run, stopped func()) {
	_ = r.monitor.drain() // until QEMU closes it
	_ = r.cmd.Wait()      // how it ended does not matter: the machine is off
	if r.media != "" {
		_ = os.Remove(r.media) // a copy
	}
	m.mu.Lock()
	cut := r.cut
	m.run = nil
	m.mu.Unlock()
	close(r.ended)
	if !cut && stopped != nil {
		stopped()
	}
}

// Shutdown presses the power button. What becomes of it is the guest's matter.
func (m *Machine) Shutdown() error {
	m.mu.Lock()
	r := m.run
	m.mu.Unlock()
	if r == nil {
		return nil
	}
	return r.monitor.execute("system_powerdown")
}

// Stop cuts the power and returns when the machine is off.
func (m *Machine) Stop() error {
	m.mu.Lock()
	r := m.run
	if r != nil {
		r.cut = true
	}
	m.mu.Unlock()
	if r == nil {
		return nil
	}
	if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-r.ended
	return nil
}

// Inside turns a URL of this machine's loopback into what a guest reaches it by.
func Inside(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	if name := u.Hostname(); name == "127.0.0.1" || name == "localhost" {
		u.Host = strings.Replace(u.Host, name, Host, 1)
	}
	return strings.TrimRight(u.String(), "/"), nil
}
