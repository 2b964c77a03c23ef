package store

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// RoleBinding is a role binding with the names of what it binds.
type RoleBinding struct {
	models.RoleBinding
	UserName   string `gorm:"column:user_name"`
	TenantName string `gorm:"column:tenant_name"`
	Path       IDs    `gorm:"column:path"`       // of the tenant; empty: the platform
	Group      string `gorm:"column:group_name"` // that it comes from
	Frozen     bool   `gorm:"column:frozen"`     // the tenant is suspended
}

const roleBindings = `role_bindings b JOIN users u ON u.id = b.actor_id LEFT JOIN tenants t ON t.id = b.tenant_id
	LEFT JOIN group_bindings g ON g.id = b.group_binding_id`

const roleBindingColumns = `b.*, u.name AS user_name, coalesce(t.full_name, '') AS tenant_name, coalesce(t.path, '{}') AS path,
	coalesce(t.frozen, false) AS frozen, coalesce(g.group_name, '') AS group_name`

// RoleBindingFilter chooses role bindings. Empty fields choose all.
type RoleBindingFilter struct {
	User   *models.ID
	Tenant *models.ID
}

// RoleBindings lists the bindings on the tenants that someone may see, and their own.
func (s *Store) RoleBindings(ctx context.Context, see Scope, self models.ID, f RoleBindingFilter, p Page) ([]RoleBinding, error) {
	q := s.DB.WithContext(ctx).Table(roleBindings).Select(roleBindingColumns)
	if !see.All {
		q = q.Where("(b.actor_id = ? OR t.path && ?::uuid[])", self, see.Tenants)
	}
	if f.User != nil {
		q = q.Where("b.actor_id = ?", *f.User)
	}
	if f.Tenant != nil {
		q = q.Where("b.tenant_id = ?", *f.Tenant)
	}
	out := []RoleBinding{}
	if err := p.Of(q, "b.id").Scan(&out).Error; err != nil {
		return nil, fmt.Errorf("list role bindings: %w", err)
	}
	return out, nil
}

// FindRoleBinding reads a role binding.
func FindRoleBinding(db *gorm.DB, id models.ID) (RoleBinding, error) {
	var out []RoleBinding
	if err := db.Table(roleBindings).Select(roleBindingColumns).Where("b.id = ?", id).Scan(&out).Error; err != nil {
		return RoleBinding{}, fmt.Errorf("read a role binding: %w", err)
	}
	if len(out) == 0 {
		return RoleBinding{}, models.Faultf(models.CodeNotFound, "There is no such role-binding that you can see.")
	}
	return out[0], nil
}

// CreateRoleBinding writes a new role binding.
func CreateRoleBinding(db *gorm.DB, b *models.RoleBinding) error {
	err := db.Create(b).Error
	if Violated(err) == "role_bindings_once" {
		return models.Faultf(models.CodeNameTaken, "The user has this role there already.").Because(err)
	}
	if err != nil {
		return fmt.Errorf("create a role binding: %w", err)
	}
	return nil
}

// DeleteRoleBinding takes a role away.
func DeleteRoleBinding(db *gorm.DB, b RoleBinding) error {
	if err := db.Where("id = ?", b.ID).Delete(&models.RoleBinding{}).Error; err != nil {
		return fmt.Errorf("delete a role binding: %w", err)
	}
	switch {
	case b.TenantID == nil:
		return KeepAnAdmin(db)
	case b.Role == models.RoleOwner:
		return keepOwners(db, IDs{*b.TenantID})
	}
	return nil
}

// ownedBy lists the tenants that a user is an owner of.
func ownedBy(db *gorm.DB, user models.ID) (IDs, error) {
	out := IDs{}
	err := db.Raw("SELECT tenant_id FROM role_bindings WHERE actor_id = ? AND role = 'owner'", user).Scan(&out).Error
	if err != nil {
		return nil, fmt.Errorf("list the tenants that a user owns: %w", err)
	}
	return out, nil
}

const ownerless = `SELECT full_name FROM tenants t WHERE id IN ?
	AND NOT EXISTS (SELECT FROM role_bindings b WHERE b.role = 'owner' AND b.tenant_id = ANY (t.path)) ORDER BY full_name LIMIT 1`

// keepOwners refuses a change that took the last owner from one of these tenants, unless one above it has an owner. The
// caller holds the structure lock, so that two such changes cannot pass each other.
func keepOwners(db *gorm.DB, tenants IDs) error {
	var left []string
	if len(tenants) == 0 {
		return nil
	}
	if err := db.Raw(ownerless, []models.ID(tenants)).Scan(&left).Error; err != nil {
		return fmt.Errorf("count the owners of tenants: %w", err)
	}
	if len(left) > 0 {
		return models.Faultf(models.CodeInUse, "This is the only owner of tenant %s. Make somebody else its owner first.", left[0])
	}
	return nil
}

// Key is what lists of role bindings are in the order of.
func (b RoleBinding) Key() string { return b.ID.String() }
