package redfish

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/yunshu/yunshu/test/bmc"
	"github.com/yunshu/yunshu/test/bmc/guest"
)

// Machine is one simulated server and its BMC.
type Machine struct {
	Name  string
	Index int

	fleet  *Fleet
	ids    ids
	guest  bmc.Guest
	faults faults
	calls  calls

	mu         sync.Mutex
	address    string
	listener   net.Listener // nil while the BMC is dead
	restarting bool
	generation int // of the certificate
	signed     *tls.Certificate
	latency    time.Duration
	hardware   bmc.Hardware
	faked      bool // the hardware is not what it was at first
	host       host
	boot       boot
	media      []media
	accounts   []account
	sessions   sessions
	log        []entry
	logged     int // number of the last entry
	health     healths
	hostname   string
	assetTag   string
	lit        bool // the locator's light
}

func newMachine(f *Fleet, index int) *Machine {
	m := &Machine{
		Name: bmc.Name(f.options.Region, index), Index: index, fleet: f, latency: f.options.Latency,
		hardware: bmc.Machine(f.options.Region, index), boot: newBoot(), health: healths{parts: map[string]string{}, sensors: map[string]float64{}},
		sessions: sessions{all: map[string]*session{}},
	}
	m.ids = idsOf(m.hardware.Vendor)
	m.media = newMedia(m.hardware.Vendor)
	m.accounts = newAccounts(m.hardware.Vendor, f.options.Username, f.options.Password)
	m.host.power = off
	if index < f.options.PoweredOn {
		m.host.power, m.host.booted.Device = on, bmc.Disk
	}
	m.record("OK", "System event log initialised")
	m.guest = guest.New(guest.Options{ShutdownDelay: f.options.Shutdown})
	if f.options.Guest != nil {
		m.guest = f.options.Guest(m)
	}
	return m
}

// machineConn remembers whose BMC was called.
type machineConn struct {
	net.Conn
	machine *Machine
}

type machineListener struct {
	net.Listener
	machine *Machine
}

// Accept turns callers away while the BMC restarts, as one does whose service is not up yet.
func (l machineListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !l.machine.away() {
			return machineConn{c, l.machine}, nil
		}
		_ = c.Close() // nobody is to hear of it
	}
}

func (m *Machine) away() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.restarting
}

// patience is how long an address may still be that of a simulator that was killed a moment ago.
const patience = 3 * time.Second

func bind(at string) (net.Listener, error) {
	for until := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		l, err := net.Listen("tcp", at)
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(until) {
			return l, err
		}
	}
}

func (m *Machine) listen(at string) error {
	l, err := bind(at)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.listener, m.address = l, l.Addr().String()
	m.mu.Unlock()
	secure := tls.NewListener(machineListener{l, m}, &tls.Config{GetCertificate: m.certificate, MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true,
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}, // others cost a busy fleet more than they are worth on loopback
	})
	m.fleet.serving.Go(func() error {
		if err := m.fleet.server.Serve(secure); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("serve the BMC of %s: %w", m.Name, err)
		}
		return nil
	})
	return nil
}

// stop ends the BMC and what runs on the machine.
func (m *Machine) stop() {
	m.unplug()
	m.mu.Lock()
	m.host.cancel()
	running := m.host.power == on
	m.mu.Unlock()
	if running {
		m.tell(m.guest.Stop)
	}
}

// unplug closes the BMC's door.
func (m *Machine) unplug() {
	m.mu.Lock()
	l := m.listener
	m.listener = nil
	m.mu.Unlock()
	if l != nil {
		_ = l.Close() // it was open
	}
}

// plug opens the door again, at the same address.
func (m *Machine) plug() error {
	m.mu.Lock()
	at, open := m.address, m.listener != nil
	m.mu.Unlock()
	if open {
		return nil
	}
	return m.listen(at)
}

// Address is where the BMC answers, such as 127.20.0.1:8443.
func (m *Machine) Address() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.address
}

// URL is what to enroll the machine with.
func (m *Machine) URL() string { return "https://" + m.Address() }

// Hardware returns what the machine says of itself now.
func (m *Machine) Hardware() bmc.Hardware {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hardware.Clone()
}

// Change alters the hardware behind everybody's back: a disk swapped, a module added, another firmware, a serial or a
// UUID that lies.
func (m *Machine) Change(change func(h *bmc.Hardware)) {
	m.mu.Lock()
	change(&m.hardware)
	m.faked = true
	m.mu.Unlock()
	m.changed()
}

// SetLatency makes every call from now on take this long.
func (m *Machine) SetLatency(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latency = d
}

// changed tells the keeper.
func (m *Machine) changed() {
	if k := m.fleet.keeper; k != nil {
		k.touch(m)
	}
}
