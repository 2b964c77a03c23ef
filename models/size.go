package models

// Size is what a resource takes from a quota and from a host.
type Size struct {
	VCPU       int64 `json:"vcpu" gorm:"column:vcpu"`
	MemoryMiB  int64 `json:"memory_mib" gorm:"column:memory_mib"`
	StorageGiB int64 `json:"storage_gib" gorm:"column:storage_gib"`
	GPU        int64 `json:"gpu" gorm:"column:gpu"`
}

// Add returns the sum of both sizes.
func (s Size) Add(o Size) Size {
	return Size{s.VCPU + o.VCPU, s.MemoryMiB + o.MemoryMiB, s.StorageGiB + o.StorageGiB, s.GPU + o.GPU}
}

// Sub returns s less o.
func (s Size) Sub(o Size) Size {
	return Size{s.VCPU - o.VCPU, s.MemoryMiB - o.MemoryMiB, s.StorageGiB - o.StorageGiB, s.GPU - o.GPU}
}

// Max returns the larger of both in each resource.
func (s Size) Max(o Size) Size {
	return Size{max(s.VCPU, o.VCPU), max(s.MemoryMiB, o.MemoryMiB), max(s.StorageGiB, o.StorageGiB), max(s.GPU, o.GPU)}
}

// Fits reports whether s is at most free in every resource.
func (s Size) Fits(free Size) bool {
	return s.VCPU <= free.VCPU && s.MemoryMiB <= free.MemoryMiB && s.StorageGiB <= free.StorageGiB && s.GPU <= free.GPU
}

// Amount is everything a quota counts.
type Amount struct {
	Size
	VMs         int64 `json:"vms" gorm:"column:vms"`
	Baremetals  int64 `json:"baremetals" gorm:"column:baremetals"`
	Clusters    int64 `json:"clusters" gorm:"column:clusters"`
	IPAddresses int64 `json:"ip_addresses" gorm:"column:ip_addresses"`
}

// Add returns the sum of both amounts.
func (a Amount) Add(o Amount) Amount {
	return Amount{a.Size.Add(o.Size), a.VMs + o.VMs, a.Baremetals + o.Baremetals, a.Clusters + o.Clusters, a.IPAddresses + o.IPAddresses}
}

// Resources are the names of what a quota counts, in the order they are shown.
var Resources = []string{"vcpu", "memory_mib", "storage_gib", "gpu", "vms", "baremetals", "clusters", "ip_addresses"}

// Values returns the amount in the order of Resources.
func (a Amount) Values() []int64 {
	return []int64{a.VCPU, a.MemoryMiB, a.StorageGiB, a.GPU, a.VMs, a.Baremetals, a.Clusters, a.IPAddresses}
}
