package models

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Roles of a baremetal.
const (
	RoleSpare      = "spare"      // nobody's; may be leased, or become a hypervisor
	RoleHypervisor = "hypervisor" // carries virtual machines
	RoleLeased     = "leased"     // a tenant has it whole
	RoleK8sNode    = "k8s_node"
)

// Baremetal is a physical server.
type Baremetal struct {
	ID                  ID                `gorm:"column:id;primaryKey"`
	Region              string            `gorm:"column:region"`
	Name                string            `gorm:"column:name"`
	Role                string            `gorm:"column:role"` // hypervisor, k8s_node, leased or spare
	State               BaremetalState    `gorm:"column:state"`
	HardwareUUID        string            `gorm:"column:hardware_uuid"` // empty until it is known
	Serial              string            `gorm:"column:serial"`        // of the maker; empty until it is known
	Vendor              string            `gorm:"column:vendor"`
	Model               string            `gorm:"column:model"`
	ProviderRef         string            `gorm:"column:provider_ref"`
	Cluster             string            `gorm:"column:cluster"`
	RackID              *ID               `gorm:"column:rack_id"`
	RackUnit            int               `gorm:"column:rack_unit"`   // the lowest unit that it takes, from 1 at the bottom; 0: unknown
	RackHeight          int               `gorm:"column:rack_height"` // in units
	GroupID             *ID               `gorm:"column:group_id"`
	GroupByRule         bool              `gorm:"column:group_by_rule"` // a group's rule put it there, and may take it out again
	TenantID            *ID               `gorm:"column:tenant_id"`     // who leases it
	Labels              map[string]string `gorm:"column:labels;serializer:json"`
	Size                `gorm:"embedded"` // physical capacity
	Connected           bool              `gorm:"column:connected"`
	Maintenance         bool              `gorm:"column:maintenance"`          // someone here wants it empty of new work
	MaintenanceReason   string            `gorm:"column:maintenance_reason"`   // why, as its keeper said
	MaintenanceUntil    *time.Time        `gorm:"column:maintenance_until"`    // when it should be over; past it nothing happens by itself
	MaintenanceBy       string            `gorm:"column:maintenance_by"`       // who marked it
	ProviderMaintenance bool              `gorm:"column:provider_maintenance"` // the provider says so
	Power               Power             `gorm:"column:power"`
	Health              HealthStatus      `gorm:"column:health"`
	Unfit               bool              `gorm:"column:unfit"` // its health keeps new work away, by its group's policy
	SeenAt              *time.Time        `gorm:"column:seen_at"`
	Stamps
}

// TableName names the table.
func (Baremetal) TableName() string { return "baremetals" }

// Power is whether a machine is on.
type Power string

// Power of a machine.
const (
	PowerUnknown Power = ""
	PowerOn      Power = "on"
	PowerOff     Power = "off"
)

// BootDevice is what a machine boots from.
type BootDevice string

// Boot devices.
const (
	BootDisk BootDevice = "disk"
	BootPXE  BootDevice = "pxe"
	BootCD   BootDevice = "cd" // virtual media
)

// HealthStatus is how a machine, or a part of it, is.
type HealthStatus string

// Health of a machine, or of a part of it.
const (
	HealthUnknown  HealthStatus = ""
	HealthOK       HealthStatus = "ok"
	HealthWarning  HealthStatus = "warning"
	HealthCritical HealthStatus = "critical"
)

// BMCProtocol is how a BMC is spoken to.
type BMCProtocol string

// Protocols of a BMC.
const (
	BMCUnknown BMCProtocol = "" // it is found out at enrolment: Redfish first, then IPMI
	Redfish    BMCProtocol = "redfish"
	IPMI       BMCProtocol = "ipmi"
)

// HardwareIdentity is what a machine's hardware says it is.
type HardwareIdentity struct {
	UUID   string `json:"uuid,omitempty"` // lower case
	Serial string `json:"serial,omitempty"`
	Vendor string `json:"vendor,omitempty"`
	Model  string `json:"model,omitempty"`
}

// Inventory is what a machine is made of. Parts that are marked inside were found by an image that the machine booted, and
// its BMC does not list them.
type Inventory struct {
	HardwareIdentity
	BIOS     string         `json:"bios,omitempty"`
	CPUs     []CPU          `json:"cpus,omitempty"`
	Memory   []MemoryModule `json:"memory,omitempty"`
	Disks    []Disk         `json:"disks,omitempty"`
	NICs     []NIC          `json:"nics,omitempty"`
	GPUs     []GPU          `json:"gpus,omitempty"`
	Firmware []Firmware     `json:"firmware,omitempty"`
}

// CPU is a processor in its socket.
type CPU struct {
	Model   string `json:"model,omitempty"`
	Cores   int64  `json:"cores,omitempty"`
	Threads int64  `json:"threads,omitempty"`
	MHz     int64  `json:"mhz,omitempty"`
}

// MemoryModule is a module in its slot.
type MemoryModule struct {
	Slot    string `json:"slot,omitempty"`
	SizeMiB int64  `json:"size_mib"`
	Type    string `json:"type,omitempty"`
	MHz     int64  `json:"mhz,omitempty"`
	Serial  string `json:"serial,omitempty"`
}

// Disk is a drive.
type Disk struct {
	Name    string `json:"name,omitempty"`
	Model   string `json:"model,omitempty"`
	Serial  string `json:"serial,omitempty"`
	SizeGiB int64  `json:"size_gib"`
	Kind    string `json:"kind,omitempty"` // hdd, ssd or nvme
	Inside  bool   `json:"inside,omitempty"`
}

// NIC is a network interface.
type NIC struct {
	Name      string `json:"name,omitempty"`
	MAC       string `json:"mac"` // lower case, with colons
	SpeedMbps int64  `json:"speed_mbps,omitempty"`
	Model     string `json:"model,omitempty"`
	Inside    bool   `json:"inside,omitempty"`
}

// GPU is a graphics or compute accelerator.
type GPU struct {
	Model     string `json:"model,omitempty"`
	Vendor    string `json:"vendor,omitempty"`
	Serial    string `json:"serial,omitempty"`
	MemoryMiB int64  `json:"memory_mib,omitempty"`
	Inside    bool   `json:"inside,omitempty"`
}

// Firmware is a piece of firmware and its version.
type Firmware struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Capacity is what the inventory adds up to.
func (i Inventory) Capacity() Size {
	var s Size
	for _, c := range i.CPUs {
		s.VCPU += max(c.Threads, c.Cores)
	}
	for _, m := range i.Memory {
		s.MemoryMiB += m.SizeMiB
	}
	for _, d := range i.Disks {
		s.StorageGiB += d.SizeGiB
	}
	s.GPU = int64(len(i.GPUs))
	return s
}

// With adds what a look from inside the same machine found, such as that of the discovery image. What this one says stays
// as it is, and is filled up where it says nothing.
func (i Inventory) With(inside Inventory) Inventory {
	i.UUID, i.Serial = cmp.Or(i.UUID, inside.UUID), cmp.Or(i.Serial, inside.Serial)
	i.Vendor, i.Model, i.BIOS = cmp.Or(i.Vendor, inside.Vendor), cmp.Or(i.Model, inside.Model), cmp.Or(i.BIOS, inside.BIOS)
	i.CPUs = either(i.CPUs, inside.CPUs)
	i.Memory = either(i.Memory, inside.Memory)
	i.Disks = union(i.Disks, marked(inside.Disks, func(d *Disk) { d.Inside = true }), diskKey)
	i.NICs = union(i.NICs, marked(inside.NICs, func(n *NIC) { n.Inside = true }), nicKey)
	i.GPUs = union(i.GPUs, marked(inside.GPUs, func(g *GPU) { g.Inside = true }), gpuKey)
	i.Firmware = union(i.Firmware, inside.Firmware, func(f Firmware) string { return f.Name })
	return i
}

// Keeping is what a BMC says now, with the parts that only a look from inside had found before: that the BMC does not list
// them is no news.
func (i Inventory) Keeping(was Inventory) Inventory {
	i.Disks = union(i.Disks, filter(was.Disks, func(d Disk) bool { return d.Inside }), diskKey)
	i.NICs = union(i.NICs, filter(was.NICs, func(n NIC) bool { return n.Inside }), nicKey)
	i.GPUs = union(i.GPUs, filter(was.GPUs, func(g GPU) bool { return g.Inside }), gpuKey)
	return i
}

func diskKey(d Disk) string { return d.Serial }
func nicKey(n NIC) string   { return n.MAC }
func gpuKey(g GPU) string   { return g.Serial }

// marked is a list with a mark on each part.
func marked[T any](parts []T, mark func(*T)) []T {
	out := slices.Clone(parts)
	for i := range out {
		mark(&out[i])
	}
	return out
}

func filter[T any](parts []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(parts), func(p T) bool { return !keep(p) })
}

// either is the first list that says something.
func either[T any](a, b []T) []T {
	if len(a) > 0 {
		return a
	}
	return b
}

// union is the first list with the parts of the second that it lacks. Parts without a key cannot be told apart, so then it
// is one of the lists.
func union[T any](a, b []T, key func(T) string) []T {
	nameless := func(p T) bool { return key(p) == "" }
	if len(a) == 0 || slices.ContainsFunc(a, nameless) || slices.ContainsFunc(b, nameless) {
		return either(a, b)
	}
	out := slices.Clone(a)
	for _, p := range b {
		if !slices.ContainsFunc(a, func(q T) bool { return strings.EqualFold(key(p), key(q)) }) {
			out = append(out, p)
		}
	}
	return out
}

// Sensor is one reading of a machine.
type Sensor struct {
	Name   string       `json:"name"`
	Value  float64      `json:"value"`
	Unit   string       `json:"unit,omitempty"` // Cel, RPM, W, V or empty
	Health HealthStatus `json:"health,omitempty"`
}

// LogEntry is a line of a BMC's system event log.
type LogEntry struct {
	ID      string       `json:"id"`
	At      time.Time    `json:"at,omitzero"`
	Health  HealthStatus `json:"health,omitempty"`
	Message string       `json:"message"`
}

// Health is how a machine is, as its BMC said it.
type Health struct {
	Status  HealthStatus `json:"status"`
	Sensors []Sensor     `json:"sensors,omitempty"`
	Log     []LogEntry   `json:"log,omitempty"` // the newest entries, the newest first
}

// BootPurpose is what an image is booted for.
type BootPurpose string

// Purposes of a boot.
const (
	BootDiscovery BootPurpose = "discovery" // the image reports what the machine is made of
	BootWipe      BootPurpose = "wipe"      // the image empties every disk, verifies that, and reports it
	BootProvision BootPurpose = "provision" // the image is the tenant's, and reports that it is there
)

// Wiped is a disk that was emptied.
type Wiped struct {
	Name     string `json:"name"`
	Serial   string `json:"serial,omitempty"`
	SizeGiB  int64  `json:"size_gib"`
	Method   string `json:"method"`   // such as discard or zero
	Verified bool   `json:"verified"` // it was read back
}

// Netboot is how an image is booted by a physical machine, from the network or from a virtual drive.
type Netboot struct {
	Kernel string `json:"kernel,omitempty"` // address
	Initrd string `json:"initrd,omitempty"` // address
	Args   string `json:"args,omitempty"`   // of the kernel
	ISO    string `json:"iso,omitempty"`    // address
}

// BMC is how a machine's BMC is reached. The passwords are sealed.
type BMC struct {
	BaremetalID ID          `gorm:"column:baremetal_id;primaryKey"`
	Region      string      `gorm:"column:region"`
	Address     string      `gorm:"column:address"`
	Protocol    BMCProtocol `gorm:"column:protocol"`
	Fingerprint string      `gorm:"column:fingerprint"`
	Username    string      `gorm:"column:username"`
	KeyID       string      `gorm:"column:key_id"`
	Password    []byte      `gorm:"column:password"`
	StagedKeyID string      `gorm:"column:staged_key_id"`
	Staged      []byte      `gorm:"column:staged"`
	StagedFor   *ID         `gorm:"column:staged_for"`
	Console     string      `gorm:"column:console"`
	RotatedAt   *time.Time  `gorm:"column:rotated_at"`
	UpdatedAt   time.Time   `gorm:"column:updated_at;default:now()"`
}

// TableName names the table.
func (BMC) TableName() string { return "bmcs" }
