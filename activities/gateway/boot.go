package gateway

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"

	"github.com/yunshu/yunshu/activities/contract"
)

// Boots is what the activities need of the database about machines that boot.
type Boots interface {
	ExpectBoot(ctx context.Context, in contract.BootExpectInput) error
	BootReported(ctx context.Context, ref contract.BootRef) (contract.BootReport, error)
	CloseBoot(ctx context.Context, ref contract.BootRef) error
}

const (
	bootWait = 20 * time.Second // how long boot.await waits before it says that nothing was reported yet
	bootLook = time.Second      // how often it looks: a row by its key
	// bootWaits is how many wait at once in a process. It is half of the activities that a gateway runs at once: however many
	// machines boot, there is room for reports. Whoever finds no room looks once, and its workflow comes back.
	bootWaits = 128
)

func (a Activities) registerBoots(r worker.ActivityRegistry) {
	contract.BootExpect.Register(r, crossing(func(ctx context.Context, in contract.BootExpectInput) (contract.None, error) {
		return contract.None{}, a.Store.ExpectBoot(ctx, in)
	}))
	room := make(chan struct{}, bootWaits)
	contract.BootAwait.Register(r, crossing(func(ctx context.Context, ref contract.BootRef) (contract.BootReport, error) {
		return a.awaitBoot(ctx, room, ref)
	}))
	contract.BootClose.Register(r, crossing(func(ctx context.Context, in contract.BootRef) (contract.None, error) {
		return contract.None{}, a.Store.CloseBoot(ctx, in)
	}))
}

// awaitBoot waits a while for what a booted image reports. A worker that stops does not keep the workflow waiting for it.
func (a Activities) awaitBoot(ctx context.Context, room chan struct{}, ref contract.BootRef) (contract.BootReport, error) {
	select {
	case room <- struct{}{}:
		defer func() { <-room }()
	default:
		return a.Store.BootReported(ctx, ref)
	}
	look := time.NewTicker(bootLook)
	defer look.Stop()
	until := time.NewTimer(bootWait)
	defer until.Stop()
	for {
		got, err := a.Store.BootReported(ctx, ref)
		if err != nil || got.Reported {
			return got, err
		}
		select {
		case <-look.C:
		case <-until.C:
			return got, nil
		case <-activity.GetWorkerStopChannel(ctx):
			return got, nil
		case <-ctx.Done():
			return got, ctx.Err()
		}
	}
}
