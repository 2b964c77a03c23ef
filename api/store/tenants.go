package store

import (
	"context"
	"fmt"
	"strings"

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
	return authz.Resource{Kind: kind, Path: t.Path, Frozen: t.Frozen}
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

// deepest is how many levels the tree of tenants may have.
const deepest = 16

// CreateTenant writes a new tenant below its parent, or as a root. The caller restructures.
func CreateTenant(db *gorm.DB, t *Tenant, parent *Tenant) error {
	t.ID, t.FullName, t.Path = models.NewID(), t.Name, nil
	if parent != nil {
		t.Frozen = parent.Frozen
		t.ParentID, t.FullName, t.Path = &parent.ID, parent.FullName+"/"+t.Name, append(t.Path, parent.Path...)
	}
	t.Path = append(t.Path, t.ID)
	if len(t.Path) > deepest {
		return models.Faultf(models.CodeInvalid, "Tenants can be nested %d levels deep at most.", deepest)
	}
	return nameOrFault(db.Create(t).Error, t.FullName)
}

// UpdateTenant writes a tenant's name and description. The full names of everything below follow. The caller
// restructures.
func UpdateTenant(db *gorm.DB, t *Tenant, name, description string) error {
	old := t.FullName
	full := old[:len(old)-len(t.Name)] + name
	if full != old {
		err := db.Exec(`UPDATE tenants SET full_name = ? || substr(full_name, ?), version = version + 1, updated_at = now()
			WHERE path @> ?::uuid[] AND id <> ?`, full, len(old)+1, IDs{t.ID}, t.ID).Error
		if err := nameOrFault(err, full); err != nil {
			return err
		}
	}
	err := db.Raw("UPDATE tenants SET name = ?, full_name = ?, description = ?, version = version + 1, updated_at = now() WHERE id = ? RETURNING *",
		name, full, description, t.ID).Scan(t).Error
	return nameOrFault(err, full)
}

func nameOrFault(err error, full string) error {
	if Violated(err) == "tenants_name" {
		return models.Faultf(models.CodeNameTaken, "There is a tenant %s already. Choose another name.", full).Because(err)
	}
	if err != nil {
		return fmt.Errorf("write tenant %s: %w", full, err)
	}
	return nil
}

// tenantHolds counts what keeps a tenant from being deleted.
const tenantHolds = `
SELECT n || ' ' || what FROM (VALUES
	((SELECT count(*) FROM tenants WHERE parent_id = @id), 'sub-tenants'),
	((SELECT count(*) FROM vms WHERE tenant_id = @id), 'virtual machines'),
	((SELECT count(*) FROM baremetals WHERE tenant_id = @id), 'leased physical servers'),
	((SELECT count(*) FROM subnets WHERE tenant_id = @id), 'subnets'),
	((SELECT count(*) FROM ip_addresses WHERE tenant_id = @id AND vm_id IS NULL), 'reserved addresses'),
	((SELECT count(*) FROM operations WHERE tenant_id = @id AND state IN ('accepted', 'running', 'blocked', 'cancelling')), 'operations under way')
) h (n, what) WHERE n > 0`

// DeleteTenant removes an empty tenant with its quotas and role bindings. The history of its operations goes to its
// parent. The caller restructures.
func DeleteTenant(db *gorm.DB, t Tenant) error {
	var holds []string
	if err := db.Raw(tenantHolds, map[string]any{"id": t.ID}).Scan(&holds).Error; err != nil {
		return fmt.Errorf("look into tenant %s: %w", t.FullName, err)
	}
	if len(holds) > 0 {
		return models.Faultf(models.CodeInUse, "Tenant %s is not empty: it has %s. Remove them first.", t.FullName, strings.Join(holds, ", "))
	}
	if err := db.Exec("UPDATE operations SET tenant_id = ? WHERE tenant_id = ?", t.ParentID, t.ID).Error; err != nil {
		return fmt.Errorf("hand on the history of tenant %s: %w", t.FullName, err)
	}
	if err := db.Where("id = ?", t.ID).Delete(&models.Tenant{}).Error; err != nil {
		return fmt.Errorf("delete tenant %s: %w", t.FullName, err)
	}
	return nil
}
