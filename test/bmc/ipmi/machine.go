package ipmi

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/yunshu/yunshu/test/bmc"
)

// devices are the boot devices that ipmi_sim knows, and what they mean.
var devices = map[string]string{"none": bmc.Disk, "default": bmc.Disk, "pxe": bmc.PXE, "cdrom": bmc.CD, "bios": ""}

// listen does what the hook tells, one thing after the other.
func (m *Machine) listen() {
	defer close(m.heard)
	lines := bufio.NewScanner(m.hooks)
	for lines.Scan() {
		what, value, _ := strings.Cut(lines.Text(), " ")
		switch what {
		case "power":
			m.switched(value == "1")
		case "reset":
			m.reset()
		case "shutdown":
			m.happened(bmc.Shutdown)
			m.tell(m.guest.Shutdown)
		case "identify":
			m.mu.Lock()
			m.lit = value != "0"
			m.mu.Unlock()
		}
	}
}

func (m *Machine) happened(kind string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, bmc.Event{Kind: kind, At: time.Now().UTC()})
}

func (m *Machine) switched(on bool) {
	if on {
		m.happened(bmc.PowerOn)
		m.boot()
		return
	}
	m.happened(bmc.PowerOff)
	m.mu.Lock()
	m.boots++
	m.mu.Unlock()
	m.tell(m.guest.Stop)
}

func (m *Machine) reset() {
	if !m.Power() {
		return
	}
	m.happened(bmc.Reset)
	m.tell(m.guest.Stop)
	m.boot()
}

// boot starts the guest from the device that was set for once, and forgets that.
func (m *Machine) boot() {
	set := m.read("boot")
	device := devices[set]
	if set != "none" {
		m.must(m.write("boot", "none"))
	}
	m.mu.Lock()
	m.boots++
	this := m.boots
	m.mu.Unlock()
	if device == "" {
		return // the machine waits in its set-up menu
	}
	h := m.options.Hardware
	b := bmc.Boot{Device: device, MAC: h.NICs[0].MAC, UUID: h.UUID, Stopped: func() { m.stopped(this) }}
	if device == bmc.CD {
		b.Media = m.options.Media
	}
	m.tell(func() error { return m.guest.Start(b) })
}

// stopped is what a guest tells when it has shut down by itself: the machine turns itself off.
func (m *Machine) stopped(boot int) {
	m.mu.Lock()
	current := m.boots == boot
	if current {
		m.boots++
	}
	m.mu.Unlock()
	if !current {
		return
	}
	m.must(m.write("power", "0"))
	m.happened(bmc.PowerOff)
	m.tell(m.guest.Stop)
}

// Power says whether the machine is on.
func (m *Machine) Power() bool { return m.read("power") == "1" }

// BootDevice returns what the next boot is from: none, pxe, default (a disk), cdrom or bios.
func (m *Machine) BootDevice() string { return m.read("boot") }

// Lit says whether somebody asked the machine to identify itself.
func (m *Machine) Lit() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lit
}

// Events returns what happened to the machine since it was started.
func (m *Machine) Events() []bmc.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]bmc.Event{}, m.events...)
}

// Happened returns how often something of a kind happened.
func (m *Machine) Happened(kind string) int { return bmc.Count(m.Events(), kind) }

// SetSensor makes a sensor read a value, in its unit; past a threshold the event log gets an entry.
func (m *Machine) SetSensor(name string, value float64) error {
	for i, s := range sensors {
		if s.name == name {
			return m.command("sensor_set_value 0x20 0 %d %d 1", i+1, s.raw(value))
		}
	}
	return fmt.Errorf("%s has no sensor %q", m.Name, name)
}

// read returns a value that the hook keeps. It is there since the machine was prepared.
func (m *Machine) read(name string) string {
	raw, err := os.ReadFile(filepath.Join(m.options.Dir, name))
	m.must(err)
	return strings.TrimSpace(string(raw))
}

func (m *Machine) write(name, value string) error {
	return replace(m.options.Dir, name, value+"\n", 0o600)
}

// must tells what went wrong with the machine's own files, which nobody can be told but who reads the screen.
func (m *Machine) must(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "the machine %s: %v\n", m.Name, err)
	}
}

func (m *Machine) tell(what func() error) {
	if err := what(); err != nil {
		fmt.Fprintf(os.Stderr, "the guest of %s: %v\n", m.Name, err)
	}
}
