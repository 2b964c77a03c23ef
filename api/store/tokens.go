package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// tokenMark begins every token, so that one is recognised where it must not be, such as in a repository.
const tokenMark = "ys_"

// NewToken makes a token that is good until expires. The secret is returned once; what is stored recognises it by its
// hash. The secret is random enough that a plain hash cannot be reversed.
func NewToken(user models.ID, name string, expires time.Time) (secret string, row models.Token) {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails: it ends the program instead
	secret = tokenMark + base64.RawURLEncoding.EncodeToString(raw)
	hash := sha256.Sum256([]byte(secret))
	row = models.Token{
		ID: models.NewID(), ActorID: user, Name: name, Prefix: secret[:len(tokenMark)+6], Hash: hash[:],
		ExpiresAt: expires.UTC().Truncate(time.Microsecond), CreatedAt: time.Now().UTC().Truncate(time.Microsecond),
	}
	return secret, row
}

// Tokens lists a user's tokens, the newest first.
func (s *Store) Tokens(ctx context.Context, user models.ID, p Page) ([]models.Token, error) {
	var out []models.Token
	if err := p.Of(s.DB.WithContext(ctx).Where("actor_id = ?", user), "id").Find(&out).Error; err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return out, nil
}

// Token reads a token.
func Token(db *gorm.DB, id models.ID) (models.Token, error) {
	return take[models.Token](db, "token", id)
}

// TokenBindings lists what a token may do: the roles of its owner, narrowed as the token is.
func TokenBindings(db *gorm.DB, token models.ID) ([]models.RoleBinding, error) {
	var out []models.RoleBinding
	if err := db.Table("token_bindings").Where("token_id = ?", token).Find(&out).Error; err != nil {
		return nil, fmt.Errorf("read the roles of a token: %w", err)
	}
	return out, nil
}

// RevokeToken ends a token at once. A token that has ended stays as it is.
func RevokeToken(db *gorm.DB, id models.ID) error {
	if err := db.Exec("UPDATE tokens SET revoked_at = now() WHERE id = ? AND revoked_at IS NULL", id).Error; err != nil {
		return fmt.Errorf("revoke a token: %w", err)
	}
	return nil
}

// take reads a row by its id, and says in words when there is none.
func take[T any](db *gorm.DB, what string, id models.ID) (T, error) {
	var out T
	if err := db.Where("id = ?", id).Take(&out).Error; err != nil {
		if NotFound(err) {
			return out, models.Faultf(models.CodeNotFound, "There is no such %s that you can see.", what).Because(err)
		}
		return out, fmt.Errorf("read a %s: %w", what, err)
	}
	return out, nil
}
