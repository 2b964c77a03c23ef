package vsphere

import (
	"context"
	"errors"
	"slices"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/models"
)

// Migrate moves the machine to another host: while it runs, by vMotion. A task that an earlier attempt began is waited
// for first; where the machine is then decides.
func (p *Provider) Migrate(ctx context.Context, m vm.Machine, to contract.Host, task vm.Task) error {
	return p.change(ctx, m, "move "+label(m)+" to host "+to.Name, func(c *vim25.Client, have *machine) (err error) {
		if task.Resume != "" {
			if _, err := wait(ctx, c, taskRef(task.Resume)); err != nil && vimFault(err) == nil {
				return err
			}
			if have, err = p.must(ctx, c, m); err != nil {
				return err
			}
		}
		if have.host.Value == to.Ref {
			return nil
		}
		if err := p.migrate(ctx, c, have, to, task); err != nil {
			p.forget() // the belief that led here may be wrong
			return err
		}
		return nil
	})
}

// migrate begins the move and waits for it.
func (p *Provider) migrate(ctx context.Context, c *vim25.Client, have *machine, to contract.Host, progress vm.Task) error {
	at, err := p.placeOf(ctx, c, to.Ref, to.Name)
	if err != nil {
		return err
	}
	spec, err := p.relocateSpec(ctx, c, at, have, to.Name)
	if err != nil {
		return err
	}
	t, err := object.NewVirtualMachine(c, have.ref).Relocate(ctx, spec, types.VirtualMachineMovePriorityDefaultPriority)
	if err != nil {
		return err
	}
	progress.Start(t.Reference().Value)
	_, err = wait(ctx, c, t.Reference())
	var ended task.Error
	if err != nil && !errors.As(err, &ended) {
		p.abandon(ctx, c, t) // we stopped waiting, not vCenter
	}
	return err
}

// relocateSpec says where the machine goes. Its disks stay where they are if the host reaches them, and go to the
// host's roomiest datastore otherwise.
func (p *Provider) relocateSpec(ctx context.Context, c *vim25.Client, at place, have *machine, host string) (types.VirtualMachineRelocateSpec, error) {
	spec := types.VirtualMachineRelocateSpec{Host: &at.host, Pool: &at.pool}
	var uses mo.VirtualMachine
	if err := property.DefaultCollector(c).RetrieveOne(ctx, have.ref, []string{"datastore", "network"}, &uses); err != nil {
		return spec, err
	}
	if without(at.networks, uses.Network) {
		return spec, models.Faultf(models.CodeNetworkMissing, "The host %s in vCenter %s of region %s is not on every network of the machine %s. Choose another host, or connect this one.", host, p.host, p.options.Region, have.name)
	}
	if without(at.datastores, uses.Datastore) {
		store, err := p.roomiest(ctx, c, at, have.size(), host)
		if err != nil {
			return spec, err
		}
		spec.Datastore = &store
	}
	return spec, nil
}

// without reports whether any of the wanted is not there.
func without(there, wanted []types.ManagedObjectReference) bool {
	return slices.ContainsFunc(wanted, func(w types.ManagedObjectReference) bool { return !slices.Contains(there, w) })
}
