package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// image is a boot into an image that reports, and what is expected of the report.
type image struct {
	contract.Boot
	limit  time.Duration                   // for the report of a machine that has asked what to boot
	judge  func(contract.BootReport) error // a fault where the report is not what was wanted
	others otherWays                       // out of a report that did not come, or was not what was wanted
	begun  func()                          // called before the machine is turned on: from then on the image may do its work
}

// bootInto boots the machine into an image and waits for its report. A machine that is silent, or whose report is not what
// was wanted, waits for a person, and is booted again if that is the decision. Another decision is returned.
func (r *run) bootInto(ctx workflow.Context, i image) (contract.BootReport, *decision, error) {
	r.undo("close the boot", r.closed)
	if err := r.expect(ctx, i.Boot); err != nil {
		return contract.BootReport{}, nil, err
	}
	if err := r.start(ctx, i, true); err != nil {
		return contract.BootReport{}, nil, err
	}
	first := true
	return attempt(ctx, r, "await-report", func(ctx workflow.Context) (contract.BootReport, error) {
		if !first {
			if late, err := contract.BootAwait.Do(ctx, contract.Gateway, "look for a late report of "+r.op.ResourceName, r.boot()); err != nil || late.Reported && i.judge(late) == nil {
				return late, err
			}
			if err := r.expect(ctx, i.Boot); err != nil {
				return contract.BootReport{}, err
			}
			if err := r.start(ctx, i, false); err != nil {
				return contract.BootReport{}, err
			}
		}
		first = false
		got, err := r.awaitReport(ctx, i.limit)
		if err == nil {
			err = i.judge(got)
		}
		return got, err
	}, i.others)
}

// expect makes the gateway ready for a report, and whatever was reported before stale.
func (r *run) expect(ctx workflow.Context, b contract.Boot) error {
	_, _, err := stepOr(ctx, r, "expect-report", contract.BootExpect, contract.Gateway,
		contract.BootExpectInput{OperationID: r.op.ID, BaremetalID: r.op.ResourceID, Boot: b}, worthRetry(models.CodeTemplateMissing))
	return err
}

// start boots the machine into the image, from the network or from its virtual drive. Only the first start pushes undos.
func (r *run) start(ctx workflow.Context, i image, first bool) error {
	device := models.BootPXE
	if i.Media != "" {
		device = models.BootCD
		if first {
			undoOnBMC(r, "take the image out", contract.BMMedia, media(""))
		}
		if _, err := onBMC(ctx, r, "insert-media", contract.BMMedia, media(i.Media)); err != nil {
			return err
		}
	}
	if first {
		undoOnBMC(r, "boot from disk again", contract.BMSetBoot, bootsFrom(models.BootDisk, true))
	}
	if _, err := onBMC(ctx, r, "boot-once", contract.BMSetBoot, bootsFrom(device, false)); err != nil {
		return err
	}
	if first {
		r.undo("turn the machine off", func(ctx workflow.Context) error { return r.powerBack(ctx, false) })
	}
	if err := r.setPower(ctx, "power-off", powered(false)); err != nil {
		return err
	}
	if i.begun != nil {
		i.begun()
	}
	return r.setPower(ctx, "power-on", powered(true))
}

// The gateway is asked again after a while: not all the time where it answers at once, and the less often the longer it
// lasts, so that the history of a wipe that takes a day stays short.
const (
	shortestPause = 5 * time.Second
	longestPause  = 5 * time.Minute
	pauseShare    = 20 // of the time so far
)

// awaitReport waits for the report of the image. The gateway keeps each question a while before it says: not yet.
func (r *run) awaitReport(ctx workflow.Context, limit time.Duration) (contract.BootReport, error) {
	begun := workflow.Now(ctx)
	for {
		since := workflow.Now(ctx)
		got, err := contract.BootAwait.Do(ctx, contract.Gateway, "await the report of "+r.op.ResourceName, r.boot())
		if err != nil || got.Reported {
			return got, err
		}
		waited, may := workflow.Now(ctx).Sub(begun), r.timing.Boot
		if got.Begun {
			may = limit
		}
		if waited >= may {
			return got, models.Faultf(models.CodeBootSilent, "The machine %s did not report within %s after it was booted%s. Look at its console; resume boots it again.", r.op.ResourceName, may, asked(got.Begun))
		}
		if pause := min(waited/pauseShare, longestPause); pause > shortestPause || workflow.Now(ctx).Sub(since) < time.Second {
			if err := workflow.Sleep(ctx, max(pause, shortestPause)); err != nil {
				return got, err
			}
		}
	}
}

// asked says how far a silent machine got.
func asked(begun bool) string {
	if begun {
		return ", although it had asked what to boot"
	}
	return ", and never asked what to boot"
}

// leave takes the image out, and ends what it may tell.
func (r *run) leave(ctx workflow.Context, b contract.Boot) error {
	if b.Media != "" {
		if _, err := onBMC(ctx, r, "eject-media", contract.BMMedia, media("")); err != nil {
			return err
		}
	}
	return r.closeBoot(ctx)
}

func (r *run) closeBoot(ctx workflow.Context) error {
	_, err := step(ctx, r, "close-boot", contract.BootClose, contract.Gateway, r.boot())
	return err
}

// closed ends what the image may tell, while undoing.
func (r *run) closed(ctx workflow.Context) error {
	_, err := contract.BootClose.Do(ctx, contract.Gateway, r.summary("close the boot of"), r.boot())
	return err
}

func (r *run) boot() contract.BootRef {
	return contract.BootRef{OperationID: r.op.ID, BaremetalID: r.op.ResourceID}
}
