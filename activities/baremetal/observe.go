package baremetal

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// inspectLimit bounds a look that somebody waits for. Some BMCs need minutes to list their hardware.
const inspectLimit = 10 * time.Minute

// unseen is what an attempt found dead. The next one takes its word instead of waiting for the dead again, and looks again at
// the living, which is quick.
type unseen []contract.Observation

// Observe looks at a page of machines, all at once as far as the lanes allow. It succeeds whatever the machines do: why
// one could not be seen is in its observation.
func (a *Activities) Observe(ctx context.Context, in contract.ObserveInput) (contract.ObservePage, error) {
	gaveUp, stop := heartbeat[unseen](ctx)
	defer stop()
	var mu sync.Mutex
	out := a.page(ctx, in.BMCs, gaveUp.Get(), func(o contract.Observation) {
		mu.Lock()
		defer mu.Unlock()
		gaveUp.Set(append(slices.Clip(gaveUp.Get()), o))
	})
	if err := ctx.Err(); err != nil {
		return contract.ObservePage{}, contract.Error(err)
	}
	return out, nil
}

// page looks at machines, but for those that an earlier attempt found dead, and says which could not be seen.
func (a *Activities) page(ctx context.Context, bmcs []contract.BMC, before unseen, gaveUp func(contract.Observation)) contract.ObservePage {
	out := contract.ObservePage{Observations: make([]contract.Observation, len(bmcs))}
	known := map[models.ID]contract.Observation{}
	for _, o := range before {
		known[o.ID] = o
	}
	var all sync.WaitGroup
	for _, i := range a.deadFirst(bmcs) {
		if o, is := known[bmcs[i].ID]; is {
			out.Observations[i] = o
			continue
		}
		all.Go(func() {
			o := a.observe(ctx, bmcs[i])
			out.Observations[i] = o
			if o.Fault != nil && ctx.Err() == nil {
				gaveUp(o)
			}
		})
	}
	all.Wait()
	return out
}

// deadFirst is the order in which to look: who was dead the last time begins first, so that nobody waits for it at the end.
func (a *Activities) deadFirst(bmcs []contract.BMC) []int {
	var first, others []int
	for i, b := range bmcs {
		if a.dead.has(b.Address) {
			first = append(first, i)
		} else {
			others = append(others, i)
		}
	}
	return append(first, others...)
}

// observe looks at one machine. A fault is why nothing was seen.
func (a *Activities) observe(ctx context.Context, in contract.BMC) contract.Observation {
	out := contract.Observation{ID: in.ID}
	seen, err := a.lookInLane(ctx, in)
	if err == nil {
		out.Inspected = &seen
		return out
	}
	if out.Fault = contract.FaultOf(err); out.Fault.Code == models.CodeInternal {
		a.options.Logger.ErrorContext(ctx, "a machine could not be looked at", "baremetal_id", in.ID, "error", err)
	}
	return out
}

// lookInLane waits for the BMC and a place in a lane, and looks.
func (a *Activities) lookInLane(ctx context.Context, in contract.BMC) (seen contract.Inspected, err error) {
	t, err := a.target(in)
	if err != nil {
		return seen, err
	}
	waiting, cancel := context.WithTimeout(ctx, a.options.LookTimeout)
	release, err := a.turns.take(waiting, in.Address)
	cancel()
	if err != nil {
		return seen, ended(ctx, t, models.CodeBusy, "is being spoken to by another step")
	}
	defer release()
	var took time.Duration
	if full := a.lanes.run(ctx, a.dead.has(in.Address), func() {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(ctx, a.options.LookTimeout)
		defer cancel()
		err = a.session(ctx, t, a.options.RoundTimeout, func(ctx context.Context, bmc BMC) (err error) {
			seen, err = look(ctx, t, bmc)
			return err
		})
		took = time.Since(begun)
	}); full != nil {
		return seen, full
	}
	if ctx.Err() == nil {
		a.dead.set(in.Address, err != nil && took > a.options.Patience)
	}
	return seen, err
}

// dead remembers who was looked at in vain for long. It is a guess for the next round, and may be lost.
type dead struct {
	mu   sync.Mutex
	bmcs map[string]bool
}

func (d *dead) has(address string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bmcs[address]
}

func (d *dead) set(address string, is bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !is {
		delete(d.bmcs, address)
		return
	}
	if d.bmcs == nil {
		d.bmcs = map[string]bool{}
	}
	d.bmcs[address] = true
}
