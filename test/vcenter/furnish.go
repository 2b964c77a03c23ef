package vcenter

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// What every host of the simulated regions has.
const (
	HostThreads   = 64
	HostMemoryMiB = 512 << 10
	TemplateGiB   = 8        // the disk of every template
	datastoreGiB  = 96 << 10 // shared by a cluster
)

// Templates and Networks that every simulated vCenter has.
var (
	Templates = []string{"ubuntu-24.04", "debian-12"}
	Networks  = []string{"vlan-100", "vlan-200"}
)

func newClient(ctx context.Context, sc *soap.Client) (*govmomi.Client, error) {
	vc, err := vim25.NewClient(ctx, sc)
	if err != nil {
		return nil, err
	}
	return &govmomi.Client{Client: vc, SessionManager: session.NewManager(vc)}, nil
}

// furnish gives the bare inventory names, hardware, templates and networks, the same each time.
func (s *Server) furnish(ctx context.Context) error {
	c, err := s.Client(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Logout(ctx) }() // the session would expire anyway
	finder := find.NewFinder(c.Client)
	dc, err := finder.DefaultDatacenter(ctx)
	if err != nil {
		return err
	}
	finder.SetDatacenter(dc)
	if err := rename(ctx, dc.Common, s.options.Region); err != nil {
		return err
	}
	clusters, err := finder.ClusterComputeResourceList(ctx, "*")
	if err != nil {
		return err
	}
	for i, cluster := range clusters {
		if err := s.furnishCluster(ctx, cluster, fmt.Sprintf("%s-%c", s.options.Region, 'a'+i)); err != nil {
			return err
		}
	}
	s.furnishDatastores()
	if err := s.addNetworks(ctx, finder, clusters); err != nil {
		return err
	}
	return s.addTemplates(ctx, finder, dc)
}

func (s *Server) furnishCluster(ctx context.Context, cluster *object.ClusterComputeResource, name string) error {
	if err := rename(ctx, cluster.Common, name); err != nil {
		return err
	}
	hosts, err := cluster.Hosts(ctx)
	if err != nil {
		return err
	}
	for i, h := range hosts {
		s.furnishHost(h.Reference(), fmt.Sprintf("%s-%02d", name, i+1))
	}
	return nil
}

// furnishHost writes what no API changes: a host's name and hardware.
func (s *Server) furnishHost(ref types.ManagedObjectReference, name string) {
	ctx := s.model.Service.Context
	host := ctx.Map.Get(ref).(*simulator.HostSystem)
	ctx.WithLock(host, func() {
		id := uuid.NewSHA1(uuid.NameSpaceDNS, []byte(name)).String()
		hardware := *host.Summary.Hardware
		hardware.Uuid, hardware.Model, hardware.Vendor = id, "R7625", "Simulated"
		hardware.NumCpuPkgs, hardware.NumCpuCores, hardware.NumCpuThreads, hardware.MemorySize = 2, HostThreads/2, HostThreads, HostMemoryMiB<<20
		host.Name, host.Summary.Config.Name, host.Summary.Hardware = name, name, &hardware
		if host.Hardware != nil {
			full := *host.Hardware
			full.SystemInfo.Uuid, full.SystemInfo.Model, full.MemorySize = id, hardware.Model, hardware.MemorySize
			full.CpuInfo.NumCpuPackages, full.CpuInfo.NumCpuCores, full.CpuInfo.NumCpuThreads = 2, HostThreads/2, HostThreads
			host.Hardware = &full
		}
	})
}

// furnishDatastores gives them the room that the shared storage of a cluster has.
func (s *Server) furnishDatastores() {
	ctx := s.model.Service.Context
	for _, e := range ctx.Map.All("Datastore") {
		store := e.(*simulator.Datastore)
		ctx.WithLock(store, func() {
			store.Summary.Capacity, store.Summary.FreeSpace = datastoreGiB<<30, datastoreGiB<<30
			store.Info.GetDatastoreInfo().FreeSpace = datastoreGiB << 30
		})
	}
}

func rename(ctx context.Context, o object.Common, name string) error {
	task, err := o.Rename(ctx, name)
	if err != nil {
		return err
	}
	return task.WaitEx(ctx)
}

// addNetworks makes the port groups on a distributed switch that every host is on.
func (s *Server) addNetworks(ctx context.Context, finder *find.Finder, clusters []*object.ClusterComputeResource) error {
	dc, err := finder.DefaultDatacenter(ctx)
	if err != nil {
		return err
	}
	folders, err := dc.Folders(ctx)
	if err != nil {
		return err
	}
	task, err := folders.NetworkFolder.CreateDVS(ctx, types.DVSCreateSpec{ConfigSpec: &types.VMwareDVSConfigSpec{DVSConfigSpec: types.DVSConfigSpec{Name: s.options.Region + "-switch"}}})
	if err != nil {
		return err
	}
	info, err := task.WaitForResult(ctx)
	if err != nil {
		return err
	}
	dvs := object.NewDistributedVirtualSwitch(folders.NetworkFolder.Client(), info.Result.(types.ManagedObjectReference))
	spec := types.DVSConfigSpec{}
	for _, cluster := range clusters {
		hosts, err := cluster.Hosts(ctx)
		if err != nil {
			return err
		}
		for _, h := range hosts {
			spec.Host = append(spec.Host, types.DistributedVirtualSwitchHostMemberConfigSpec{Operation: string(types.ConfigSpecOperationAdd), Host: h.Reference()})
		}
	}
	if task, err = dvs.Reconfigure(ctx, &spec); err != nil {
		return err
	}
	if err := task.WaitEx(ctx); err != nil {
		return err
	}
	var groups []types.DVPortgroupConfigSpec
	for _, name := range Networks {
		groups = append(groups, types.DVPortgroupConfigSpec{Name: name, NumPorts: 1024, Type: string(types.DistributedVirtualPortgroupPortgroupTypeEarlyBinding)})
	}
	if task, err = dvs.AddPortgroup(ctx, groups); err != nil {
		return err
	}
	return task.WaitEx(ctx)
}

// addTemplates makes the templates in a folder of their own.
func (s *Server) addTemplates(ctx context.Context, finder *find.Finder, dc *object.Datacenter) error {
	folders, err := dc.Folders(ctx)
	if err != nil {
		return err
	}
	folder, err := folders.VmFolder.CreateFolder(ctx, "templates")
	if err != nil {
		return err
	}
	pools, err := finder.ResourcePoolList(ctx, "*/Resources")
	if err != nil {
		return err
	}
	hosts, err := finder.HostSystemList(ctx, "*/*")
	if err != nil {
		return err
	}
	stores, err := finder.DatastoreList(ctx, "*")
	if err != nil {
		return err
	}
	for _, name := range Templates {
		if err := addTemplate(ctx, folder, pools[0], hosts[0], stores[0], name); err != nil {
			return fmt.Errorf("template %s: %w", name, err)
		}
	}
	return nil
}

func addTemplate(ctx context.Context, folder *object.Folder, pool *object.ResourcePool, host *object.HostSystem, store *object.Datastore, name string) error {
	var devices object.VirtualDeviceList
	scsi, err := devices.CreateSCSIController("pvscsi")
	if err != nil {
		return err
	}
	devices = append(devices, scsi)
	disk := devices.CreateDisk(scsi.(types.BaseVirtualController), store.Reference(), "")
	disk.CapacityInKB = TemplateGiB << 20
	devices = append(devices, disk)
	nic, err := devices.CreateEthernetCard("vmxnet3", &types.VirtualEthernetCardNetworkBackingInfo{VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{DeviceName: "VM Network"}})
	if err != nil {
		return err
	}
	devices = append(devices, nic)
	changes, err := devices.ConfigSpec(types.VirtualDeviceConfigSpecOperationAdd)
	if err != nil {
		return err
	}
	storeName, err := store.ObjectName(ctx)
	if err != nil {
		return err
	}
	task, err := folder.CreateVM(ctx, types.VirtualMachineConfigSpec{
		Name: name, GuestId: "otherLinux64Guest", NumCPUs: 1, MemoryMB: 1024, DeviceChange: changes,
		Files: &types.VirtualMachineFileInfo{VmPathName: fmt.Sprintf("[%s] %s/%s.vmx", storeName, name, name)},
	}, pool, host)
	if err != nil {
		return err
	}
	info, err := task.WaitForResult(ctx)
	if err != nil {
		return err
	}
	return object.NewVirtualMachine(folder.Client(), info.Result.(types.ManagedObjectReference)).MarkAsTemplate(ctx)
}
