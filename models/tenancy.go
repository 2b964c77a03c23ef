package models

import "time"

// Tenant owns resources. Tenants form a tree; what a child uses counts against every ancestor.
type Tenant struct {
	ID          ID     `gorm:"column:id;primaryKey"`
	ParentID    *ID    `gorm:"column:parent_id"`
	Name        string `gorm:"column:name"`
	FullName    string `gorm:"column:full_name"` // such as acme/dev
	Description string `gorm:"column:description"`

	SuspendedAt *time.Time `gorm:"column:suspended_at"`
	Frozen      bool       `gorm:"column:frozen"`     // it, or a tenant above it, is suspended
	Overcommit  bool       `gorm:"column:overcommit"` // those below it may be promised more than it has
	Stamps
}

// TableName names the table.
func (Tenant) TableName() string { return "tenants" }

// Stamps is what every changeable row has. Version is the resource's ETag.
type Stamps struct {
	Version   int64     `gorm:"column:version;default:1"`
	CreatedAt time.Time `gorm:"column:created_at;default:now()"`
	UpdatedAt time.Time `gorm:"column:updated_at;default:now()"`
}

// Quota limits what a tenant and everything below it may use, in one group or everywhere.
type Quota struct {
	ID       ID         `gorm:"column:id;primaryKey"`
	TenantID ID         `gorm:"column:tenant_id"`
	GroupID  *ID        `gorm:"column:group_id"` // nil: everywhere
	Limit    QuotaLimit `gorm:"embedded"`
	Used     QuotaUse   `gorm:"embedded"`
	Stamps
}

// TableName names the table.
func (Quota) TableName() string { return "quotas" }

// QuotaLimit holds the limits of a quota; nil is no limit.
type QuotaLimit struct {
	VCPU        *int64 `gorm:"column:vcpu_limit"`
	MemoryMiB   *int64 `gorm:"column:memory_mib_limit"`
	StorageGiB  *int64 `gorm:"column:storage_gib_limit"`
	GPU         *int64 `gorm:"column:gpu_limit"`
	VMs         *int64 `gorm:"column:vms_limit"`
	Baremetals  *int64 `gorm:"column:baremetals_limit"`
	Clusters    *int64 `gorm:"column:clusters_limit"`
	IPAddresses *int64 `gorm:"column:ip_addresses_limit"`
}

// Values returns the limits in the order of Resources.
func (l QuotaLimit) Values() []*int64 {
	return []*int64{l.VCPU, l.MemoryMiB, l.StorageGiB, l.GPU, l.VMs, l.Baremetals, l.Clusters, l.IPAddresses}
}

// Thresholds are the percentages of a limit at which an event is raised.
var Thresholds = []int64{80, 95}

// QuotaEvent tells that the use of a quota crossed a threshold upwards.
type QuotaEvent struct {
	ID        ID         `gorm:"column:id;primaryKey"`
	QuotaID   ID         `gorm:"column:quota_id"`
	TenantID  ID         `gorm:"column:tenant_id"`
	Resource  string     `gorm:"column:resource"`
	Threshold int64      `gorm:"column:threshold"` // in percent
	Used      int64      `gorm:"column:used"`      // when it was raised
	Max       int64      `gorm:"column:max"`
	RaisedAt  time.Time  `gorm:"column:raised_at"`
	ClearedAt *time.Time `gorm:"column:cleared_at"`
}

// TableName names the table.
func (QuotaEvent) TableName() string { return "quota_events" }

// UsageDay is what a tenant and everything below it used at the end of a day.
type UsageDay struct {
	Day      time.Time `gorm:"column:day;primaryKey"`
	TenantID ID        `gorm:"column:tenant_id;primaryKey"`
	Amount   `gorm:"embedded"`
	Counted  time.Time `gorm:"column:counted_at"`
}

// TableName names the table.
func (UsageDay) TableName() string { return "usage_days" }

// QuotaUse holds what counts against a quota: the sum of the ledger's rows under it.
type QuotaUse struct {
	VCPU        int64 `gorm:"column:vcpu_used"`
	MemoryMiB   int64 `gorm:"column:memory_mib_used"`
	StorageGiB  int64 `gorm:"column:storage_gib_used"`
	GPU         int64 `gorm:"column:gpu_used"`
	VMs         int64 `gorm:"column:vms_used"`
	Baremetals  int64 `gorm:"column:baremetals_used"`
	Clusters    int64 `gorm:"column:clusters_used"`
	IPAddresses int64 `gorm:"column:ip_addresses_used"`
}

// Amount returns the use as an amount.
func (u QuotaUse) Amount() Amount {
	return Amount{Size: Size{u.VCPU, u.MemoryMiB, u.StorageGiB, u.GPU}, VMs: u.VMs, Baremetals: u.Baremetals, Clusters: u.Clusters, IPAddresses: u.IPAddresses}
}
