package accept

import (
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/models"
)

// limit is a quota row as accept sees it.
type limit struct {
	ID     models.ID
	Tenant string // full name
	Owner  models.ID
	Group  *models.ID
	Where  string // for people
	Limits [8]*int64
	Used   [8]int64
}

// short returns what an amount exceeds. A resource that is not asked for is never short, even if it is over its limit.
func (l *limit) short(asked models.Amount) []models.Shortage {
	var out []models.Shortage
	for i, ask := range asked.Values() {
		if ask <= 0 || l.Limits[i] == nil || l.Used[i]+ask <= *l.Limits[i] {
			continue
		}
		out = append(out, models.Shortage{Resource: models.Resources[i], Where: l.Where, Limit: l.Limits[i], Asked: ask, Free: max(0, *l.Limits[i]-l.Used[i])})
	}
	return out
}

// take counts an amount.
func (l *limit) take(a models.Amount) {
	for i, v := range a.Values() {
		l.Used[i] += v
	}
}

// limits are the quota rows of a transaction by tenant.
type limits map[models.ID][]*limit

// of returns the rows that a tenant's use in a group counts against: its own and its ancestors', everywhere and there.
func (ls limits) of(path []models.ID, group models.ID) []*limit {
	var out []*limit
	for _, tenant := range path {
		for _, l := range ls[tenant] {
			if l.Group == nil || *l.Group == group {
				out = append(out, l)
			}
		}
	}
	return out
}

// shortages lists what an amount exceeds in any of the rows.
func shortages(rows []*limit, a models.Amount) []models.Shortage {
	var short []models.Shortage
	for _, l := range rows {
		short = append(short, l.short(a)...)
	}
	return short
}

// exceeded is the refusal for lack of quota.
func exceeded(short []models.Shortage) *models.Fault {
	s := short[0]
	f := models.Faultf(models.CodeQuotaExceeded, "The quota of %s does not allow it: %d %s asked, %d of %d free. Free something, ask for less, or ask for a larger quota.",
		s.Where, s.Asked, s.Resource, s.Free, *s.Limit)
	f.Shortages = short
	return f
}

const quotaRows = `
SELECT q.id, q.tenant_id, t.full_name, q.group_id, coalesce(g.name || ' in ' || g.region, ''),
	q.vcpu_limit, q.memory_mib_limit, q.storage_gib_limit, q.gpu_limit, q.vms_limit, q.baremetals_limit, q.clusters_limit, q.ip_addresses_limit,
	q.vcpu_used, q.memory_mib_used, q.storage_gib_used, q.gpu_used, q.vms_used, q.baremetals_used, q.clusters_used, q.ip_addresses_used
FROM quotas q JOIN tenants t ON t.id = q.tenant_id LEFT JOIN groups g ON g.id = q.group_id
WHERE q.tenant_id = ANY ($1) AND (q.group_id IS NULL OR q.group_id = ANY ($2))
ORDER BY q.id`

// queueQuotas reads the quota rows of the tenants, everywhere and in the groups.
func queueQuotas(b *pgx.Batch, tenants, groups []models.ID) limits {
	out := limits{}
	b.Queue(quotaRows, tenants, groups).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			l := &limit{}
			var group string
			into := []any{&l.ID, &l.Owner, &l.Tenant, &l.Group, &group}
			for i := range l.Limits {
				into = append(into, &l.Limits[i])
			}
			for i := range l.Used {
				into = append(into, &l.Used[i])
			}
			if err := rows.Scan(into...); err != nil {
				return err
			}
			l.Where = "tenant " + l.Tenant
			if group != "" {
				l.Where = fmt.Sprintf("tenant %s in group %s", l.Tenant, group)
			}
			out[l.Owner] = append(out[l.Owner], l)
		}
		return rows.Err()
	})
	return out
}

// The rows are locked in the order of their id before any is changed, so that two transactions never wait for each
// other, and every row checks its limit again on what is committed by then.
const takeQuotas = `
WITH d AS (SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
		AS d (id, vcpu, memory_mib, storage_gib, gpu, vms, baremetals, clusters, ip_addresses)),
	l AS (SELECT q.id FROM quotas q WHERE q.id = ANY ($1) ORDER BY q.id FOR UPDATE),
	u AS (UPDATE quotas q SET
		vcpu_used = q.vcpu_used + d.vcpu, memory_mib_used = q.memory_mib_used + d.memory_mib,
		storage_gib_used = q.storage_gib_used + d.storage_gib, gpu_used = q.gpu_used + d.gpu,
		vms_used = q.vms_used + d.vms, baremetals_used = q.baremetals_used + d.baremetals,
		clusters_used = q.clusters_used + d.clusters, ip_addresses_used = q.ip_addresses_used + d.ip_addresses
	FROM d JOIN l ON l.id = d.id
	WHERE q.id = d.id
		AND (d.vcpu <= 0 OR q.vcpu_limit IS NULL OR q.vcpu_used + d.vcpu <= q.vcpu_limit)
		AND (d.memory_mib <= 0 OR q.memory_mib_limit IS NULL OR q.memory_mib_used + d.memory_mib <= q.memory_mib_limit)
		AND (d.storage_gib <= 0 OR q.storage_gib_limit IS NULL OR q.storage_gib_used + d.storage_gib <= q.storage_gib_limit)
		AND (d.gpu <= 0 OR q.gpu_limit IS NULL OR q.gpu_used + d.gpu <= q.gpu_limit)
		AND (d.vms <= 0 OR q.vms_limit IS NULL OR q.vms_used + d.vms <= q.vms_limit)
		AND (d.baremetals <= 0 OR q.baremetals_limit IS NULL OR q.baremetals_used + d.baremetals <= q.baremetals_limit)
		AND (d.clusters <= 0 OR q.clusters_limit IS NULL OR q.clusters_used + d.clusters <= q.clusters_limit)
		AND (d.ip_addresses <= 0 OR q.ip_addresses_limit IS NULL OR q.ip_addresses_used + d.ip_addresses <= q.ip_addresses_limit)
	RETURNING 1)
SELECT must_touch((SELECT count(*) FROM u), cardinality($1), 'quotas')`

// draw is an amount that is taken from one quota row.
type draw struct {
	id     models.ID
	amount models.Amount
}

// queueTakeQuotas takes every draw, or fails the transaction.
func queueTakeQuotas(b *pgx.Batch, draws []draw) {
	if len(draws) == 0 {
		return
	}
	args := []any{each(draws, func(d draw) models.ID { return d.id })}
	for i := range models.Resources {
		args = append(args, each(draws, func(d draw) int64 { return d.amount.Values()[i] }))
	}
	b.Queue(takeQuotas, args...)
}

// drawn adds up what is taken from each row.
type drawn map[models.ID]models.Amount

func (d drawn) add(rows []*limit, a models.Amount) {
	for _, l := range rows {
		d[l.ID] = d[l.ID].Add(a)
	}
}

func (d drawn) draws() []draw {
	out := make([]draw, 0, len(d))
	for id, a := range d {
		out = append(out, draw{id, a})
	}
	return out
}
