package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// ServiceAccount is a service account with its tenant.
type ServiceAccount struct {
	models.User
	TenantName string `gorm:"column:tenant_name"`
	Path       IDs    `gorm:"column:path"`
}

// Key is what lists of service accounts are in the order of.
func (s ServiceAccount) Key() string { return s.ID.String() }

const (
	serviceAccounts       = `users u JOIN tenants t ON t.id = u.tenant_id`
	serviceAccountColumns = `u.*, t.full_name AS tenant_name, t.path`
)

// ServiceAccounts lists the service accounts of the tenants that someone may see; tenant nil is all of them.
func (s *Store) ServiceAccounts(ctx context.Context, see Scope, tenant *models.ID, p Page) ([]ServiceAccount, error) {
	q := s.DB.WithContext(ctx).Table(serviceAccounts).Select(serviceAccountColumns)
	if !see.All {
		q = q.Where("t.path && ?::uuid[]", see.Tenants)
	}
	if tenant != nil {
		q = q.Where("u.tenant_id = ?", *tenant)
	}
	out := []ServiceAccount{}
	if err := p.Of(q, "u.id").Scan(&out).Error; err != nil {
		return nil, fmt.Errorf("list service accounts: %w", err)
	}
	return out, nil
}

// FindServiceAccount reads a service account by its id or full name.
func FindServiceAccount(db *gorm.DB, ref string) (ServiceAccount, error) {
	var out []ServiceAccount
	q := db.Table(serviceAccounts).Select(serviceAccountColumns)
	if id, err := uuid.Parse(ref); err == nil && len(ref) == 36 {
		q = q.Where("u.id = ?", id)
	} else {
		q = q.Where("u.name = ?", ref)
	}
	if err := q.Scan(&out).Error; err != nil {
		return ServiceAccount{}, fmt.Errorf("read a service account: %w", err)
	}
	if len(out) == 0 {
		return ServiceAccount{}, models.Faultf(models.CodeNotFound, "There is no such service-account that you can see.")
	}
	return out[0], nil
}

// BindingsOf lists the roles of a user.
func BindingsOf(db *gorm.DB, user models.ID) ([]RoleBinding, error) {
	out := []RoleBinding{}
	if err := db.Table(roleBindings).Select(roleBindingColumns).Where("b.actor_id = ?", user).Scan(&out).Error; err != nil {
		return nil, fmt.Errorf("list a user's roles: %w", err)
	}
	return out, nil
}
