// Package guest is what runs on a simulated machine in the simulator's own process: nothing but the platform's agent. It
// asks the boot service what it is for, waits as long as booting takes, and reports, as the real image does.
package guest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/yunshu/yunshu/test/bmc"
)

// Options say how a guest behaves.
type Options struct {
	Base      func() string       // URL of the boot service; empty: the network does not answer
	Inventory func() bmc.Hardware // what it finds on the machine
	BootDelay time.Duration       // from power to the first report; 0: 50 ms
	// ShutdownDelay is how long it takes to stop when it is asked to; 0: 200 ms.
	ShutdownDelay time.Duration
	Pause         time.Duration // after the first attempt that failed; each next one is twice as long, up to 5 s; 0: 200 ms
	HTTP          *http.Client  // nil: one that waits 10 s
	Log           *slog.Logger  // nil: nowhere
}

// Guest implements bmc.Guest.
type Guest struct {
	options Options

	mu     sync.Mutex
	boot   bmc.Boot
	cancel context.CancelFunc // nil while it does not run
	timer  *time.Timer        // of its shutdown
	silent bool
	lie    func(h bmc.Hardware) bmc.Hardware
	state  State
}

// State is what a guest has come to.
type State struct {
	Device  string // it booted from
	Purpose string // it was told; empty while it does not know, and on its own disk
	Reports int    // that were accepted, since the guest was made
}

// New makes a guest that does not run yet.
func New(o Options) *Guest {
	o.BootDelay, o.ShutdownDelay, o.Pause = orDuration(o.BootDelay, 50*time.Millisecond), orDuration(o.ShutdownDelay, 200*time.Millisecond), orDuration(o.Pause, 200*time.Millisecond)
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	if o.Base == nil {
		o.Base = func() string { return "" }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Guest{options: o}
}

func orDuration(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Silence makes the guest boot and never report, as one does whose network is broken.
func (g *Guest) Silence(silent bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.silent = silent
}

// Lie makes the guest report another inventory than what is there; nil: the truth.
func (g *Guest) Lie(lie func(h bmc.Hardware) bmc.Hardware) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lie = lie
}

// State returns what the guest has come to.
func (g *Guest) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

// Start boots in the background. Power that is applied twice starts once more.
func (g *Guest) Start(b bmc.Boot) error {
	ctx, cancel := context.WithCancel(context.Background())
	g.mu.Lock()
	g.halt()
	g.boot, g.cancel = b, cancel
	g.state.Device, g.state.Purpose = b.Device, ""
	g.mu.Unlock()
	if b.Device == bmc.PXE || b.Device == bmc.CD {
		go g.run(ctx, b)
	}
	return nil
}

// Shutdown stops after a while and says so.
func (g *Guest) Shutdown() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cancel == nil {
		return errors.New("it does not run")
	}
	if g.timer != nil {
		return nil // it is at it
	}
	stopped := g.boot.Stopped
	var timer *time.Timer
	timer = time.AfterFunc(g.options.ShutdownDelay, func() {
		g.mu.Lock()
		ours := g.timer == timer // else power was cut meanwhile
		if ours {
			g.halt()
		}
		g.mu.Unlock()
		if ours && stopped != nil {
			stopped()
		}
	})
	g.timer = timer
	return nil
}

// Stop ends it at once.
func (g *Guest) Stop() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.halt()
	return nil
}

// halt ends what runs, under the lock.
func (g *Guest) halt() {
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
	if g.cancel != nil {
		g.cancel()
		g.cancel = nil
	}
}

// run is one life of the guest.
func (g *Guest) run(ctx context.Context, b bmc.Boot) {
	if err := g.agent(ctx, b); err != nil && ctx.Err() == nil {
		g.options.Log.Warn("guest gave up", "uuid", b.UUID, "error", err)
	}
}

// agent does what the image's agent does.
func (g *Guest) agent(ctx context.Context, b bmc.Boot) error {
	o, err := g.orders(ctx, b)
	if errors.Is(err, errDisk) {
		g.mu.Lock()
		g.state.Device = bmc.Disk
		g.mu.Unlock()
		return nil
	}
	if err != nil {
		return err
	}
	if err := sleep(ctx, g.options.BootDelay); err != nil {
		return err
	}
	g.mu.Lock()
	silent := g.silent
	g.mu.Unlock()
	if silent {
		return nil
	}
	if o.token == "" {
		if o, err = g.claim(ctx, o.url, b); err != nil {
			return err
		}
	}
	g.mu.Lock()
	g.state.Purpose = o.purpose
	g.mu.Unlock()
	if err := g.report(ctx, o); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	g.mu.Lock()
	g.state.Reports++
	g.mu.Unlock()
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
