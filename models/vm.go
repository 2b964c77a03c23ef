package models

// VM is a virtual machine placed on a hypervisor of a group.
type VM struct {
	ID             ID      `gorm:"column:id;primaryKey"`
	TenantID       ID      `gorm:"column:tenant_id"`
	Name           string  `gorm:"column:name"`
	Region         string  `gorm:"column:region"`
	GroupID        ID      `gorm:"column:group_id"`
	BaremetalID    ID      `gorm:"column:baremetal_id"`
	ImageID        ID      `gorm:"column:image_id"`
	FlavorID       *ID     `gorm:"column:flavor_id"`
	SubnetID       ID      `gorm:"column:subnet_id"`
	Address        Inet    `gorm:"column:address"`
	State          VMState `gorm:"column:state"`
	Size           `gorm:"embedded"`
	ProviderRef    string `gorm:"column:provider_ref"`
	Hostname       string `gorm:"column:hostname"`
	GuestAddresses Texts  `gorm:"column:guest_addresses"` // as the guest reported them
	CreatedBy      string `gorm:"column:created_by"`
	Stamps
}

// TableName names the table.
func (VM) TableName() string { return "vms" }
