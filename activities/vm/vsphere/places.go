package vsphere

import (
	"context"
	"fmt"
	"path"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/yunshu/yunshu/models"
)

const gib = 1 << 30

// place is what one host offers to a new machine.
type place struct {
	host       types.ManagedObjectReference
	pool       types.ManagedObjectReference
	dc         datacenter
	datastores []types.ManagedObjectReference
	networks   []types.ManagedObjectReference
}

// template is a machine to copy.
type template struct{ ref types.ManagedObjectReference }

// networks are port groups by name.
type networks map[string]types.ManagedObjectReference

// datacenter is where folders are.
type datacenter struct {
	ref      types.ManagedObjectReference
	path     string
	vmFolder types.ManagedObjectReference
}

// datacenters lists all there are.
func (p *Provider) datacenters(ctx context.Context, c *vim25.Client) ([]datacenter, error) {
	return p.folders.get("", func() ([]datacenter, error) {
		all, err := find.NewFinder(c).DatacenterList(ctx, "*")
		if err != nil {
			return nil, err
		}
		out := make([]datacenter, 0, len(all))
		for _, dc := range all {
			folders, err := dc.Folders(ctx)
			if err != nil {
				return nil, err
			}
			out = append(out, datacenter{ref: dc.Reference(), path: dc.InventoryPath, vmFolder: folders.VmFolder.Reference()})
		}
		return out, nil
	})
}

// placeOf looks at a host. Whether it takes machines at this moment is asked each time, where things are is remembered.
func (p *Provider) placeOf(ctx context.Context, c *vim25.Client, ref, name string) (place, error) {
	host := types.ManagedObjectReference{Type: "HostSystem", Value: ref}
	var h mo.HostSystem
	err := property.DefaultCollector(c).RetrieveOne(ctx, host, []string{"name", "parent", "datastore", "network", "runtime.connectionState", "runtime.inMaintenanceMode"}, &h)
	if isFault[*types.ManagedObjectNotFound](err) {
		return place{}, models.Faultf(models.CodeHostMissing, "vCenter %s of region %s has no host %s (%s). Import the region again.", p.host, p.options.Region, name, ref)
	}
	if err != nil {
		return place{}, err
	}
	if h.Runtime.InMaintenanceMode || h.Runtime.ConnectionState != types.HostSystemConnectionStateConnected {
		return place{}, models.Faultf(models.CodeHostUnusable, "The host %s in vCenter %s of region %s is disconnected or in maintenance. Bring it back, or put it in maintenance here as well.", h.Name, p.host, p.options.Region)
	}
	out, err := p.places.get(ref, func() (place, error) { return p.surroundings(ctx, c, h) })
	out.datastores, out.networks = h.Datastore, h.Network
	return out, err
}

// surroundings finds a host's resource pool and datacenter.
func (p *Provider) surroundings(ctx context.Context, c *vim25.Client, h mo.HostSystem) (place, error) {
	out := place{host: h.Self}
	pool, err := object.NewHostSystem(c, h.Self).ResourcePool(ctx)
	if err != nil {
		return out, err
	}
	out.pool = pool.Reference()
	above, err := mo.Ancestors(ctx, c, c.ServiceContent.PropertyCollector, h.Self)
	if err != nil {
		return out, err
	}
	all, err := p.datacenters(ctx, c)
	if err != nil {
		return out, err
	}
	for _, a := range above {
		for _, dc := range all {
			if a.Self == dc.ref {
				out.dc = dc
				return out, nil
			}
		}
	}
	return out, fmt.Errorf("the host %s is in no datacenter", h.Name)
}

// roomiest returns the datastore with the most room that the size fits in.
func (p *Provider) roomiest(ctx context.Context, c *vim25.Client, at place, size models.Size, host string) (types.ManagedObjectReference, error) {
	var best mo.Datastore
	if len(at.datastores) > 0 {
		var all []mo.Datastore
		if err := property.DefaultCollector(c).Retrieve(ctx, at.datastores, []string{"summary"}, &all); err != nil {
			return best.Self, err
		}
		for _, d := range all {
			usable := d.Summary.Accessible && (d.Summary.MaintenanceMode == "" || d.Summary.MaintenanceMode == string(types.DatastoreSummaryMaintenanceModeStateNormal))
			if usable && d.Summary.FreeSpace >= size.StorageGiB*gib && d.Summary.FreeSpace > best.Summary.FreeSpace {
				best = d
			}
		}
	}
	if best.Self.Value == "" {
		return best.Self, models.Faultf(models.CodeStorageFull, "No datastore of the host %s in vCenter %s of region %s has %d GiB free. Free or add storage.", host, p.host, p.options.Region, size.StorageGiB)
	}
	return best.Self, nil
}

// templateNamed finds a template in the datacenter: in the folder templates, or else anywhere.
func (p *Provider) templateNamed(ctx context.Context, c *vim25.Client, dc datacenter, name string) (template, error) {
	return p.templates.get(dc.path+"/"+name, func() (template, error) {
		ref, err := object.NewSearchIndex(c).FindByInventoryPath(ctx, path.Join(dc.path, "vm", "templates", name))
		if err != nil {
			return template{}, err
		}
		if ref != nil {
			return template{ref.Reference()}, nil
		}
		return p.templateAnywhere(ctx, c, dc, name)
	})
}

func (p *Provider) templateAnywhere(ctx context.Context, c *vim25.Client, dc datacenter, name string) (template, error) {
	var all []mo.VirtualMachine
	err := within(ctx, c, dc.ref, "VirtualMachine", []string{"name", "config.template"}, &all)
	if err != nil {
		return template{}, err
	}
	for _, vm := range all {
		if vm.Name == name && vm.Config != nil && vm.Config.Template {
			return template{vm.Self}, nil
		}
	}
	return template{}, models.Faultf(models.CodeTemplateMissing, "vCenter %s of region %s has no template %s. Correct the image.", p.host, p.options.Region, name)
}

// within reads properties of everything of a kind below an object.
func within(ctx context.Context, c *vim25.Client, root types.ManagedObjectReference, kind string, paths []string, into any) error {
	v, err := view.NewManager(c).CreateContainerView(ctx, root, []string{kind}, true)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
		defer cancel()
		_ = v.Destroy(ctx) // vCenter drops the view with the session if this does not get through
	}()
	return v.Retrieve(ctx, []string{kind}, paths, into)
}

// backing is how a network card is plugged into a network that the host is on.
func (p *Provider) backing(ctx context.Context, c *vim25.Client, at place, host, name string) (types.BaseVirtualDeviceBackingInfo, error) {
	known, err := p.networks.get(at.host.Value, func() (networks, error) {
		out := networks{}
		if len(at.networks) == 0 {
			return out, nil
		}
		var all []mo.Network
		if err := property.DefaultCollector(c).Retrieve(ctx, at.networks, []string{"name"}, &all); err != nil {
			return nil, err
		}
		for _, n := range all {
			out[n.Name] = n.Self
		}
		return out, nil
	})
	if err != nil {
		return nil, err
	}
	ref, found := known[name]
	if !found {
		return nil, models.Faultf(models.CodeNetworkMissing, "The host %s in vCenter %s of region %s is not on the network %s. Correct the subnet.", host, p.host, p.options.Region, name)
	}
	network, ok := object.NewReference(c, ref).(object.NetworkReference)
	if !ok {
		return nil, fmt.Errorf("%s is not a network that a machine can be on", name)
	}
	return network.EthernetCardBackingInfo(ctx)
}

// folderIn returns our folder in a datacenter, and makes it the first time.
func (p *Provider) folderIn(ctx context.Context, c *vim25.Client, dc datacenter) (*object.Folder, error) {
	look := func() (*object.Folder, error) {
		ref, err := object.NewSearchIndex(c).FindChild(ctx, dc.vmFolder, p.options.Folder)
		if err != nil || ref == nil {
			return nil, err
		}
		return object.NewFolder(c, ref.Reference()), nil
	}
	folder, err := look()
	if err != nil || folder != nil {
		return folder, err
	}
	folder, err = object.NewFolder(c, dc.vmFolder).CreateFolder(ctx, p.options.Folder)
	if isFault[*types.DuplicateName](err) {
		return look() // another machine of ours was faster
	}
	return folder, err
}
