package store

import (
	"context"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// Region is a region with what was imported into it.
type Region struct {
	models.Region
	Hypervisors int64 // all of them
	Connected   int64 // those that the provider reaches
	Placeable   int64 // those that take new machines
}

const regionView = `
SELECT r.*, h.* FROM regions r
CROSS JOIN LATERAL (
	SELECT count(*) AS hypervisors, count(*) FILTER (WHERE b.connected) AS connected, count(*) FILTER (WHERE h.placeable) AS placeable
	FROM baremetals b JOIN hypervisors h ON h.baremetal_id = b.id WHERE b.region = r.name) h`

// Regions lists regions by name.
func (s *Store) Regions(ctx context.Context, p NamePage) ([]Region, error) {
	return rows[Region](s.DB.WithContext(ctx), regionView+" WHERE r.name > ? ORDER BY r.name LIMIT ?", p.After, p.Limit)
}

// RegionNames lists the names of all regions.
func (s *Store) RegionNames(ctx context.Context) ([]string, error) {
	return rows[string](s.DB.WithContext(ctx), "SELECT name FROM regions ORDER BY name")
}

// Region reads one region.
func (s *Store) Region(ctx context.Context, name string) (Region, error) {
	return RegionNamed(s.DB.WithContext(ctx), name)
}

// RegionNamed reads one region within a transaction.
func RegionNamed(tx *gorm.DB, name string) (Region, error) {
	r, err := row[Region](tx, regionView+" WHERE r.name = ?", name)
	return found(r, err, "region", name)
}

// CreateRegion adds a region.
func CreateRegion(tx *gorm.DB, r *models.Region) error {
	return refused(tx.Create(r).Error, map[string]*models.Fault{"regions_pkey": taken("region", r.Name, "")})
}

// UpdateRegion changes what people say of a region.
func UpdateRegion(tx *gorm.DB, r models.Region) error {
	return tx.Exec(`UPDATE regions SET title = ?, state = ?, capabilities = ?, version = version + 1, updated_at = now() WHERE name = ?`,
		r.Title, r.State, r.Capabilities, r.Name).Error
}

// locked reads a row and keeps it from changing until the transaction ends.
func locked(tx *gorm.DB, table, column string, value any) error {
	var one int
	res := tx.Raw("SELECT 1 FROM "+table+" WHERE "+column+" = ? FOR NO KEY UPDATE", value).Scan(&one)
	if res.Error == nil && res.RowsAffected == 0 {
		return gorm.ErrRecordNotFound
	}
	return res.Error
}

// LockRegion reads a region that is about to change.
func LockRegion(tx *gorm.DB, name string) (Region, error) {
	if err := locked(tx, "regions", "name", name); err != nil {
		_, err = found(Region{}, err, "region", name)
		return Region{}, err
	}
	return RegionNamed(tx, name)
}
