package store

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// GroupBinding is a group binding with the name of its tenant.
type GroupBinding struct {
	models.GroupBinding
	TenantName string `gorm:"column:tenant_name"`
	Path       IDs    `gorm:"column:path"` // of the tenant; empty: the platform
	Frozen     bool   `gorm:"-"`           // the tenant is suspended; only a new binding asks
}

// Key is what lists of group bindings are in the order of.
func (b GroupBinding) Key() string { return b.ID.String() }

const (
	groupBindings       = `group_bindings b LEFT JOIN tenants t ON t.id = b.tenant_id`
	groupBindingColumns = `b.*, coalesce(t.full_name, '') AS tenant_name, coalesce(t.path, '{}') AS path`
)

// GroupBindings lists the bindings on the tenants that someone may see; tenant nil is all of them.
func (s *Store) GroupBindings(ctx context.Context, see Scope, tenant *models.ID, p Page) ([]GroupBinding, error) {
	q := s.DB.WithContext(ctx).Table(groupBindings).Select(groupBindingColumns)
	if !see.All {
		q = q.Where("t.path && ?::uuid[]", see.Tenants)
	}
	if tenant != nil {
		q = q.Where("b.tenant_id = ?", *tenant)
	}
	out := []GroupBinding{}
	if err := p.Of(q, "b.id").Scan(&out).Error; err != nil {
		return nil, fmt.Errorf("list group bindings: %w", err)
	}
	return out, nil
}

// FindGroupBinding reads a group binding.
func FindGroupBinding(db *gorm.DB, id models.ID) (GroupBinding, error) {
	var out []GroupBinding
	if err := db.Table(groupBindings).Select(groupBindingColumns).Where("b.id = ?", id).Scan(&out).Error; err != nil {
		return GroupBinding{}, fmt.Errorf("read a group binding: %w", err)
	}
	if len(out) == 0 {
		return GroupBinding{}, models.Faultf(models.CodeNotFound, "There is no such group-binding that you can see.")
	}
	return out[0], nil
}

// CreateGroupBinding writes a new group binding. Who is in the group has the role from their next sign-in on.
func CreateGroupBinding(db *gorm.DB, b *models.GroupBinding) error {
	err := db.Create(b).Error
	if Violated(err) == "group_bindings_once" {
		return models.Faultf(models.CodeNameTaken, "The group has this role there already.").Because(err)
	}
	if err != nil {
		return fmt.Errorf("create a group binding: %w", err)
	}
	return nil
}

// DeleteGroupBinding takes a role from a group, and at once from everybody who has it from there.
func DeleteGroupBinding(db *gorm.DB, b GroupBinding) error {
	if err := db.Where("id = ?", b.ID).Delete(&models.GroupBinding{}).Error; err != nil {
		return fmt.Errorf("delete a group binding: %w", err)
	}
	switch {
	case b.TenantID == nil:
		return KeepAnAdmin(db)
	case b.Role == models.RoleOwner:
		return keepOwners(db, IDs{*b.TenantID})
	}
	return nil
}
