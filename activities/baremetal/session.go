package baremetal

import (
	"context"
	"errors"
	"time"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// closeLimit is how long a logout may take. A session that could not be closed ends by itself, but after half an hour, and a
// BMC has room for a handful: slow ones must have the time for it. With quickLimit it is below what Temporal gives a quick
// activity.
const closeLimit = 8 * time.Second

// target opens the sealed password.
func (a *Activities) target(in contract.BMC) (Target, error) {
	t := Target{ID: in.ID, Name: in.Name, Address: in.Address, Protocol: in.Protocol, Fingerprint: in.Fingerprint, Username: in.Username}
	password, err := a.options.Keys.Open(in.Password, contract.SealedFor(in.ID))
	if err != nil {
		return t, models.Faultf(models.CodeInternal, "The password of %s cannot be opened: %w. Give worker and gateway the same YUNSHU_PAYLOAD_KEYS.", t, err)
	}
	t.Password = password
	return t, nil
}

// with waits for a slot and opens a session, has the BMC to itself while work goes on, and closes the session.
func (a *Activities) with(ctx context.Context, slots chan struct{}, in contract.BMC, work func(context.Context, Target, BMC) error) error {
	t, err := a.target(in)
	if err != nil {
		return err
	}
	release, err := a.turns.take(ctx, in.Address)
	if err != nil {
		return ended(ctx, t, models.CodeBusy, "is being spoken to by another step")
	}
	defer release()
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return ended(ctx, t, models.CodeBusy, "was not asked: the worker speaks to as many others as it may")
	}
	return a.session(ctx, t, a.options.OpenTimeout, func(ctx context.Context, bmc BMC) error { return work(ctx, t, bmc) })
}

// session opens a session within a limit, works, and closes it. The caller has the BMC to itself.
func (a *Activities) session(ctx context.Context, t Target, limit time.Duration, work func(context.Context, BMC) error) error {
	bmc, err := a.open(ctx, t, limit)
	if err != nil {
		return err
	}
	defer a.close(ctx, bmc)
	if err := work(ctx, bmc); err != nil {
		return late(ctx, t, err)
	}
	return nil
}

// open logs in within a limit.
func (a *Activities) open(ctx context.Context, t Target, limit time.Duration) (BMC, error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	bmc, err := a.options.Provider.Open(limited, t)
	switch {
	case err == nil:
		return bmc, nil
	case ctx.Err() == nil && limited.Err() != nil && models.AsFault(err) == nil:
		return nil, t.Faultf(models.CodeUnreachable, "did not answer within %s. Bring it back, or correct its address; the step is tried again.", limit).Because(err)
	}
	return nil, late(ctx, t, err)
}

// close logs out, also after the activity was cancelled.
func (a *Activities) close(ctx context.Context, bmc BMC) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	bmc.Close(ctx)
}

// late turns an error that comes from ctx's deadline into a fault. Faults and cancellations pass.
func late(ctx context.Context, t Target, err error) error {
	if models.AsFault(err) != nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return t.Faultf(models.CodeUnreachable, "did not answer in time. Bring it back; the step is tried again.").Because(err)
}

// ended is why a wait ended: cancelled, or in vain.
func ended(ctx context.Context, t Target, code models.Code, why string) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return t.Faultf(code, "%s. The step is tried again.", why)
}
