package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// Lease is how long a dispatcher has a row that it took. If it dies, another takes the row after that; Temporal
// recognises what it was given before.
const Lease = 20 * time.Second

// Start is an operation whose workflow has to be started.
type Start struct {
	Operation contract.Operation
	Input     []byte
}

// Intent is what a person wants of a running operation.
type Intent struct {
	ID        models.ID
	Operation models.ID
	Kind      string
	Actor     string
	Detail    []byte // of a resume: a contract.Intent
}

const takeStarts = `
UPDATE operations o SET dispatch_after = now() + $2
FROM (SELECT id FROM operations WHERE dispatched_at IS NULL AND dispatch_after <= now() ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED) t
WHERE o.id = t.id
RETURNING o.input`

// TakeStarts takes at most n operations for the length of a lease, oldest first.
func (s *Store) TakeStarts(ctx context.Context, n int) ([]Start, error) {
	rows, err := s.Pool.Query(ctx, takeStarts, n, Lease)
	if err != nil {
		return nil, fmt.Errorf("take operations to start: %w", err)
	}
	starts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (out Start, err error) {
		if err := row.Scan(&out.Input); err != nil {
			return out, err
		}
		return out, json.Unmarshal(out.Input, &out.Operation)
	})
	if err != nil {
		return nil, fmt.Errorf("take operations to start: %w", err)
	}
	return starts, nil
}

// Started notes that Temporal has the operations.
func (s *Store) Started(ctx context.Context, ids []models.ID) error {
	_, err := s.Pool.Exec(ctx, `UPDATE operations SET dispatched_at = now() WHERE id = ANY ($1) AND dispatched_at IS NULL`, ids)
	if err != nil {
		return fmt.Errorf("note %d operations as started: %w", len(ids), err)
	}
	return nil
}

// Return gives operations back to the outbox at once.
func (s *Store) Return(ctx context.Context, ids []models.ID) error {
	_, err := s.Pool.Exec(ctx, `UPDATE operations SET dispatch_after = now() WHERE id = ANY ($1) AND dispatched_at IS NULL`, ids)
	if err != nil {
		return fmt.Errorf("return %d operations to the outbox: %w", len(ids), err)
	}
	return nil
}

// An intent follows its operation's start.
const takeIntents = `
UPDATE operation_intents i SET dispatch_after = now() + $2
FROM (SELECT i.id FROM operation_intents i JOIN operations o ON o.id = i.operation_id
	WHERE i.dispatched_at IS NULL AND i.dispatch_after <= now() AND o.dispatched_at IS NOT NULL
	ORDER BY i.id LIMIT $1 FOR UPDATE OF i SKIP LOCKED) t
WHERE i.id = t.id
RETURNING i.id, i.operation_id, i.kind, i.actor, i.detail`

// TakeIntents takes at most n intents for the length of a lease, oldest first.
func (s *Store) TakeIntents(ctx context.Context, n int) ([]Intent, error) {
	rows, err := s.Pool.Query(ctx, takeIntents, n, Lease)
	if err != nil {
		return nil, fmt.Errorf("take intents: %w", err)
	}
	intents, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Intent])
	if err != nil {
		return nil, fmt.Errorf("take intents: %w", err)
	}
	return intents, nil
}

// Delivered notes that Temporal has the intent, or why it refused it.
func (s *Store) Delivered(ctx context.Context, id models.ID, refusal string) error {
	_, err := s.Pool.Exec(ctx, `UPDATE operation_intents SET dispatched_at = now(), message = $2 WHERE id = $1`, id, refusal)
	if err != nil {
		return fmt.Errorf("note intent %s as delivered: %w", id, err)
	}
	return nil
}
