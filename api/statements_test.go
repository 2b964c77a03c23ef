package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// statements writes down what each request asks of Postgres, in its order. That tells how long an answer takes better
// than a clock, which also measures the neighbours.
type statements struct {
	mu sync.Mutex
	of map[string][]statement // by the request's id
}

// statement is one round trip.
type statement struct {
	sql string
	on  *pgx.Conn
}

// trace makes a store write down its statements.
func (s *statements) trace(c *pgxpool.Config) { c.ConnConfig.Tracer = s }

func (s *statements) add(ctx context.Context, on *pgx.Conn, sql string) {
	request := scope(ctx).id
	if request == "" || strings.HasPrefix(sql, "-- ping") { // the pool looks whether an idle connection still lives
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[string][]statement{}
	}
	s.of[request] = append(s.of[request], statement{sql, on})
}

// take returns what a request asked, and forgets it.
func (s *statements) take(a answer) []statement {
	s.mu.Lock()
	defer s.mu.Unlock()
	request := a.Header.Get("X-Request-Id")
	out := s.of[request]
	delete(s.of, request)
	return out
}

// TraceQueryStart is called by pgx.
func (s *statements) TraceQueryStart(ctx context.Context, conn *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	s.add(ctx, conn, d.SQL)
	return ctx
}

// TraceQueryEnd is called by pgx.
func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart is called by pgx. A batch is one round trip.
func (s *statements) TraceBatchStart(ctx context.Context, conn *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	var all []string
	for _, q := range d.Batch.QueuedQueries {
		all = append(all, q.SQL)
	}
	s.add(ctx, conn, strings.Join(all, ";\n"))
	return ctx
}

// TraceBatchQuery is called by pgx.
func (s *statements) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd is called by pgx.
func (s *statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// sqls are the texts of statements, but for who asks: that is remembered for seconds.
func sqls(ss []statement) []string {
	out := []string{}
	for _, s := range ss {
		if !lookUp(s) {
			out = append(out, s.sql)
		}
	}
	return out
}

// TestWhoIsRefusedMakesNoWorkForOthers: who may change nothing cannot make the gateway forget whom it knows.
func TestWhoIsRefusedMakesNoWorkForOthers(t *testing.T) {
	t.Parallel()
	e, asked := newTracedEdge(t)
	w := e.world()
	nobody := e.user("nobody")
	for _, op := range endpoints(e.api) {
		where := w.fill(op)
		e.call(e.admin, "GET", "/v1/me", nil).is(200) // from here on known for seconds
		if a := w.tryAt(op, nobody, where); op.Method == http.MethodGet || a.Status < 400 {
			continue
		}
		looked := asked.take(e.call(e.admin, "GET", "/v1/me", nil).is(200))
		require.False(t, slices.ContainsFunc(looked, lookUp), op.OperationID)
	}
}

// lookUp says that a statement finds out whom a token belongs to.
func lookUp(s statement) bool { return strings.Contains(s.sql, "WHERE t.hash = $1") }

// TestARequestHoldsOneConnectionAtATime: one that waits for a second connection while it holds the first hangs as soon
// as all connections are held so, and everybody with it.
func TestARequestHoldsOneConnectionAtATime(t *testing.T) {
	t.Parallel()
	e, asked := newTracedEdge(t)
	w := e.world()
	writes := 0
	for _, op := range endpoints(e.api) {
		var held *pgx.Conn
		for _, s := range asked.take(w.try(op, e.admin)) {
			verb := strings.ToLower(strings.Fields(s.sql)[0])
			require.True(t, held == nil || held == s.on, "%s asks on a second connection, within its transaction: %s", op.OperationID, s.sql)
			switch strings.TrimSuffix(verb, ";") {
			case "begin":
				held, writes = s.on, writes+1
			case "commit", "rollback":
				held = nil
			}
		}
	}
	require.Greater(t, writes, 20, "the tracer does not see transactions")
}
