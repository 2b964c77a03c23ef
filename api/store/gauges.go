package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/models"
)

// Gauges is what monitoring wants to know of the database at one moment.
type Gauges struct {
	OutboxWaiting int64         // operations and intents that Temporal does not have yet
	OutboxLag     time.Duration // how long the oldest of them waits
	Operations    []StateGauge  // those that have not ended
	Quotas        []QuotaGauge  // everywhere, the fullest
	Regions       map[string]string
	Drifts        []DriftGauge // that are open
	Seen          []SeenGauge  // where there are physical servers with a BMC
}

// DriftGauge counts differences of one kind.
type DriftGauge struct {
	Region, Kind string
	Count        int64
}

// SeenGauge tells how long ago any physical server of a region was seen.
type SeenGauge struct {
	Region  string
	Seconds float64
}

// StateGauge counts operations in one state.
type StateGauge struct {
	State  models.OperationState
	Count  int64
	Oldest float64 // seconds since the oldest was accepted
}

// QuotaGauge is one limit and its use.
type QuotaGauge struct {
	Tenant, Resource string
	Used, Limit      int64
}

const (
	outboxGauge = `
SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 FROM (
	SELECT created_at FROM operations WHERE dispatched_at IS NULL
	UNION ALL SELECT created_at FROM operation_intents WHERE dispatched_at IS NULL) w`

	operationGauge = `
SELECT state, count(*), extract(epoch FROM now() - min(created_at))::float8 FROM operations WHERE state IN ` + active + ` GROUP BY state`

	driftGauge = `SELECT region, kind, count(*) FROM drifts WHERE state = 'open' GROUP BY 1, 2`

	// Servers that nobody has seen yet count from when they came.
	seenGauge = `
SELECT m.region, extract(epoch FROM now() - max(coalesce(b.seen_at, b.created_at)))::float8 FROM bmcs m JOIN baremetals b ON b.id = m.baremetal_id GROUP BY 1`

	// Monitoring keeps a series for each tenant and resource, so only the fullest are shown.
	quotaGauge = `
SELECT t.full_name, c.resource, c.used, c.most FROM quotas q JOIN tenants t ON t.id = q.tenant_id
CROSS JOIN LATERAL (VALUES ('vcpu', q.vcpu_used, q.vcpu_limit), ('memory_mib', q.memory_mib_used, q.memory_mib_limit), ('storage_gib', q.storage_gib_used, q.storage_gib_limit),
	('gpu', q.gpu_used, q.gpu_limit), ('vms', q.vms_used, q.vms_limit), ('baremetals', q.baremetals_used, q.baremetals_limit), ('ip_addresses', q.ip_addresses_used, q.ip_addresses_limit)) AS c (resource, used, most)
WHERE q.group_id IS NULL AND c.most > 0 ORDER BY c.used::float8 / c.most DESC, 1, 2 LIMIT 500`
)

// Gauges reads them, in one round trip.
func (s *Store) Gauges(ctx context.Context) (Gauges, error) {
	out := Gauges{Regions: map[string]string{}}
	b := &pgx.Batch{}
	b.Queue(outboxGauge).QueryRow(func(row pgx.Row) error {
		var seconds float64
		err := row.Scan(&out.OutboxWaiting, &seconds)
		out.OutboxLag = time.Duration(seconds * float64(time.Second))
		return err
	})
	b.Queue(operationGauge).Query(func(rows pgx.Rows) (err error) {
		out.Operations, err = pgx.CollectRows(rows, pgx.RowToStructByPos[StateGauge])
		return err
	})
	b.Queue(quotaGauge).Query(func(rows pgx.Rows) (err error) {
		out.Quotas, err = pgx.CollectRows(rows, pgx.RowToStructByPos[QuotaGauge])
		return err
	})
	b.Queue(driftGauge).Query(func(rows pgx.Rows) (err error) {
		out.Drifts, err = pgx.CollectRows(rows, pgx.RowToStructByPos[DriftGauge])
		return err
	})
	b.Queue(seenGauge).Query(func(rows pgx.Rows) (err error) {
		out.Seen, err = pgx.CollectRows(rows, pgx.RowToStructByPos[SeenGauge])
		return err
	})
	b.Queue("SELECT name, state FROM regions").Query(func(rows pgx.Rows) error {
		var name, state string
		_, err := pgx.ForEachRow(rows, []any{&name, &state}, func() error { out.Regions[name] = state; return nil })
		return err
	})
	if err := s.Pool.SendBatch(ctx, b).Close(); err != nil {
		return out, fmt.Errorf("read what monitoring wants to know: %w", err)
	}
	return out, nil
}
