package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// Baremetal is a physical server with the names of its rack and group, and its room as a hypervisor.
type Baremetal struct {
	models.Baremetal
	Rack       *string
	Group      *string
	Tenant     *string // who leases it
	TenantPath IDs
	Placeable  *bool       // nil unless it is a hypervisor
	Total      models.Size `gorm:"embedded;embeddedPrefix:total_"`
	Free       models.Size `gorm:"embedded;embeddedPrefix:free_"`
	VMs        int64       `gorm:"column:vms"`

	BMCAddress     *string             `gorm:"column:bmc_address"` // nil: nobody has said how its BMC is reached
	BMCProtocol    *models.BMCProtocol `gorm:"column:bmc_protocol"`
	BMCFingerprint *string             `gorm:"column:bmc_fingerprint"`
	BMCUsername    *string             `gorm:"column:bmc_username"`
	BMCConsole     *string             `gorm:"column:bmc_console"`
	BMCRotatedAt   *time.Time          `gorm:"column:bmc_rotated_at"`
}

// BaremetalFilter narrows a list of baremetals. Group and Rack are names or ids.
type BaremetalFilter struct {
	Region, Group, Rack, Role, State, Name string

	Tenant *models.ID  // leased by this very tenant
	Within []models.ID // leased by these tenants and everything below; nil: all, also those that nobody leases
	IDPage
}

const baremetalView = `
SELECT b.*, r.name AS rack, g.name AS "group", t.full_name AS tenant, coalesce(t.path, '{}') AS tenant_path, h.placeable,
	coalesce(h.vcpu_total, 0) AS total_vcpu, coalesce(h.memory_mib_total, 0) AS total_memory_mib,
	coalesce(h.storage_gib_total, 0) AS total_storage_gib, coalesce(h.gpu_total, 0) AS total_gpu,
	coalesce(h.vcpu_free, 0) AS free_vcpu, coalesce(h.memory_mib_free, 0) AS free_memory_mib,
	coalesce(h.storage_gib_free, 0) AS free_storage_gib, coalesce(h.gpu_free, 0) AS free_gpu,
	(SELECT count(*) FROM vms v WHERE v.baremetal_id = b.id) AS vms,
	m.address AS bmc_address, m.protocol AS bmc_protocol, m.fingerprint AS bmc_fingerprint, m.username AS bmc_username,
	m.console AS bmc_console, m.rotated_at AS bmc_rotated_at
FROM baremetals b
LEFT JOIN racks r ON r.id = b.rack_id
LEFT JOIN groups g ON g.id = b.group_id
LEFT JOIN tenants t ON t.id = b.tenant_id
LEFT JOIN hypervisors h ON h.baremetal_id = b.id
LEFT JOIN bmcs m ON m.baremetal_id = b.id
WHERE `

// Baremetals lists physical servers in the order in which they were recorded.
func (s *Store) Baremetals(ctx context.Context, f BaremetalFilter) ([]Baremetal, error) {
	w := new(where).and("b.id > ?", f.After).given("b.region = ?", f.Region).given("b.role = ?", f.Role).
		given("b.state = ?", f.State).given("b.name = ?", f.Name)
	if f.Tenant != nil {
		w.and("b.tenant_id = ?", *f.Tenant)
	}
	if f.Within != nil {
		w.and("b.tenant_id IN (SELECT id FROM tenants WHERE path && ?::uuid[])", IDs(f.Within))
	}
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
// caller holds the structure. Machines stay in their group, so a host that carries some cannot leave it, and what a tenant
// leases counts in its group.
func UpdateBaremetal(tx *gorm.DB, b Baremetal, group *models.ID) error {
	if !same(b.GroupID, group) && b.VMs > 0 {
		return models.Faultf(models.CodeInUse, "The baremetal %s carries %d vms, which belong to its group. Remove them before it changes its group.", b.Name, b.VMs)
	}
	if !same(b.GroupID, group) && b.TenantID != nil {
		return models.Faultf(models.CodeInUse, "The baremetal %s is leased, and counts in its group. Release it before it changes its group.", b.Name)
	}
	if !same(b.GroupID, group) {
		if err := unawaited(tx, b); err != nil {
			return err
		}
	}
	if err := fitsRack(tx, b); err != nil {
		return err
	}
	labels, err := json.Marshal(b.Labels)
	if err != nil {
		return fmt.Errorf("encode labels: %w", err)
	}
	err = refused(tx.Exec(`UPDATE baremetals SET name = ?, rack_id = ?, rack_unit = ?, rack_height = ?, labels = ?::jsonb, group_id = ?,
		maintenance = ?, maintenance_reason = ?, maintenance_until = ?, maintenance_by = ?, version = version + 1, updated_at = now() WHERE id = ?`,
		b.Name, b.RackID, b.RackUnit, b.RackHeight, string(labels), group, b.Maintenance, b.MaintenanceReason, b.MaintenanceUntil, b.MaintenanceBy, b.ID).Error, map[string]*models.Fault{
		"baremetals_name": taken("baremetal", b.Name, " in region "+b.Region),
		"rack_units_once": models.Faultf(models.CodePositionTaken, "Another server takes one of the units from %d to %d of that rack by now. Look again.", b.RackUnit, b.RackUnit+b.RackHeight-1),
	})
	if err != nil {
		return err
	}
	return settleMember(tx, b, group)
}

const (
	rackHeight = `SELECT name, height FROM racks WHERE id = ?`
	neighbour  = `SELECT u.unit, b.name FROM rack_units u JOIN baremetals b ON b.id = u.baremetal_id
		WHERE u.rack_id = ? AND u.unit BETWEEN ? AND ? AND u.baremetal_id <> ? ORDER BY u.unit LIMIT 1`
)

// fitsRack refuses a position that the rack does not have, or that another server takes.
func fitsRack(tx *gorm.DB, b Baremetal) error {
	if b.RackID == nil || b.RackUnit == 0 {
		if b.RackUnit > 0 {
			return wrongField("body.rack_unit", "needs a rack")
		}
		return nil
	}
	rack, err := row[struct {
		Name   string
		Height int
	}](tx, rackHeight, *b.RackID)
	if err != nil {
		return err
	}
	top := b.RackUnit + b.RackHeight - 1
	if top > rack.Height {
		return wrongField("body.rack_unit", fmt.Sprintf("the rack %s has %d units; the server would reach up to unit %d", rack.Name, rack.Height, top))
	}
	other, err := row[struct {
		Unit int
		Name string
	}](tx, neighbour, *b.RackID, b.RackUnit, top, b.ID)
	if NotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return models.Faultf(models.CodePositionTaken, "Unit %d of rack %s is taken by the baremetal %s. Choose another position, or move that one first.", other.Unit, rack.Name, other.Name)
}

func wrongField(field, message string) error {
	f := models.Faultf(models.CodeInvalid, "The request is not valid. Correct what is listed under errors; nothing was changed.")
	f.Fields = []models.FieldError{{Field: field, Message: message}}
	return f
}

// LockBaremetal reads a server that is about to change.
func LockBaremetal(tx *gorm.DB, id models.ID) (Baremetal, error) {
	if err := locked(tx, "baremetals", "id", id); err != nil {
		return found(Baremetal{}, err, "baremetal", id.String())
	}
	return BaremetalByID(tx, id)
}

const setBMC = `
INSERT INTO bmcs AS m (baremetal_id, region, address, protocol, fingerprint, username, key_id, password)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (baremetal_id) DO UPDATE SET address = excluded.address, protocol = excluded.protocol, fingerprint = excluded.fingerprint,
	username = excluded.username, key_id = excluded.key_id, password = excluded.password, updated_at = now(),
	staged_key_id = coalesce((SELECT m.staged_key_id ` + stagedNow + `), ''), staged = (SELECT m.staged ` + stagedNow + `), staged_for = (SELECT m.staged_for ` + stagedNow + `)`

// stagedNow finds the operation that replaces the password at this moment.
const stagedNow = `FROM operations o WHERE o.id = m.staged_for AND o.state IN ` + active

// SetBMC says how the BMC of a server is reached from now on. A password that an operation generated and is about to set
// stays: the BMC may have it by now, and nobody else knows it. One that such an operation left is forgotten: people know the
// present one.
func SetBMC(tx *gorm.DB, b Baremetal, m models.BMC) error {
	const holder = `SELECT b.name FROM bmcs m JOIN baremetals b ON b.id = m.baremetal_id
		WHERE m.region = ? AND regexp_replace(m.address, '^[a-z]+://', '') = regexp_replace(?, '^[a-z]+://', '') AND m.baremetal_id <> ?`
	taken := models.Faultf(models.CodeAddressTaken, "The BMC at %s is that of another server of region %s. Correct the address, or that one's.", m.Address, m.Region)
	who, err := row[struct{ Name string }](tx, holder, m.Region, m.Address, b.ID)
	if err == nil {
		return models.Faultf(models.CodeAddressTaken, "The BMC at %s is that of the baremetal %s in region %s. Correct the address, or that one's.", m.Address, who.Name, m.Region)
	}
	if !NotFound(err) {
		return err
	}
	err = tx.Exec(setBMC, b.ID, m.Region, m.Address, m.Protocol, m.Fingerprint, m.Username, m.KeyID, m.Password).Error
	if err := refused(err, map[string]*models.Fault{"bmcs_address": taken}); err != nil {
		return err
	}
	return tx.Exec("UPDATE baremetals SET version = version + 1, updated_at = now() WHERE id = ?", b.ID).Error
}

// The end of an operation under way says what its server is then, and knows nothing of a mark in between. So it is in
// maintenance as well, which only people end.
const markFailed = `
UPDATE baremetals b SET state = 'failed', version = version + 1, updated_at = now(), maintenance = maintenance OR n.busy,
	maintenance_reason = CASE WHEN n.busy AND NOT maintenance THEN @reason ELSE maintenance_reason END,
	maintenance_by = CASE WHEN n.busy AND NOT maintenance THEN @by ELSE maintenance_by END
FROM (SELECT EXISTS (SELECT FROM operations WHERE resource_id = @id AND state IN ` + active + `) AS busy) n
WHERE id = @id AND state IN @from AND state NOT IN ('enrolling', 'retiring')`

// MarkFailed takes a server out of service, and tells placement. The caller holds the structure.
func MarkFailed(tx *gorm.DB, b Baremetal, reason, by string) error {
	done := tx.Exec(markFailed, map[string]any{"id": b.ID, "from": models.BaremetalTransitions.From(models.BaremetalFailed), "reason": reason, "by": by})
	if done.Error != nil {
		return done.Error
	}
	if done.RowsAffected == 0 {
		return models.Faultf(models.CodeWrongState, "The baremetal %s is %s; this is possible when it is available, in_use, maintenance or failed.", b.Name, b.State)
	}
	if err := tx.Exec("SELECT refresh_hypervisors(ARRAY[?]::uuid[])", b.ID).Error; err != nil {
		return err
	}
	return JoinByRule(tx, b.ID)
}

// same compares ids that may be absent.
func same(a, b *models.ID) bool {
	return (a == nil) == (b == nil) && (a == nil || *a == *b)
}

// unawaited refuses to take a host out of its group while machines are on their way to it.
func unawaited(tx *gorm.DB, b Baremetal) error {
	var coming int64
	if err := tx.Raw("SELECT count(*) FROM moves WHERE baremetal_id = ?", b.ID).Scan(&coming).Error; err != nil {
		return fmt.Errorf("count the machines on their way to %s: %w", b.Name, err)
	}
	if coming > 0 {
		return models.Faultf(models.CodeInUse, "%d vms are on their way to the baremetal %s, and belong to its group. Wait until they have moved.", coming, b.Name)
	}
	return nil
}
