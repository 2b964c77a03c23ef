package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/api/drift"
	"github.com/yunshu/yunshu/models"
)

// newDrift is a difference as writeDrifts reads it.
type newDrift struct {
	ID       models.ID        `json:"id"`
	Kind     models.DriftKind `json:"kind"`
	Resource models.ID        `json:"resource_id"`
	Name     string           `json:"resource_name"`
	Field    string           `json:"field"`
	Expected any              `json:"expected"`
	Found    any              `json:"found"`
	Message  string           `json:"message"`
	Policy   string           `json:"policy"`
	Lasts    bool             `json:"lasts"`
}

func newDriftOf(machine models.ID, name string, d drift.Difference) newDrift {
	return newDrift{ID: models.NewID(), Kind: d.Kind, Resource: machine, Name: name, Field: d.Field, Expected: d.Expected, Found: d.Found,
		Message: d.Message, Policy: d.Policy, Lasts: d.Lasts}
}

// newFacts is what is taken over of a machine, as the statements below read it. What is null stays as it was.
type newFacts struct {
	ID        models.ID           `json:"id"`
	Seen      bool                `json:"seen"`
	Quiet     bool                `json:"quiet"`   // nothing but the time is taken over
	Changed   bool                `json:"changed"` // in a way that is a version of the machine
	Power     models.Power        `json:"power"`
	Health    models.HealthStatus `json:"health"`
	Inventory *models.Inventory   `json:"inventory"`
	Report    *models.Health      `json:"report"`
	Missed    int                 `json:"missed"`
	Fault     string              `json:"fault"`
	Size      *models.Size        `json:"size"`
	MACs      []string            `json:"macs"`
}

func newFactsOf(id models.ID, k drift.Known, v drift.Verdict) newFacts {
	f := newFacts{ID: id, Seen: v.Seen, Quiet: k.Busy, Power: v.Power, Health: v.Health, Inventory: v.Inventory, Report: v.Report, Missed: v.Missed, Fault: v.Fault}
	f.Changed = v.Inventory != nil || v.Power != models.PowerUnknown && v.Power != k.Power || v.Health != models.HealthUnknown && v.Health != k.Health
	if v.Inventory != nil {
		size := v.Inventory.Capacity()
		f.Size = &size
		for _, n := range v.Inventory.NICs {
			f.MACs = append(f.MACs, n.MAC)
		}
	}
	return f
}

const (
	// writeDrifts counts up what is open already, and writes down the rest: what lasts is open, what was adopted is history.
	writeDrifts = `
WITH page AS (
	SELECT * FROM jsonb_to_recordset($2::jsonb) AS d (id uuid, kind text, resource_id uuid, resource_name text, field text, expected jsonb, found jsonb, message text, policy text, lasts boolean)),
adopted AS (
	INSERT INTO drifts (id, region, kind, resource_kind, resource_id, resource_name, field, expected, found, message, policy, state, closed_at)
	SELECT id, $1, kind, 'baremetal', resource_id, resource_name, field, expected, found, message, policy, 'closed', now() FROM page WHERE NOT lasts RETURNING 1),
lasting AS (
	INSERT INTO drifts AS o (id, region, kind, resource_kind, resource_id, resource_name, field, expected, found, message, policy)
	SELECT id, $1, kind, 'baremetal', resource_id, resource_name, field, expected, found, message, policy FROM page WHERE lasts
	ON CONFLICT (resource_id, kind, field) WHERE state <> 'closed' DO UPDATE SET seen = o.seen + 1, found = excluded.found, message = excluded.message, updated_at = now()
	RETURNING seen)
SELECT (SELECT count(*) FROM adopted) + (SELECT count(*) FROM lasting WHERE seen = 1)`

	endDrifts = `UPDATE drifts SET state = 'closed', closed_at = now(), updated_at = now(), version = version + 1 WHERE id = ANY ($1)`

	factsPage = `WITH page AS (
	SELECT * FROM jsonb_to_recordset($1::jsonb) AS p (id uuid, seen boolean, quiet boolean, changed boolean, power text, health text, inventory jsonb, report jsonb, missed integer, fault text, size jsonb, macs jsonb)) `

	// A hypervisor's size is what its vCenter may promise of it, and it was seen when its vCenter showed it: an import takes
	// away what it did not see. Who the machine is was settled when it was enrolled.
	writeMachines = factsPage + `
UPDATE baremetals b SET seen_at = CASE WHEN p.seen AND b.role <> 'hypervisor' THEN now() ELSE b.seen_at END,
	power = coalesce(nullif(p.power, ''), b.power), health = coalesce(nullif(p.health, ''), b.health),
	vcpu = CASE WHEN b.role = 'hypervisor' THEN b.vcpu ELSE coalesce(nullif((p.size ->> 'vcpu')::bigint, 0), b.vcpu) END,
	memory_mib = CASE WHEN b.role = 'hypervisor' THEN b.memory_mib ELSE coalesce(nullif((p.size ->> 'memory_mib')::bigint, 0), b.memory_mib) END,
	storage_gib = CASE WHEN b.role = 'hypervisor' THEN b.storage_gib ELSE coalesce(nullif((p.size ->> 'storage_gib')::bigint, 0), b.storage_gib) END,
	gpu = CASE WHEN b.role = 'hypervisor' THEN b.gpu ELSE coalesce((p.size ->> 'gpu')::bigint, b.gpu) END,
	version = b.version + CASE WHEN p.changed THEN 1 ELSE 0 END, updated_at = CASE WHEN p.changed THEN now() ELSE b.updated_at END
FROM page p WHERE b.id = p.id AND (p.seen OR p.changed)`

	writeFacts = factsPage + `
INSERT INTO baremetal_facts AS f (baremetal_id, inventory, health, inventory_at, health_at, reachable, unreachable_since, fault, missed)
SELECT id, coalesce(nullif(inventory, 'null'), '{}'), coalesce(nullif(report, 'null'), '{}'), CASE WHEN jsonb_typeof(inventory) = 'object' THEN now() END, CASE WHEN jsonb_typeof(report) = 'object' THEN now() END,
	missed = 0, CASE WHEN missed > 0 THEN now() END, fault, missed FROM page WHERE NOT quiet
ON CONFLICT (baremetal_id) DO UPDATE SET
	inventory = CASE WHEN excluded.inventory = '{}' THEN f.inventory ELSE excluded.inventory END,
	health = CASE WHEN excluded.health = '{}' THEN f.health ELSE excluded.health END,
	inventory_at = coalesce(excluded.inventory_at, f.inventory_at), health_at = coalesce(excluded.health_at, f.health_at),
	reachable = excluded.reachable, unreachable_since = CASE WHEN excluded.reachable THEN NULL ELSE coalesce(f.unreachable_since, excluded.unreachable_since) END,
	fault = excluded.fault, missed = excluded.missed`

	dropMACs = factsPage + `
DELETE FROM baremetal_macs m USING page p WHERE m.baremetal_id = p.id AND jsonb_typeof(p.inventory) = 'object' AND NOT coalesce(p.macs, '[]') ? m.mac`

	addMACs = factsPage + `
INSERT INTO baremetal_macs (mac, baremetal_id)
SELECT DISTINCT m.mac, p.id FROM page p, jsonb_array_elements_text(CASE WHEN jsonb_typeof(p.macs) = 'array' THEN p.macs ELSE '[]' END) m (mac) WHERE m.mac <> '' ON CONFLICT DO NOTHING`
)

// write writes what was judged, in one round trip.
func (p *observed) write(ctx context.Context) error {
	drifts, err := json.Marshal(p.drifts)
	if err != nil {
		return fmt.Errorf("encode differences: %w", err)
	}
	facts, err := json.Marshal(p.facts)
	if err != nil {
		return fmt.Errorf("encode facts: %w", err)
	}
	b := &pgx.Batch{}
	if len(p.drifts) > 0 {
		b.Queue(writeDrifts, p.in.Region, string(drifts)).QueryRow(func(row pgx.Row) error { return row.Scan(&p.out.Drifts) })
	}
	if len(p.ended) > 0 {
		b.Queue(endDrifts, p.ended)
		p.out.Closed = len(p.ended)
	}
	if len(p.facts) > 0 {
		for _, sql := range []string{writeMachines, writeFacts, dropMACs, addMACs} {
			b.Queue(sql, string(facts))
		}
	}
	if err := p.tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("write what was seen: %w", err)
	}
	return nil
}
