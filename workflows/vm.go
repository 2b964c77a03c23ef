package workflows

import (
	"net/netip"
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// VMProvision makes a virtual machine on the host that was chosen for it, and waits until its guest answers.
func (s Set) VMProvision(ctx workflow.Context, in contract.VMProvisionInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		queue, vm := contract.VMQueue(in.Region), vmRef(in.Operation)
		r.vm = &contract.VMFacts{State: models.VMGone}

		r.undo("remove the machine", func(ctx workflow.Context) error {
			_, err := contract.VMDestroy.Do(ctx, queue, r.summary("destroy"), vm)
			return err
		})
		for {
			got, changed, err := makeMachine(ctx, r, queue, in)
			if err != nil {
				return err
			}
			if changed == nil {
				r.vm = factsOf(got)
				return nil
			}
			in.VM = *changed
			if _, err := step(ctx, r, "remove-first-try", contract.VMDestroy, queue, vm); err != nil {
				return err
			}
		}
	})
}

// makeMachine makes the machine and boots it. Where a person wants it otherwise, it returns how, and the machine is to be
// made anew.
func makeMachine(ctx workflow.Context, r *run, queue string, in contract.VMProvisionInput) (got contract.VMStatus, changed *contract.VM, err error) {
	vm := vmRef(in.Operation)
	_, left, err := stepOr(ctx, r, "clone", contract.VMClone, queue, contract.CloneInput{OperationID: in.ID, VM: in.VM}, mending)
	if err != nil || left != nil {
		return got, left.machine(), err
	}
	got, left, err = stepOr(ctx, r, "boot", contract.VMBoot, queue, contract.BootInput{VMRef: vm, Address: host(in.VM.Network.Address)}, mending)
	if err != nil || left.machine() != nil {
		return got, left.machine(), err
	}
	if left != nil { // nobody waits for the guest: the machine is taken as it is
		got, err = step(ctx, r, "look", contract.VMRead, queue, vm)
	}
	return got, nil, err
}

// machine is how the machine shall be made now, if that is what was decided.
func (d *decision) machine() *contract.VM {
	if d == nil {
		return nil
	}
	return d.VM
}

// mending lists what besides another try may mend a machine that could not be made. One whose guest is silent may be
// taken as it is.
func mending(f *models.Fault) []models.Way {
	ways := models.Mending[f.Code]
	if f.Code == models.CodeGuestSilent {
		return slices.Concat([]models.Way{models.WaySkip}, ways)
	}
	return ways
}

// VMDelete removes a virtual machine, whatever state it is in. Cancelled before the machine is gone, it leaves it as
// it is; after that there is nothing to bring back, and the delete has succeeded.
func (s Set) VMDelete(ctx workflow.Context, in contract.VMDeleteInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		queue, vm := contract.VMQueue(in.Region), vmRef(in.Operation)
		r.undo("see what is left of the machine", func(undoing workflow.Context) error {
			left, err := contract.VMRead.Do(undoing, queue, r.summary("read"), vm)
			r.vm = factsOf(left)
			if left.Found && ctx.Err() == nil {
				r.vm.State = models.VMFailed
			}
			return err
		})
		if _, err := step(ctx, r, "destroy", contract.VMDestroy, queue, vm); err != nil {
			return err
		}
		r.vm = &contract.VMFacts{State: models.VMGone}
		return nil
	})
}

// VMPower brings a virtual machine's power to where it is wanted, and back if that fails.
func (s Set) VMPower(ctx workflow.Context, in contract.VMPowerInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		queue, vm := contract.VMQueue(in.Region), vmRef(in.Operation)
		set := func(ctx workflow.Context, name string, on bool) error {
			got, err := step(ctx, r, name, contract.VMSetPower, queue, contract.PowerInput{VMRef: vm, On: on})
			if err == nil {
				r.vm = factsOf(got)
			}
			return err
		}
		r.undo("restore the power", func(ctx workflow.Context) error {
			left, err := restorePower(ctx, r, queue, vm, in.From)
			r.vm = left
			return err
		})
		switch in.Action {
		case contract.PowerOn:
			return set(ctx, "power-on", true)
		case contract.PowerOff:
			return set(ctx, "power-off", false)
		}
		if err := set(ctx, "power-off", false); err != nil {
			return err
		}
		return set(ctx, "power-on", true)
	})
}

// VMResize brings a virtual machine to another size, with a restart where it must and may.
func (s Set) VMResize(ctx workflow.Context, in contract.VMResizeInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		queue, vm := contract.VMQueue(in.Region), vmRef(in.Operation)
		r.undo("restore the size", func(ctx workflow.Context) error {
			left, err := restoreSize(ctx, r, queue, vm, in)
			r.vm = left
			return err
		})
		to := contract.ReconfigureInput{VMRef: vm, Size: in.To}
		got, err := step(ctx, r, "reconfigure", contract.VMReconfigure, queue, to)
		if models.IsCode(err, models.CodeNeedsPowerOff) && in.AllowRestart {
			got, err = resizeOff(ctx, r, queue, to)
		}
		if err != nil {
			return err
		}
		r.vm = factsOf(got)
		return nil
	})
}

// VMMigrate moves a virtual machine to another host, and back if that fails or is cancelled.
func (s Set) VMMigrate(ctx workflow.Context, in contract.VMMigrateInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		queue, vm := contract.VMQueue(in.Region), vmRef(in.Operation)
		r.undo("move it back", func(ctx workflow.Context) error {
			back := contract.MigrateInput{VMRef: vm, To: in.From}
			if r.home != nil { // the operation has ended without this run, and where it ended counts
				back.To = *r.home
			}
			left, err := moveBack(ctx, r, queue, back)
			r.vm = left
			return err
		})
		got, err := step(ctx, r, "move", contract.VMRelocate, queue, contract.MigrateInput{VMRef: vm, To: in.To})
		if err != nil {
			return err
		}
		r.vm = factsOf(got)
		return nil
	})
}

// moveBack brings a machine back to its host. Where that host does not take it any more, it stays where it is: that is
// as good, and the gateway goes by where it is.
func moveBack(ctx workflow.Context, r *run, queue string, back contract.MigrateInput) (*contract.VMFacts, error) {
	left, err := contract.VMRelocate.Do(ctx, queue, r.summary("move back"), back)
	if err == nil {
		return failedIfLost(left), nil
	}
	if contract.FaultOf(err).Code.Info().Retryable {
		return nil, err
	}
	left, err = contract.VMRead.Do(ctx, queue, r.summary("read"), back.VMRef)
	return failedIfLost(left), err
}

// resizeOff resizes a machine that cannot grow while it runs.
func resizeOff(ctx workflow.Context, r *run, queue string, to contract.ReconfigureInput) (contract.VMStatus, error) {
	if got, err := step(ctx, r, "power-off", contract.VMSetPower, queue, contract.PowerInput{VMRef: to.VMRef, On: false}); err != nil {
		return got, err
	}
	if got, err := step(ctx, r, "reconfigure-off", contract.VMReconfigure, queue, to); err != nil {
		return got, err
	}
	return step(ctx, r, "power-on", contract.VMSetPower, queue, contract.PowerInput{VMRef: to.VMRef, On: true})
}

// restorePower brings the power back and returns what the machine is like then.
func restorePower(ctx workflow.Context, r *run, queue string, vm contract.VMRef, from models.VMState) (*contract.VMFacts, error) {
	if from == models.VMFailed {
		left, err := contract.VMRead.Do(ctx, queue, r.summary("read"), vm)
		return failedIfLost(left), err
	}
	left, err := contract.VMSetPower.Do(ctx, queue, r.summary("power"), contract.PowerInput{VMRef: vm, On: from == models.VMRunning})
	if models.IsCode(contract.FaultOf(err), models.CodeMachineMissing) {
		return &contract.VMFacts{State: models.VMFailed}, nil
	}
	return failedIfLost(left), err
}

// restoreSize brings size and power back. Storage that has grown stays grown, so the size that the machine really has
// is what is reported.
func restoreSize(ctx workflow.Context, r *run, queue string, vm contract.VMRef, in contract.VMResizeInput) (*contract.VMFacts, error) {
	now, err := contract.VMRead.Do(ctx, queue, r.summary("read"), vm)
	if err != nil || !now.Found {
		return failedIfLost(now), err
	}
	back := in.From
	back.StorageGiB = max(back.StorageGiB, now.Size.StorageGiB)
	if now.Size != back {
		if now.On {
			if _, err := contract.VMSetPower.Do(ctx, queue, r.summary("power off"), contract.PowerInput{VMRef: vm, On: false}); err != nil {
				return nil, err
			}
		}
		if _, err := contract.VMReconfigure.Do(ctx, queue, r.summary("reconfigure"), contract.ReconfigureInput{VMRef: vm, Size: back}); err != nil {
			return nil, err
		}
	}
	return restorePower(ctx, r, queue, vm, in.State)
}

func vmRef(o contract.Operation) contract.VMRef {
	return contract.VMRef{OperationID: o.ID, ID: o.ResourceID, Name: o.ResourceName}
}

// host drops the prefix length of an address.
func host(address string) string {
	if p, err := netip.ParsePrefix(address); err == nil {
		return p.Addr().String()
	}
	return address
}

// factsOf is what the gateway is told of a machine as a region sees it.
func factsOf(s contract.VMStatus) *contract.VMFacts {
	if !s.Found {
		return &contract.VMFacts{State: models.VMGone}
	}
	f := &contract.VMFacts{State: models.VMStopped, Ref: s.Ref, Hostname: s.Hostname, Addresses: s.Addresses, HostRef: s.Host}
	if s.On {
		f.State = models.VMRunning
	}
	if s.Size.VCPU > 0 && s.Size.MemoryMiB > 0 && s.Size.StorageGiB > 0 { // the database takes no other, and would be told for ever
		size := s.Size
		f.Size = &size
	}
	return f
}

// failedIfLost is factsOf for a machine that must not vanish: if it did, someone has to see to it.
func failedIfLost(s contract.VMStatus) *contract.VMFacts {
	if !s.Found {
		return &contract.VMFacts{State: models.VMFailed}
	}
	return factsOf(s)
}
