package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// BaremetalRotate replaces the password of a machine's BMC by a generated one.
func (s Set) BaremetalRotate(ctx workflow.Context, in contract.BaremetalRotateInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		if _, err := r.identify(ctx); err != nil { // with the present password, or there is nothing to replace it by
			return err
		}
		return r.rotate(ctx)
	})
}

// rotate gives the BMC a generated password. The database has it beside the present one before the BMC gets it, and as the
// only one after the BMC has shown that it took it: whatever dies when, one of the database's two is the BMC's.
func (r *run) rotate(ctx workflow.Context) error {
	r.undo("bring back the BMC's password", func(ctx workflow.Context) error {
		if err := r.keepPassword(ctx); !models.IsCode(contract.FaultOf(err), models.CodeWrongState) {
			return err
		}
		return nil // the operation has ended without this run
	})
	staged, err := step(ctx, r, "stage-password", contract.BMCStagePassword, contract.Gateway, r.accessInput())
	if err != nil {
		return err
	}
	if _, err := onBMC(ctx, r, "set-password", contract.BMSetPassword, func(b contract.BMC) contract.BMPasswordInput {
		return contract.BMPasswordInput{BMC: b, New: staged.Password}
	}); err != nil {
		return err
	}
	if _, err := onBMC(ctx, r, "verify-password", contract.BMProbe, func(b contract.BMC) contract.BMC {
		b.Password = staged.Password
		return b
	}); err != nil {
		return err
	}
	_, err = step(ctx, r, "commit-password", contract.BMCCommitPassword, contract.Gateway, r.accessInput())
	return err
}

// keepPassword makes sure that the BMC has the present password, whichever of the two it has now, and forgets the staged
// one. While the BMC takes neither, both are kept. A machine whose enrolment has replaced the password for good stays: with its
// row would go the only password that its BMC takes.
func (r *run) keepPassword(ctx workflow.Context) error {
	if _, err := r.access(ctx); err != nil { // or what is staged is none of its business
		return err
	}
	staged, err := contract.BMCStagePassword.Do(ctx, contract.Gateway, r.summary("read the staged password of"), r.accessInput())
	if err != nil {
		return err
	}
	if staged.Replaced && r.op.Kind == contract.BaremetalEnroll.Name {
		r.baremetal = &contract.BaremetalFacts{EndService: "Its enrolment ended after its BMC had taken a generated password, which is known here alone, so the machine was kept. Return it to service, or give its BMC a password that you know and retire it."}
	}
	if !staged.Fresh { // the BMC may have it
		if _, err := callBMC(ctx, r, r.summary("bring back the password of"), contract.BMSetPassword, func(b contract.BMC) contract.BMPasswordInput {
			back := contract.BMPasswordInput{BMC: b, New: b.Password}
			back.BMC.Password = staged.Password
			return back
		}); err != nil {
			return err
		}
	}
	_, err = contract.BMCDropPassword.Do(ctx, contract.Gateway, r.summary("forget the staged password of"), r.accessInput())
	return err
}
