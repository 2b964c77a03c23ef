package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// How a round over a region's machines is cut. What is seen of a page must fit into one payload of Temporal, which is 2 MB.
const (
	bmcsPerPage = 50
	pagesAtOnce = 32
)

// BaremetalWatch looks at all machines of a region. Pages are looked at side by side, so that one with a dead BMC keeps no
// other waiting; a region without a worker is waited for.
func (s Set) BaremetalWatch(ctx workflow.Context, in contract.BaremetalWatchInput) error {
	slots, all := workflow.NewSemaphore(ctx, pagesAtOnce), workflow.NewWaitGroup(ctx)
	ask := contract.AccessPageInput{Region: in.Region, After: in.After, Limit: bmcsPerPage}
	for {
		page, err := contract.BMCAccessPage.Do(ctx, contract.Gateway, "ask how a page of BMCs is reached", ask)
		if err != nil {
			return err
		}
		if len(page.BMCs) > 0 {
			if err := slots.Acquire(ctx, 1); err != nil {
				return err
			}
			all.Add(1)
			asked := ask
			workflow.Go(ctx, func(ctx workflow.Context) {
				defer all.Done()
				defer slots.Release(1)
				if err := observe(ctx, asked, page.BMCs); err != nil {
					workflow.GetLogger(ctx).Warn("page of machines not looked at", "region", in.Region, "after", asked.After, "error", err)
				}
			})
		}
		if ask.After = page.Next; page.Next == models.NoID {
			all.Wait(ctx)
			return ctx.Err()
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			all.Wait(ctx)
			return workflow.NewContinueAsNewError(ctx, contract.BaremetalWatch.Name, contract.BaremetalWatchInput{Region: in.Region, After: ask.After})
		}
	}
}

// observe looks at a page of machines and records what it saw. A page that waited long for a worker is asked for anew: who
// was to be looked at, and how, may have changed. A round whose history has grown long by that gives up: the next one waits on.
func observe(ctx workflow.Context, ask contract.AccessPageInput, bmcs []contract.BMC) error {
	for {
		seen, err := contract.BMObserve.Do(ctx, contract.BMQueue(ask.Region), "look at a page of machines", contract.ObserveInput{BMCs: bmcs})
		if err == nil {
			_, err = contract.BaremetalObserved.Do(ctx, contract.Gateway, "record what was seen",
				contract.RecordObservationsInput{Region: ask.Region, Observations: seen.Observations})
			return err
		}
		if !neverPickedUp(err) || workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return err
		}
		page, err := contract.BMCAccessPage.Do(ctx, contract.Gateway, "ask again how a page of BMCs is reached", ask)
		if err != nil {
			return err
		}
		bmcs = page.BMCs
	}
}
