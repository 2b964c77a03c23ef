package store

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/yunshu/yunshu/models"
)

// Refusals writes down refused writes beside the requests: in batches, and no more than the database can easily take,
// so that nobody can hurt it by being refused. Nothing is dropped in silence: what is too much is counted, and the
// count is written down in the actor's name.
type Refusals struct {
	store *Store
	log   *slog.Logger

	mu      sync.Mutex
	waiting []models.AuditEvent
	window  time.Time // when the present second began
	taken   int       // in this second
	each    map[string]int
	dropped map[string]*dropped
	total   int64 // dropped so far
	running bool

	flushing sync.Mutex // one at a time
}

// dropped counts what was not written down one by one of an actor.
type dropped struct {
	event models.AuditEvent // the first of them
	Count int64             `json:"dropped"`
	Of    map[string]int64  `json:"of"` // by action and code
	Since time.Time         `json:"since"`
	Until time.Time         `json:"until"`
}

const (
	refusalsEach    = 50   // of one actor in a second
	refusalsAll     = 1000 // of all in a second
	refusalsWaiting = 8192 // while the database is away
	refusalsEvery   = 250 * time.Millisecond
	refusalsTries   = 20
	dropAction      = "audit-event.drop"
)

// NewRefusals starts nothing: the work begins with the first refusal, and rests after the last.
func NewRefusals(s *Store, log *slog.Logger) *Refusals {
	return &Refusals{store: s, log: log, each: map[string]int{}, dropped: map[string]*dropped{}}
}

// Add takes a refusal. It never blocks, and never fails.
func (r *Refusals) Add(c Change, on Subject, code models.Code) {
	e := c.event(on, models.AuditRefused)
	e.At, e.Code = time.Now().UTC().Truncate(time.Microsecond), string(code)
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.At.Sub(r.window) >= time.Second {
		r.window, r.taken = e.At, 0
		clear(r.each)
	}
	if r.taken >= refusalsAll || r.each[e.Actor] >= refusalsEach || len(r.waiting) >= refusalsWaiting {
		r.drop(e)
	} else {
		r.taken++
		r.each[e.Actor]++
		r.waiting = append(r.waiting, e)
	}
	if !r.running {
		r.running = true
		go r.run()
	}
}

// Dropped is how many refusals were counted rather than written down one by one.
func (r *Refusals) Dropped() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total
}

func (r *Refusals) drop(e models.AuditEvent) {
	d := r.dropped[e.Actor]
	if d == nil {
		d = &dropped{event: e, Of: map[string]int64{}, Since: e.At}
		r.dropped[e.Actor] = d
	}
	d.Count++
	d.Of[e.Action+" "+e.Code]++
	d.Until = e.At
	r.total++
}

// run writes until nothing waits.
func (r *Refusals) run() {
	for tries := 0; ; {
		time.Sleep(refusalsEvery)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := r.Flush(ctx)
		cancel()
		switch {
		case err == nil:
			tries = 0
		case r.store.closed.Load():
			return // the gateway has ended
		default:
			tries++
			r.log.Warn("refusals not written to the audit log yet", "error", err)
		}
		r.mu.Lock()
		if idle := len(r.waiting) == 0 && len(r.dropped) == 0; idle || tries == refusalsTries {
			r.running = false // the next refusal begins again, with what is left
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
	}
}

// Flush writes down all that waits. Call it when the gateway stops.
func (r *Refusals) Flush(ctx context.Context) error {
	r.flushing.Lock()
	defer r.flushing.Unlock()
	r.mu.Lock()
	events, counts := r.waiting, r.dropped
	r.waiting, r.dropped = nil, map[string]*dropped{}
	r.mu.Unlock()
	rows := events
	for _, d := range counts {
		e, err := d.summary()
		if err != nil {
			return err
		}
		rows = append(rows, e)
	}
	if len(rows) == 0 {
		return nil
	}
	err := r.store.insertAuditEvents(ctx, rows)
	if err != nil {
		r.putBack(events, counts)
	}
	return err
}

func (r *Refusals) putBack(events []models.AuditEvent, counts map[string]*dropped) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(events, r.waiting...)
	for actor, d := range counts {
		if later := r.dropped[actor]; later != nil {
			d.Count, d.Until = d.Count+later.Count, later.Until
			for what, n := range later.Of {
				d.Of[what] += n
			}
		}
		r.dropped[actor] = d
	}
}

// summary is the one event that stands for all that was dropped of an actor.
func (d *dropped) summary() (models.AuditEvent, error) {
	raw, err := json.Marshal(d)
	if err != nil {
		return models.AuditEvent{}, fmt.Errorf("encode what was dropped: %w", err)
	}
	e := d.event
	e.ID, e.At, e.Action, e.Code, e.After = models.NewID(), d.Until, dropAction, string(models.CodeTooManyRequests), raw
	e.ResourceKind, e.ResourceID, e.ResourceName, e.TenantID, e.RequestID, e.TraceID = "audit-event", "", "", nil, "", ""
	return e, nil
}

// insertAuditRows writes events that belong to no other transaction, in one statement. Whose resource it was about is
// looked up here, away from the request: its owner shall see who tried what.
const insertAuditRows = `
INSERT INTO audit_events (id, at, actor_id, actor, on_behalf_of, remote_address, user_agent, request_id, trace_id, action, resource_kind, resource_id,
	resource_name, tenant_id, operation_id, outcome, code, detail)
SELECT r.id, at, r.actor_id, r.actor, on_behalf_of, remote_address, user_agent, request_id, trace_id, action, r.resource_kind, r.resource_id,
	coalesce(nullif(r.resource_name, ''), v.name, o.resource_name, ''), coalesce(r.tenant_id, v.tenant_id, o.tenant_id), operation_id, outcome, code, detail
FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
	$12::text[], $13::uuid[], $14::uuid[], $15::text[], $16::text[], $17::jsonb[], $18::uuid[], $19::text[])
	AS r (id, at, actor_id, actor, on_behalf_of, remote_address, user_agent, request_id, action, resource_kind, resource_id,
	resource_name, tenant_id, operation_id, outcome, code, detail, uid, trace_id)
LEFT JOIN vms v ON r.resource_kind = 'vm' AND v.id = r.uid
LEFT JOIN operations o ON r.resource_kind = 'operation' AND o.id = r.uid`

func (s *Store) insertAuditEvents(ctx context.Context, events []models.AuditEvent) error {
	text := func(f func(models.AuditEvent) string) []string { return column(events, f) }
	_, err := s.Pool.Exec(ctx, insertAuditRows,
		column(events, func(e models.AuditEvent) models.ID { return e.ID }), column(events, func(e models.AuditEvent) time.Time { return e.At }),
		column(events, func(e models.AuditEvent) *models.ID { return e.ActorID }), text(func(e models.AuditEvent) string { return e.Actor }),
		text(func(e models.AuditEvent) string { return e.OnBehalfOf }), text(func(e models.AuditEvent) string { return e.RemoteAddress }),
		text(func(e models.AuditEvent) string { return e.UserAgent }), text(func(e models.AuditEvent) string { return e.RequestID }),
		text(func(e models.AuditEvent) string { return e.Action }), text(func(e models.AuditEvent) string { return e.ResourceKind }),
		text(func(e models.AuditEvent) string { return e.ResourceID }), text(func(e models.AuditEvent) string { return e.ResourceName }),
		column(events, func(e models.AuditEvent) *models.ID { return e.TenantID }), column(events, func(e models.AuditEvent) *models.ID { return e.OperationID }),
		text(func(e models.AuditEvent) string { return e.Outcome }), text(func(e models.AuditEvent) string { return e.Code }),
		column(events, func(e models.AuditEvent) *string { return textOrNull(e.After) }),
		column(events, func(e models.AuditEvent) *models.ID { return idOrNull(e.ResourceID) }), text(func(e models.AuditEvent) string { return e.TraceID }))
	if err != nil {
		return fmt.Errorf("write %d audit events: %w", len(events), err)
	}
	return nil
}

func textOrNull(raw []byte) *string {
	if len(raw) == 0 {
		return nil
	}
	s := string(raw)
	return &s
}

func idOrNull(s string) *models.ID {
	if id, ok := parseID(s); ok {
		return &id
	}
	return nil
}

// column is f of every row: a column of an insert.
func column[R, T any](rows []R, f func(R) T) []T {
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = f(r)
	}
	return out
}
