package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// Users lists people by their name.
func (s *Store) Users(ctx context.Context, p Page) ([]models.User, error) {
	var out []models.User
	if err := p.Of(s.DB.WithContext(ctx).Where("tenant_id IS NULL"), "name").Find(&out).Error; err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return out, nil
}

// FindUser finds a user by id or name.
func FindUser(db *gorm.DB, ref string) (models.User, error) {
	if id, err := uuid.Parse(ref); err == nil && len(ref) == 36 {
		return take[models.User](db, "user", id)
	}
	var u models.User
	if err := db.Where("name = ?", ref).Take(&u).Error; err != nil {
		if NotFound(err) {
			return u, models.Faultf(models.CodeNotFound, "There is no such user.").Because(err)
		}
		return u, fmt.Errorf("find a user: %w", err)
	}
	return u, nil
}

// CreateUser writes a new user.
func CreateUser(db *gorm.DB, u *models.User) error {
	err := db.Create(u).Error
	if Violated(err) == "users_name" {
		return models.Faultf(models.CodeNameTaken, "There is a user named %s already. Choose another name.", u.Name).Because(err)
	}
	if err != nil {
		return fmt.Errorf("create a user: %w", err)
	}
	return nil
}

// DeleteUser removes a user with their tokens and roles. What they did stays in the audit log.
func DeleteUser(db *gorm.DB, id models.ID) error {
	owned, err := ownedBy(db, id)
	if err != nil {
		return err
	}
	if err := db.Where("id = ?", id).Delete(&models.User{}).Error; err != nil {
		return fmt.Errorf("delete a user: %w", err)
	}
	if err := keepOwners(db, owned); err != nil {
		return err
	}
	return KeepAnAdmin(db)
}

// KeepAnAdmin refuses a change that leaves the platform without an admin: nobody could mend that through the API.
// The caller holds the structure lock, so that two such changes cannot pass each other.
func KeepAnAdmin(db *gorm.DB) error {
	var left bool
	if err := db.Raw("SELECT EXISTS (SELECT FROM role_bindings WHERE tenant_id IS NULL AND role = 'admin')").Scan(&left).Error; err != nil {
		return fmt.Errorf("count the platform's admins: %w", err)
	}
	if !left {
		return models.Faultf(models.CodeInUse, "This is the platform's only admin. Make somebody else an admin of the platform first.")
	}
	return nil
}
