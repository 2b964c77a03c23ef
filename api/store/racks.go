package store

import (
	"context"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// Rack is a rack and how many machines stand in it.
type Rack struct {
	models.Rack
	Baremetals int64
}

// RackFilter narrows a list of racks.
type RackFilter struct {
	Region, Name string
	IDPage
}

const rackView = `SELECT r.*, (SELECT count(*) FROM baremetals b WHERE b.rack_id = r.id) AS baremetals FROM racks r WHERE `

// Racks lists racks in the order in which they were made.
func (s *Store) Racks(ctx context.Context, f RackFilter) ([]Rack, error) {
	w := new(where).and("r.id > ?", f.After).given("r.region = ?", f.Region).given("r.name = ?", f.Name)
	return rows[Rack](s.DB.WithContext(ctx), rackView+w.String()+" ORDER BY r.id LIMIT ?", append(w.args, f.Limit)...)
}

// Rack reads one rack.
func (s *Store) Rack(ctx context.Context, id models.ID) (Rack, error) {
	return RackByID(s.DB.WithContext(ctx), id)
}

// RackByID reads one rack within a transaction.
func RackByID(tx *gorm.DB, id models.ID) (Rack, error) {
	r, err := row[Rack](tx, rackView+"r.id = ?", id)
	return found(r, err, "rack", id.String())
}

// LockRack reads a rack that is about to change.
func LockRack(tx *gorm.DB, id models.ID) (Rack, error) {
	if err := locked(tx, "racks", "id", id); err != nil {
		return found(Rack{}, err, "rack", id.String())
	}
	return RackByID(tx, id)
}

// RackRef finds the rack of a region that a name or an id means.
func RackRef(tx *gorm.DB, region, ref string) (models.Rack, error) {
	return inRegion[models.Rack](tx, "racks", region, ref)
}

// inRegion finds a row of a table whose names are unique in a region, by name or id.
func inRegion[T any](tx *gorm.DB, table, region, ref string) (T, error) {
	column, value := byName(ref)
	return row[T](tx, "SELECT * FROM "+table+" WHERE region = ? AND "+column+" = ?", region, value)
}

// CreateRack adds a rack.
func CreateRack(tx *gorm.DB, r *models.Rack) error {
	return refused(tx.Create(r).Error, map[string]*models.Fault{
		"racks_name":        taken("rack", r.Name, " in region "+r.Region),
		"racks_region_fkey": noSuch("region", r.Region),
	})
}

// UpdateRack changes what people say of a rack, and puts machines into other groups that rules want there for it. The
// caller holds the structure. A rack is never lower than what stands in it.
func UpdateRack(tx *gorm.DB, r models.Rack) error {
	if err := highEnough(tx, r); err != nil {
		return err
	}
	err := tx.Exec(`UPDATE racks SET "row" = ?, "position" = ?, power_kw = ?, failure_domain = ?, height = ?, version = version + 1, updated_at = now() WHERE id = ?`,
		r.Row, r.Position, r.PowerKW, r.FailureDomain, r.Height, r.ID).Error
	if err != nil {
		return err
	}
	machines, err := rows[models.ID](tx, "SELECT id FROM baremetals WHERE rack_id = ?", r.ID)
	if err != nil {
		return err
	}
	return JoinByRule(tx, machines...)
}

// DeleteRack removes a rack in which nothing stands.
func DeleteRack(tx *gorm.DB, r models.Rack) error {
	err := unused(tx, "rack", r.Name, r.ID, [2]string{"baremetals", "SELECT count(*) FROM baremetals WHERE rack_id = ?"})
	if err != nil {
		return err
	}
	return referenced(tx.Exec("DELETE FROM racks WHERE id = ?", r.ID).Error, "rack", r.Name)
}
