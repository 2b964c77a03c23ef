package baremetal

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/vault"
)

// Options describe a region's bare metal. Provider and Keys are needed; what else is zero has its default.
type Options struct {
	Provider Provider
	Keys     vault.Keys // the payload keys, which passwords are sealed with

	MaxConcurrent   int           // BMCs that quick steps speak to at once, that long ones do, and that health rounds do; zero is 64
	OpenTimeout     time.Duration // for a login; zero is 20 seconds
	RoundTimeout    time.Duration // for a login in a health round, which shall not wait long for the dead; zero is 5 seconds
	LookTimeout     time.Duration // for a whole look at one machine; zero is 5 minutes
	PowerTimeout    time.Duration // for the power to become what was ordered; zero is 2 minutes
	ShutdownTimeout time.Duration // for an operating system to shut down; zero is 90 seconds
	Poll            time.Duration // between two looks at the power; zero is 2 seconds
	Patience        time.Duration // that a look may hold up others in a health round; zero is 2 seconds
	Logger          *slog.Logger
}

// Activities implements the references to a region's bm activities. Make one with New: what it remembers of BMCs is shared
// by all activities of a process.
type Activities struct {
	options Options
	turns   turns
	slots   chan struct{} // of quick steps, which have less than a minute and so never wait behind others
	long    chan struct{} // of steps that take minutes, so that they never wait behind a health round
	lanes   *lanes        // of health rounds
	dead    dead
}

// New returns the activities of a region.
func New(o Options) *Activities {
	o.MaxConcurrent = cmp.Or(o.MaxConcurrent, 64)
	o.OpenTimeout = cmp.Or(o.OpenTimeout, 20*time.Second)
	o.RoundTimeout = cmp.Or(o.RoundTimeout, 5*time.Second)
	o.LookTimeout = cmp.Or(o.LookTimeout, 5*time.Minute)
	o.PowerTimeout = cmp.Or(o.PowerTimeout, 2*time.Minute)
	o.ShutdownTimeout = cmp.Or(o.ShutdownTimeout, 90*time.Second)
	o.Poll = cmp.Or(o.Poll, 2*time.Second)
	o.Patience = cmp.Or(o.Patience, 2*time.Second)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Activities{options: o, slots: make(chan struct{}, o.MaxConcurrent), long: make(chan struct{}, o.MaxConcurrent), lanes: newLanes(o.MaxConcurrent, o.Patience)}
}

// Register binds the activities to their names.
func Register(r worker.ActivityRegistry, a *Activities) {
	contract.BMProbe.Register(r, a.Probe)
	contract.BMInspect.Register(r, a.Inspect)
	contract.BMSetPower.Register(r, a.SetPower)
	contract.BMSetBoot.Register(r, a.SetBoot)
	contract.BMMedia.Register(r, a.Media)
	contract.BMLocate.Register(r, a.Locate)
	contract.BMSetPassword.Register(r, a.SetPassword)
	contract.BMObserve.Register(r, a.Observe)
}

// quickLimit is below the time that Temporal gives a quick activity, so that it ends with a sentence of ours.
const quickLimit = 50 * time.Second

// Probe is the first contact with a BMC.
func (a *Activities) Probe(ctx context.Context, in contract.BMC) (contract.Probed, error) {
	var out contract.Probed
	err := a.quick(ctx, in, func(ctx context.Context, _ Target, bmc BMC) (err error) {
		out, err = bmc.Probe(ctx)
		return err
	})
	return out, crossing(err)
}

// SetBoot sets what a machine boots from.
func (a *Activities) SetBoot(ctx context.Context, in contract.BMBootInput) (contract.None, error) {
	return contract.None{}, crossing(a.quick(ctx, in.BMC, func(ctx context.Context, t Target, bmc BMC) error {
		switch in.Device {
		case models.BootDisk, models.BootPXE, models.BootCD:
			return bmc.SetBoot(ctx, in.Device, in.Persistent)
		}
		return t.Faultf(models.CodeInvalidSpec, "was not told to boot from %q: it must be %s, %s or %s.", in.Device, models.BootDisk, models.BootPXE, models.BootCD)
	}))
}

// Media fills or empties the virtual drive.
func (a *Activities) Media(ctx context.Context, in contract.BMMediaInput) (contract.None, error) {
	return contract.None{}, crossing(a.quick(ctx, in.BMC, func(ctx context.Context, _ Target, bmc BMC) error {
		return bmc.SetMedia(ctx, in.URL)
	}))
}

// Locate turns the identify LED on or off.
func (a *Activities) Locate(ctx context.Context, in contract.BMLocateInput) (contract.None, error) {
	return contract.None{}, crossing(a.quick(ctx, in.BMC, func(ctx context.Context, _ Target, bmc BMC) error {
		return bmc.Locate(ctx, in.On)
	}))
}

// quick is a step that answers within a minute.
func (a *Activities) quick(ctx context.Context, in contract.BMC, work func(context.Context, Target, BMC) error) error {
	limited, cancel := context.WithTimeout(ctx, quickLimit)
	defer cancel()
	return a.with(limited, a.slots, in, work)
}

// crossing is contract.Error, but for faults that no other attempt of the same step can mend: the password is the step's
// own, and a BMC locks an account that is tried too often; and who waited for a machine's power once need not wait again.
// A person mends these, and resumes.
func crossing(err error) error {
	crossed := contract.Error(err)
	f := models.AsFault(err)
	if f == nil {
		return crossed
	}
	switch f.Code {
	case models.CodeLoginRefused, models.CodePowerStuck, models.CodeInventoryEmpty:
		return temporal.NewApplicationErrorWithOptions(f.Message, string(f.Code), temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{*f}})
	}
	return crossed
}
