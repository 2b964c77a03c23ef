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

	Machines GroupMachines `gorm:"column:machines;serializer:json"`
}

// GroupMachines counts the machines of a group, hosts or not.
type GroupMachines struct {
	Counts  []MachineCount `json:"counts"`
	ByRule  int64          `json:"by_rule"` // that came by the rule
	Staying int64          `json:"staying"` // that the rules want elsewhere, and that stay because they are in use
	Spare   int64          `json:"spare"`   // that may be leased
}

// MachineCount is how many machines have a role and a state.
type MachineCount struct {
	Role     string                `json:"role"`
	State    models.BaremetalState `json:"state"`
	Machines int64                 `json:"n"`
}

// GroupFilter narrows a list of groups.
type GroupFilter struct {
	Region, Name string
	IDPage
}

const groupView = `
SELECT g.*, h.*, m.machines FROM (SELECT * FROM groups g WHERE %s) g
CROSS JOIN LATERAL (
	SELECT count(*) AS hosts, count(*) FILTER (WHERE placeable) AS placeable,
		coalesce(sum(vcpu_total), 0)::bigint AS total_vcpu, coalesce(sum(memory_mib_total), 0)::bigint AS total_memory_mib,
		coalesce(sum(storage_gib_total), 0)::bigint AS total_storage_gib, coalesce(sum(gpu_total), 0)::bigint AS total_gpu,
		coalesce(sum(vcpu_free), 0)::bigint AS free_vcpu, coalesce(sum(memory_mib_free), 0)::bigint AS free_memory_mib,
		coalesce(sum(storage_gib_free), 0)::bigint AS free_storage_gib, coalesce(sum(gpu_free), 0)::bigint AS free_gpu
	FROM hypervisors WHERE group_id = g.id) h
CROSS JOIN LATERAL (
	SELECT jsonb_build_object('counts', coalesce(jsonb_agg(jsonb_build_object('role', role, 'state', state, 'n', n) ORDER BY role, state), '[]'),
		'by_rule', coalesce(sum(by_rule), 0), 'spare', coalesce(sum(spare), 0),
		'staying', (SELECT count(*) FROM group_waits w JOIN baremetals b ON b.id = w.baremetal_id WHERE b.group_id = g.id)) AS machines
	FROM (SELECT role, state, count(*) AS n, count(*) FILTER (WHERE group_by_rule) AS by_rule,
			count(*) FILTER (WHERE role = 'spare' AND state = 'available' AND NOT maintenance AND NOT unfit) AS spare
		FROM baremetals WHERE group_id = g.id GROUP BY role, state) c) m
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

// UpdateGroup changes a group's policies, ratios and rule, and what its hosts may promise. Who joins by the rule is for
// JoinRegionByRule. The caller holds the structure.
// Ratios that promise less than is taken leave the hosts without room; nothing is moved.
func UpdateGroup(tx *gorm.DB, g models.Group) error {
	err := tx.Exec(`UPDATE groups SET description = ?, policy = ?, vcpu_ratio = ?, memory_ratio = ?, storage_ratio = ?, rule = ?, health_policy = ?,
		version = version + 1, updated_at = now() WHERE id = ?`,
		g.Description, g.Policy, g.VCPURatio, g.MemoryRatio, g.StorageRatio, g.Rule, g.HealthPolicy, g.ID).Error
	if err != nil {
		return err
	}
	return settleMembers(tx, "group_id", g.ID)
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

// settleMembers settles whether machines are fit for new work, and tells placement. Column and id choose them.
func settleMembers(tx *gorm.DB, column string, id models.ID) error {
	machines := "ARRAY(SELECT id FROM baremetals WHERE " + column + " = ?)"
	return tx.Exec("SELECT refresh_hypervisors("+machines+") FROM (SELECT count(*) FROM refresh_fitness("+machines+")) f", id, id).Error
}

// MachineNames reads the names of machines.
func MachineNames(tx *gorm.DB, machines []models.ID) (map[models.ID]string, error) {
	type named struct {
		ID   models.ID
		Name string
	}
	found, err := rows[named](tx, "SELECT id, name FROM baremetals WHERE id = ANY (?::uuid[])", IDs(machines))
	names := make(map[models.ID]string, len(found))
	for _, m := range found {
		names[m.ID] = m.Name
	}
	return names, err
}
