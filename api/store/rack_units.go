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

// FreePosition refuses a place in a rack where a machine cannot stand: it is outside of the rack, or another machine stands
// there, which is named. A unit of 0 is no place, and always free. Another transaction may still be faster: the table
// rack_units decides, and PositionRefused says so.
func FreePosition(tx *gorm.DB, rack models.Rack, unit, height int, except models.ID) error {
	if unit == 0 {
		return nil
	}
	top := unit + height - 1
	if unit < 1 || height < 1 || top > rack.Height {
		return models.Faultf(models.CodePositionTaken, "A machine of %d units does not fit at unit %d of rack %s, which has %d units. Choose a lower position.", height, unit, rack.Name, rack.Height)
	}
	type taken struct {
		Name string
		Unit int
	}
	other, err := row[taken](tx, `SELECT b.name, u.unit FROM rack_units u JOIN baremetals b ON b.id = u.baremetal_id
		WHERE u.rack_id = ? AND u.unit BETWEEN ? AND ? AND u.baremetal_id <> ? ORDER BY u.unit LIMIT 1`, rack.ID, unit, top, except)
	switch {
	case NotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("look who stands in rack %s: %w", rack.Name, err)
	}
	return models.Faultf(models.CodePositionTaken, "The machine %s stands at unit %d of rack %s. Choose another position, or move it first.", other.Name, other.Unit, rack.Name)
}

// PositionRefused turns the refusal of a place that another transaction took meanwhile into a fault; other errors pass.
func PositionRefused(err error, b models.Baremetal) error {
	if Violated(err) != "rack_units_once" {
		return err
	}
	return models.Faultf(models.CodePositionTaken, "Another machine was put at unit %d of the rack of %s meanwhile. Choose another position.", b.RackUnit, b.Name).Because(err)
}

// placeInRack refuses the place of a machine, if it is none. The rack stays as it is until the transaction ends.
func placeInRack(tx *gorm.DB, b models.Baremetal) error {
	if b.RackID == nil {
		if b.RackUnit > 0 {
			return models.Faultf(models.CodeInvalid, "The machine %s cannot have a position without a rack. Give the rack as well.", b.Name)
		}
		return nil
	}
	rack, err := row[models.Rack](tx, "SELECT * FROM racks WHERE id = ? FOR SHARE", *b.RackID)
	if err != nil {
		return fmt.Errorf("read the rack of machine %s: %w", b.Name, err)
	}
	return FreePosition(tx, rack, b.RackUnit, b.RackHeight, b.ID)
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
