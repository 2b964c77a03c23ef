package redfish

import (
	"fmt"
	"os"
	"time"

	"github.com/yunshu/yunshu/test/bmc"
)

// The power states that Redfish knows.
const (
	on        = "On"
	off       = "Off"
	comingOn  = "PoweringOn"
	comingOff = "PoweringOff"
)

// What can happen to a machine; see Events.
const (
	PowerOn  = bmc.PowerOn
	PowerOff = bmc.PowerOff
	Reset    = bmc.Reset
	Shutdown = bmc.Shutdown
	NMI      = bmc.NMI
	BMCReset = bmc.BMCReset
)

// Event is something that happened to a machine.
type Event = bmc.Event

// host is the power of a machine and what it runs.
type host struct {
	power   string
	booted  bmc.Boot
	events  []Event
	timer   *time.Timer // of the transition under way
	turn    int         // counts transitions, so that one that was overtaken does nothing
	deaf    bool        // the guest does not hear that it shall stop
	restart bool        // what stops shall start again
}

func (h *host) cancel() {
	h.turn++
	if h.timer != nil {
		h.timer.Stop()
	}
}

func (h *host) happened(kind string) {
	h.events = append(h.events, Event{Kind: kind, At: time.Now().UTC()})
}

// Power returns the power state as Redfish says it: On, Off, PoweringOn or PoweringOff.
func (m *Machine) Power() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.host.power
}

// Events returns what happened to the machine since the simulator was started.
func (m *Machine) Events() []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Event{}, m.host.events...)
}

// Happened returns how often something of a kind happened.
func (m *Machine) Happened(kind string) int { return bmc.Count(m.Events(), kind) }

// IgnoreShutdown makes the guest deaf to the power button, as one is that hangs.
func (m *Machine) IgnoreShutdown(ignore bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.host.deaf = ignore
}

// CutPower takes the machine's power away without anybody asking, as a failing power supply does.
func (m *Machine) CutPower() {
	m.mu.Lock()
	m.host.cancel()
	was := m.host.power
	m.host.power = off
	if was != off {
		m.host.happened(PowerOff)
	}
	m.mu.Unlock()
	if was == on {
		m.tell(m.guest.Stop)
	}
	m.changed()
}

// resetTypes are the ways of ComputerSystem.Reset, and the states in which hardware does not take them.
var resetTypes = []string{"On", "ForceOff", "GracefulShutdown", "GracefulRestart", "ForceRestart", "PowerCycle", "Nmi"}

// reset does what ComputerSystem.Reset asks, or says why not.
func (m *Machine) reset(kind string) *problem {
	m.mu.Lock()
	p, after := m.begin(kind)
	m.mu.Unlock()
	if p != nil {
		return p
	}
	if after != nil {
		after()
	}
	m.changed()
	return nil
}

// begin changes the state, under the lock, and returns what is to be done without it.
func (m *Machine) begin(kind string) (*problem, func()) {
	h := &m.host
	if kind == "On" {
		if h.power != off {
			return conflict("The machine cannot be powered on: it is %s.", h.power), nil
		}
		m.powerOn()
		return nil, nil
	}
	if h.power != on && (kind != "ForceOff" || h.power == off) {
		return conflict("%s is not possible: the machine is %s.", kind, h.power), nil
	}
	switch kind {
	case "ForceOff":
		return nil, m.powerOff(false)
	case "PowerCycle":
		return nil, m.powerOff(true)
	case "GracefulShutdown", "GracefulRestart":
		h.happened(Shutdown)
		m.record("OK", "The power button was pressed")
		h.restart = kind == "GracefulRestart"
		if h.deaf {
			return nil, nil
		}
		if turn := h.turn; h.booted.Device == setup {
			return nil, func() { m.stopped(turn) }
		}
		return nil, func() { m.tell(m.guest.Shutdown) }
	case "ForceRestart":
		h.happened(Reset)
		m.record("OK", "The system was reset")
		return nil, func() {
			m.tell(m.guest.Stop)
			m.run()
		}
	case "Nmi":
		h.happened(NMI)
		m.record("Warning", "A non-maskable interrupt was sent")
	}
	return nil, nil
}

// later goes on with a transition after its time, unless another one has overtaken it.
func (m *Machine) later(next func()) {
	m.host.cancel()
	turn := m.host.turn
	m.host.timer = time.AfterFunc(m.fleet.options.Transition, func() {
		m.mu.Lock()
		overtaken := m.host.turn != turn
		m.mu.Unlock()
		if !overtaken {
			next()
		}
	})
}

func (m *Machine) powerOn() {
	m.host.power = comingOn
	m.host.happened(PowerOn)
	m.record("OK", "The system was powered on")
	m.later(func() {
		m.mu.Lock()
		m.host.power = on
		m.mu.Unlock()
		m.run()
		m.changed()
	})
}

// powerOff returns what is to be done without the lock.
func (m *Machine) powerOff(again bool) func() {
	m.host.power = comingOff
	m.host.happened(PowerOff)
	m.record("OK", "The system was powered off")
	m.later(func() {
		m.mu.Lock()
		m.host.power = off
		if again {
			m.powerOn()
		}
		m.mu.Unlock()
		m.changed()
	})
	return func() { m.tell(m.guest.Stop) }
}

// run boots the guest from what the machine is set to boot from.
func (m *Machine) run() {
	m.mu.Lock()
	device, inserted := m.boot.next(m.media)
	m.host.turn++
	turn := m.host.turn
	m.host.restart = false
	m.host.booted = bmc.Boot{Device: device, Media: inserted, MAC: m.hardware.NICs[0].MAC, UUID: m.hardware.UUID, Stopped: func() { m.stopped(turn) }}
	b := m.host.booted
	m.mu.Unlock()
	if device == setup {
		return // the machine waits in its set-up menu
	}
	m.tell(func() error { return m.guest.Start(b) })
}

// stopped is what a guest tells when it has shut down by itself.
func (m *Machine) stopped(turn int) {
	m.mu.Lock()
	if m.host.turn != turn || m.host.power != on {
		m.mu.Unlock()
		return
	}
	if m.host.restart {
		m.host.restart = false
		m.host.happened(Reset)
		m.mu.Unlock()
		m.run()
		return
	}
	after := m.powerOff(false)
	m.mu.Unlock()
	after()
	m.changed()
}

// tell speaks to the guest. What goes wrong there is not the BMC's to answer: the machine just does not boot.
func (m *Machine) tell(what func() error) {
	if err := what(); err != nil {
		fmt.Fprintf(os.Stderr, "the guest of %s: %v\n", m.Name, err)
	}
}
