package baremetal_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/activities/baremetal/memory"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/vault"
)

// region is many machines and those who look at them.
type region struct {
	p    *memory.Provider
	all  *baremetal.Activities
	bmcs []contract.BMC
}

// newRegion has BMCs that take 100 ms for each call.
func newRegion(t testing.TB, machines int) *region {
	t.Helper()
	keys, err := vault.Parse("test=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	require.NoError(t, err)
	r := &region{p: memory.New(memory.Options{Latency: 100 * time.Millisecond})}
	r.all = baremetal.New(baremetal.Options{Provider: r.p, Keys: keys})
	for i := range machines {
		address, id := fmt.Sprintf("https://10.1.%d.%d", i/250, i%250+1), models.NewID()
		r.p.Add(memory.Machine{Address: address, Username: "admin", Password: password})
		sealed, err := keys.Seal(password, contract.SealedFor(id))
		require.NoError(t, err)
		r.bmcs = append(r.bmcs, contract.BMC{ID: id, Name: fmt.Sprintf("m-%04d", i), Address: address, Username: "admin", Password: sealed})
	}
	return r
}

// kill makes every fiftieth machine hang: 2 %.
func (r *region) kill() {
	for i, b := range r.bmcs {
		if i%50 == 49 {
			r.p.SetFault(b.Address, memory.Dead)
		}
	}
}

// round looks at all, in pages of 50 of which 8 are under way, as the workflow does, and tells how long that took and how many
// could not be seen.
func (r *region) round(ctx context.Context) (took time.Duration, unseen int) {
	begun := time.Now()
	var dead atomic.Int64
	var pages sync.WaitGroup
	room := make(chan struct{}, 8)
	for at := 0; at < len(r.bmcs); at += 50 {
		room <- struct{}{}
		pages.Go(func() {
			defer func() { <-room }()
			for _, o := range r.all.Page(ctx, r.bmcs[at:min(at+50, len(r.bmcs))]) {
				if o.Fault != nil {
					dead.Add(1)
				}
			}
		})
	}
	pages.Wait()
	return time.Since(begun), int(dead.Load())
}

// TestTheDeadDelayNobody compares rounds over 2,000 machines, in a time that is exact whatever this computer does.
func TestTheDeadDelayNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, 2000)
		healthy, unseen := r.round(t.Context())
		require.Zero(t, unseen)
		ideal := 2000 * (memory.InspectCalls + 4) * 100 * time.Millisecond / 64
		require.Less(t, healthy, ideal*11/10)
		r.kill()
		for _, when := range []string{"when nobody knows of them yet", "when the last round found them"} {
			took, unseen := r.round(t.Context())
			require.Equal(t, 40, unseen)
			require.Less(t, took, healthy*12/10, when)
			t.Logf("%s: %s instead of %s, %.3f times", when, took, healthy, took.Seconds()/healthy.Seconds())
		}
	})
}

// BenchmarkRound tells the same of a round in real time.
func BenchmarkRound(b *testing.B) {
	for b.Loop() {
		r := newRegion(b, 2000)
		healthy, _ := r.round(b.Context())
		r.kill()
		took, _ := r.round(b.Context())
		b.ReportMetric(healthy.Seconds(), "s/round")
		b.ReportMetric(took.Seconds(), "s/round-with-dead")
		b.ReportMetric(took.Seconds()/healthy.Seconds(), "ratio")
	}
}

func TestAPageSaysOfEachMachineWhatWasSeen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	page := contract.ObserveInput{BMCs: []contract.BMC{b.bmc}}
	for i, fault := range []memory.Fault{memory.Dead, memory.Gone, memory.Busy, memory.Bare, memory.Liar} {
		bmc := b.add(fmt.Sprintf("https://10.0.1.%d", i))
		b.p.SetFault(bmc.Address, fault)
		page.BMCs = append(page.BMCs, bmc)
	}
	m := b.machine()
	got := do(b, contract.BMObserve, page)
	require.Equal(t, contract.Observation{ID: b.bmc.ID, Inspected: &contract.Inspected{Inventory: m.Inventory, Power: models.PowerOff, Health: m.Health}}, got.Observations[0])
	var codes []models.Code
	for i, o := range got.Observations[1:] {
		require.Equal(t, page.BMCs[i+1].ID, o.ID)
		require.Nil(t, o.Inspected)
		codes = append(codes, o.Fault.Code)
	}
	require.Equal(t, []models.Code{models.CodeUnreachable, models.CodeUnreachable, models.CodeBusy, models.CodeInventoryEmpty, models.CodeIdentityChanged}, codes)
}

// TestARoundGoesOnElsewhere shows that another worker does not wait for the dead again.
func TestARoundGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dead := b.add("https://10.0.0.8")
	var looks atomic.Int64
	b.p.SetHook(func(_ context.Context, step, address string) error {
		if address == dead.Address {
			looks.Add(1)
		}
		return nil
	})
	found := contract.Observation{ID: dead.ID, Fault: &models.Fault{Code: models.CodeUnreachable, Message: "It did not answer."}}
	env := b.env()
	env.SetHeartbeatDetails([]contract.Observation{found})
	got, err := run(b, env, contract.BMObserve, contract.ObserveInput{BMCs: []contract.BMC{dead, b.bmc}})
	require.NoError(t, err)
	require.Equal(t, found, got.Observations[0])
	require.NotNil(t, got.Observations[1].Inspected)
	require.Zero(t, looks.Load())
}

func TestACancelledRoundEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *baremetal.Options) { o.RoundTimeout = time.Hour })
	b.p.SetFault(address, memory.Dead)
	ctx, cancel := context.WithCancel(t.Context())
	b.p.SetHook(func(context.Context, string, string) error { cancel(); return nil })
	env := b.env()
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	_, err := run(b, env, contract.BMObserve, contract.ObserveInput{BMCs: []contract.BMC{b.bmc}})
	require.Error(t, err)
	require.False(t, errors.Is(err, context.DeadlineExceeded))
}

// TestAMachineThatListsItsHardwareSlowlyIsSeen takes two minutes for it, as some do that an enrolment waits for.
func TestAMachineThatListsItsHardwareSlowlyIsSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, 1)
		r.p.SetHook(func(ctx context.Context, step, _ string) error {
			if step != memory.Inspect {
				return nil
			}
			select {
			case <-time.After(2 * time.Minute):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		require.Nil(t, r.all.Page(t.Context(), r.bmcs)[0].Fault)
	})
}
