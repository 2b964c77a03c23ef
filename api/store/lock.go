package store

import (
	"context"
	"fmt"

	"gorm.io/gorm"
)

// The structure lock keeps the shape of things (the tree of tenants, which quotas and groups exist, which host is in
// which group) still while a transaction takes or gives back amounts. Accepts and reports share it; whoever changes
// the shape holds it alone.
const (
	ShareStructure = "SELECT pg_advisory_xact_lock_shared(7083310001)"
	holdStructure  = "SELECT pg_advisory_xact_lock(7083310001)"
)

// Restructure runs fn in a transaction that alone may change the shape of things.
func (s *Store) Restructure(ctx context.Context, fn func(tx *gorm.DB) error) error {
	return s.DB.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := tx.Exec(holdStructure).Error; err != nil {
			return fmt.Errorf("take the structure lock: %w", err)
		}
		return fn(tx)
	})
}
