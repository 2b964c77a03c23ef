package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
)

// Tenant is a tenant with its place in the tree.
type Tenant struct {
	models.Tenant
	Path IDs `gorm:"column:path"` // from the root down, itself last
}

// TableName names the table.
func (Tenant) TableName() string { return "tenants" }

// Resource is the tenant, or anything of the kind that it owns, as the policies see it.
func (t Tenant) Resource(kind string) authz.Resource {
	return authz.Resource{Kind: kind, Path: t.Path}
}

// FindTenant finds a tenant by its id or its full name.
func FindTenant(db *gorm.DB, ref string) (Tenant, error) {
	var t Tenant
	q := db.Where("full_name = ?", ref)
	if id, err := uuid.Parse(ref); err == nil && len(ref) == 36 {
		q = db.Where("id = ?", id)
	}
	if err := q.Take(&t).Error; err != nil {
		if NotFound(err) {
			return t, models.Faultf(models.CodeNotFound, "There is no such tenant that you can see.").Because(err)
		}
		return t, fmt.Errorf("find a tenant: %w", err)
	}
	return t, nil
}

// Tenant finds a tenant by its id or its full name.
func (s *Store) Tenant(ctx context.Context, ref string) (Tenant, error) {
	return FindTenant(s.DB.WithContext(ctx), ref)
}

// TenantFilter chooses tenants. Empty fields choose all.
type TenantFilter struct {
	FullName string
	Parent   *models.ID // direct children
	Subtree  *models.ID // itself and everything below
}

// Tenants lists tenants by their full name.
func (s *Store) Tenants(ctx context.Context, see Scope, f TenantFilter, p Page) ([]Tenant, error) {
	q := s.DB.WithContext(ctx)
	switch {
	case see.All:
	case len(see.Tenants) == 0:
		return nil, nil
	default:
		q = q.Where("path && ?::uuid[]", see.Tenants)
	}
	if f.FullName != "" {
		q = q.Where("full_name = ?", f.FullName)
	}
	if f.Parent != nil {
		q = q.Where("parent_id = ?", *f.Parent)
	}
	if f.Subtree != nil {
		q = q.Where("path @> ?::uuid[]", IDs{*f.Subtree})
	}
	var out []Tenant
	if err := p.Of(q, "full_name").Find(&out).Error; err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	return out, nil
}

// TenantNames returns the full names of tenants by their id.
func (s *Store) TenantNames(ctx context.Context, ids []models.ID) (map[models.ID]string, error) {
	return TenantNames(s.DB.WithContext(ctx), ids)
}

// TenantNames returns the full names of tenants by their id.
func TenantNames(db *gorm.DB, ids []models.ID) (map[models.ID]string, error) {
	out := map[models.ID]string{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []struct {
		ID       models.ID `gorm:"column:id"`
		FullName string    `gorm:"column:full_name"`
	}
	if err := db.Table("tenants").Select("id, full_name").Where("id IN ?", ids).Scan(&rows).Error; err != nil {
		return nil, fmt.Errorf("read the names of tenants: %w", err)
	}
	for _, r := range rows {
		out[r.ID] = r.FullName
	}
	return out, nil
}
