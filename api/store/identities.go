package store

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// Identities lists who a user is at OpenID providers.
func (s *Store) Identities(ctx context.Context, user models.ID, p Page) ([]models.Identity, error) {
	var out []models.Identity
	if err := p.Of(s.DB.WithContext(ctx).Where("user_id = ?", user), "id").Find(&out).Error; err != nil {
		return nil, fmt.Errorf("list identities: %w", err)
	}
	return out, nil
}

// FindIdentity reads one of a user's identities.
func FindIdentity(db *gorm.DB, user, id models.ID) (models.Identity, error) {
	return take[models.Identity](db.Where("user_id = ?", user), "identity", id)
}

// CreateIdentity makes an identity that of a user.
func CreateIdentity(db *gorm.DB, i *models.Identity) error {
	err := db.Omit("IssuedAt").Create(i).Error
	if Violated(err) == "identities_once" {
		return models.Faultf(models.CodeNameTaken, "This subject of the provider is a user already. Take it from that one first.").Because(err)
	}
	if err != nil {
		return fmt.Errorf("create an identity: %w", err)
	}
	return nil
}

// DeleteIdentity takes an identity from a user, with the roles that came with its groups.
func DeleteIdentity(db *gorm.DB, user, id models.ID) (models.Identity, error) {
	i, err := FindIdentity(db, user, id)
	if err != nil {
		return i, err
	}
	if err := db.Where("id = ?", id).Delete(&models.Identity{}).Error; err != nil {
		return i, fmt.Errorf("delete an identity: %w", err)
	}
	owned, err := ownedBy(db, user)
	if err != nil {
		return i, err
	}
	err = db.Exec(`DELETE FROM role_bindings WHERE actor_id = ? AND group_binding_id IS NOT NULL
		AND NOT EXISTS (SELECT FROM identities WHERE user_id = ?)`, user, user).Error
	if err != nil {
		return i, fmt.Errorf("take the roles of an identity's groups: %w", err)
	}
	if err := keepOwners(db, owned); err != nil {
		return i, err
	}
	return i, KeepAnAdmin(db)
}
