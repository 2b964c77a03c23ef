package models

import "time"

// Region is a place where regional workers run.
type Region struct {
	Name         string `gorm:"column:name;primaryKey"`
	Title        string `gorm:"column:title"`
	State        string `gorm:"column:state"` // ready or cordoned
	Capabilities Texts  `gorm:"column:capabilities"`
	Stamps
}

// TableName names the table.
func (Region) TableName() string { return "regions" }

// Rack is a physical place of machines.
type Rack struct {
	ID            ID      `gorm:"column:id;primaryKey"`
	Region        string  `gorm:"column:region"`
	Name          string  `gorm:"column:name"`
	Row           string  `gorm:"column:row"`
	Position      string  `gorm:"column:position"`
	PowerKW       float64 `gorm:"column:power_kw"`
	FailureDomain string  `gorm:"column:failure_domain"`
	Height        int     `gorm:"column:height;default:42"` // in units
	Stamps
}

// TableName names the table.
func (Rack) TableName() string { return "racks" }

// Policy says how a group fills its hosts.
type Policy string

// Placement policies.
const (
	Spread Policy = "spread" // the host with the most room
	Pack   Policy = "pack"   // the fullest host that fits
)

// Group is an elastic set of baremetals, the scope of a quota and of placement. The ratios say how much of a host's
// physical capacity may be promised.
type Group struct {
	ID           ID      `gorm:"column:id;primaryKey"`
	Region       string  `gorm:"column:region"`
	Name         string  `gorm:"column:name"`
	Description  string  `gorm:"column:description"`
	Policy       Policy  `gorm:"column:policy"`
	VCPURatio    float64 `gorm:"column:vcpu_ratio"`
	MemoryRatio  float64 `gorm:"column:memory_ratio"`
	StorageRatio float64 `gorm:"column:storage_ratio"`
	Rule         string  `gorm:"column:rule"`                       // which machines join it by themselves; empty: none
	HealthPolicy string  `gorm:"column:health_policy;default:stop"` // stop or report: what a critical machine means for placement
	Stamps
}

// TableName names the table.
func (Group) TableName() string { return "groups" }

// Image is an operating system to start from; Templates maps a region to the provider's template.
type Image struct {
	ID            ID                 `gorm:"column:id;primaryKey"`
	Name          string             `gorm:"column:name"`
	OS            string             `gorm:"column:os"`
	Description   string             `gorm:"column:description"`
	MinStorageGiB int64              `gorm:"column:min_storage_gib"`
	Templates     map[string]string  `gorm:"column:templates;serializer:json"`
	Purpose       BootPurpose        `gorm:"column:purpose;default:provision"` // of a physical machine that boots it
	Boot          map[string]Netboot `gorm:"column:boot;serializer:json"`      // by region
	Stamps
}

// TableName names the table.
func (Image) TableName() string { return "images" }

// Flavor is a named size.
type Flavor struct {
	ID   ID     `gorm:"column:id;primaryKey"`
	Name string `gorm:"column:name"`
	Size `gorm:"embedded"`
	Stamps
}

// TableName names the table.
func (Flavor) TableName() string { return "flavors" }

// Subnet is a network that addresses are taken from. Without a tenant it is for everyone.
type Subnet struct {
	ID         ID     `gorm:"column:id;primaryKey"`
	Region     string `gorm:"column:region"`
	TenantID   *ID    `gorm:"column:tenant_id"`
	Name       string `gorm:"column:name"`
	CIDR       CIDR   `gorm:"column:cidr"`
	VLAN       int    `gorm:"column:vlan"`
	Gateway    Inet   `gorm:"column:gateway"`
	DNS        Texts  `gorm:"column:dns"`
	Network    string `gorm:"column:network"` // the provider's port group
	RangeStart Inet   `gorm:"column:range_start"`
	RangeEnd   Inet   `gorm:"column:range_end"`
	Stamps
}

// TableName names the table.
func (Subnet) TableName() string { return "subnets" }

// IPAddress is an address that is taken, by a VM or by a person's reservation.
type IPAddress struct {
	ID          ID        `gorm:"column:id;primaryKey"`
	SubnetID    ID        `gorm:"column:subnet_id"`
	Address     Inet      `gorm:"column:address"`
	TenantID    *ID       `gorm:"column:tenant_id"`
	VMID        *ID       `gorm:"column:vm_id"`
	Description string    `gorm:"column:description"`
	CreatedAt   time.Time `gorm:"column:created_at;default:now()"`
}

// TableName names the table.
func (IPAddress) TableName() string { return "ip_addresses" }
