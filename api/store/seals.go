package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/seal"
)

// sealedAtOnce bounds the events of one seal, and with it what sealing and verifying hold in memory.
const sealedAtOnce = 2000

const (
	// holdChain takes the end of the chain, unless another gateway seals at this moment.
	holdChain = `SELECT number, hash, txid FROM audit_chain FOR UPDATE SKIP LOCKED`

	auditColumns = `id, at, actor_id, actor, on_behalf_of, remote_address, user_agent, request_id, trace_id, action, resource_kind, resource_id, resource_name,
	tenant_id, operation_id, outcome, code, before, detail, txid`

	// unsealed are events of transactions that have all ended: no row of theirs can still appear.
	unsealed = `SELECT ` + auditColumns + `, pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon
FROM audit_events WHERE txid >= $1 AND txid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint ORDER BY txid, id LIMIT $2`

	// wholeTransaction is for one that alone wrote more events than a seal should have.
	wholeTransaction = `SELECT ` + auditColumns + `, 0::bigint AS horizon FROM audit_events WHERE txid = $1 ORDER BY id`

	insertSeal = `INSERT INTO audit_seals (number, at, from_txid, to_txid, events, first_at, last_at, entries, previous, hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

	moveChain = `UPDATE audit_chain SET number = $1, hash = $2, txid = $3`
)

// unsealedEvent is an event and the transaction before which all have ended.
type unsealedEvent struct {
	models.AuditEvent
	Horizon int64 `db:"horizon"`
}

// Seal closes a stretch of the audit log, the oldest that is not sealed yet, and returns how many events it has, and
// whether there are more. It takes nothing that a writer waits for. Of several gateways one seals at a time.
func (s *Store) Seal(ctx context.Context) (sealed seal.Seal, more bool, err error) {
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		var number, from int64
		var head []byte
		err := tx.QueryRow(ctx, holdChain).Scan(&number, &head, &from)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // another gateway is at it
		}
		if err != nil {
			return fmt.Errorf("take the end of the chain: %w", err)
		}
		if err := checkHorizon(ctx, tx, from); err != nil {
			return err
		}
		events, to, rest, err := nextStretch(ctx, tx, from)
		if err != nil || len(events) == 0 {
			return err
		}
		more = rest
		sealed, err = makeSeal(number+1, from, to, head, events)
		if err != nil {
			return err
		}
		return writeSeal(ctx, tx, sealed, events)
	})
	if err != nil {
		return seal.Seal{}, false, fmt.Errorf("seal the audit log: %w", err)
	}
	return sealed, more, nil
}

// checkHorizon notices a database whose transactions are counted anew, so that their numbers say nothing any more.
func checkHorizon(ctx context.Context, tx pgx.Tx, from int64) error {
	var next int64
	if err := tx.QueryRow(ctx, `SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint`).Scan(&next); err != nil {
		return fmt.Errorf("read the number of the next transaction: %w", err)
	}
	if next < from {
		return fmt.Errorf("the next transaction is number %d, but everything before %d is sealed: the database was loaded from a dump; see docs/audit.md", next, from)
	}
	return nil
}

// nextStretch reads whole transactions, as many as go into a seal. Rest says that there are more.
func nextStretch(ctx context.Context, tx pgx.Tx, from int64) (events []unsealedEvent, to int64, rest bool, err error) {
	if events, err = auditRows[unsealedEvent](ctx, tx, unsealed, from, sealedAtOnce+1); err != nil || len(events) == 0 {
		return nil, 0, false, err
	}
	if len(events) <= sealedAtOnce {
		return events, events[0].Horizon, false, nil
	}
	last := events[len(events)-1].TxID
	for n := len(events); n > 0; n-- {
		if events[n-1].TxID != last {
			return events[:n], last, true, nil
		}
	}
	events, err = auditRows[unsealedEvent](ctx, tx, wholeTransaction, last)
	return events, last + 1, true, err
}

// auditRows reads events in the text format, which their column types read.
func auditRows[T any](ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]T, error) {
	rows, err := tx.Query(ctx, sql, append([]any{pgx.QueryResultFormats{pgx.TextFormatCode}}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("read audit events: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByName[T])
	if err != nil {
		return nil, fmt.Errorf("read audit events: %w", err)
	}
	return out, nil
}

func makeSeal(number, from, to int64, head []byte, events []unsealedEvent) (seal.Seal, error) {
	entries := make([]seal.Entry, len(events))
	for i, e := range events {
		hash, err := Sealable(e.AuditEvent).Hash()
		if err != nil {
			return seal.Seal{}, err
		}
		entries[i] = seal.Entry{ID: e.ID, At: e.At, Hash: hash}
	}
	s := seal.Seal{Number: number, At: time.Now().UTC().Truncate(time.Microsecond), FromTxID: from, ToTxID: to, Entries: seal.Entries(entries)}
	copy(s.Previous[:], head)
	s.Hash = s.Sum()
	return s, nil
}

func writeSeal(ctx context.Context, tx pgx.Tx, s seal.Seal, events []unsealedEvent) error {
	first, last := events[0].At, events[0].At
	for _, e := range events {
		if e.At.Before(first) {
			first = e.At
		}
		if e.At.After(last) {
			last = e.At
		}
	}
	if _, err := tx.Exec(ctx, insertSeal, s.Number, s.At, s.FromTxID, s.ToTxID, len(events), first, last, s.Entries, s.Previous[:], s.Hash[:]); err != nil {
		return fmt.Errorf("write seal %d: %w", s.Number, err)
	}
	if _, err := tx.Exec(ctx, moveChain, s.Number, s.Hash[:], s.ToTxID); err != nil {
		return fmt.Errorf("move the end of the chain to seal %d: %w", s.Number, err)
	}
	return nil
}

// Sealable is what the hash of an event covers.
func Sealable(e models.AuditEvent) seal.Event {
	return seal.Event{
		ID: e.ID, At: e.At.UTC(), ActorID: e.ActorID, Actor: e.Actor, OnBehalfOf: e.OnBehalfOf, RemoteAddress: e.RemoteAddress, UserAgent: e.UserAgent,
		RequestID: e.RequestID, TraceID: e.TraceID, Action: e.Action, ResourceKind: e.ResourceKind, ResourceID: e.ResourceID, ResourceName: e.ResourceName,
		TenantID: e.TenantID, OperationID: e.OperationID, Outcome: e.Outcome, Code: e.Code, Before: e.Before, After: e.After,
	}
}

const readSeals = `SELECT number, at, from_txid, to_txid, events, first_at, last_at, entries, previous, hash FROM audit_seals WHERE number > $1 AND number <= $2 ORDER BY number LIMIT $3`

// StoredSeal is a seal with what only the database says of it.
type StoredSeal struct {
	seal.Seal
	Events          int64
	FirstAt, LastAt time.Time
}

// Seals reads the next seals after a number, up to another one.
func (s *Store) Seals(ctx context.Context, after, upTo int64, limit int) (out []StoredSeal, err error) {
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		out, err = sealsAfter(ctx, tx, after, upTo, limit)
		return err
	})
	return out, err
}

func sealsAfter(ctx context.Context, tx pgx.Tx, after, upTo int64, limit int) ([]StoredSeal, error) {
	rows, err := tx.Query(ctx, readSeals, after, upTo, limit)
	if err != nil {
		return nil, fmt.Errorf("read seals: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (StoredSeal, error) {
		var s StoredSeal
		var previous, hash []byte
		err := row.Scan(&s.Number, &s.At, &s.FromTxID, &s.ToTxID, &s.Events, &s.FirstAt, &s.LastAt, &s.Entries, &previous, &hash)
		s.At = s.At.UTC()
		copy(s.Previous[:], previous)
		copy(s.Hash[:], hash)
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("read seals: %w", err)
	}
	return out, nil
}

// LastSeal is the number of the last seal; 0: there is none.
func (s *Store) LastSeal(ctx context.Context) (number int64, err error) {
	if err := s.Pool.QueryRow(ctx, "SELECT coalesce(max(number), 0) FROM audit_seals").Scan(&number); err != nil {
		return 0, fmt.Errorf("read the number of the last seal: %w", err)
	}
	return number, nil
}
