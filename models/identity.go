package models

import "time"

// User is a person, or a program that acts like one.
type User struct {
	ID    ID     `gorm:"column:id;primaryKey"`
	Name  string `gorm:"column:name"`
	Email string `gorm:"column:email"`
	Stamps
}

// TableName names the table.
func (User) TableName() string { return "users" }

// Token is a bearer token as it is stored: hashed. Prefix is enough to recognise it by.
type Token struct {
	ID         ID         `gorm:"column:id;primaryKey"`
	ActorID    ID         `gorm:"column:actor_id"`
	Name       string     `gorm:"column:name"`
	Prefix     string     `gorm:"column:prefix"`
	Hash       []byte     `gorm:"column:hash"`
	ExpiresAt  time.Time  `gorm:"column:expires_at"`
	LastUsedAt *time.Time `gorm:"column:last_used_at"`
	RevokedAt  *time.Time `gorm:"column:revoked_at"`
	CreatedAt  time.Time  `gorm:"column:created_at;default:now()"`
}

// TableName names the table.
func (Token) TableName() string { return "tokens" }

// Role is a set of rights on a tenant and everything below it, or on the platform.
type Role string

// Roles. Admin exists on both, the others only on one.
const (
	RoleAdmin    Role = "admin"
	RoleOperator Role = "operator" // platform
	RoleAuditor  Role = "auditor"  // platform
	RoleOwner    Role = "owner"    // tenant
	RoleMember   Role = "member"   // tenant
	RoleViewer   Role = "viewer"   // tenant
)

// PlatformRoles and TenantRoles are the roles in each place, the strongest first.
var (
	PlatformRoles = []Role{RoleAdmin, RoleOperator, RoleAuditor}
	TenantRoles   = []Role{RoleOwner, RoleAdmin, RoleMember, RoleViewer}
)

// RoleBinding gives an actor a role on a tenant; without a tenant, on the platform.
type RoleBinding struct {
	ID        ID        `gorm:"column:id;primaryKey"`
	ActorID   ID        `gorm:"column:actor_id"`
	Role      Role      `gorm:"column:role"`
	TenantID  *ID       `gorm:"column:tenant_id"`
	CreatedAt time.Time `gorm:"column:created_at;default:now()"`
}

// TableName names the table.
func (RoleBinding) TableName() string { return "role_bindings" }

// AuditEvent records one write, one that was refused, a sign-in, a read of a secret, or what a region reported or asked.
type AuditEvent struct {
	ID            ID        `gorm:"column:id;primaryKey"`
	At            time.Time `gorm:"column:at;default:now()"`
	ActorID       *ID       `gorm:"column:actor_id"`
	Actor         string    `gorm:"column:actor"`
	OnBehalfOf    string    `gorm:"column:on_behalf_of"` // for whom, where the actor is a region or a service
	RemoteAddress string    `gorm:"column:remote_address"`
	UserAgent     string    `gorm:"column:user_agent"`
	RequestID     string    `gorm:"column:request_id"`
	Action        string    `gorm:"column:action"`
	ResourceKind  string    `gorm:"column:resource_kind"`
	ResourceID    string    `gorm:"column:resource_id"`
	ResourceName  string    `gorm:"column:resource_name"`
	TenantID      *ID       `gorm:"column:tenant_id"`
	OperationID   *ID       `gorm:"column:operation_id"`
	Outcome       string    `gorm:"column:outcome"`                       // one of the outcomes below
	Code          string    `gorm:"column:code"`                          // why it was refused
	Before        []byte    `gorm:"column:before;type:jsonb"`             // the resource as it was
	After         []byte    `gorm:"column:detail;type:jsonb" db:"detail"` // the resource as it became, or what else there is to say
	TxID          int64     `gorm:"column:txid"`                          // the transaction that wrote it
}

// Outcomes of what the audit log records.
const (
	AuditAccepted = "accepted" // an operation is on its way
	AuditDone     = "done"
	AuditRefused  = "refused"
)

// TableName names the table.
func (AuditEvent) TableName() string { return "audit_events" }
