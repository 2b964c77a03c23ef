package memory

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// bmc is a session.
type bmc struct {
	p *Provider
	t baremetal.Target
	m *machine
}

// Open logs in.
func (p *Provider) Open(ctx context.Context, t baremetal.Target) (baremetal.BMC, error) {
	p.mu.Lock()
	m := p.machines[t.Address]
	if m == nil && p.options.Anything {
		m = p.add(Machine{Address: t.Address, Protocol: t.Protocol, Username: t.Username, Password: t.Password})
	}
	p.mu.Unlock()
	if m == nil {
		return nil, models.Faultf(models.CodeUnreachable, "Nothing answers where %s should be. Bring it back, or correct its address; the step is tried again.", t)
	}
	b := &bmc{p, t, m}
	if err := b.enter(ctx, Open, 2); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case t.Protocol != models.BMCUnknown && t.Protocol != m.Protocol:
		return nil, t.Faultf(models.CodeUnreachable, "does not speak %s. Correct its address; the step is tried again.", t.Protocol)
	case t.Fingerprint != "" && t.Fingerprint != m.Fingerprint:
		return nil, t.Faultf(models.CodeCertificateMismatch, "shows a certificate with the SHA-256 fingerprint %s instead of the pinned %s. If it was replaced on purpose, give the new fingerprint.", m.Fingerprint, t.Fingerprint)
	case t.Username != m.Username || t.Password != m.Password:
		m.Refused++
		return nil, t.Faultf(models.CodeLoginRefused, "refused the name %s or its password. Give the right ones, then resume.", t.Username)
	}
	m.Logins++
	m.Sessions++
	return b, nil
}

// Probe tells who is there.
func (b *bmc) Probe(ctx context.Context) (contract.Probed, error) {
	if err := b.enter(ctx, Probe, 1); err != nil {
		return contract.Probed{}, err
	}
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	return contract.Probed{Protocol: b.m.Protocol, Fingerprint: b.m.Fingerprint, Identity: b.m.identity(), Console: b.m.Console}, nil
}

// Identity tells who is there.
func (b *bmc) Identity(ctx context.Context) (models.HardwareIdentity, error) {
	if err := b.enter(ctx, Identity, 1); err != nil {
		return models.HardwareIdentity{}, err
	}
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	return b.m.identity(), nil
}

// Inspect tells everything.
func (b *bmc) Inspect(ctx context.Context) (contract.Inspected, error) {
	if err := b.enter(ctx, Inspect, InspectCalls); err != nil {
		return contract.Inspected{}, err
	}
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	if b.m.fault == Bare {
		return contract.Inspected{}, b.t.Faultf(models.CodeInventoryEmpty, "names no processors and no memory. Wait until the machine has started, then resume.")
	}
	b.m.settle()
	out := contract.Inspected{Inventory: clone(b.m.Inventory), Power: b.m.Power, Health: b.m.Health}
	out.Inventory.HardwareIdentity = b.m.identity()
	out.Health.Sensors, out.Health.Log = slices.Clone(out.Health.Sensors), slices.Clone(out.Health.Log)
	return out, nil
}

// Power tells whether the machine is on.
func (b *bmc) Power(ctx context.Context) (baremetal.PowerState, error) {
	if err := b.enter(ctx, Power, 1); err != nil {
		return baremetal.StateUnknown, err
	}
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	return b.m.settle(), nil
}

// Order begins a change of power.
func (b *bmc) Order(ctx context.Context, o baremetal.Order) error {
	if err := b.enter(ctx, SetPower, 1); err != nil {
		return err
	}
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	goal := baremetal.StateOff
	if o == baremetal.TurnOn {
		goal = baremetal.StateOn
	}
	if b.m.settle() == goal || b.m.fault == Jammed || b.m.fault == Deaf && o == baremetal.ShutDown {
		return nil
	}
	b.m.target, b.m.until = goal, time.Now().Add(b.p.options.Spin)
	b.m.settle()
	return nil
}

// SetBoot sets what the machine boots from.
func (b *bmc) SetBoot(ctx context.Context, device models.BootDevice, persistent bool) error {
	return b.change(ctx, SetBoot, func(m *machine) { m.Boot, m.Persistent = device, persistent })
}

// SetMedia fills or empties the virtual drive.
func (b *bmc) SetMedia(ctx context.Context, url string) error {
	if b.m.Protocol == models.IPMI {
		return b.t.Faultf(models.CodeNotSupported, "has no virtual drive: IPMI knows none. Boot from the network instead.")
	}
	return b.change(ctx, SetMedia, func(m *machine) { m.Media = url })
}

// Locate turns the LED on or off.
func (b *bmc) Locate(ctx context.Context, on bool) error {
	return b.change(ctx, Locate, func(m *machine) { m.Lit = on })
}

// SetPassword changes the account's password.
func (b *bmc) SetPassword(ctx context.Context, password string) error {
	return b.change(ctx, SetPassword, func(m *machine) { m.Password = password })
}

// Close logs out.
func (b *bmc) Close(context.Context) {
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	b.m.Sessions--
}

// change is a call that changes something at once.
func (b *bmc) change(ctx context.Context, step string, do func(*machine)) error {
	if err := b.enter(ctx, step, 1); err != nil {
		return err
	}
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	do(b.m)
	return nil
}

// enter takes the time of calls and has the fault that the machine or the step was told to have.
func (b *bmc) enter(ctx context.Context, step string, calls int) error {
	b.p.mu.Lock()
	latency, fault, hook := b.p.options.Latency*time.Duration(calls), b.m.fault, b.p.hook
	b.p.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, step, b.t.Address); err != nil {
			return err
		}
	}
	switch fault {
	case Dead:
		<-ctx.Done()
	case Gone:
		return b.t.Faultf(models.CodeUnreachable, "cannot be reached. Bring it back, or correct its address; the step is tried again.")
	case Busy:
		return b.t.Faultf(models.CodeBusy, "asks to come back later. The step is tried again.")
	}
	if latency > 0 {
		timer := time.NewTimer(latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	queue := b.p.faults[step]
	if len(queue) == 0 {
		return nil
	}
	b.p.faults[step] = queue[1:]
	return queue[0]
}

// settle lets a change of power that is over take effect, and returns the state. The lock is held.
func (m *machine) settle() baremetal.PowerState {
	if m.target != baremetal.StateUnknown {
		if time.Now().Before(m.until) {
			if m.target == baremetal.StateOn {
				return baremetal.StateTurningOn
			}
			return baremetal.StateTurningOff
		}
		m.Power = m.target.Power()
		m.Events = append(m.Events, string(m.target))
		m.target = baremetal.StateUnknown
	}
	return baremetal.PowerState(m.Power)
}

// identity is who the machine says it is. The lock is held.
func (m *machine) identity() models.HardwareIdentity {
	m.reads++
	if m.fault == Liar && m.reads%2 == 0 {
		other := m.Inventory.HardwareIdentity
		other.Serial += "-X"
		other.UUID = uuid.NewSHA1(uuid.NameSpaceDNS, []byte(other.UUID)).String()
		return other
	}
	return m.Inventory.HardwareIdentity
}
