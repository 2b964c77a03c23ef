package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/seal"
	"github.com/yunshu/yunshu/test/postgres"
)

// auditLog is an audit log as the gateway sees it, and the owner of its tables.
type auditLog struct {
	*testing.T
	*Store
	owner *pgx.Conn
	dsn   string // the owner's
}

func newAuditLog(t *testing.T) *auditLog {
	t.Helper()
	dsn := postgres.New(t, "audit", func(ctx context.Context, dsn string) error {
		if _, err := Migrate(ctx, dsn); err != nil {
			return err
		}
		_, err := SetUp(ctx, dsn, Setup{Runtime: postgres.As(dsn, postgres.GatewayRole)})
		return err
	})
	s, err := Open(t.Context(), postgres.As(dsn, postgres.GatewayRole))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	owner, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = owner.Close(context.Background()) }) // the database is dropped next
	return &auditLog{t, s, owner, dsn}
}

func ann() Change {
	return Change{Actor: authz.Actor{ID: models.NewID(), Name: "ann"}, RequestID: "r", Action: "vm.kubeconfig", Origin: Origin{RemoteAddress: "192.0.2.7", UserAgent: "test"}}
}

// write writes events, each in a transaction of its own.
func (l *auditLog) write(n int) {
	l.Helper()
	for i := range n {
		require.NoError(l, l.AuditRead(l.Context(), ann(), Subject{Kind: "vm", ID: fmt.Sprint(i)}, map[string]any{"b": 1.50, "a": "<ü>"}))
	}
}

// sealAll seals everything there is. It polls: transactions of other tests on the same server hold back the horizon.
func (l *auditLog) sealAll() {
	l.Helper()
	require.Eventually(l, func() bool {
		var ended bool
		require.NoError(l, l.Pool.QueryRow(l.Context(), "SELECT max(txid) < pg_snapshot_xmin(pg_current_snapshot())::text::bigint FROM audit_events").Scan(&ended))
		return ended
	}, 20*time.Second, 5*time.Millisecond)
	for more := true; more; {
		var err error
		_, more, err = l.Seal(l.Context())
		require.NoError(l, err)
	}
}

// tamper is what somebody with all rights does behind the gateway's back.
func (l *auditLog) tamper(sql ...string) {
	l.Helper()
	for _, s := range append([]string{"SET session_replication_role = replica"}, sql...) {
		_, err := l.owner.Exec(l.Context(), s)
		require.NoError(l, err, s)
	}
}

// verdict is what verification finds, each kind once.
func (l *auditLog) verdict(anchor *seal.Hash) string {
	l.Helper()
	v, err := l.Verify(l.Context(), 0, anchor)
	require.NoError(l, err)
	require.True(l, v.Complete)
	kinds := []string{}
	for _, f := range v.Findings {
		if !strings.Contains(strings.Join(kinds, " "), f.Kind) {
			kinds = append(kinds, f.Kind)
		}
	}
	return strings.Join(kinds, " ")
}

func TestTamperingShows(t *testing.T) {
	t.Parallel()
	const second = `(SELECT id FROM audit_events ORDER BY txid OFFSET 1 LIMIT 1)`
	for name, c := range map[string]struct {
		sql  []string
		want string
	}{
		"nothing":            {nil, ""},
		"another actor":      {[]string{`UPDATE audit_events SET actor = 'mallory' WHERE id = ` + second}, "event_changed"},
		"another detail":     {[]string{`UPDATE audit_events SET detail = detail || '{"a": 1}' WHERE id = ` + second}, "event_changed"},
		"a detail forgotten": {[]string{`UPDATE audit_events SET detail = NULL WHERE id = ` + second}, "event_changed"},
		"another time":       {[]string{`UPDATE audit_events SET at = at + interval '1 microsecond' WHERE id = ` + second}, "event_changed"},
		"an event removed":   {[]string{`DELETE FROM audit_events WHERE id = ` + second}, "event_missing"},
		"an event added":     {[]string{`INSERT INTO audit_events (id, actor, action, resource_kind, outcome, txid) SELECT gen_random_uuid(), 'ann', 'vm.create', 'vm', 'done', txid FROM audit_events WHERE id = ` + second}, "event_added"},
		"events swapped": {[]string{`UPDATE audit_events a SET resource_id = b.resource_id FROM audit_events b
			WHERE (a.resource_id, b.resource_id) IN (('1', '2'), ('2', '1'))`}, "event_changed"},
		"an event and its entry removed": {[]string{`UPDATE audit_seals SET entries = substr(entries, 57), events = events - 1 WHERE number = 2`,
			`DELETE FROM audit_events WHERE id = (SELECT id FROM audit_events WHERE txid >= (SELECT from_txid FROM audit_seals WHERE number = 2) ORDER BY txid LIMIT 1)`}, "seal_changed"},
		"a seal's hash made to fit": {[]string{`UPDATE audit_seals SET hash = sha256('x') WHERE number = 2`}, "seal_changed chain_broken"},
		"a seal removed":            {[]string{`DELETE FROM audit_seals WHERE number = 2`}, "seal_missing"},
		"the last seal removed":     {[]string{`DELETE FROM audit_seals WHERE number = 3`}, "seal_missing"},
		"every seal removed":        {[]string{`DELETE FROM audit_seals`}, "seal_missing"},
		"seals in another order":    {[]string{`UPDATE audit_seals SET number = -number`, `UPDATE audit_seals SET number = CASE number WHEN -1 THEN 1 WHEN -2 THEN 3 ELSE 2 END`}, "seal_changed chain_broken seal_missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newAuditLog(t)
			for range 3 {
				l.write(3)
				l.sealAll()
			}
			l.tamper(c.sql...)
			require.Equal(t, c.want, l.verdict(nil))
		})
	}
}

// Who can write everything can write the whole chain anew. Only a hash that was kept elsewhere shows that.
func TestAChainWrittenAnewShowsByAHashKeptElsewhere(t *testing.T) {
	t.Parallel()
	l := newAuditLog(t)
	l.write(3)
	l.sealAll()
	before, err := l.Verify(t.Context(), 0, nil)
	require.NoError(t, err)
	require.Equal(t, "", l.verdict(&before.Head))
	l.write(2)
	l.sealAll()
	require.Equal(t, "", l.verdict(&before.Head), "the kept hash stays in the chain")

	l.tamper(`DELETE FROM audit_events WHERE resource_id = '1'`, `DELETE FROM audit_seals`, `UPDATE audit_chain SET number = 0, hash = '', txid = 0`)
	l.sealAll()
	require.Equal(t, "", l.verdict(nil))
	require.Equal(t, seal.AnchorMissing, l.verdict(&before.Head))
}

// The sealer waits for whoever still writes, and misses nobody.
func TestALateCommitIsSealed(t *testing.T) {
	t.Parallel()
	l := newAuditLog(t)
	late, err := l.Pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = late.Exec(t.Context(), `INSERT INTO audit_events (id, actor, action, resource_kind, outcome) VALUES ($1, 'late', 'vm.create', 'vm', 'done')`, models.NewID())
	require.NoError(t, err)
	l.write(2)
	s, _, err := l.Seal(t.Context())
	require.NoError(t, err)
	require.Zero(t, s.Number, "those that began later wait as well")
	require.NoError(t, late.Commit(t.Context()))
	l.sealAll()
	v, err := l.Verify(t.Context(), 0, nil)
	require.NoError(t, err)
	require.Equal(t, int64(3), v.Events)
	require.Empty(t, v.Findings)
}

func TestALongLogIsSealedAndVerifiedInStretches(t *testing.T) {
	t.Parallel()
	l := newAuditLog(t)
	const many = `INSERT INTO audit_events (id, actor, action, resource_kind, outcome) SELECT gen_random_uuid(), 'ann', 'vm.create', 'vm', 'done' FROM generate_series(1, %d)`
	for _, n := range []int{sealedAtOnce - 1, 3, 2*sealedAtOnce + 1} {
		_, err := l.Pool.Exec(t.Context(), fmt.Sprintf(many, n))
		require.NoError(t, err)
	}
	l.sealAll()
	v, err := l.Verify(t.Context(), 0, nil)
	require.NoError(t, err)
	require.Empty(t, v.Findings)
	require.Equal(t, int64(3*sealedAtOnce+3), v.Events)
	rest, err := l.Verify(t.Context(), 1, nil)
	require.NoError(t, err)
	require.Empty(t, rest.Findings)
	require.Equal(t, v.Head, rest.Head)
	require.Less(t, rest.Events, v.Events)
	_, err = l.Verify(t.Context(), 99, nil)
	require.True(t, models.IsCode(err, models.CodeNotFound), "%v", err)
}

func TestNobodyRewritesTheRecord(t *testing.T) {
	t.Parallel()
	l := newAuditLog(t)
	l.write(2)
	l.sealAll()
	_, err := l.owner.Exec(t.Context(), `INSERT INTO images (id, name) VALUES (gen_random_uuid(), 'i'); UPDATE images SET version = 2`)
	require.NoError(t, err)
	var month string
	require.NoError(t, l.owner.QueryRow(t.Context(), `SELECT tableoid::regclass::text FROM audit_events LIMIT 1`).Scan(&month))
	require.Regexp(t, `^audit_events_\d{4}_\d{2}$`, month)
	both := []string{}
	for _, table := range []string{"audit_events", month, "audit_seals", "resource_versions"} {
		column := map[string]string{"audit_seals": "hash = ''", "resource_versions": "kind = ''"}[table]
		if column == "" {
			column = "actor = 'mallory'"
		}
		both = append(both, "UPDATE "+table+" SET "+column, "DELETE FROM "+table, "TRUNCATE "+table)
	}
	for _, sql := range both {
		for who, exec := range map[string]executes{"gateway": l.Pool, "owner": l.owner} {
			_, err := exec.Exec(t.Context(), sql)
			var pg *pgconn.PgError
			require.True(t, errors.As(err, &pg), "%s: %s", who, sql)
			require.Equal(t, "42501", pg.Code, "%s: %s: %v", who, sql, err)
		}
	}
	for _, sql := range []string{
		"ALTER TABLE audit_events DISABLE TRIGGER ALL", "DROP TABLE " + month, "UPDATE audit_settings SET retain_months = 1", "INSERT INTO audit_removals VALUES (now(), now(), 1)",
		"SELECT audit_partition('2020-01-01')", "SET session_replication_role = replica", "DELETE FROM audit_chain", "INSERT INTO resource_versions (kind, resource_id, until, txid, removed, image) VALUES ('vm', 'x', now(), 1, false, '{}')",
		"ALTER TABLE audit_events DETACH PARTITION " + month, "CREATE TABLE mine (a int)",
	} {
		_, err := l.Pool.Exec(t.Context(), sql)
		var pg *pgconn.PgError
		require.True(t, errors.As(err, &pg), sql)
		require.Equal(t, "42501", pg.Code, "%s: %v", sql, err)
	}
	require.Equal(t, "", l.verdict(nil))
}

func TestRetentionRemovesWholeMonthsAndTheChainStays(t *testing.T) {
	t.Parallel()
	l := newAuditLog(t)
	_, err := l.owner.Exec(t.Context(), `SELECT audit_partition((now() - interval '14 months')::date), audit_partition((now() - interval '2 months')::date)`)
	require.NoError(t, err)
	_, err = l.Pool.Exec(t.Context(), `INSERT INTO audit_events (id, at, actor, action, resource_kind, outcome)
		SELECT gen_random_uuid(), now() - make_interval(months => m), 'ann', 'vm.create', 'vm', 'done' FROM unnest(ARRAY[14, 14, 14, 2, 0]) m`)
	require.NoError(t, err)
	_, err = SetUp(t.Context(), l.dsn, Setup{Runtime: postgres.As(l.dsn, postgres.GatewayRole), RetainMonths: 12})
	require.NoError(t, err)
	removed, err := l.KeepAudit(t.Context())
	require.NoError(t, err)
	require.Zero(t, removed, "what is not sealed stays")
	l.sealAll()
	removed, err = l.KeepAudit(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(3), removed)
	v, err := l.Verify(t.Context(), 0, nil)
	require.NoError(t, err)
	require.Empty(t, v.Findings)
	require.Equal(t, []int64{2, 3}, []int64{v.Events, v.Removed})
	require.Equal(t, int64(1), v.Unsealed, "the removal itself is written down")
	require.WithinDuration(t, time.Now().AddDate(0, -13, 0), v.RemovedBefore, 32*24*time.Hour)
	removed, err = l.KeepAudit(t.Context())
	require.NoError(t, err)
	require.Zero(t, removed)

	_, err = SetUp(t.Context(), l.dsn, Setup{})
	require.NoError(t, err)
	var keep *int
	require.NoError(t, l.Pool.QueryRow(t.Context(), "SELECT retain_months FROM audit_settings").Scan(&keep))
	require.Nil(t, keep, "for ever")
}

// A gateway that was off for a long time finds no partition of the month: events wait in the rest, and move.
func TestEventsOfAMonthWithoutAPartitionAreNotLost(t *testing.T) {
	t.Parallel()
	l := newAuditLog(t)
	_, err := l.Pool.Exec(t.Context(), `INSERT INTO audit_events (id, at, actor, action, resource_kind, outcome)
		SELECT gen_random_uuid(), now() + interval '10 months', 'ann', 'vm.create', 'vm', 'done' FROM generate_series(1, 3)`)
	require.NoError(t, err)
	l.sealAll()
	in := func(table string) (n int) {
		require.NoError(t, l.owner.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
		return n
	}
	require.Equal(t, 3, in("audit_events_rest"))
	_, err = l.owner.Exec(t.Context(), `SELECT audit_partition((now() + interval '10 months')::date)`)
	require.NoError(t, err)
	require.Equal(t, []int{0, 3}, []int{in("audit_events_rest"), in("audit_events")})
	require.Equal(t, "", l.verdict(nil))
	_, err = l.owner.Exec(t.Context(), `DELETE FROM audit_events`)
	require.ErrorContains(t, err, "append-only")
}

func TestAFloodOfRefusalsIsCountedNotWritten(t *testing.T) {
	t.Parallel()
	l := newAuditLog(t)
	r := NewRefusals(l.Store, slog.New(slog.NewTextHandler(io.Discard, nil)))
	c := ann()
	for range 500 {
		r.Add(c, Subject{Kind: "vm"}, models.CodeForbidden)
	}
	other := ann()
	other.Actor.Name = "bob"
	r.Add(other, Subject{Kind: "vm"}, models.CodeForbidden)
	require.NoError(t, r.Flush(t.Context()))
	counted := func(actor string) (written, dropped int64) {
		require.NoError(t, l.Pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE action <> 'audit-event.drop'),
			coalesce(sum((detail ->> 'dropped')::bigint), 0) FROM audit_events WHERE actor = $1 AND outcome = 'refused'`, actor).Scan(&written, &dropped))
		return written, dropped
	}
	written, dropped := counted("ann")
	require.Equal(t, int64(500), written+dropped)
	require.LessOrEqual(t, written, int64(2*refusalsEach), "a second may have begun meanwhile")
	require.Equal(t, r.Dropped(), dropped)
	written, dropped = counted("bob")
	require.Equal(t, []int64{1, 0}, []int64{written, dropped}, "nobody loses their place to another's flood")
}

func TestSignInsAreWrittenDown(t *testing.T) {
	t.Parallel()
	l := newAuditLog(t)
	r := NewRefusals(l.Store, slog.New(slog.NewTextHandler(io.Discard, nil)))
	require.NoError(t, r.SignIn(t.Context(), ann(), SignIn{Method: "oidc"}))
	nobody := Change{Origin: Origin{RemoteAddress: "192.0.2.9"}}
	require.NoError(t, r.SignIn(t.Context(), nobody, SignIn{Method: "oidc", Code: models.CodeUnauthenticated}))
	require.NoError(t, r.Flush(t.Context()))
	events, err := l.AuditEvents(t.Context(), Scope{All: true}, AuditFilter{Action: "user.sign-in", OldestFirst: true}, IDPage{Limit: 10})
	require.NoError(t, err)
	lines := []string{}
	for _, e := range events {
		lines = append(lines, strings.Join([]string{e.Actor, e.Outcome, e.Code, e.RemoteAddress, string(e.After)}, "|"))
	}
	require.Equal(t, []string{`ann|done||192.0.2.7|{"method": "oidc"}`, `|refused|unauthenticated|192.0.2.9|`}, lines)
}

// What was written before there were partitions and seals moves into them.
func TestTheRecordOfAnOlderReleaseIsKept(t *testing.T) {
	t.Parallel()
	dsn := postgres.New(t, "before-audit", func(ctx context.Context, dsn string) error {
		provider, db, err := migrator(dsn)
		if err != nil {
			return err
		}
		defer db.Close()
		_, err = provider.UpTo(ctx, 8)
		return err
	})
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), `INSERT INTO audit_events (id, at, actor, action, resource_kind, outcome, detail)
		SELECT gen_random_uuid(), now() - make_interval(months => m), 'ann', 'vm.create', 'vm', 'done', '{"name": "web"}' FROM unnest(ARRAY[0, 1, 7, 7]) m`)
	require.NoError(t, err)
	_, err = Migrate(t.Context(), dsn)
	require.NoError(t, err)
	var events, months, rest int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*), count(DISTINCT tableoid), count(*) FILTER (WHERE tableoid = 'audit_events_rest'::regclass) FROM audit_events WHERE detail ->> 'name' = 'web'`).
		Scan(&events, &months, &rest))
	require.Equal(t, []int{4, 3, 0}, []int{events, months, rest})
	// The gateway that ran until now goes on with the columns that it knows.
	_, err = conn.Exec(t.Context(), `INSERT INTO audit_events (id, actor_id, actor, action, resource_kind, resource_id, resource_name, tenant_id, operation_id, request_id, outcome, detail)
		VALUES (gen_random_uuid(), NULL, 'ann', 'vm.create', 'vm', '', '', NULL, NULL, 'r', 'done', NULL)`)
	require.NoError(t, err)
}
