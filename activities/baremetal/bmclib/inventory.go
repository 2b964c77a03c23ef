package bmclib

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// bmclib has an inventory of its own, which is not asked: it reads only machines whose ids it knows from a list of five, has
// neither UUIDs nor GPUs, and leaves out in silence what could not be read, so that a BMC that was busy for a moment would
// look like a machine that lost its disks.

// Inspect reads everything. What cannot be read fails it as a whole.
func (r *redfish) Inspect(ctx context.Context) (contract.Inspected, error) {
	s, err := r.system(ctx)
	if err != nil {
		return contract.Inspected{}, fault(ctx, r.t, "identify the machine", err)
	}
	out := contract.Inspected{Power: s.power().Power()}
	for _, part := range []struct {
		doing string
		read  func(context.Context, system, *contract.Inspected) error
	}{
		{"read the processors", r.processors},
		{"read the memory", r.memory},
		{"read the disks", r.disks},
		{"read the NICs", r.nics},
		{"read the firmware", r.firmware},
		{"read the sensors", r.sensors},
		{"read the event log", r.log},
	} {
		if err := part.read(ctx, s, &out); err != nil {
			return contract.Inspected{}, fault(ctx, r.t, part.doing, err)
		}
	}
	out.Inventory.HardwareIdentity, out.Inventory.BIOS = s.identity(), s.BiosVersion
	out.Health.Status = health(cmp.Or(s.Status.HealthRollup, s.Status.Health))
	if len(out.Inventory.CPUs) == 0 || len(out.Inventory.Memory) == 0 {
		return contract.Inspected{}, r.t.Faultf(models.CodeInventoryEmpty, "names %d processors and %d memory modules. Some BMCs do so until the machine has started once: power it on, wait until it has started, then resume.", len(out.Inventory.CPUs), len(out.Inventory.Memory))
	}
	return out, nil
}

type processor struct {
	Kind          string `json:"ProcessorType"`
	Manufacturer  string `json:"Manufacturer"`
	Model         string `json:"Model"`
	SerialNumber  string `json:"SerialNumber"`
	TotalCores    int64  `json:"TotalCores"`
	TotalThreads  int64  `json:"TotalThreads"`
	MaxSpeedMHz   int64  `json:"MaxSpeedMHz"`
	Status        state  `json:"Status"`
	MemorySummary struct {
		TotalMemorySizeMiB int64 `json:"TotalMemorySizeMiB"`
	} `json:"MemorySummary"`
}

// processors reads CPUs, and GPUs as newer BMCs show them.
func (r *redfish) processors(ctx context.Context, s system, out *contract.Inspected) error {
	all, err := members[processor](ctx, r, s.Processors.Path)
	for _, p := range all {
		switch {
		case p.Status.State == "Absent":
		case p.Kind == "GPU":
			out.Inventory.GPUs = append(out.Inventory.GPUs, models.GPU{Model: p.Model, Vendor: p.Manufacturer, Serial: p.SerialNumber, MemoryMiB: p.MemorySummary.TotalMemorySizeMiB})
		case p.Kind == "CPU" || p.Kind == "":
			out.Inventory.CPUs = append(out.Inventory.CPUs, models.CPU{Model: strings.TrimSpace(p.Model), Cores: p.TotalCores, Threads: p.TotalThreads, MHz: p.MaxSpeedMHz})
		}
	}
	return err
}

type dimm struct {
	ID               string `json:"Id"`
	DeviceLocator    string `json:"DeviceLocator"`
	MemoryDeviceType string `json:"MemoryDeviceType"`
	CapacityMiB      int64  `json:"CapacityMiB"`
	OperatingSpeed   int64  `json:"OperatingSpeedMhz"`
	SerialNumber     string `json:"SerialNumber"`
	Status           state  `json:"Status"`
}

func (r *redfish) memory(ctx context.Context, s system, out *contract.Inspected) error {
	all, err := members[dimm](ctx, r, s.Memory.Path)
	for _, d := range all {
		if d.Status.State == "Absent" || d.CapacityMiB == 0 {
			continue
		}
		out.Inventory.Memory = append(out.Inventory.Memory, models.MemoryModule{
			Slot: cmp.Or(d.DeviceLocator, d.ID), SizeMiB: d.CapacityMiB, Type: d.MemoryDeviceType, MHz: d.OperatingSpeed, Serial: strings.TrimSpace(d.SerialNumber),
		})
	}
	return err
}

type drive struct {
	ID            string `json:"Id"`
	Name          string `json:"Name"`
	Model         string `json:"Model"`
	SerialNumber  string `json:"SerialNumber"`
	CapacityBytes int64  `json:"CapacityBytes"`
	MediaType     string `json:"MediaType"`
	Protocol      string `json:"Protocol"`
	Status        state  `json:"Status"`
}

// disks reads the drives of all controllers.
func (r *redfish) disks(ctx context.Context, s system, out *contract.Inspected) error {
	type storage struct {
		Drives []link `json:"Drives"`
	}
	controllers, err := members[storage](ctx, r, s.Storage.Path)
	if err != nil {
		return err
	}
	for _, c := range controllers {
		for _, l := range c.Drives {
			d, err := get[drive](ctx, r, l.Path)
			if err != nil {
				return err
			}
			if d.Status.State != "Absent" {
				out.Inventory.Disks = append(out.Inventory.Disks, d.disk())
			}
		}
	}
	return nil
}

func (d drive) disk() models.Disk {
	kind := strings.ToLower(d.MediaType)
	if strings.HasPrefix(d.Protocol, "NVMe") {
		kind = "nvme"
	}
	return models.Disk{Name: cmp.Or(d.Name, d.ID), Model: strings.TrimSpace(d.Model), Serial: strings.TrimSpace(d.SerialNumber), SizeGiB: d.CapacityBytes >> 30, Kind: kind}
}

type port struct {
	ID           string `json:"Id"`
	Name         string `json:"Name"`
	MACAddress   string `json:"MACAddress"`
	PermanentMAC string `json:"PermanentMACAddress"`
	SpeedMbps    int64  `json:"SpeedMbps"`
}

type adapter struct {
	ID    string `json:"Id"`
	Model string `json:"Model"`
}

// nics reads the interfaces. Of which model their adapters are is told by the ids, which nest.
func (r *redfish) nics(ctx context.Context, s system, out *contract.Inspected) error {
	ports, err := members[port](ctx, r, s.Ethernet.Path)
	if err != nil {
		return err
	}
	adapters, err := r.adapters(ctx, s)
	if err != nil {
		return err
	}
	names := map[string]int{}
	for _, p := range ports {
		names[p.Name]++
	}
	for _, p := range ports {
		mac := strings.ToLower(cmp.Or(p.PermanentMAC, p.MACAddress))
		if mac == "" || mac == "00:00:00:00:00:00" {
			continue
		}
		name := p.Name
		if name == "" || names[name] > 1 { // many call each of theirs alike
			name = p.ID
		}
		nic := models.NIC{Name: name, MAC: strings.ReplaceAll(mac, "-", ":"), SpeedMbps: p.SpeedMbps}
		if i := slices.IndexFunc(adapters, func(a adapter) bool { return p.ID == a.ID || strings.HasPrefix(p.ID, a.ID+"-") }); i >= 0 {
			nic.Model = adapters[i].Model
		}
		out.Inventory.NICs = append(out.Inventory.NICs, nic)
	}
	return nil
}

// adapters reads the network cards in the machine's boxes.
func (r *redfish) adapters(ctx context.Context, s system) ([]adapter, error) {
	var out []adapter
	boxes, err := r.boxes(ctx, s)
	if err != nil {
		return nil, err
	}
	for _, box := range boxes {
		some, err := members[adapter](ctx, r, box.NetworkAdapters.Path)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, nil
}

// firmware reads what is installed; some list beside it what was, and what could be.
func (r *redfish) firmware(ctx context.Context, _ system, out *contract.Inspected) error {
	type software struct {
		ID      string `json:"Id"`
		Name    string `json:"Name"`
		Version string `json:"Version"`
	}
	top, err := r.top(ctx)
	if err != nil || top.UpdateService.Path == "" {
		return err
	}
	service, err := get[struct {
		FirmwareInventory link `json:"FirmwareInventory"`
	}](ctx, r, top.UpdateService.Path)
	if status(err) == 404 {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := members[software](ctx, r, service.FirmwareInventory.Path)
	for _, f := range all {
		if f.Version == "" || strings.HasPrefix(f.ID, "Previous") || strings.HasPrefix(f.ID, "Available") {
			continue
		}
		out.Inventory.Firmware = append(out.Inventory.Firmware, models.Firmware{Name: cmp.Or(f.Name, f.ID), Version: f.Version})
	}
	slices.SortFunc(out.Inventory.Firmware, func(a, b models.Firmware) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return err
}
