// Package memory is a rack of physical servers that are kept in memory. Their BMCs are real little ones, with accounts,
// power that takes time to change, and faults that can be switched on, for tests, benchmarks and trying things out.
package memory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/models"
)

// Steps that can be made to fail, or be hooked into.
const (
	Open        = "open"
	Probe       = "probe"
	Identity    = "identity"
	Inspect     = "inspect"
	Power       = "power"
	SetPower    = "set-power" // an order
	SetBoot     = "set-boot"
	SetMedia    = "set-media"
	Locate      = "locate"
	SetPassword = "set-password"
)

// Options describe the provider. The zero value answers at once, and knows no machine but those that are added.
type Options struct {
	// Anything makes a machine for every address that nobody added, with the account that logs in first.
	Anything bool
	Latency  time.Duration // of every call; an inspection is InspectCalls of them
	Spin     time.Duration // how long power takes to change
}

// InspectCalls is how many calls a look at everything takes, as it does of a real BMC.
const InspectCalls = 8

// Machine is what there is to see of a machine and its BMC.
type Machine struct {
	Address     string // as models.ParseBMCAddress writes it
	Protocol    models.BMCProtocol
	Username    string
	Password    string
	Fingerprint string
	Inventory   models.Inventory
	Power       models.Power
	Health      models.Health
	Console     string

	Boot       models.BootDevice // what it boots from next
	Persistent bool              // and ever after
	Media      string            // what is in the virtual drive
	Lit        bool              // the identify LED
	Events     []string          // what its power did: on, off
	Logins     int               // that were accepted
	Refused    int               // that were not
	Sessions   int               // open now
}

// Fault is a way in which a BMC or its machine is broken.
type Fault string

// Faults, for as long as they are set.
const (
	None   Fault = ""
	Dead   Fault = "dead"   // it takes the call and never answers
	Gone   Fault = "gone"   // nothing is there
	Busy   Fault = "busy"   // it asks to come back later
	Liar   Fault = "liar"   // it says each time that it is another machine
	Bare   Fault = "bare"   // it shows no hardware
	Deaf   Fault = "deaf"   // the operating system does not listen to a shutdown
	Jammed Fault = "jammed" // the power never changes
)

// Provider is the rack. Make one with New.
type Provider struct {
	mu       sync.Mutex
	options  Options
	machines map[string]*machine // by address
	faults   map[string][]error  // by step
	hook     func(ctx context.Context, step, address string) error
}

var _ baremetal.Provider = (*Provider)(nil)

// machine is one machine.
type machine struct {
	Machine
	fault  Fault
	target baremetal.PowerState // to which its power changes
	until  time.Time            // when it is there
	reads  int                  // of its identity
}

// New returns a provider.
func New(o Options) *Provider {
	return &Provider{options: o, machines: map[string]*machine{}, faults: map[string][]error{}}
}

// Add puts a machine into the rack. What is not said of it is made up from its address; it is off unless said otherwise.
func (p *Provider) Add(m Machine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(m)
}

// add puts a machine into the rack. The lock is held.
func (p *Provider) add(m Machine) *machine {
	if m.Protocol == "" {
		m.Protocol = models.Redfish
	}
	if m.Power == models.PowerUnknown {
		m.Power = models.PowerOff
	}
	if m.Health.Status == models.HealthUnknown {
		m.Health = health()
	}
	if m.Inventory.HardwareIdentity == (models.HardwareIdentity{}) {
		m.Inventory = inventory(m.Address, m.Protocol)
	}
	if m.Protocol == models.Redfish {
		if m.Fingerprint == "" {
			sum := sha256.Sum256([]byte("certificate of " + m.Address))
			m.Fingerprint = hex.EncodeToString(sum[:])
		}
		if m.Console == "" {
			m.Console = m.Address + "/console"
		}
	}
	made := &machine{Machine: m}
	p.machines[m.Address] = made
	return made
}

// Machine returns what there is to see of a machine, and whether there is one.
func (p *Provider) Machine(address string) (Machine, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.machines[address]
	if m == nil {
		return Machine{}, false
	}
	m.settle()
	out := m.Machine
	out.Events = append([]string(nil), m.Events...)
	return out, true
}

// Change changes a machine behind everybody's back.
func (p *Provider) Change(address string, change func(*Machine)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.machines[address]; m != nil {
		change(&m.Machine)
	}
}

// SetFault breaks a machine, or mends it with None.
func (p *Provider) SetFault(address string, f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.machines[address]; m != nil {
		m.fault = f
	}
}

// Fail makes the next calls of step fail, one with each of the errors.
func (p *Provider) Fail(step string, errs ...error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults[step] = append(p.faults[step], errs...)
}

// Mend forgets the faults of steps that have not happened yet.
func (p *Provider) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.faults)
}

// SetHook has every call told before it is made. An error from the hook is the call's.
func (p *Provider) SetHook(hook func(ctx context.Context, step, address string) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hook = hook
}

// SetSpin changes how long power takes to change from now on.
func (p *Provider) SetSpin(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.options.Spin = d
}

// Check always succeeds: memory is there.
func (p *Provider) Check(context.Context) error { return nil }
