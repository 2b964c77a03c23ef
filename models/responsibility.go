package models

// Maintainer is a person to turn to about the resources that they are assigned to.
type Maintainer struct {
	ID          ID     `gorm:"column:id;primaryKey"`
	Name        string `gorm:"column:name"`
	DisplayName string `gorm:"column:display_name"`
	Email       string `gorm:"column:email"`
	Phone       string `gorm:"column:phone"`
	Chat        string `gorm:"column:chat"`
	UserID      *ID    `gorm:"column:user_id"` // their account, if they have one
	Stamps
}

// TableName names the table.
func (Maintainer) TableName() string { return "maintainers" }

// MaintainerGroup is a set of maintainers who look after things together.
type MaintainerGroup struct {
	ID          ID     `gorm:"column:id;primaryKey"`
	Name        string `gorm:"column:name"`
	Description string `gorm:"column:description"`
	Stamps
}

// TableName names the table.
func (MaintainerGroup) TableName() string { return "maintainer_groups" }

// Assignment makes a maintainer, or a group of them, responsible for a resource. Of those responsible for a resource,
// one is the primary.
type Assignment struct {
	ID                ID     `gorm:"column:id;primaryKey"`
	ResourceKind      string `gorm:"column:resource_kind"`
	ResourceID        string `gorm:"column:resource_id"` // of a region: its name
	TenantID          *ID    `gorm:"column:tenant_id"`   // the resource's; nil: the platform's
	MaintainerID      *ID    `gorm:"column:maintainer_id"`
	MaintainerGroupID *ID    `gorm:"column:maintainer_group_id"`
	Primary           bool   `gorm:"column:is_primary"`
	Stamps
}

// TableName names the table.
func (Assignment) TableName() string { return "assignments" }
