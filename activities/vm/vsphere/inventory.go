package vsphere

import (
	"context"

	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/models"
)

// Hypervisors lists physical hosts by their reference. Storage that several hosts share counts for each in part.
func (p *Provider) Hypervisors(ctx context.Context, page contract.Page) (contract.HypervisorPage, error) {
	const doing = "list hosts"
	c, err := p.client(ctx, doing)
	if err != nil {
		return contract.HypervisorPage{}, err
	}
	all, err := p.hosts.listing(page, func() ([]contract.Hypervisor, error) { return allHosts(ctx, c) })
	if err != nil {
		return contract.HypervisorPage{}, p.fault(doing, err)
	}
	items, next := vm.Cut(all, func(h contract.Hypervisor) string { return h.Ref }, page)
	p.hosts.served(page, next)
	return contract.HypervisorPage{Hypervisors: items, Next: next}, nil
}

// allHosts reads every host that ever connected.
func allHosts(ctx context.Context, c *vim25.Client) ([]contract.Hypervisor, error) {
	var hosts []mo.HostSystem
	err := within(ctx, c, c.ServiceContent.RootFolder, "HostSystem", []string{"name", "parent", "summary.hardware", "runtime.connectionState", "runtime.inMaintenanceMode", "datastore"}, &hosts)
	if err != nil {
		return nil, err
	}
	clusters, shares, err := neighbourhood(ctx, c, hosts)
	if err != nil {
		return nil, err
	}
	all := make([]contract.Hypervisor, 0, len(hosts))
	for _, h := range hosts {
		if h.Summary.Hardware == nil {
			continue // it never connected, so nothing is known of it
		}
		all = append(all, hypervisor(h, clusters, shares))
	}
	return all, nil
}

func hypervisor(h mo.HostSystem, clusters map[types.ManagedObjectReference]string, shares map[types.ManagedObjectReference]int64) contract.Hypervisor {
	out := contract.Hypervisor{
		Ref: h.Self.Value, UUID: h.Summary.Hardware.Uuid, Name: h.Name, Model: h.Summary.Hardware.Model,
		Capacity:    models.Size{VCPU: int64(h.Summary.Hardware.NumCpuThreads), MemoryMiB: h.Summary.Hardware.MemorySize >> 20},
		Connected:   h.Runtime.ConnectionState == types.HostSystemConnectionStateConnected,
		Maintenance: h.Runtime.InMaintenanceMode,
	}
	if h.Parent != nil {
		out.Cluster = clusters[*h.Parent]
	}
	for _, d := range h.Datastore {
		out.Capacity.StorageGiB += shares[d] / gib
	}
	return out
}

// neighbourhood returns the names of the hosts' clusters, and each datastore's capacity divided by the hosts that share it.
func neighbourhood(ctx context.Context, c *vim25.Client, hosts []mo.HostSystem) (clusters map[types.ManagedObjectReference]string, shares map[types.ManagedObjectReference]int64, err error) {
	clusters, shares = map[types.ManagedObjectReference]string{}, map[types.ManagedObjectReference]int64{}
	sharers := map[types.ManagedObjectReference]int64{}
	var parents, stores []types.ManagedObjectReference
	for _, h := range hosts {
		if h.Parent != nil {
			if _, known := clusters[*h.Parent]; !known {
				clusters[*h.Parent] = ""
				parents = append(parents, *h.Parent)
			}
		}
		for _, d := range h.Datastore {
			if sharers[d]++; sharers[d] == 1 {
				stores = append(stores, d)
			}
		}
	}
	collector := property.DefaultCollector(c)
	if len(parents) > 0 {
		var all []mo.ManagedEntity
		if err := collector.Retrieve(ctx, parents, []string{"name"}, &all); err != nil {
			return nil, nil, err
		}
		for _, e := range all {
			clusters[e.Self] = e.Name
		}
	}
	if len(stores) > 0 {
		var all []mo.Datastore
		if err := collector.Retrieve(ctx, stores, []string{"summary.capacity"}, &all); err != nil {
			return nil, nil, err
		}
		for _, d := range all {
			shares[d.Self] = d.Summary.Capacity / sharers[d.Self]
		}
	}
	return clusters, shares, nil
}

// Machines lists what carries our mark, by id.
func (p *Provider) Machines(ctx context.Context, page contract.Page) (contract.MachinePage, error) {
	const doing = "list machines"
	c, err := p.client(ctx, doing)
	if err != nil {
		return contract.MachinePage{}, err
	}
	all, err := p.machines.listing(page, func() ([]contract.Machine, error) { return allMachines(ctx, c) })
	if err != nil {
		return contract.MachinePage{}, p.fault(doing, err)
	}
	items, next := vm.Cut(all, func(m contract.Machine) string { return m.ID.String() }, page)
	p.machines.served(page, next)
	return contract.MachinePage{Machines: items, Next: next}, nil
}

// allMachines reads the mark of every machine, and keeps those that have one.
func allMachines(ctx context.Context, c *vim25.Client) ([]contract.Machine, error) {
	var content []types.ObjectContent
	if err := within(ctx, c, c.ServiceContent.RootFolder, "VirtualMachine", []string{"name", markPath}, &content); err != nil {
		return nil, err
	}
	var all []contract.Machine
	for _, o := range content {
		m := machineOf(o)
		if id, ok := ours(m.mark); ok {
			all = append(all, contract.Machine{ID: id, Ref: m.ref.Value, Name: m.name})
		}
	}
	return all, nil
}
