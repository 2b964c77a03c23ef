package vcenter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"
)

// kept is all of a machine that a restart must not lose.
type kept struct {
	Name         string            `json:"name"`
	Folder       string            `json:"folder"` // inventory path
	Template     string            `json:"template"`
	Host         string            `json:"host"`
	Datastore    string            `json:"datastore"`
	Network      string            `json:"network"`
	InstanceUUID string            `json:"instance_uuid"`
	CPUs         int32             `json:"cpus"`
	MemoryMiB    int64             `json:"memory_mib"`
	DiskKiB      int64             `json:"disk_kib"`
	HotCPU       bool              `json:"hot_cpu"`
	HotMemory    bool              `json:"hot_memory"`
	On           bool              `json:"on"`
	Hostname     string            `json:"hostname"`
	Address      string            `json:"address"`
	Extra        map[string]string `json:"extra"`
}

// keeper writes the machines to the state file a moment after they changed, and at the end.
type keeper struct {
	file    string
	ctx     *simulator.Context
	changed chan struct{}
	quit    chan struct{}
	done    chan struct{}
	once    sync.Once
}

const settle = 500 * time.Millisecond

func (k *keeper) dirty() {
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

func (k *keeper) run() {
	defer close(k.done)
	for {
		select {
		case <-k.changed:
		case <-k.quit:
			k.save()
			return
		}
		// A task goes on after its call has returned, so the state is read once things have settled, twice.
		for range 2 {
			select {
			case <-time.After(settle):
			case <-k.quit:
			}
			k.save()
		}
	}
}

func (k *keeper) stop() {
	k.once.Do(func() { close(k.quit) })
	<-k.done
}

// save replaces the state file in one step, so that a kill leaves the old one or the new one.
func (k *keeper) save() {
	all := []kept{}
	for _, e := range k.ctx.Map.All("VirtualMachine") {
		if vm, ok := e.(*simulator.VirtualMachine); ok {
			k.ctx.WithLock(vm, func() {
				if vm.Config != nil && !vm.Config.Template {
					all = append(all, k.read(vm))
				}
			})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	raw, err := json.MarshalIndent(all, "", " ")
	if err == nil {
		if err = os.WriteFile(k.file+".new", raw, 0o600); err == nil {
			err = os.Rename(k.file+".new", k.file)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the machines could not be kept:", err)
	}
}

func (k *keeper) read(vm *simulator.VirtualMachine) kept {
	out := kept{
		Name: vm.Name, InstanceUUID: vm.Config.InstanceUuid, CPUs: vm.Config.Hardware.NumCPU, MemoryMiB: int64(vm.Config.Hardware.MemoryMB),
		On: vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn, Extra: map[string]string{}, Template: Templates[0],
		HotCPU: vm.Config.CpuHotAddEnabled != nil && *vm.Config.CpuHotAddEnabled, HotMemory: vm.Config.MemoryHotAddEnabled != nil && *vm.Config.MemoryHotAddEnabled,
	}
	if vm.Parent != nil {
		if f, ok := k.ctx.Map.Get(*vm.Parent).(*simulator.Folder); ok {
			out.Folder = f.Name
		}
	}
	if vm.Runtime.Host != nil {
		out.Host = k.ctx.Map.Get(*vm.Runtime.Host).(*simulator.HostSystem).Name
	}
	if len(vm.Datastore) > 0 {
		out.Datastore = k.ctx.Map.Get(vm.Datastore[0]).(*simulator.Datastore).Name
	}
	if vm.Guest != nil {
		out.Hostname, out.Address = vm.Guest.HostName, vm.Guest.IpAddress
	}
	for _, o := range vm.Config.ExtraConfig {
		v := o.GetOptionValue()
		if text, ok := v.Value.(string); ok && (strings.HasPrefix(v.Key, "yunshu.") || strings.HasPrefix(v.Key, "guestinfo.")) {
			out.Extra[v.Key] = text
		}
	}
	k.readDevices(vm.Config.Hardware.Device, &out)
	return out
}

func (k *keeper) readDevices(devices []types.BaseVirtualDevice, out *kept) {
	for _, d := range devices {
		switch d := d.(type) {
		case *types.VirtualDisk:
			out.DiskKiB = max(out.DiskKiB, d.CapacityInKB)
		case types.BaseVirtualEthernetCard:
			b, ok := d.GetVirtualEthernetCard().Backing.(*types.VirtualEthernetCardDistributedVirtualPortBackingInfo)
			if !ok {
				continue
			}
			ref := types.ManagedObjectReference{Type: "DistributedVirtualPortgroup", Value: b.Port.PortgroupKey}
			if pg, ok := k.ctx.Map.Get(ref).(*simulator.DistributedVirtualPortgroup); ok {
				out.Network = pg.Name
			}
		}
	}
}

// remember brings the kept machines back through the vCenter's own API, and begins to keep.
func (s *Server) remember(ctx context.Context) error {
	if s.options.StateFile == "" {
		return nil
	}
	raw, err := os.ReadFile(s.options.StateFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err == nil {
		var all []kept
		if err := json.Unmarshal(raw, &all); err != nil {
			return err
		}
		if err := s.restoreAll(ctx, all); err != nil {
			return err
		}
	}
	s.keeper = &keeper{file: s.options.StateFile, ctx: s.model.Service.Context, changed: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	s.rules.dirty = s.keeper.dirty
	go s.keeper.run()
	return nil
}

func (s *Server) restoreAll(ctx context.Context, all []kept) error {
	if len(all) == 0 {
		return nil
	}
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
	folders, err := dc.Folders(ctx)
	if err != nil {
		return err
	}
	for _, k := range all {
		if err := restore(ctx, c.Client, finder, folders.VmFolder, k); err != nil {
			return fmt.Errorf("machine %s: %w", k.Name, err)
		}
	}
	return nil
}

// restore makes one machine again.
func restore(ctx context.Context, c *vim25.Client, finder *find.Finder, root *object.Folder, k kept) error {
	folder, err := ensureFolder(ctx, finder, root, k.Folder)
	if err != nil {
		return err
	}
	template, err := finder.VirtualMachine(ctx, path.Join(root.InventoryPath, "templates", k.Template))
	if err != nil {
		return err
	}
	host, err := finder.HostSystem(ctx, "*/"+k.Host)
	if err != nil {
		return err
	}
	pool, err := host.ResourcePool(ctx)
	if err != nil {
		return err
	}
	store, err := finder.Datastore(ctx, k.Datastore)
	if err != nil {
		return err
	}
	spec, err := cloneSpec(ctx, c, finder, template, k)
	if err != nil {
		return err
	}
	h, p, d := host.Reference(), pool.Reference(), store.Reference()
	spec.Location.Host, spec.Location.Pool, spec.Location.Datastore = &h, &p, &d
	task, err := template.Clone(ctx, folder, k.Name, spec)
	if err != nil {
		return err
	}
	info, err := task.WaitForResult(ctx)
	if err != nil {
		return err
	}
	return finish(ctx, object.NewVirtualMachine(c, info.Result.(types.ManagedObjectReference)), k)
}

func ensureFolder(ctx context.Context, finder *find.Finder, root *object.Folder, name string) (*object.Folder, error) {
	if name == "" || name == "vm" {
		return root, nil
	}
	folder, err := finder.Folder(ctx, path.Join(root.InventoryPath, name))
	var missing *find.NotFoundError
	if errors.As(err, &missing) {
		return root.CreateFolder(ctx, name)
	}
	return folder, err
}

func cloneSpec(ctx context.Context, c *vim25.Client, finder *find.Finder, template *object.VirtualMachine, k kept) (types.VirtualMachineCloneSpec, error) {
	config := &types.VirtualMachineConfigSpec{InstanceUuid: k.InstanceUUID, NumCPUs: k.CPUs, MemoryMB: k.MemoryMiB}
	for key, value := range k.Extra {
		config.ExtraConfig = append(config.ExtraConfig, &types.OptionValue{Key: key, Value: value})
	}
	devices, err := template.Device(ctx)
	if err != nil {
		return types.VirtualMachineCloneSpec{}, err
	}
	for _, d := range devices.SelectByType((*types.VirtualDisk)(nil)) {
		disk := d.(*types.VirtualDisk)
		disk.CapacityInKB, disk.CapacityInBytes = max(disk.CapacityInKB, k.DiskKiB), max(disk.CapacityInKB, k.DiskKiB)<<10
		config.DeviceChange = append(config.DeviceChange, &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: disk})
	}
	if k.Network != "" {
		network, err := finder.Network(ctx, k.Network)
		if err != nil {
			return types.VirtualMachineCloneSpec{}, err
		}
		backing, err := network.EthernetCardBackingInfo(ctx)
		if err != nil {
			return types.VirtualMachineCloneSpec{}, err
		}
		for _, d := range devices.SelectByType((*types.VirtualEthernetCard)(nil)) {
			d.(types.BaseVirtualEthernetCard).GetVirtualEthernetCard().Backing = backing
			config.DeviceChange = append(config.DeviceChange, &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: d})
		}
	}
	spec := types.VirtualMachineCloneSpec{Config: config}
	if k.Address != "" || k.Hostname != "" {
		spec.Customization = &types.CustomizationSpec{
			Identity:      &types.CustomizationLinuxPrep{HostName: &types.CustomizationFixedName{Name: k.Hostname}},
			NicSettingMap: []types.CustomizationAdapterMapping{{Adapter: types.CustomizationIPSettings{Ip: &types.CustomizationFixedIp{IpAddress: k.Address}}}},
		}
	}
	return spec, nil
}

// finish brings a restored machine to the hot add and the power that it had.
func finish(ctx context.Context, vm *object.VirtualMachine, k kept) error {
	task, err := vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{CpuHotAddEnabled: &k.HotCPU, MemoryHotAddEnabled: &k.HotMemory})
	if err != nil {
		return err
	}
	if err := task.WaitEx(ctx); err != nil {
		return err
	}
	if !k.On && k.Address == "" {
		return nil
	}
	// Customisation happens when the machine first starts; one that is off but was customised has to start once.
	if err := power(ctx, vm, true); err != nil || k.On {
		return err
	}
	return power(ctx, vm, false)
}

func power(ctx context.Context, vm *object.VirtualMachine, on bool) error {
	act := vm.PowerOff
	if on {
		act = vm.PowerOn
	}
	task, err := act(ctx)
	if err != nil {
		return err
	}
	return task.WaitEx(ctx)
}
