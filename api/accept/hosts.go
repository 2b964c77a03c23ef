package accept

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/models"
)

// Both policies walk the index of free room from one end and stop at the first hosts that fit: the cost does not grow
// with the group. Candidates are read without locks; taking from them repeats the condition.
const (
	candidates = `
SELECT h.baremetal_id, b.name, b.provider_ref, h.group_id, h.rack_id,
	h.vcpu_total, h.memory_mib_total, h.storage_gib_total, h.gpu_total, h.vcpu_free, h.memory_mib_free, h.storage_gib_free, h.gpu_free
FROM (
	SELECT * FROM hypervisors
	WHERE placeable AND group_id = $1 AND vcpu_free >= $2 AND memory_mib_free >= $3 AND storage_gib_free >= $4 AND gpu_free >= $5
		AND NOT baremetal_id = ANY ($6) AND (rack_id IS NULL OR NOT rack_id = ANY ($7))
	ORDER BY group_id %[1]s, vcpu_free %[1]s, memory_mib_free %[1]s
	LIMIT $8) h
JOIN baremetals b ON b.id = h.baremetal_id`

	takeHosts = `
WITH d AS (SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS d (id, vcpu, memory_mib, storage_gib, gpu)),
	l AS (SELECT baremetal_id FROM hypervisors WHERE baremetal_id = ANY ($1) ORDER BY baremetal_id FOR UPDATE),
	u AS (UPDATE hypervisors h SET vcpu_free = h.vcpu_free - d.vcpu, memory_mib_free = h.memory_mib_free - d.memory_mib,
		storage_gib_free = h.storage_gib_free - d.storage_gib, gpu_free = h.gpu_free - d.gpu
	FROM d JOIN l ON l.baremetal_id = d.id
	WHERE h.baremetal_id = d.id AND (h.placeable OR $6)
		AND h.vcpu_free >= d.vcpu AND h.memory_mib_free >= d.memory_mib AND h.storage_gib_free >= d.storage_gib AND h.gpu_free >= d.gpu
	RETURNING 1)
SELECT must_touch((SELECT count(*) FROM u), cardinality($1), 'hosts')`
)

var byPolicy = map[models.Policy]string{
	models.Spread: fmt.Sprintf(candidates, "DESC"),
	models.Pack:   fmt.Sprintf(candidates, "ASC"),
}

// queueCandidates reads the first n hosts of a group, in the order of the policy, that can take at least this size.
func queueCandidates(b *pgx.Batch, group models.ID, policy models.Policy, least models.Size, away away, n int) *[]*host {
	out := &[]*host{}
	hosts, racks := away.hosts, away.racks
	if hosts == nil {
		hosts = []models.ID{}
	}
	if racks == nil {
		racks = []models.ID{}
	}
	b.Queue(byPolicy[policy], group, least.VCPU, least.MemoryMiB, least.StorageGiB, least.GPU, hosts, racks, n).
		Query(collect(out, scanHost))
	return out
}

func scanHost(row pgx.CollectableRow) (*host, error) {
	h := &host{}
	err := row.Scan(&h.ID, &h.Name, &h.Ref, &h.Group, &h.Rack,
		&h.Total.VCPU, &h.Total.MemoryMiB, &h.Total.StorageGiB, &h.Total.GPU, &h.Free.VCPU, &h.Free.MemoryMiB, &h.Free.StorageGiB, &h.Free.GPU)
	return h, err
}

// queueTakeHosts takes room from hosts, or fails the transaction. A machine that is already on its host grows there
// even if the host takes no new ones.
func queueTakeHosts(b *pgx.Batch, taken map[models.ID]models.Size, grows bool) {
	if len(taken) == 0 {
		return
	}
	ids := make([]models.ID, 0, len(taken))
	for id := range taken {
		ids = append(ids, id)
	}
	column := func(f func(models.Size) int64) []int64 {
		return each(ids, func(id models.ID) int64 { return f(taken[id]) })
	}
	b.Queue(takeHosts, ids,
		column(func(s models.Size) int64 { return s.VCPU }), column(func(s models.Size) int64 { return s.MemoryMiB }),
		column(func(s models.Size) int64 { return s.StorageGiB }), column(func(s models.Size) int64 { return s.GPU }), grows)
}

// hostReasons counts the hosts of a group by the first cause that keeps a machine from each. It reads the whole group,
// and so serves only refusals and dry runs.
const hostReasons = `
SELECT cause, count(*) FROM (
	SELECT CASE
		WHEN NOT b.connected THEN 'is not connected'
		WHEN b.maintenance OR b.provider_maintenance THEN 'is in maintenance'
		WHEN NOT h.placeable THEN 'takes no machines'
		WHEN h.baremetal_id = ANY ($6) THEN 'carries a machine to keep away from'
		WHEN h.rack_id = ANY ($7) THEN 'is in a rack to keep away from'
		WHEN h.vcpu_free < $2 THEN 'has too little vcpu'
		WHEN h.memory_mib_free < $3 THEN 'has too little memory'
		WHEN h.storage_gib_free < $4 THEN 'has too little storage'
		WHEN h.gpu_free < $5 THEN 'has too few gpus'
		ELSE 'fits' END AS cause
	FROM hypervisors h JOIN baremetals b ON b.id = h.baremetal_id WHERE h.group_id = $1) c
GROUP BY cause ORDER BY count(*) DESC, cause`

// mostRoom is the most that any one host of a group has free, for each resource.
const mostRoom = `
SELECT coalesce(max(vcpu_free), 0), coalesce(max(memory_mib_free), 0), coalesce(max(storage_gib_free), 0), coalesce(max(gpu_free), 0)
FROM hypervisors WHERE group_id = $1 AND placeable`

// reasons explains where a machine could and could not go.
func reasons(ctx context.Context, conn *pgxpool.Conn, group models.ID, size models.Size, away away) ([]models.Reason, models.Size, error) {
	var out []models.Reason
	var most models.Size
	hosts, racks := away.hosts, away.racks
	if hosts == nil {
		hosts = []models.ID{}
	}
	if racks == nil {
		racks = []models.ID{}
	}
	b := &pgx.Batch{}
	b.Queue(hostReasons, group, size.VCPU, size.MemoryMiB, size.StorageGiB, size.GPU, hosts, racks).
		Query(collect(&out, pgx.RowToStructByPos[models.Reason]))
	b.Queue(mostRoom, group).QueryRow(func(row pgx.Row) error {
		return row.Scan(&most.VCPU, &most.MemoryMiB, &most.StorageGiB, &most.GPU)
	})
	err := send(ctx, conn, b)
	return out, most, err
}

// noHost is the refusal for lack of a host.
func noHost(group, region string, size, most models.Size, why []models.Reason) *models.Fault {
	where := fmt.Sprintf("group %s in %s", group, region)
	f := models.Faultf(models.CodeCapacityExhausted, "No host of %s can take a machine with %d vcpu, %d MiB memory and %d GiB storage. Ask for less, use another group, or add hosts.",
		where, size.VCPU, size.MemoryMiB, size.StorageGiB)
	f.Reasons = why
	asked, free := models.Amount{Size: size}.Values(), models.Amount{Size: most}.Values()
	for i, resource := range models.Resources[:4] {
		if asked[i] > free[i] {
			f.Shortages = append(f.Shortages, models.Shortage{Resource: resource, Where: "the emptiest host of " + where, Asked: asked[i], Free: max(0, free[i])})
		}
	}
	return f
}
