package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// importedHost is a row of the page that recordHosts reads.
type importedHost struct {
	ID           models.ID `json:"id"` // of the row, if the host is new
	HardwareUUID string    `json:"hardware_uuid"`
	Name         string    `json:"name"`
	ProviderRef  string    `json:"provider_ref"`
	Cluster      string    `json:"cluster"`
	Model        string    `json:"model"`
	models.Size
	Connected   bool `json:"connected"`
	Maintenance bool `json:"provider_maintenance"`
}

const (
	// giveWay renames rows whose name now belongs to another machine: a host was replaced, or two swapped names. The
	// one that still exists gets its present name from its own line of the import. A machine that people enrolled keeps its
	// name: the host of the provider gets another one here.
	giveWay = `
UPDATE baremetals b SET name = b.name || '~' || b.hardware_uuid, version = b.version + 1, updated_at = now()
FROM jsonb_to_recordset($2::jsonb) AS p (hardware_uuid text, name text)
WHERE b.region = $1 AND b.name = p.name AND b.hardware_uuid <> p.hardware_uuid AND NOT ` + enrolled + `
	AND NOT EXISTS (SELECT FROM baremetals b WHERE b.region = $1 AND b.hardware_uuid = p.hardware_uuid AND ` + enrolled + `)`

	// enrolled says of b that people brought it in, and named it.
	enrolled = `(b.role <> 'hypervisor' OR EXISTS (SELECT FROM bmcs m WHERE m.baremetal_id = b.id))`

	// recordHosts adds and updates one page. What people decided (rack, group, maintenance, state, and of an enrolled
	// machine its name) is left alone, and so is what the BMC said of a machine that is no hypervisor yet. A host carries
	// the time at which it was last seen; that is never before the import began, whatever the clocks say.
	recordHosts = `
WITH page AS (
	SELECT p.id, p.hardware_uuid, p.provider_ref, p.cluster, p.model, p.vcpu, p.memory_mib, p.storage_gib, p.gpu, p.connected, p.provider_maintenance,
		p.name || CASE WHEN EXISTS (SELECT FROM baremetals b WHERE b.region = $2 AND b.name = p.name AND b.hardware_uuid <> p.hardware_uuid)
			THEN '~' || p.hardware_uuid ELSE '' END AS name
	FROM jsonb_to_recordset($3::jsonb) AS p (id uuid, hardware_uuid text, name text, provider_ref text, cluster text, model text,
		vcpu bigint, memory_mib bigint, storage_gib bigint, gpu bigint, connected boolean, provider_maintenance boolean)),
kept AS (
	SELECT b.id, ` + enrolled + ` AS named, b.role <> 'hypervisor' AS known
	FROM baremetals b JOIN page p ON b.region = $2 AND b.hardware_uuid = p.hardware_uuid),
before AS (SELECT b.id, b.version FROM baremetals b JOIN page p ON b.region = $2 AND b.hardware_uuid = p.hardware_uuid),
recorded AS (
	INSERT INTO baremetals AS b (id, region, name, role, state, hardware_uuid, provider_ref, cluster, model,
		vcpu, memory_mib, storage_gib, gpu, connected, provider_maintenance, seen_at)
	SELECT p.id, $2, p.name, 'hypervisor', 'in_use', p.hardware_uuid, p.provider_ref, p.cluster, p.model,
		p.vcpu, p.memory_mib, p.storage_gib, p.gpu, p.connected, p.provider_maintenance,
		greatest(now(), (SELECT o.created_at FROM operations o WHERE o.id = $1))
	FROM page p ORDER BY p.hardware_uuid
	ON CONFLICT (region, hardware_uuid) WHERE hardware_uuid <> '' DO UPDATE SET
		(name, provider_ref, cluster, model, vcpu, memory_mib, storage_gib, gpu, connected, provider_maintenance, seen_at, version, updated_at) = (
			SELECT n.name, n.provider_ref, n.cluster, n.model, n.vcpu, n.memory_mib, n.storage_gib, n.gpu, n.connected, n.provider_maintenance, excluded.seen_at,
				b.version + CASE WHEN
					(b.name, b.provider_ref, b.cluster, b.model, b.vcpu, b.memory_mib, b.storage_gib, b.gpu, b.connected, b.provider_maintenance)
					= (n.name, n.provider_ref, n.cluster, n.model, n.vcpu, n.memory_mib, n.storage_gib, n.gpu, n.connected, n.provider_maintenance) THEN 0 ELSE 1 END,
				now()
			FROM (SELECT CASE WHEN k.named THEN b.name ELSE excluded.name END AS name, excluded.provider_ref, excluded.cluster,
					CASE WHEN k.known THEN b.model ELSE excluded.model END AS model,
					CASE WHEN k.known THEN b.vcpu ELSE excluded.vcpu END AS vcpu, CASE WHEN k.known THEN b.memory_mib ELSE excluded.memory_mib END AS memory_mib,
					CASE WHEN k.known THEN b.storage_gib ELSE excluded.storage_gib END AS storage_gib, CASE WHEN k.known THEN b.gpu ELSE excluded.gpu END AS gpu,
					excluded.connected, excluded.provider_maintenance
				FROM (SELECT b.id) one LEFT JOIN kept k ON k.id = one.id) n)
	RETURNING b.id, b.version)
SELECT r.id, before.id IS NULL AS added FROM recorded r LEFT JOIN before ON before.id = r.id
WHERE before.id IS NULL OR before.version <> r.version`

	// missHosts marks what this import did not see. Those that were connected until now change.
	missHosts = `
WITH missing AS (
	SELECT b.id, b.connected FROM baremetals b, operations o
	WHERE o.id = $1 AND b.region = $2 AND b.role = 'hypervisor' AND (b.seen_at IS NULL OR b.seen_at < o.created_at)),
gone AS (
	UPDATE baremetals b SET connected = false, version = b.version + 1, updated_at = now()
	FROM missing m WHERE b.id = m.id AND m.connected RETURNING b.id)
SELECT m.id, gone.id IS NOT NULL AS changed FROM missing m LEFT JOIN gone ON gone.id = m.id`
)

// RecordHypervisors records one page of a region's hosts. Hosts are recognised by their hardware. At the last page,
// hosts that the import did not see are taken out of placement. Recording the same page again changes nothing.
func (s *Store) RecordHypervisors(ctx context.Context, in contract.RecordInput) (contract.Recorded, error) {
	var out contract.Recorded
	err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		out = contract.Recorded{}
		if _, err := tx.Exec(ctx, holdStructure); err != nil {
			return fmt.Errorf("take the structure lock: %w", err)
		}
		hosts, err := asKnown(ctx, tx, in.Region, importedHosts(in.Hypervisors))
		if err != nil {
			return err
		}
		page, err := json.Marshal(hosts)
		if err != nil {
			return fmt.Errorf("encode a page of hypervisors: %w", err)
		}
		if _, err := tx.Exec(ctx, giveWay, in.Region, page); err != nil {
			return fmt.Errorf("free the names of replaced hosts: %w", err)
		}
		changed, added, err := touched(tx.Query(ctx, recordHosts, in.OperationID, in.Region, page))
		if err != nil {
			return fmt.Errorf("record hosts: %w", err)
		}
		out.Added, out.Changed = added, len(changed)-added
		if in.Last {
			rows, err := tx.Query(ctx, missHosts, in.OperationID, in.Region)
			missing, _, err := touched(rows, err)
			if err != nil {
				return fmt.Errorf("mark missing hosts: %w", err)
			}
			out.Missing = len(missing)
			changed = append(changed, missing...)
		}
		if _, err = tx.Exec(ctx, "SELECT refresh_hypervisors($1)", changed); err != nil {
			return fmt.Errorf("refresh what placement reads: %w", err)
		}
		if err := JoinByRuleIn(ctx, tx, changed...); err != nil {
			return err
		}
		return writeRegionAudit(ctx, tx, in.Region, contract.RegionRecord.Name, in.OperationID, map[string]any{
			"hypervisors": len(in.Hypervisors), "last": in.Last, "added": out.Added, "changed": out.Changed, "missing": out.Missing})
	})
	if err != nil {
		return contract.Recorded{}, fmt.Errorf("record hypervisors of region %s: %w", in.Region, err)
	}
	return out, nil
}

// asKnown gives hosts whose BMC reads their UUID the other way round the spelling by which they are known.
func asKnown(ctx context.Context, tx pgx.Tx, region string, hosts []importedHost) ([]importedHost, error) {
	other := map[string]int{} // which host might be known by which other spelling
	for i, h := range hosts {
		if swapped := models.SwappedUUID(h.HardwareUUID); swapped != h.HardwareUUID {
			other[swapped] = i
		}
	}
	rows, err := tx.Query(ctx, "SELECT hardware_uuid FROM baremetals WHERE region = $1 AND hardware_uuid = ANY ($2)", region, slices.Collect(maps.Keys(other)))
	if err != nil {
		return nil, fmt.Errorf("look for hosts that are known by their BMC: %w", err)
	}
	known, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for hosts that are known by their BMC: %w", err)
	}
	for _, spelling := range known {
		hosts[other[spelling]].HardwareUUID = spelling
	}
	return hosts, nil
}

// touched collects ids, and counts those that carry a mark.
func touched(rows pgx.Rows, err error) (ids []models.ID, marked int, _ error) {
	if err != nil {
		return nil, 0, err
	}
	ids = []models.ID{}
	var id models.ID
	var mark bool
	_, err = pgx.ForEachRow(rows, []any{&id, &mark}, func() error {
		ids = append(ids, id)
		if mark {
			marked++
		}
		return nil
	})
	return ids, marked, err
}

// importedHosts prepares a page: each host once, and each name once, because a provider may show two hosts of the same
// name in different clusters.
func importedHosts(in []contract.Hypervisor) []importedHost {
	out := make([]importedHost, 0, len(in))
	seen, names := map[string]bool{}, map[string]bool{}
	for _, h := range in {
		if h.UUID = strings.ToLower(h.UUID); h.UUID == "" { // a BMC's are written like that too
			h.UUID = h.Ref
		}
		if seen[h.UUID] {
			continue
		}
		if names[h.Name] {
			h.Name += "~" + h.UUID
		}
		seen[h.UUID], names[h.Name] = true, true
		out = append(out, importedHost{
			ID: models.NewID(), HardwareUUID: h.UUID, Name: h.Name, ProviderRef: h.Ref, Cluster: h.Cluster, Model: h.Model,
			Size: h.Capacity, Connected: h.Connected, Maintenance: h.Maintenance,
		})
	}
	return out
}
