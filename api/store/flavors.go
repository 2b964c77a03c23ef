package store

import (
	"context"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// FlavorFilter narrows a list of flavors.
type FlavorFilter struct {
	Name string
	IDPage
}

// Flavors lists flavors in the order in which they were made.
func (s *Store) Flavors(ctx context.Context, f FlavorFilter) ([]models.Flavor, error) {
	w := new(where).and("id > ?", f.After).given("name = ?", f.Name)
	return rows[models.Flavor](s.DB.WithContext(ctx), "SELECT * FROM flavors WHERE "+w.String()+" ORDER BY id LIMIT ?", append(w.args, f.Limit)...)
}

// Flavor reads one flavor.
func (s *Store) Flavor(ctx context.Context, id models.ID) (models.Flavor, error) {
	return FlavorByID(s.DB.WithContext(ctx), id)
}

// FlavorByID reads one flavor within a transaction.
func FlavorByID(tx *gorm.DB, id models.ID) (models.Flavor, error) {
	f, err := row[models.Flavor](tx, "SELECT * FROM flavors WHERE id = ?", id)
	return found(f, err, "flavor", id.String())
}

// CreateFlavor adds a flavor.
func CreateFlavor(tx *gorm.DB, f *models.Flavor) error {
	return refused(tx.Create(f).Error, map[string]*models.Fault{"flavors_name": taken("flavor", f.Name, "")})
}

// DeleteFlavor removes a flavor that no machine has.
func DeleteFlavor(tx *gorm.DB, f models.Flavor) error {
	if err := unused(tx, "flavor", f.Name, f.ID, [2]string{"vms", "SELECT count(*) FROM vms WHERE flavor_id = ?"}); err != nil {
		return err
	}
	return referenced(tx.Exec("DELETE FROM flavors WHERE id = ?", f.ID).Error, "flavor", f.Name)
}
