package store

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// Occupant is a machine that stands in a rack, as far as people who stand before it want to know.
type Occupant struct {
	ID          models.ID
	Name        string
	Unit        int `gorm:"column:rack_unit"` // the lowest that it takes; 0: nobody said
	Height      int `gorm:"column:rack_height"`
	Role        string
	State       models.BaremetalState
	Power       models.Power
	Health      models.HealthStatus
	Maintenance bool
}

// Occupants lists the machines of a rack from top to bottom; those whose place is unknown come last.
func (s *Store) Occupants(ctx context.Context, rack models.ID) ([]Occupant, error) {
	out, err := rows[Occupant](s.DB.WithContext(ctx), `SELECT id, name, rack_unit, rack_height, role, state, power, health, maintenance OR provider_maintenance AS maintenance
		FROM baremetals WHERE rack_id = ? ORDER BY rack_unit DESC, name`, rack)
	if err != nil {
		return nil, fmt.Errorf("list what stands in rack %s: %w", rack, err)
	}
	return out, nil
}

// highEnough refuses a height of a rack that is below what stands in it.
func highEnough(tx *gorm.DB, r models.Rack) error {
	top, err := row[Occupant](tx, `SELECT name, rack_unit, rack_height FROM baremetals WHERE rack_id = ? AND rack_unit > 0 AND rack_unit + rack_height - 1 > ?
		ORDER BY rack_unit + rack_height DESC LIMIT 1`, r.ID, r.Height)
	switch {
	case NotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("look what stands in rack %s: %w", r.Name, err)
	}
	return models.Faultf(models.CodeInUse, "The rack %s cannot have %d units: the machine %s stands up to unit %d. Move it first.", r.Name, r.Height, top.Name, top.Unit+top.Height-1)
}
