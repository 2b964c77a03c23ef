package store

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// Group is a group with the room of its hosts. Free is what the hosts have left, whether or not they take new
// machines; Placeable counts those that do.
type Group struct {
	models.Group
	Hosts     int64
	Placeable int64
	Total     models.Size `gorm:"embedded;embeddedPrefix:total_"`
	Free      models.Size `gorm:"embedded;embeddedPrefix:free_"`
}

// GroupFilter narrows a list of groups.
type GroupFilter struct {
	Region, Name string
	IDPage
}

const groupView = `
SELECT g.*, h.* FROM (SELECT * FROM groups g WHERE %s) g
CROSS JOIN LATERAL (
	SELECT count(*) AS hosts, count(*) FILTER (WHERE placeable) AS placeable,
		coalesce(sum(vcpu_total), 0)::bigint AS total_vcpu, coalesce(sum(memory_mib_total), 0)::bigint AS total_memory_mib,
		coalesce(sum(storage_gib_total), 0)::bigint AS total_storage_gib, coalesce(sum(gpu_total), 0)::bigint AS total_gpu,
		coalesce(sum(vcpu_free), 0)::bigint AS free_vcpu, coalesce(sum(memory_mib_free), 0)::bigint AS free_memory_mib,
		coalesce(sum(storage_gib_free), 0)::bigint AS free_storage_gib, coalesce(sum(gpu_free), 0)::bigint AS free_gpu
	FROM hypervisors WHERE group_id = g.id) h
ORDER BY g.id`

// Groups lists groups in the order in which they were made.
func (s *Store) Groups(ctx context.Context, f GroupFilter) ([]Group, error) {
	w := new(where).and("g.id > ?", f.After).given("g.region = ?", f.Region).given("g.name = ?", f.Name)
	page := w.String() + " ORDER BY g.id LIMIT ?"
	return rows[Group](s.DB.WithContext(ctx), fmt.Sprintf(groupView, page), append(w.args, f.Limit)...)
}

// Group reads one group.
func (s *Store) Group(ctx context.Context, id models.ID) (Group, error) {
	return GroupByID(s.DB.WithContext(ctx), id)
}

// GroupByID reads one group within a transaction.
func GroupByID(tx *gorm.DB, id models.ID) (Group, error) {
	g, err := row[Group](tx, fmt.Sprintf(groupView, "g.id = ?"), id)
	return found(g, err, "group", id.String())
}

// GroupRef finds the group of a region that a name or an id means.
func GroupRef(tx *gorm.DB, region, ref string) (models.Group, error) {
	return inRegion[models.Group](tx, "groups", region, ref)
}

// CreateGroup adds a group without hosts.
func CreateGroup(tx *gorm.DB, g *models.Group) error {
	return refused(tx.Create(g).Error, map[string]*models.Fault{
		"groups_name":        taken("group", g.Name, " in region "+g.Region),
		"groups_region_fkey": noSuch("region", g.Region),
	})
}

// UpdateGroup changes a group's policy and ratios, and what its hosts may promise. The caller holds the structure.
// Ratios that promise less than is taken leave the hosts without room; nothing is moved.
func UpdateGroup(tx *gorm.DB, g models.Group) error {
	err := tx.Exec(`UPDATE groups SET description = ?, policy = ?, vcpu_ratio = ?, memory_ratio = ?, storage_ratio = ?,
		version = version + 1, updated_at = now() WHERE id = ?`,
		g.Description, g.Policy, g.VCPURatio, g.MemoryRatio, g.StorageRatio, g.ID).Error
	if err != nil {
		return err
	}
	return tx.Exec("SELECT refresh_hypervisors(ARRAY(SELECT id FROM baremetals WHERE group_id = ?))", g.ID).Error
}

// DeleteGroup removes a group that has no hosts, machines or quotas. The caller holds the structure.
func DeleteGroup(tx *gorm.DB, g models.Group) error {
	err := unused(tx, "group", g.Name, g.ID,
		[2]string{"baremetals", "SELECT count(*) FROM baremetals WHERE group_id = ?"},
		[2]string{"vms", "SELECT count(*) FROM vms WHERE group_id = ?"},
		[2]string{"quotas", "SELECT count(*) FROM quotas WHERE group_id = ?"})
	if err != nil {
		return err
	}
	return referenced(tx.Exec("DELETE FROM groups WHERE id = ?", g.ID).Error, "group", g.Name)
}
