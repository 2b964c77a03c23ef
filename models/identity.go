package models

import (
	"database/sql/driver"
	"slices"
	"time"
)

// User is a person, or a service account: a program that belongs to a tenant.
type User struct {
	ID       ID     `gorm:"column:id;primaryKey"`
	Name     string `gorm:"column:name"` // of a service account with its tenant's behind an at sign
	Email    string `gorm:"column:email"`
	TenantID *ID    `gorm:"column:tenant_id"` // of a service account
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
	TenantID   *ID        `gorm:"column:tenant_id"` // what it is narrowed to
	Roles      Roles      `gorm:"column:roles;type:text[]"`
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

// Covers reports whether who has the role may do all that comes with a lesser one, wherever both are roles.
func (r Role) Covers(lesser Role) bool {
	if r == lesser || r == RoleAdmin && (lesser == RoleOperator || lesser == RoleAuditor) {
		return true
	}
	held, asked := slices.Index(TenantRoles, r), slices.Index(TenantRoles, lesser)
	return held >= 0 && asked > held
}

// Roles is a text[] column that may be null.
type Roles []Role

// Scan reads Postgres' text form of an array; null is nil.
func (r *Roles) Scan(v any) error {
	*r = nil
	if v == nil {
		return nil
	}
	var names Texts
	if err := names.Scan(v); err != nil {
		return err
	}
	for _, name := range names {
		*r = append(*r, Role(name))
	}
	return nil
}

// Value writes Postgres' text form of an array, or null.
func (r Roles) Value() (driver.Value, error) {
	if r == nil {
		return nil, nil
	}
	names := make(Texts, len(r))
	for i, role := range r {
		names[i] = string(role)
	}
	return names.Value()
}

// GormDataType names the column's type.
func (Roles) GormDataType() string { return "text[]" }

// RoleBinding gives an actor a role on a tenant; without a tenant, on the platform.
type RoleBinding struct {
	ID        ID        `gorm:"column:id;primaryKey"`
	ActorID   ID        `gorm:"column:actor_id"`
	Role      Role      `gorm:"column:role"`
	TenantID  *ID       `gorm:"column:tenant_id"`
	CreatedAt time.Time `gorm:"column:created_at;default:now()"`

	GroupBindingID *ID `gorm:"column:group_binding_id"` // that it comes from; nil: it was given by hand
}

// TableName names the table.
func (RoleBinding) TableName() string { return "role_bindings" }

// GroupBinding gives a role to all who are in a group at the OpenID provider, whenever they sign in.
type GroupBinding struct {
	ID        ID        `gorm:"column:id;primaryKey"`
	Group     string    `gorm:"column:group_name"`
	Role      Role      `gorm:"column:role"`
	TenantID  *ID       `gorm:"column:tenant_id"`
	CreatedAt time.Time `gorm:"column:created_at;default:now()"`
}

// TableName names the table.
func (GroupBinding) TableName() string { return "group_bindings" }

// Identity says who a subject of an OpenID provider is here.
type Identity struct {
	ID        ID        `gorm:"column:id;primaryKey"`
	Issuer    string    `gorm:"column:issuer"`
	Subject   string    `gorm:"column:subject"`
	UserID    ID        `gorm:"column:user_id"`
	IssuedAt  time.Time `gorm:"column:issued_at;default:'epoch'"` // of the newest ID token that was seen
	CreatedAt time.Time `gorm:"column:created_at;default:now()"`
}

// TableName names the table.
func (Identity) TableName() string { return "identities" }

// Claims are what an OpenID provider says of a person who signs in.
type Claims struct {
	Issuer    string
	Subject   string
	Username  string
	Email     string
	Groups    []string
	IssuedAt  time.Time
	ExpiresAt time.Time
}

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
	TraceID       string    `gorm:"column:trace_id"`
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
