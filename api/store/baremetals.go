package store

import (
	"context"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// Baremetal is a physical server with the names of its rack and group, and its room as a hypervisor.
type Baremetal struct {
	models.Baremetal
	Rack      *string
	Group     *string
	Placeable *bool       // nil unless it is a hypervisor
	Total     models.Size `gorm:"embedded;embeddedPrefix:total_"`
	Free      models.Size `gorm:"embedded;embeddedPrefix:free_"`
	VMs       int64       `gorm:"column:vms"`
}

// BaremetalFilter narrows a list of baremetals. Group and Rack are names or ids.
type BaremetalFilter struct {
	Region, Group, Rack, Role, State, Name string
	IDPage
}

const baremetalView = `
SELECT b.*, r.name AS rack, g.name AS "group", h.placeable,
	coalesce(h.vcpu_total, 0) AS total_vcpu, coalesce(h.memory_mib_total, 0) AS total_memory_mib,
	coalesce(h.storage_gib_total, 0) AS total_storage_gib, coalesce(h.gpu_total, 0) AS total_gpu,
	coalesce(h.vcpu_free, 0) AS free_vcpu, coalesce(h.memory_mib_free, 0) AS free_memory_mib,
	coalesce(h.storage_gib_free, 0) AS free_storage_gib, coalesce(h.gpu_free, 0) AS free_gpu,
	(SELECT count(*) FROM vms v WHERE v.baremetal_id = b.id) AS vms
FROM baremetals b
LEFT JOIN racks r ON r.id = b.rack_id
LEFT JOIN groups g ON g.id = b.group_id
LEFT JOIN hypervisors h ON h.baremetal_id = b.id
WHERE `

// Baremetals lists physical servers in the order in which they were recorded.
func (s *Store) Baremetals(ctx context.Context, f BaremetalFilter) ([]Baremetal, error) {
	w := new(where).and("b.id > ?", f.After).given("b.region = ?", f.Region).given("b.role = ?", f.Role).
		given("b.state = ?", f.State).given("b.name = ?", f.Name)
	for _, ref := range [][2]string{{"group", f.Group}, {"rack", f.Rack}} {
		if ref[1] != "" {
			column, value := byName(ref[1])
			w.and("b."+ref[0]+"_id IN (SELECT id FROM "+ref[0]+"s WHERE "+column+" = ?)", value)
		}
	}
	return rows[Baremetal](s.DB.WithContext(ctx), baremetalView+w.String()+" ORDER BY b.id LIMIT ?", append(w.args, f.Limit)...)
}

// Baremetal reads one physical server.
func (s *Store) Baremetal(ctx context.Context, id models.ID) (Baremetal, error) {
	return BaremetalByID(s.DB.WithContext(ctx), id)
}

// BaremetalByID reads one physical server within a transaction.
func BaremetalByID(tx *gorm.DB, id models.ID) (Baremetal, error) {
	b, err := row[Baremetal](tx, baremetalView+"b.id = ?", id)
	return found(b, err, "baremetal", id.String())
}

// UpdateBaremetal moves a server to another rack or group, or marks it for maintenance, and tells placement. The
// caller holds the structure. Machines stay in their group, so a host that carries some cannot leave it.
func UpdateBaremetal(tx *gorm.DB, b Baremetal, group *models.ID) error {
	if !same(b.GroupID, group) && b.VMs > 0 {
		return models.Faultf(models.CodeInUse, "The baremetal %s carries %d vms, which belong to its group. Remove them before it changes its group.", b.Name, b.VMs)
	}
	err := tx.Exec(`UPDATE baremetals SET rack_id = ?, group_id = ?, maintenance = ?, version = version + 1, updated_at = now() WHERE id = ?`,
		b.RackID, group, b.Maintenance, b.ID).Error
	if err != nil {
		return err
	}
	return settleMember(tx, b, group)
}

// same compares ids that may be absent.
func same(a, b *models.ID) bool {
	return (a == nil) == (b == nil) && (a == nil || *a == *b)
}
