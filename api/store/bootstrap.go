package store

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// Bootstrap makes sure that there is a user of this name who is an admin of the platform, and returns a fresh token
// for them. It is how the first admin gets in, and how one gets in again.
func (s *Store) Bootstrap(ctx context.Context, name string, ttl time.Duration) (secret string, err error) {
	err = s.Restructure(ctx, func(db *gorm.DB) error {
		user, err := FindUser(db, name)
		if models.IsCode(err, models.CodeNotFound) {
			user = models.User{ID: models.NewID(), Name: name}
			err = CreateUser(db, &user)
		}
		if err != nil {
			return err
		}
		err = db.Exec("INSERT INTO role_bindings (id, actor_id, role) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", models.NewID(), user.ID, models.RoleAdmin).Error
		if err != nil {
			return fmt.Errorf("make %s an admin of the platform: %w", name, err)
		}
		var row models.Token
		secret, row = NewToken(user.ID, "bootstrap", time.Now().Add(ttl))
		if err := db.Create(&row).Error; err != nil {
			return fmt.Errorf("create a token: %w", err)
		}
		c := Change{Action: "token.create"}
		c.Actor.Name = "bootstrap"
		return audit(db, c, Subject{Kind: "token", ID: row.ID.String(), Name: row.Name}, models.AuditDone, map[string]any{"user": name, "expires_at": row.ExpiresAt})
	})
	return secret, err
}
