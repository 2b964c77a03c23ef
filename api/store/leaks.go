package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// active lists the states of an operation that has not ended, for SQL.
const active = `('accepted', 'running', 'blocked', 'cancelling')`

// compareMachines looks at a window of ids. What an operation works on, or worked on since the comparison began, is
// left out: the region was asked earlier than the database, so nothing certain can be said of it.
const compareMachines = `
WITH listed AS (SELECT * FROM unnest($3::uuid[], $4::text[], $5::text[]) AS m (id, ref, name)),
differing AS (
	SELECT 'unknown_machine' AS kind, l.id,
		CASE WHEN v.id IS NULL
			THEN format('The region %s has a machine %s (%s) that carries our mark, but there is no such vm.', $2::text, l.name, l.ref)
			ELSE format('The region %s has a machine %s (%s), but that vm belongs to region %s.', $2::text, l.name, l.ref, v.region) END AS message
	FROM listed l LEFT JOIN vms v ON v.id = l.id WHERE v.region IS DISTINCT FROM $2
	UNION ALL
	SELECT 'missing_machine', v.id, format('The vm %s is %s, but the region %s has no such machine.', v.name, v.state, $2::text)
	FROM vms v
	WHERE v.region = $2 AND v.id > $6 AND ($8 OR v.id <= $7) AND v.state IN ('running', 'stopped', 'failed')
		AND NOT EXISTS (SELECT FROM listed l WHERE l.id = v.id))
SELECT d.kind, d.id, d.message FROM differing d
WHERE NOT EXISTS (
	SELECT FROM operations o WHERE o.resource_id = d.id AND (o.state IN ` + active + `
		OR o.ended_at >= (SELECT coalesce(c.started_at, c.created_at) FROM operations c WHERE c.id = $1)))
ORDER BY d.id, d.kind`

// CompareMachines compares one page of a region's machines with the database.
func (s *Store) CompareMachines(ctx context.Context, in contract.CompareInput) (contract.Findings, error) {
	after, err := parseAfter(in.After)
	if err != nil {
		return contract.Findings{}, err
	}
	ids, refs, names, upTo := []models.ID{}, []string{}, []string{}, after
	for _, m := range in.Machines {
		ids, refs, names = append(ids, m.ID), append(refs, m.Ref), append(names, m.Name)
		if bytes.Compare(m.ID[:], upTo[:]) > 0 {
			upTo = m.ID
		}
	}
	rows, err := s.Pool.Query(ctx, compareMachines, in.OperationID, in.Region, ids, refs, names, after, upTo, in.Last)
	if err != nil {
		return contract.Findings{}, fmt.Errorf("compare machines of region %s: %w", in.Region, err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (contract.Finding, error) {
		f := contract.Finding{Region: in.Region, ResourceKind: "vm"}
		return f, row.Scan(&f.Kind, &f.ResourceID, &f.Message)
	})
	if err != nil {
		return contract.Findings{}, fmt.Errorf("compare machines of region %s: %w", in.Region, err)
	}
	// The region learns which of its machines differ, and nothing else.
	err = writeRegionAudit(ctx, s.Pool, in.Region, contract.LeakCompare.Name, in.OperationID,
		map[string]any{"after": in.After, "machines": len(in.Machines), "last": in.Last, "findings": len(found)})
	return contract.Findings{Findings: found}, err
}

// parseAfter reads where a window begins; empty is before everything.
func parseAfter(s string) (models.ID, error) {
	if s == "" {
		return models.NoID, nil
	}
	var id models.ID
	if err := id.UnmarshalText([]byte(s)); err != nil {
		return id, fmt.Errorf("the comparison's window begins after %q, which is not an id: %w", s, err)
	}
	return id, nil
}

// The books are balanced when each of these finds nothing. Each answers kind, region, resource kind, id and a sentence.
var balance = []string{
	// Every quota's use is the sum of what the tenant and everything below it takes.
	`
WITH per AS (
	SELECT tenant_id, group_id, sum(vcpu) AS vcpu, sum(memory_mib) AS memory_mib, sum(storage_gib) AS storage_gib, sum(gpu) AS gpu,
		sum(vms) AS vms, sum(baremetals) AS baremetals, sum(clusters) AS clusters, sum(ip_addresses) AS ip_addresses
	FROM allocations GROUP BY tenant_id, group_id),
sums AS (
	SELECT owner.id AS tenant_id, q.grp AS group_id, sum(vcpu) AS vcpu, sum(memory_mib) AS memory_mib, sum(storage_gib) AS storage_gib, sum(gpu) AS gpu,
		sum(vms) AS vms, sum(baremetals) AS baremetals, sum(clusters) AS clusters, sum(ip_addresses) AS ip_addresses
	FROM per p JOIN tenants t ON t.id = p.tenant_id
	CROSS JOIN LATERAL unnest(t.path) AS owner (id)
	CROSS JOIN LATERAL (SELECT NULL::uuid AS grp UNION ALL SELECT p.group_id WHERE p.group_id IS NOT NULL) q
	GROUP BY owner.id, q.grp)
SELECT 'quota_sum', '', 'quota', q.id, format('The quota of tenant %s counts %s %s, but the ledger has %s.', t.full_name, c.used, c.resource, c.taken)
FROM quotas q JOIN tenants t ON t.id = q.tenant_id
LEFT JOIN sums s ON s.tenant_id = q.tenant_id
	AND coalesce(s.group_id, '00000000-0000-0000-0000-000000000000') = coalesce(q.group_id, '00000000-0000-0000-0000-000000000000')
CROSS JOIN LATERAL (VALUES
	('vcpu', q.vcpu_used, coalesce(s.vcpu, 0)), ('memory_mib', q.memory_mib_used, coalesce(s.memory_mib, 0)),
	('storage_gib', q.storage_gib_used, coalesce(s.storage_gib, 0)), ('gpu', q.gpu_used, coalesce(s.gpu, 0)),
	('vms', q.vms_used, coalesce(s.vms, 0)), ('baremetals', q.baremetals_used, coalesce(s.baremetals, 0)),
	('clusters', q.clusters_used, coalesce(s.clusters, 0)), ('ip_addresses', q.ip_addresses_used, coalesce(s.ip_addresses, 0))
	) AS c (resource, used, taken)
WHERE c.used <> c.taken
ORDER BY q.id, c.resource LIMIT 1000`,

	// Every leased machine counts in the group that it is in.
	`
SELECT 'allocation', b.region, 'baremetal', b.id, format('The leased baremetal %s counts in another group than the one that it is in.', b.name)
FROM baremetals b JOIN allocations a ON a.resource_id = b.id
WHERE b.role = 'leased' AND a.group_id IS DISTINCT FROM b.group_id
ORDER BY b.id LIMIT 1000`,

	// Every host's free room is its total less what its machines take, and those that are on their way to it.
	`
SELECT 'host_sum', b.region, 'baremetal', b.id, format('The host %s shows %s %s free, but %s less what the ledger takes is %s.', b.name, c.free, c.resource, c.total, c.total - c.taken)
FROM hypervisors h JOIN baremetals b ON b.id = h.baremetal_id
LEFT JOIN (
	SELECT baremetal_id, sum(vcpu) AS vcpu, sum(memory_mib) AS memory_mib, sum(storage_gib) AS storage_gib, sum(gpu) AS gpu
	FROM (SELECT baremetal_id, vcpu, memory_mib, storage_gib, gpu FROM allocations
		UNION ALL SELECT baremetal_id, vcpu, memory_mib, storage_gib, gpu FROM moves) t GROUP BY baremetal_id) a ON a.baremetal_id = h.baremetal_id
CROSS JOIN LATERAL (VALUES
	('vcpu', h.vcpu_total, h.vcpu_free, coalesce(a.vcpu, 0)), ('memory_mib', h.memory_mib_total, h.memory_mib_free, coalesce(a.memory_mib, 0)),
	('storage_gib', h.storage_gib_total, h.storage_gib_free, coalesce(a.storage_gib, 0)), ('gpu', h.gpu_total, h.gpu_free, coalesce(a.gpu, 0))
	) AS c (resource, total, free, taken)
WHERE c.free <> c.total - c.taken
ORDER BY b.id, c.resource LIMIT 1000`,

	// Every VM takes exactly what its row says. While an operation changes its size the ledger holds the larger one.
	`
SELECT 'allocation', v.region, 'vm', v.id, CASE WHEN a.resource_id IS NULL
	THEN format('The vm %s takes nothing from the ledger.', v.name)
	ELSE format('What the ledger says of the vm %s is not what its row says.', v.name) END
FROM vms v LEFT JOIN allocations a ON a.resource_id = v.id
WHERE (a.resource_kind, a.tenant_id, a.group_id, a.baremetal_id, a.vms, a.ip_addresses) IS DISTINCT FROM ('vm', v.tenant_id, v.group_id, v.baremetal_id, 1::bigint, 1::bigint)
	OR (a.vcpu, a.memory_mib, a.storage_gib, a.gpu) IS DISTINCT FROM (v.vcpu, v.memory_mib, v.storage_gib, v.gpu)
		AND NOT EXISTS (SELECT FROM operations o WHERE o.resource_id = v.id AND o.state IN ` + active + `)
ORDER BY v.id LIMIT 1000`,

	// Nothing is taken for what does not exist.
	`
SELECT 'allocation', '', a.resource_kind, a.resource_id, format('The ledger takes something for a %s that does not exist.', a.resource_kind)
FROM allocations a
WHERE a.resource_kind = 'vm' AND NOT EXISTS (SELECT FROM vms v WHERE v.id = a.resource_id)
	OR a.resource_kind = 'ip-address' AND NOT EXISTS (SELECT FROM ip_addresses i WHERE i.id = a.resource_id AND i.vm_id IS NULL AND i.tenant_id = a.tenant_id)
	OR a.resource_kind = 'baremetal' AND NOT EXISTS (SELECT FROM baremetals b WHERE b.id = a.resource_id)
ORDER BY a.resource_id LIMIT 1000`,

	// Every leased machine is counted once for its tenant, and no other machine is.
	`
SELECT 'allocation', b.region, 'baremetal', b.id, CASE WHEN b.role = 'leased'
	THEN format('The baremetal %s is leased, but the ledger does not count it for its tenant.', b.name)
	ELSE format('The ledger counts the baremetal %s for a tenant that does not lease it.', b.name) END
FROM baremetals b LEFT JOIN allocations a ON a.resource_id = b.id
WHERE CASE WHEN b.role = 'leased' THEN (a.resource_kind, a.tenant_id, a.baremetals) IS DISTINCT FROM ('baremetal', b.tenant_id, 1::bigint) ELSE a.resource_id IS NOT NULL END
ORDER BY b.id LIMIT 1000`,

	// Every VM has exactly its address.
	`
SELECT 'address', v.region, 'vm', v.id, format('The vm %s has the address %s, but %s.', v.name, host(v.address),
	CASE count(i.id) WHEN 0 THEN 'no address is taken for it' WHEN 1 THEN 'another one is taken for it' ELSE 'several are taken for it' END)
FROM vms v LEFT JOIN ip_addresses i ON i.vm_id = v.id
GROUP BY v.id
HAVING count(i.id) <> 1 OR bool_or((i.subnet_id, i.address, i.tenant_id) IS DISTINCT FROM (v.subnet_id, v.address, v.tenant_id))
ORDER BY v.id LIMIT 1000`,

	// Every taken address belongs to a VM, or is a reservation that the ledger counts.
	`
SELECT 'address', '', 'ip-address', i.id, format('The address %s is taken for %s.', host(i.address),
	CASE WHEN i.vm_id IS NULL THEN 'a reservation that the ledger does not count' ELSE 'a vm that does not exist' END)
FROM ip_addresses i
WHERE i.vm_id IS NOT NULL AND NOT EXISTS (SELECT FROM vms v WHERE v.id = i.vm_id)
	OR i.vm_id IS NULL AND i.tenant_id IS NOT NULL AND NOT EXISTS (SELECT FROM allocations a WHERE a.resource_id = i.id)
ORDER BY i.id LIMIT 1000`,

	// Nothing takes room on a second host without an operation that moves it there.
	`
SELECT 'move', v.region, 'vm', v.id, format('The vm %s takes room on the host %s, but no operation moves it there.', v.name, b.name)
FROM moves m JOIN vms v ON v.id = m.vm_id JOIN baremetals b ON b.id = m.baremetal_id
WHERE NOT EXISTS (SELECT FROM operations o WHERE o.id = m.operation_id AND o.resource_id = m.vm_id AND o.state IN ` + active + `)
ORDER BY v.id LIMIT 1000`,

	// Nothing is on its way without an operation that brings it there.
	`
SELECT 'stuck', v.region, 'vm', v.id, format('The vm %s is %s, but no operation is under way.', v.name, v.state)
FROM vms v
WHERE v.state IN ('provisioning', 'updating', 'deleting')
	AND NOT EXISTS (SELECT FROM operations o WHERE o.resource_id = v.id AND o.state IN ` + active + `)
ORDER BY v.id LIMIT 1000`,
	`
SELECT 'stuck', b.region, 'baremetal', b.id, format('The baremetal %s is %s, but no operation is under way.', b.name, b.state)
FROM baremetals b
WHERE b.state IN ('enrolling', 'retiring')
	AND NOT EXISTS (SELECT FROM operations o WHERE o.resource_id = b.id AND o.state IN ` + active + `)
ORDER BY b.id LIMIT 1000`,
}

// CheckLedger compares the database with itself: quota, host room, allocations and addresses. It reads one snapshot,
// in which every transaction is whole, so that work under way is no finding.
func (s *Store) CheckLedger(ctx context.Context) (contract.Findings, error) {
	var out contract.Findings
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, s.Pool, snapshot, func(tx pgx.Tx) error {
		out = contract.Findings{Findings: []contract.Finding{}}
		for _, check := range balance {
			rows, err := tx.Query(ctx, check)
			if err != nil {
				return err
			}
			found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f contract.Finding, err error) {
				return f, row.Scan(&f.Kind, &f.Region, &f.ResourceKind, &f.ResourceID, &f.Message)
			})
			if err != nil {
				return err
			}
			out.Findings = append(out.Findings, found...)
		}
		return nil
	})
	if err != nil {
		return contract.Findings{}, fmt.Errorf("check the ledger: %w", err)
	}
	return out, nil
}

const lostOperations = `
SELECT input, seq FROM operations
WHERE state IN ` + active + ` AND dispatched_at < now() - interval '1 minute' AND id > $1
ORDER BY id LIMIT $2`

const operationsUnderWay = `SELECT input, seq FROM operations WHERE state IN ` + active + ` AND id = ANY ($1) ORDER BY id`

// UnderWay lists those of some operations that have not ended.
func (s *Store) UnderWay(ctx context.Context, ids []models.ID) (contract.LostPage, error) {
	return s.lost(ctx, operationsUnderWay, ids)
}

// LostOperations lists operations that may have lost their workflow, in the order of their id: they are active, and
// Temporal took them over a minute ago. Whether it still has them is for the caller to ask.
func (s *Store) LostOperations(ctx context.Context, after models.ID, limit int) (contract.LostPage, error) {
	return s.lost(ctx, lostOperations, after, limit)
}

func (s *Store) lost(ctx context.Context, sql string, args ...any) (contract.LostPage, error) {
	rows, err := s.Pool.Query(ctx, sql, args...)
	if err != nil {
		return contract.LostPage{}, fmt.Errorf("list operations that may be lost: %w", err)
	}
	lost, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l contract.Lost, err error) {
		var input []byte
		if err := row.Scan(&input, &l.Seq); err != nil {
			return l, err
		}
		return l, json.Unmarshal(input, &l.Operation)
	})
	if err != nil {
		return contract.LostPage{}, fmt.Errorf("list operations that may be lost: %w", err)
	}
	return contract.LostPage{Lost: lost}, nil
}
