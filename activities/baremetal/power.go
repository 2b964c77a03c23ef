package baremetal

import (
	"context"
	"time"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// SetPower brings a machine's power to where it is wanted. It looks first, waits for what is under way, and orders once:
// tried again, it goes on waiting for what an earlier attempt ordered.
func (a *Activities) SetPower(ctx context.Context, in contract.BMPowerInput) (contract.BMPowered, error) {
	ordered, stop := heartbeat[time.Time](ctx)
	defer stop()
	var out contract.BMPowered
	err := a.with(ctx, a.long, in.BMC, func(ctx context.Context, t Target, bmc BMC) (err error) {
		out.Power, err = a.bring(ctx, t, bmc, wanted(in), ordered)
		return err
	})
	return out, crossing(err)
}

// wanted is the order that brings the power to where it is wanted.
func wanted(in contract.BMPowerInput) Order {
	switch {
	case in.On:
		return TurnOn
	case in.Soft:
		return ShutDown
	}
	return TurnOff
}

// goal is the state that an order leads to.
func (o Order) goal() PowerState {
	if o == TurnOn {
		return StateOn
	}
	return StateOff
}

// bring looks and waits until the order's goal is reached. Ordered says when an attempt gave the order.
func (a *Activities) bring(ctx context.Context, t Target, bmc BMC, o Order, ordered *progress[time.Time]) (models.Power, error) {
	limit := a.options.PowerTimeout
	if o == ShutDown {
		limit = a.options.ShutdownTimeout
	}
	begun := time.Now()
	given := time.Since(ordered.Get()) < limit
	if given {
		begun = ordered.Get()
	}
	for {
		state, err := bmc.Power(ctx)
		switch {
		case err != nil:
			return models.PowerUnknown, err
		case state == o.goal():
			return state.Power(), nil
		case !given && !state.moving():
			if err := bmc.Order(ctx, o); err != nil {
				return models.PowerUnknown, err
			}
			given, begun = true, time.Now()
			ordered.Set(begun)
		case time.Since(begun) >= limit:
			return models.PowerUnknown, stuck(t, o, state, limit)
		}
		if err := pause(ctx, a.options.Poll); err != nil {
			return models.PowerUnknown, err
		}
	}
}

// stuck is the fault of a machine whose power did not change.
func stuck(t Target, o Order, state PowerState, limit time.Duration) error {
	if o == ShutDown {
		return models.Faultf(models.CodePowerStuck, "The operating system of baremetal %s did not shut down within %s after %s asked it to; the machine was left as it is. Shut it down from inside, or power it off at once.", t.Name, limit, t)
	}
	if state == StateUnknown {
		state = "unknown"
	}
	return t.Faultf(models.CodePowerStuck, "took the order to power %s, but after %s the machine's power is still %s. Look at the machine, then resume.", o, limit, state)
}

// pause waits, for as long as ctx allows.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
