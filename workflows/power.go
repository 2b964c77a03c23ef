package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
)

// BaremetalPower brings a machine's power to where it is wanted. What was ordered is not taken back: nobody can tell what
// the machine lost by it.
func (s Set) BaremetalPower(ctx workflow.Context, in contract.BaremetalPowerInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		switch in.Action {
		case contract.BMPowerOn:
			return r.setPower(ctx, "power-on", powered(true))
		case contract.BMPowerOff:
			return r.setPower(ctx, "power-off", powered(false))
		case contract.BMShutdown:
			return r.setPower(ctx, "shut-down", softlyOff)
		}
		// Half a reset is finished: nobody who wanted it wants the machine to stay off.
		r.undo("turn the machine on again", func(ctx workflow.Context) error { return r.powerBack(ctx, true) })
		if err := r.setPower(ctx, "power-off", powered(false)); err != nil {
			return err
		}
		return r.setPower(ctx, "power-on", powered(true))
	})
}

func softlyOff(b contract.BMC) contract.BMPowerInput {
	return contract.BMPowerInput{BMC: b, Soft: true}
}

// setPower brings the power to a state, as a step.
func (r *run) setPower(ctx workflow.Context, name string, in func(contract.BMC) contract.BMPowerInput) error {
	got, err := onBMC(ctx, r, name, contract.BMSetPower, in)
	if err == nil {
		r.know(got.Power)
	}
	return err
}

// powerBack brings the power to a state while undoing.
func (r *run) powerBack(ctx workflow.Context, on bool) error {
	got, err := callBMC(ctx, r, r.summary("set the power of"), contract.BMSetPower, powered(on))
	if err == nil {
		r.know(got.Power)
	}
	return unlessIdle(err)
}

// BaremetalBoot sets what a machine boots from.
func (s Set) BaremetalBoot(ctx workflow.Context, in contract.BaremetalBootInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		_, err := onBMC(ctx, r, "set-boot", contract.BMSetBoot, bootsFrom(in.Device, in.Persistent))
		return err
	})
}

// BaremetalMedia puts an image into a machine's virtual drive, or takes out what is in it.
func (s Set) BaremetalMedia(ctx workflow.Context, in contract.BaremetalMediaInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		if in.URL == "" {
			_, err := onBMC(ctx, r, "eject-media", contract.BMMedia, media(""))
			return err
		}
		undoOnBMC(r, "take the image out", contract.BMMedia, media(""))
		_, err := onBMC(ctx, r, "insert-media", contract.BMMedia, media(in.URL))
		return err
	})
}

// BaremetalLocate lights a machine's identify LED, or turns it off.
func (s Set) BaremetalLocate(ctx workflow.Context, in contract.BaremetalLocateInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		_, err := onBMC(ctx, r, "locate", contract.BMLocate, func(b contract.BMC) contract.BMLocateInput {
			return contract.BMLocateInput{BMC: b, On: in.On}
		})
		return err
	})
}
