package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

const (
	// fullness lists every limit with what counts against it.
	fullness = `
SELECT q.id AS quota_id, q.tenant_id, c.resource, c.used, c.max
FROM quotas q CROSS JOIN LATERAL (VALUES
	('vcpu', q.vcpu_used, q.vcpu_limit), ('memory_mib', q.memory_mib_used, q.memory_mib_limit), ('storage_gib', q.storage_gib_used, q.storage_gib_limit),
	('gpu', q.gpu_used, q.gpu_limit), ('vms', q.vms_used, q.vms_limit), ('baremetals', q.baremetals_used, q.baremetals_limit),
	('clusters', q.clusters_used, q.clusters_limit), ('ip_addresses', q.ip_addresses_used, q.ip_addresses_limit)) AS c (resource, used, max)
WHERE c.max > 0`

	raiseEvents = `
INSERT INTO quota_events (id, quota_id, tenant_id, resource, threshold, used, max)
SELECT gen_random_uuid(), f.quota_id, f.tenant_id, f.resource, t.threshold, f.used, f.max
FROM (` + fullness + `) f CROSS JOIN unnest($1::bigint[]) AS t (threshold)
WHERE f.used * 100 >= f.max * t.threshold
ON CONFLICT (quota_id, resource, threshold) WHERE cleared_at IS NULL DO NOTHING`

	clearEvents = `
UPDATE quota_events e SET cleared_at = now()
WHERE e.cleared_at IS NULL
	AND NOT EXISTS (SELECT FROM (` + fullness + `) f WHERE f.quota_id = e.quota_id AND f.resource = e.resource AND f.used * 100 >= f.max * e.threshold)`

	countDay = `
INSERT INTO usage_days AS d (day, tenant_id, vcpu, memory_mib, storage_gib, gpu, vms, baremetals, clusters, ip_addresses, counted_at)
SELECT (now() AT TIME ZONE 'UTC')::date, o.id, coalesce(sum(a.vcpu), 0), coalesce(sum(a.memory_mib), 0), coalesce(sum(a.storage_gib), 0), coalesce(sum(a.gpu), 0),
	coalesce(sum(a.vms), 0), coalesce(sum(a.baremetals), 0), coalesce(sum(a.clusters), 0), coalesce(sum(a.ip_addresses), 0), now()
FROM tenants o
LEFT JOIN (SELECT owner AS id, p.* FROM allocations p JOIN tenants t ON t.id = p.tenant_id CROSS JOIN LATERAL unnest(t.path) AS owner) a ON a.id = o.id
GROUP BY o.id
ON CONFLICT (tenant_id, day) DO UPDATE SET
	vcpu = excluded.vcpu, memory_mib = excluded.memory_mib, storage_gib = excluded.storage_gib, gpu = excluded.gpu, vms = excluded.vms,
	baremetals = excluded.baremetals, clusters = excluded.clusters, ip_addresses = excluded.ip_addresses, counted_at = excluded.counted_at`
)

// WatchUsage raises an event for every limit that is filled beyond a threshold, clears those that are no longer, and
// counts what every tenant uses today. It reads what accepts have committed and takes none of their locks: a crossing
// is seen a little later, and no create waits for it.
func (s *Store) WatchUsage(ctx context.Context) (out contract.UsageWatched, err error) {
	b := &pgx.Batch{}
	count := func(sql string, n *int64, args ...any) {
		b.Queue(sql, args...).Exec(func(tag pgconn.CommandTag) error { *n = tag.RowsAffected(); return nil })
	}
	count(clearEvents, &out.Cleared)
	count(raiseEvents, &out.Raised, models.Thresholds)
	count(countDay, &out.Tenants)
	if err := s.Pool.SendBatch(ctx, b).Close(); err != nil {
		return out, fmt.Errorf("look at the quotas: %w", err)
	}
	return out, nil
}

// UsageDays lists what a tenant used day by day, the oldest first.
func (s *Store) UsageDays(ctx context.Context, tenant models.ID, from, to time.Time) ([]models.UsageDay, error) {
	out := []models.UsageDay{}
	err := s.DB.WithContext(ctx).Where("tenant_id = ? AND day BETWEEN ?::date AND ?::date", tenant, from.Format(time.DateOnly), to.Format(time.DateOnly)).Order("day").Find(&out).Error
	if err != nil {
		return nil, fmt.Errorf("read what a tenant used: %w", err)
	}
	return out, nil
}

// QuotaEvent is an event with the name of its tenant and, if it is about one group, of that.
type QuotaEvent struct {
	models.QuotaEvent
	TenantName string `gorm:"column:tenant_name"`
	GroupName  string `gorm:"column:group_name"`
}

// QuotaEventFilter chooses events.
type QuotaEventFilter struct {
	Tenant  *models.ID
	Subtree bool // and of all below it
	Open    bool // only those not cleared
}

// QuotaEvents lists events by their id.
func (s *Store) QuotaEvents(ctx context.Context, see Scope, f QuotaEventFilter, p Page) ([]QuotaEvent, error) {
	q := s.DB.WithContext(ctx).Table("quota_events e").Joins("JOIN tenants t ON t.id = e.tenant_id").Joins("JOIN quotas q ON q.id = e.quota_id").Joins("LEFT JOIN groups g ON g.id = q.group_id").
		Select("e.*, t.full_name AS tenant_name, coalesce(g.region || '.' || g.name, '') AS group_name")
	if !see.All {
		if len(see.Tenants) == 0 {
			return []QuotaEvent{}, nil
		}
		q = q.Where("t.path && ?::uuid[]", see.Tenants)
	}
	switch {
	case f.Tenant != nil && f.Subtree:
		q = q.Where("t.path @> ?::uuid[]", IDs{*f.Tenant})
	case f.Tenant != nil:
		q = q.Where("e.tenant_id = ?", *f.Tenant)
	}
	if f.Open {
		q = q.Where("e.cleared_at IS NULL")
	}
	out := []QuotaEvent{}
	if err := p.Of(q, "e.id").Scan(&out).Error; err != nil {
		return nil, fmt.Errorf("list quota events: %w", err)
	}
	return out, nil
}
