package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// Each applies only if the operation's row carries this very report: $1 and $2.
const (
	ofReport = ` FROM operations o WHERE o.id = $1 AND o.seq = $2`

	// reportBaremetal puts facts into the row. A state that may not follow the one there is stays out, as of a VM. Who may use
	// a machine again is in use if somebody has it, and available otherwise.
	reportBaremetal = `
UPDATE baremetals b SET version = b.version + 1, updated_at = now(),
	state = CASE
		WHEN $5 <> '' AND b.state = ANY ($6) THEN $5
		WHEN $7 AND b.state IN ('failed', 'maintenance') THEN CASE WHEN coalesce(nullif($4, ''), b.role) = 'spare' THEN 'available' ELSE 'in_use' END
		WHEN b.state = ANY ($3) THEN $8 ELSE b.state END,
	role = coalesce(nullif($4, ''), b.role),
	tenant_id = CASE WHEN $4 IN ('', 'leased') THEN b.tenant_id END,
	maintenance = b.maintenance AND NOT $7, maintenance_reason = CASE WHEN $7 THEN '' ELSE b.maintenance_reason END,
	maintenance_until = CASE WHEN $7 THEN NULL ELSE b.maintenance_until END, maintenance_by = CASE WHEN $7 THEN '' ELSE b.maintenance_by END,
	power = coalesce(nullif($9, ''), b.power)
FROM operations o WHERE o.id = $1 AND o.seq = $2 AND b.id = o.resource_id`

	reportProbed = `
UPDATE bmcs m SET protocol = $3, fingerprint = CASE WHEN m.fingerprint = '' THEN $4 ELSE m.fingerprint END,
	console = coalesce(nullif($5, ''), m.console), updated_at = now()
FROM operations o WHERE o.id = $1 AND o.seq = $2 AND m.baremetal_id = o.resource_id`

	// reportInspected takes over what the BMC says of a machine. What a hypervisor has to give is what its vCenter says.
	reportInspected = `
UPDATE baremetals b SET power = coalesce(nullif($3, ''), b.power), health = $4, seen_at = CASE WHEN b.role = 'hypervisor' THEN b.seen_at ELSE now() END,
	unfit = $4 = 'critical' AND coalesce((SELECT g.health_policy FROM groups g WHERE g.id = b.group_id), 'stop') = 'stop',
	model = coalesce(nullif(b.model, ''), $5), vendor = coalesce(nullif(b.vendor, ''), $6),
	vcpu = CASE WHEN b.role = 'hypervisor' THEN b.vcpu ELSE $7 END, memory_mib = CASE WHEN b.role = 'hypervisor' THEN b.memory_mib ELSE $8 END,
	storage_gib = CASE WHEN b.role = 'hypervisor' THEN b.storage_gib ELSE $9 END, gpu = CASE WHEN b.role = 'hypervisor' THEN b.gpu ELSE $10 END
FROM operations o WHERE o.id = $1 AND o.seq = $2 AND b.id = o.resource_id`

	reportFacts = `
INSERT INTO baremetal_facts AS f (baremetal_id, inventory, health, inventory_at, health_at)
SELECT b.id, $3::jsonb, $4::jsonb, now(), now() FROM operations o JOIN baremetals b ON b.id = o.resource_id WHERE o.id = $1 AND o.seq = $2
ON CONFLICT (baremetal_id) DO UPDATE SET inventory = excluded.inventory, health = excluded.health, inventory_at = excluded.inventory_at,
	health_at = excluded.health_at, reachable = true, unreachable_since = NULL, fault = '', missed = 0`

	forgetMACs = `DELETE FROM baremetal_macs m USING operations o WHERE o.id = $1 AND o.seq = $2 AND m.baremetal_id = o.resource_id AND NOT m.given AND NOT m.mac = ANY ($3)`
	reportMACs = `
INSERT INTO baremetal_macs (mac, baremetal_id)
SELECT DISTINCT n.mac, b.id FROM operations o JOIN baremetals b ON b.id = o.resource_id, unnest($3::text[]) n (mac) WHERE o.id = $1 AND o.seq = $2
ON CONFLICT DO NOTHING`

	reportHost = `
UPDATE baremetals b SET provider_ref = $3, cluster = $4, vcpu = $5, memory_mib = $6, storage_gib = $7, gpu = $8,
	connected = $9, provider_maintenance = $10, seen_at = now(), hardware_uuid = coalesce(nullif(b.hardware_uuid, ''), $11)
FROM operations o WHERE o.id = $1 AND o.seq = $2 AND b.id = o.resource_id`

	releaseLease = `SELECT release(o.resource_id) FROM operations o JOIN baremetals b ON b.id = o.resource_id WHERE o.id = $1 AND o.seq = $2 AND b.role = 'leased'`
	// A machine that is gone takes its BMC, rack units, facts and boots with it; its history stays. What differed of it has ended.
	endGone = `UPDATE drifts d SET state = 'closed', closed_at = now(), updated_at = now(), version = d.version + 1
FROM operations o JOIN baremetals b ON b.id = o.resource_id WHERE o.id = $1 AND o.seq = $2 AND d.resource_id = b.id AND d.state <> 'closed' AND b.state = ANY ($3)`
	removeRoom      = `DELETE FROM hypervisors h USING operations o JOIN baremetals b ON b.id = o.resource_id WHERE o.id = $1 AND o.seq = $2 AND h.baremetal_id = b.id AND b.state = ANY ($3)`
	removeBaremetal = `DELETE FROM baremetals b USING operations o WHERE o.id = $1 AND o.seq = $2 AND b.id = o.resource_id AND b.state = ANY ($3)`
	refreshReported = `SELECT refresh_hypervisors(ARRAY[o.resource_id])` + ofReport
)

// reshapes reports whether facts change what placement may use, which takes the structure alone: its room is counted anew.
func reshapes(f *contract.BaremetalFacts) bool {
	return f != nil && (f.State != "" || f.Role != "" || f.Inspected != nil || f.Host != nil || f.EndService != "" || f.Serviceable)
}

func queueBaremetal(b *pgx.Batch, r contract.Report) {
	f := r.Baremetal
	if f == nil {
		return
	}
	if f.State == models.BaremetalGone {
		from := models.BaremetalTransitions.From(models.BaremetalGone)
		b.Queue(releaseLease, r.OperationID, r.Seq)
		b.Queue(endGone, r.OperationID, r.Seq, from)
		b.Queue(removeRoom, r.OperationID, r.Seq, from)
		b.Queue(removeBaremetal, r.OperationID, r.Seq, from)
		return
	}
	if f.Role == models.RoleSpare {
		b.Queue(releaseLease, r.OperationID, r.Seq)
	}
	ends, endsFrom := models.BaremetalState(""), []models.BaremetalState{}
	if f.EndService != "" {
		ends, endsFrom = models.BaremetalFailed, models.BaremetalTransitions.From(models.BaremetalFailed)
	}
	from := []models.BaremetalState{}
	if f.State != "" {
		from = models.BaremetalTransitions.From(f.State)
	}
	b.Queue(reportBaremetal, r.OperationID, r.Seq, from, f.Role, ends, endsFrom, f.Serviceable, f.State, f.Power)
	if p := f.Probed; p != nil {
		b.Queue(reportProbed, r.OperationID, r.Seq, p.Protocol, p.Fingerprint, p.Console)
	}
	queueInspected(b, r)
	if h := f.Host; h != nil {
		b.Queue(reportHost, r.OperationID, r.Seq, h.Ref, h.Cluster, h.Capacity.VCPU, h.Capacity.MemoryMiB, h.Capacity.StorageGiB, h.Capacity.GPU,
			h.Connected, h.Maintenance, models.UsableUUID(h.UUID))
	}
	if reshapes(f) {
		b.Queue(refreshReported, r.OperationID, r.Seq)
	}
}

const inventoryBefore = `SELECT f.inventory FROM operations o JOIN baremetal_facts f ON f.baremetal_id = o.resource_id WHERE o.id = $1`

// keepInside adds to what a BMC lists what only a look from inside its machine had found before.
func (s *Store) keepInside(ctx context.Context, r *contract.Report) error {
	if r.Baremetal == nil || r.Baremetal.Inspected == nil || r.Baremetal.Inspected.Inside {
		return nil
	}
	var was models.Inventory
	err := s.Pool.QueryRow(ctx, inventoryBefore, r.OperationID).Scan(&was)
	if NotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what the machine of operation %s was made of: %w", r.OperationID, err)
	}
	facts, seen := *r.Baremetal, *r.Baremetal.Inspected
	seen.Inventory = seen.Inventory.Keeping(was)
	facts.Inspected = &seen
	r.Baremetal = &facts
	return nil
}

func queueInspected(b *pgx.Batch, r contract.Report) {
	i := r.Baremetal.Inspected
	if i == nil {
		return
	}
	inventory, _ := json.Marshal(i.Inventory) // structs of texts and numbers cannot fail
	health, _ := json.Marshal(i.Health)
	macs := []string{}
	for _, nic := range i.Inventory.NICs {
		if nic.MAC != "" {
			macs = append(macs, nic.MAC)
		}
	}
	has := i.Inventory.Capacity()
	b.Queue(reportInspected, r.OperationID, r.Seq, i.Power, i.Health.Status, i.Inventory.Model, i.Inventory.Vendor, has.VCPU, has.MemoryMiB, has.StorageGiB, has.GPU)
	b.Queue(reportFacts, r.OperationID, r.Seq, string(inventory), string(health))
	b.Queue(forgetMACs, r.OperationID, r.Seq, macs)
	b.Queue(reportMACs, r.OperationID, r.Seq, macs)
}

// machineStory is what the audit log keeps of a machine's facts: all but the lists of its parts, sensors and log lines.
type machineStory struct {
	State       models.BaremetalState `json:"state,omitempty"`
	Role        string                `json:"role,omitempty"`
	Probed      *contract.Probed      `json:"probed,omitempty"`
	Power       models.Power          `json:"power,omitempty"`
	Health      models.HealthStatus   `json:"health,omitempty"`
	Capacity    *models.Size          `json:"capacity,omitempty"`
	Host        *contract.Hypervisor  `json:"host,omitempty"`
	EndService  string                `json:"end_service,omitempty"`
	Serviceable bool                  `json:"serviceable,omitempty"`
}

func storyOf(f *contract.BaremetalFacts) *machineStory {
	if f == nil {
		return nil
	}
	out := &machineStory{State: f.State, Role: f.Role, Probed: f.Probed, Power: f.Power, Host: f.Host, EndService: f.EndService, Serviceable: f.Serviceable}
	if i := f.Inspected; i != nil {
		has := i.Inventory.Capacity()
		out.Capacity, out.Health = &has, i.Health.Status
		if out.Power == models.PowerUnknown {
			out.Power = i.Power
		}
	}
	return out
}

// Facts is what is known of a machine by its BMC.
type Facts struct {
	Inventory        models.Inventory
	Health           models.Health
	Status           models.HealthStatus
	Power            models.Power
	Unfit            bool
	InventoryAt      *time.Time
	HealthAt         *time.Time
	Reachable        bool
	UnreachableSince *time.Time
	Fault            string
	Version          int64 // of the machine
}

const knownFacts = `
SELECT coalesce(f.inventory, '{}'), coalesce(f.health, '{}'), b.health, b.power, b.unfit, f.inventory_at, f.health_at,
	coalesce(f.reachable, false), f.unreachable_since, coalesce(f.fault, ''), b.version
FROM baremetals b LEFT JOIN baremetal_facts f ON f.baremetal_id = b.id WHERE b.id = $1`

// Facts reads what is known of a machine by its BMC.
func (s *Store) Facts(ctx context.Context, id models.ID) (f Facts, err error) {
	err = s.Pool.QueryRow(ctx, knownFacts, id).Scan(&f.Inventory, &f.Health, &f.Status, &f.Power, &f.Unfit, &f.InventoryAt, &f.HealthAt,
		&f.Reachable, &f.UnreachableSince, &f.Fault, &f.Version)
	if err != nil {
		return found(f, err, "baremetal", id.String())
	}
	return f, nil
}
