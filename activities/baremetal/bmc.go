// Package baremetal carries out what workflows want of physical servers in one region, by way of their BMCs.
package baremetal

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// Provider speaks to BMCs. It is what the activities need of one, and no more.
type Provider interface {
	// Open logs in to a BMC, or says why that is not possible.
	Open(ctx context.Context, t Target) (BMC, error)
	// Check reports why the provider cannot be worked with, if so. It speaks to no BMC.
	Check(ctx context.Context) error
}

// BMC is a session with one BMC, for one caller at a time.
//
// Every method may be called again after it was interrupted anywhere, ends soon after its context does, and returns
// faults: a provider classifies its errors itself. Package bmctest says in tests what each method must do.
type BMC interface {
	// Probe tells how the BMC is spoken to, and what the machine says that it is.
	Probe(ctx context.Context) (contract.Probed, error)
	// Identity reads what the machine says that it is, anew each time.
	Identity(ctx context.Context) (models.HardwareIdentity, error)
	// Inspect reads everything. A Redfish BMC that names no processors or memory is inventory_empty.
	Inspect(ctx context.Context) (contract.Inspected, error)
	// Power reads whether the machine is on, and whether that is changing.
	Power(ctx context.Context) (PowerState, error)
	// Order orders a change of the power once, and does not wait for it.
	Order(ctx context.Context, o Order) error
	// SetBoot sets what the machine boots from, the next time or for good.
	SetBoot(ctx context.Context, device models.BootDevice, persistent bool) error
	// SetMedia puts the image at an address into the virtual drive; an empty one takes out what is there.
	SetMedia(ctx context.Context, url string) error
	// Locate turns the identify LED on or off.
	Locate(ctx context.Context, on bool) error
	// SetPassword gives the account that is logged in another password.
	SetPassword(ctx context.Context, password string) error
	// Close logs out. A BMC has room for few sessions.
	Close(ctx context.Context)
}

// Target is a BMC to log in to. Printed, it shows no password.
type Target struct {
	ID          models.ID          // of the baremetal
	Name        string             // of the baremetal
	Address     string             // as models.ParseBMCAddress writes it
	Protocol    models.BMCProtocol // empty: Redfish where that answers, otherwise IPMI
	Fingerprint string             // SHA-256 of the certificate that it must show; empty: whatever it shows
	Username    string
	Password    string // in memory alone
}

// String says which BMC it is.
func (t Target) String() string {
	name := t.Name
	if name == "" {
		name = t.ID.String()
	}
	return fmt.Sprintf("the BMC of baremetal %s at %s", name, t.Address)
}

// Faultf is a fault whose sentence begins with the target.
func (t Target) Faultf(code models.Code, format string, args ...any) *models.Fault {
	return models.Faultf(code, "T"+strings.ReplaceAll(t.String(), "%", "%%")[1:]+" "+format, args...)
}

// GoString hides the password from %#v.
func (t Target) GoString() string { return t.String() }

// LogValue hides the password from slog.
func (t Target) LogValue() slog.Value { return slog.StringValue(t.String()) }

// PowerState is what a BMC says of its machine's power.
type PowerState string

// States of power, in whatever words a BMC says them.
const (
	StateUnknown    PowerState = ""
	StateOn         PowerState = "on"
	StateOff        PowerState = "off"
	StateTurningOn  PowerState = "turning on"
	StateTurningOff PowerState = "turning off"
)

// moving reports whether the power is changing.
func (s PowerState) moving() bool { return s == StateTurningOn || s == StateTurningOff }

// Power is the state without its transitions: a machine that is turning off is still on, and the other way round.
func (s PowerState) Power() models.Power {
	switch s {
	case StateOn, StateTurningOff:
		return models.PowerOn
	case StateOff, StateTurningOn:
		return models.PowerOff
	}
	return models.PowerUnknown
}

// Order is a change of power that is asked of a BMC. There is none that turns off and on again: a reset is two orders, each
// given after a look, so that nothing that is tried again restarts a machine twice.
type Order string

// Orders.
const (
	TurnOn   Order = "on"
	TurnOff  Order = "off"      // at once
	ShutDown Order = "shutdown" // asks the operating system
)
