// Package accept is the one transaction that begins work: it authorises, replays repeated requests, checks and takes
// quota, host room and an address, writes the resource with its new status, the operation, the audit event and the
// idempotency key, and commits. It does no I/O but Postgres. The operation's row is the outbox: a workflow starts
// from it after the commit.
//
// Reads are optimistic: a decision is made in Go on committed rows, and every write repeats its condition. A write
// that finds its condition gone fails the transaction and the accept decides again, so contention is never shown to a
// user, and a refusal always rests on committed facts.
//
// Locks are always taken in the order structure (shared) → hosts → addresses → rows → quotas, each in the order of
// its key: the hottest last and shortest.
package accept

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Request is who asks, and how a repetition of the same request is recognised.
type Request struct {
	Actor     authz.Actor
	RequestID string
	Origin    store.Origin
	Key       string // Idempotency-Key; empty: none
	Hash      []byte // of method, path and body
}

// Accepted is the answer to an accepted intent.
type Accepted struct {
	Operation models.Operation
	Replayed  bool // the same request had been accepted before
}

// Accepter accepts intents.
type Accepter struct {
	pool      *pgxpool.Pool
	authz     *authz.Authorizer
	addresses *cursors
	memory    memory
	busy      *busy
	creates   *coalescer
	wake      func()
}

// Options are what an Accepter stands on.
type Options struct {
	Store *store.Store
	Authz *authz.Authorizer
	Wake  func() // called after a commit that left work in the outbox; may be nil
	Lanes int    // transactions of creates under way at once; 0: a sensible number
	Batch int    // creates in one transaction at most; 0: a sensible number
}

// New starts an Accepter. It runs until ctx ends.
func New(ctx context.Context, o Options) *Accepter {
	a := &Accepter{pool: o.Store.Pool, authz: o.Authz, addresses: newCursors(), busy: newBusy(), wake: o.Wake}
	if a.wake == nil {
		a.wake = func() {}
	}
	a.creates = startCoalescer(ctx, a, o.Lanes, o.Batch)
	return a
}

// Wake tells the outbox that there is work.
func (a *Accepter) Wake() { a.wake() }

// attempts bounds how often an accept decides again. Reaching it takes a storm of conflicting writers.
const attempts = 20

// patience bounds one accept, retries included.
const patience = 15 * time.Second

// retry runs try until it does not lose a race any more.
func retry[T any](ctx context.Context, try func(context.Context) (T, error)) (T, error) {
	return retryWithin(ctx, patience, try)
}

// retryWithin is retry for what may take longer than others.
func retryWithin[T any](ctx context.Context, limit time.Duration, try func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for n := 1; ; n++ {
		out, err := try(ctx)
		if err == nil || !lost(err) {
			return out, store.Fault(err)
		}
		if n == attempts {
			return out, models.Faultf(models.CodeUnavailable, "Too many others change the same things at this moment. Nothing was changed; try again shortly.").Because(err)
		}
		pause := time.NewTimer(time.Duration(rand.Int64N(int64(n) * int64(2*time.Millisecond))))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return out, store.Fault(ctx.Err())
		}
	}
}

// lost reports whether another transaction was faster: deciding again will tell what that means for us.
func lost(err error) bool {
	if store.Contended(err) || store.Vanished(err) {
		return true
	}
	switch store.Violated(err) {
	case "vms_name", "vms_pkey", "ip_addresses_once", "idempotency_keys_pkey", "operations_one_active",
		"baremetals_name", "baremetals_expected", "baremetals_serial", "bmcs_address", "rack_units_once":
		return true
	}
	return false
}

// transaction runs fn between BEGIN and its own COMMIT or ROLLBACK on one connection. fn sends the BEGIN with its
// first batch and the COMMIT with its last, so that neither costs a round trip.
func (a *Accepter) transaction(ctx context.Context, fn func(conn *pgxpool.Conn) error) (err error) {
	conn, err := a.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	defer func() {
		if conn.Conn().PgConn().TxStatus() == 'I' {
			return
		}
		rollback, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if _, rerr := conn.Exec(rollback, "ROLLBACK"); rerr != nil {
			err = errors.Join(err, fmt.Errorf("roll back: %w", rerr))
		}
	}()
	return fn(conn)
}

// settle shares the structure, and keeps the planner from scanning whole tables: plans are made once and kept, and one
// that was made when a table was empty would scan it for as long as it lives.
const settle = store.ShareStructure + ", set_config('enable_seqscan', 'off', true)"

// begin queues what every accept starts with.
func begin(b *pgx.Batch) {
	b.Queue("BEGIN")
	b.Queue(settle)
}

// look sends what every intent on one resource begins with, and what queue adds to it. It returns the request with what its
// actor may do at this moment, and the earlier answer if this is a repetition.
func look(ctx context.Context, conn *pgxpool.Conn, req Request, queue func(*pgx.Batch)) (Request, *Accepted, error) {
	b := &pgx.Batch{}
	begin(b)
	standing := queueStanding(b, []Request{req})
	queue(b)
	used := queueKeys(b, []Request{req})
	if err := send(ctx, conn, b); err != nil {
		return req, nil, err
	}
	req, err := standing.current(req)
	if err != nil {
		return req, nil, err
	}
	again, err := replay(used, req)
	return req, again, err
}

// inTheWay is the refusal because of another operation.
func inTheWay(kind, name string, operation models.ID) *models.Fault {
	f := models.Faultf(models.CodeOperationInProgress, "The %s %s has an operation in progress, %s. Wait for it, or cancel it.", kind, name, operation)
	f.Operation = &operation
	return f
}

// unchanged refuses a change of what has changed since its client read it.
func unchanged(kind, name string, want *int64, is int64) error {
	if want == nil || *want == is {
		return nil
	}
	return models.Faultf(models.CodePreconditionFailed, "The %s %s has changed since you read it. Read it again and repeat the change.", kind, name)
}

// possibleWhen refuses what a state does not allow.
func possibleWhen[S ~string](kind, name string, is S, from []S) *models.Fault {
	return models.Faultf(models.CodeWrongState, "The %s %s is %s; this is possible when it is %s.", kind, name, is,
		strings.Join(each(from, func(s S) string { return string(s) }), " or "))
}

// send runs a batch in one round trip and returns its first error.
func send(ctx context.Context, conn *pgxpool.Conn, b *pgx.Batch) error {
	return conn.SendBatch(ctx, b).Close()
}

// collect makes a query's callback append every row to out.
func collect[T any](out *[]T, scan func(pgx.CollectableRow) (T, error)) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		got, err := pgx.CollectRows(rows, scan)
		*out = append(*out, got...)
		return err
	}
}

// each returns f of every item: a column of an insert.
func each[T, V any](items []T, f func(T) V) []V {
	out := make([]V, len(items))
	for i, item := range items {
		out[i] = f(item)
	}
	return out
}

// optional is an id that may be missing, in the form that PostgreSQL takes as it is.
func optional(id *models.ID) pgtype.UUID {
	if id == nil {
		return pgtype.UUID{}
	}
	return pgtype.UUID{Bytes: *id, Valid: true}
}

// ref splits a reference into an id or a name.
func ref(s string) (*models.ID, string) {
	if id, err := parseID(s); err == nil {
		return &id, ""
	}
	return nil, s
}

// now is the time at which an intent is accepted, as precise as Postgres keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// operation makes the row of an accepted intent. The input is the workflow's, and starts with the operation itself.
func operation(req Request, o contract.Operation, input any) (models.Operation, error) {
	raw, err := json.Marshal(input)
	if err != nil {
		return models.Operation{}, fmt.Errorf("encode the input of %s: %w", o.Kind, err)
	}
	op := models.Operation{
		ID: o.ID, Kind: o.Kind, Region: o.Region, ResourceKind: o.ResourceKind, ResourceID: o.ResourceID, ResourceName: o.ResourceName,
		ActorID: req.Actor.ID, Actor: req.Actor.Name, State: models.OperationAccepted, Input: raw, Version: 1, CreatedAt: now(),
	}
	if o.TenantID != models.NoID {
		op.TenantID = &o.TenantID
	}
	return op, nil
}
