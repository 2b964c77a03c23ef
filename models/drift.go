package models

import (
	"encoding/json"
	"time"
)

// Drift is a difference between the database and the world.
type Drift struct {
	ID           ID              `gorm:"column:id;primaryKey"`
	Region       string          `gorm:"column:region"`
	Kind         DriftKind       `gorm:"column:kind"`
	ResourceKind string          `gorm:"column:resource_kind"`
	ResourceID   ID              `gorm:"column:resource_id"`
	ResourceName string          `gorm:"column:resource_name"`
	Field        string          `gorm:"column:field"`               // which part, such as disks[sn-4]
	Expected     json.RawMessage `gorm:"column:expected;type:jsonb"` // the fact that was known
	Found        json.RawMessage `gorm:"column:found;type:jsonb"`    // the fact that was seen
	Message      string          `gorm:"column:message"`
	Policy       string          `gorm:"column:policy"` // report, adopt, repair or ignore
	State        string          `gorm:"column:state"`  // open, closed or ignored
	Seen         int64           `gorm:"column:seen"`   // how often
	Reason       string          `gorm:"column:reason"` // why it is ignored
	ClosedAt     *time.Time      `gorm:"column:closed_at"`
	Stamps
}

// TableName names the table.
func (Drift) TableName() string { return "drifts" }

// DriftKind is what differs.
type DriftKind string

// Kinds of drift of a physical server.
const (
	DriftPower       DriftKind = "power"
	DriftHealth      DriftKind = "health"
	DriftSensor      DriftKind = "sensor"
	DriftFirmware    DriftKind = "firmware"
	DriftHardware    DriftKind = "hardware"
	DriftIdentity    DriftKind = "identity"
	DriftUnreachable DriftKind = "unreachable"
)
