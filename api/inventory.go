package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Inventory is what a server is made of.
type Inventory struct {
	UUID     string              `json:"uuid,omitempty" doc:"UUID of the hardware." example:"4c4c4544-0042-3510-8053-b7c04f4d3532"`
	Serial   string              `json:"serial,omitempty" doc:"Serial of the maker." example:"CN7016"`
	Vendor   string              `json:"vendor,omitempty" doc:"The maker." example:"Dell Inc."`
	Model    string              `json:"model,omitempty" doc:"The model." example:"PowerEdge R760"`
	BIOS     string              `json:"bios,omitempty" doc:"Version of the firmware that boots it." example:"2.5.4"`
	CPUs     []InventoryCPU      `json:"cpus" doc:"Its processors."`
	Memory   []InventoryMemory   `json:"memory" doc:"Its memory modules."`
	Disks    []InventoryDisk     `json:"disks" doc:"Its drives."`
	NICs     []InventoryNIC      `json:"nics" doc:"Its network interfaces."`
	GPUs     []InventoryGPU      `json:"gpus" doc:"Its accelerators."`
	Firmware []InventoryFirmware `json:"firmware" doc:"Its other firmware."`
	Capacity Size                `json:"capacity" doc:"What it adds up to."`
	SeenAt   *time.Time          `json:"seen_at,omitempty" doc:"When it was read; absent if it never was." example:"2026-11-23T08:00:00Z"`
	Reachability
}

// Reachability is whether a BMC answered at the last look.
type Reachability struct {
	Reachable        bool       `json:"reachable" doc:"Whether the BMC answered at the last look." example:"true"`
	UnreachableSince *time.Time `json:"unreachable_since,omitempty" doc:"Since when it has not." example:"2026-11-23T08:00:00Z"`
	Fault            string     `json:"fault,omitempty" doc:"Why not." example:"The BMC at https://10.0.0.7 did not answer."`
}

// InventoryCPU is a processor.
type InventoryCPU struct {
	Model   string `json:"model,omitempty" doc:"The model." example:"Xeon Gold 6430"`
	Cores   int64  `json:"cores,omitempty" doc:"Its cores." example:"32"`
	Threads int64  `json:"threads,omitempty" doc:"Its threads." example:"64"`
	MHz     int64  `json:"mhz,omitempty" doc:"Its clock." example:"2100"`
}

// InventoryMemory is a memory module.
type InventoryMemory struct {
	Slot    string `json:"slot,omitempty" doc:"Where it is." example:"A1"`
	SizeMiB int64  `json:"size_mib" doc:"Its size in MiB." example:"65536"`
	Type    string `json:"type,omitempty" doc:"What kind it is." example:"DDR5"`
	MHz     int64  `json:"mhz,omitempty" doc:"Its clock." example:"4800"`
	Serial  string `json:"serial,omitempty" doc:"Its serial." example:"80CE0123"`
}

// InventoryDisk is a drive.
type InventoryDisk struct {
	Name    string `json:"name,omitempty" doc:"Where it is." example:"Disk.Bay.0"`
	Model   string `json:"model,omitempty" doc:"The model." example:"PM1743"`
	Serial  string `json:"serial,omitempty" doc:"Its serial." example:"S6EWNA0R"`
	SizeGiB int64  `json:"size_gib" doc:"Its size in GiB." example:"3576"`
	Kind    string `json:"kind,omitempty" doc:"hdd, ssd or nvme." example:"nvme"`
	Inside  bool   `json:"inside,omitempty" doc:"Only an image that the machine booted found it: its BMC does not list it." example:"true"`
}

// InventoryNIC is a network interface.
type InventoryNIC struct {
	Name      string `json:"name,omitempty" doc:"Where it is." example:"NIC.1-1"`
	MAC       string `json:"mac" doc:"Its hardware address." example:"b0:7b:25:00:00:01"`
	SpeedMbps int64  `json:"speed_mbps,omitempty" doc:"Its speed in Mbit/s." example:"25000"`
	Model     string `json:"model,omitempty" doc:"The model." example:"ConnectX-6"`
	Inside    bool   `json:"inside,omitempty" doc:"Only an image that the machine booted found it: its BMC does not list it." example:"true"`
}

// InventoryGPU is an accelerator.
type InventoryGPU struct {
	Model     string `json:"model,omitempty" doc:"The model." example:"H100"`
	Vendor    string `json:"vendor,omitempty" doc:"The maker." example:"NVIDIA"`
	Serial    string `json:"serial,omitempty" doc:"Its serial." example:"1654922"`
	MemoryMiB int64  `json:"memory_mib,omitempty" doc:"Its memory in MiB." example:"81920"`
	Inside    bool   `json:"inside,omitempty" doc:"Only an image that the machine booted found it: its BMC does not list it." example:"true"`
}

// InventoryFirmware is a piece of firmware.
type InventoryFirmware struct {
	Name    string `json:"name" doc:"What it runs." example:"BMC"`
	Version string `json:"version" doc:"Its version." example:"7.10.30"`
}

// BaremetalHealth is how a server is, as its BMC said it last.
type BaremetalHealth struct {
	Status  models.HealthStatus `json:"status,omitempty" enum:"ok,warning,critical" doc:"How it is; absent until it is known." example:"ok"`
	Power   models.Power        `json:"power,omitempty" enum:"on,off" doc:"Whether it is on; absent until it is known." example:"on"`
	Unfit   bool                `json:"unfit" doc:"Whether its health keeps new work away." example:"false"`
	Sensors []HealthSensor      `json:"sensors" doc:"What its sensors read."`
	Log     []HealthEntry       `json:"log" doc:"The newest lines of its BMC's event log, the newest first."`
	SeenAt  *time.Time          `json:"seen_at,omitempty" doc:"When it was read; absent if it never was." example:"2026-11-23T08:00:00Z"`
	Reachability
}

// HealthSensor is one reading.
type HealthSensor struct {
	Name   string              `json:"name" doc:"What it measures." example:"Inlet Temp"`
	Value  float64             `json:"value" doc:"What it reads." example:"23"`
	Unit   string              `json:"unit,omitempty" doc:"Cel, RPM, W, V or nothing." example:"Cel"`
	Health models.HealthStatus `json:"health,omitempty" enum:"ok,warning,critical" doc:"What that means." example:"ok"`
}

// HealthEntry is a line of an event log.
type HealthEntry struct {
	ID      string              `json:"id" doc:"The BMC's name of it." example:"42"`
	At      *time.Time          `json:"at,omitempty" doc:"When it happened; absent if the BMC does not know." example:"2026-11-23T08:00:00Z"`
	Health  models.HealthStatus `json:"health,omitempty" enum:"ok,warning,critical" doc:"How bad it is." example:"warning"`
	Message string              `json:"message" doc:"What happened." example:"Power supply 2 lost its input."`
}

func (a *API) registerInventory(h huma.API) {
	register(h, endpoint{ID: "get-baremetal-inventory", Method: http.MethodGet, Path: "/v1/baremetals/{id}/inventory", Action: "baremetal.read", Summary: "Show what a server is made of",
		Description: "As it was read last. A health check reads it anew."}, a.getInventory)
	register(h, endpoint{ID: "get-baremetal-health", Method: http.MethodGet, Path: "/v1/baremetals/{id}/health", Action: "baremetal.read", Summary: "Show how a server is",
		Description: "As it was read last. A health check reads it anew."}, a.getHealth)
}

func (a *API) getInventory(ctx context.Context, in *ByID) (*Resource[Inventory], error) {
	f, err := a.factsOf(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	i := f.Inventory
	out := Inventory{UUID: i.UUID, Serial: i.Serial, Vendor: i.Vendor, Model: i.Model, BIOS: i.BIOS, Capacity: Size(i.Capacity()), SeenAt: utc(f.InventoryAt), Reachability: reachability(f),
		CPUs: wired(i.CPUs, func(p models.CPU) InventoryCPU { return InventoryCPU(p) }), Memory: wired(i.Memory, func(p models.MemoryModule) InventoryMemory { return InventoryMemory(p) }),
		Disks: wired(i.Disks, func(p models.Disk) InventoryDisk { return InventoryDisk(p) }), NICs: wired(i.NICs, func(p models.NIC) InventoryNIC { return InventoryNIC(p) }),
		GPUs: wired(i.GPUs, func(p models.GPU) InventoryGPU { return InventoryGPU(p) }), Firmware: wired(i.Firmware, func(p models.Firmware) InventoryFirmware { return InventoryFirmware(p) })}
	return seen(out, f.Version)
}

func (a *API) getHealth(ctx context.Context, in *ByID) (*Resource[BaremetalHealth], error) {
	f, err := a.factsOf(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := BaremetalHealth{Status: f.Status, Power: f.Power, Unfit: f.Unfit, SeenAt: utc(f.HealthAt), Reachability: reachability(f),
		Sensors: wired(f.Health.Sensors, func(s models.Sensor) HealthSensor { return HealthSensor(s) }),
		Log: wired(f.Health.Log, func(l models.LogEntry) HealthEntry {
			e := HealthEntry{ID: l.ID, Health: l.Health, Message: l.Message}
			if !l.At.IsZero() {
				e.At = utc(&l.At)
			}
			return e
		})}
	return seen(out, f.Version)
}

func (a *API) factsOf(ctx context.Context, id models.ID) (store.Facts, error) {
	_, whole, err := a.readBaremetal(ctx, id)
	if err != nil {
		return store.Facts{}, err
	}
	f, err := a.store.Facts(ctx, id)
	if !whole {
		f.Fault, f.Health.Log = "", nil // it names the BMC; who signed in to that, and what was before the lease
	}
	return f, err
}

func reachability(f store.Facts) Reachability {
	return Reachability{Reachable: f.Reachable, UnreachableSince: utc(f.UnreachableSince), Fault: f.Fault}
}

// wired is a list as the API writes it.
func wired[T, W any](items []T, f func(T) W) []W {
	out := make([]W, len(items))
	for i, item := range items {
		out[i] = f(item)
	}
	return out
}
