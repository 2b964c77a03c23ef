package models

import "time"

// Operation is one accepted user intent. Its row is the outbox: a workflow starts for every row not yet dispatched.
type Operation struct {
	ID           ID             `gorm:"column:id;primaryKey"`
	Kind         string         `gorm:"column:kind"` // the workflow's type
	TenantID     *ID            `gorm:"column:tenant_id"`
	Region       string         `gorm:"column:region"`
	ResourceKind string         `gorm:"column:resource_kind"`
	ResourceID   ID             `gorm:"column:resource_id"`
	ResourceName string         `gorm:"column:resource_name"`
	ActorID      ID             `gorm:"column:actor_id"`
	Actor        string         `gorm:"column:actor"`
	State        OperationState `gorm:"column:state"`
	Input        []byte         `gorm:"column:input;type:jsonb"` // the workflow's input, frozen
	Seq          int64          `gorm:"column:seq"`              // of the last report applied
	ErrorCode    Code           `gorm:"column:error_code"`
	Error        *Fault         `gorm:"column:error;serializer:json"`
	Result       []byte         `gorm:"column:result;type:jsonb"`
	DispatchedAt *time.Time     `gorm:"column:dispatched_at"` // when Temporal took it
	RunID        string         `gorm:"column:run_id"`        // of the workflow's run whose reports count
	Generation   int64          `gorm:"column:generation"`    // counts these runs
	Version      int64          `gorm:"column:version"`
	CreatedAt    time.Time      `gorm:"column:created_at"`
	StartedAt    *time.Time     `gorm:"column:started_at"`
	EndedAt      *time.Time     `gorm:"column:ended_at"`
}

// TableName names the table.
func (Operation) TableName() string { return "operations" }

// OperationStep is one line of an operation's story.
type OperationStep struct {
	OperationID ID         `gorm:"column:operation_id;primaryKey"`
	Number      int        `gorm:"column:number;primaryKey"`
	Name        string     `gorm:"column:name"`
	State       StepState  `gorm:"column:state"`
	StartedAt   *time.Time `gorm:"column:started_at"`
	EndedAt     *time.Time `gorm:"column:ended_at"`
	Message     string     `gorm:"column:message"`
}

// TableName names the table.
func (OperationStep) TableName() string { return "operation_steps" }

// OperationIntent is what a person wants of a running operation: cancel, resume or abort.
type OperationIntent struct {
	ID           ID         `gorm:"column:id;primaryKey"`
	OperationID  ID         `gorm:"column:operation_id"`
	Kind         string     `gorm:"column:kind"`
	ActorID      ID         `gorm:"column:actor_id"`
	Actor        string     `gorm:"column:actor"`
	Detail       []byte     `gorm:"column:detail;type:jsonb"` // of a resume: a contract.Intent
	Message      string     `gorm:"column:message"`           // why Temporal refused it
	CreatedAt    time.Time  `gorm:"column:created_at;default:now()"`
	DispatchedAt *time.Time `gorm:"column:dispatched_at"`
}

// TableName names the table.
func (OperationIntent) TableName() string { return "operation_intents" }
