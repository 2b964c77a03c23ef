package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// OperationIntents reads what people asked of an operation, the oldest first.
func (s *Store) OperationIntents(ctx context.Context, id models.ID) ([]models.OperationIntent, error) {
	return query[models.OperationIntent](ctx, s, `SELECT id, operation_id, kind, actor_id, actor, detail, message, created_at, dispatched_at
		FROM operation_intents WHERE operation_id = ? ORDER BY id`, id)
}

// A block is decided once: the operation must still be at the very block that was seen.
const decide = `
INSERT INTO operation_intents (id, operation_id, kind, actor_id, actor, detail, seq)
SELECT @id, o.id, @kind, @actor_id, @actor, CAST(@detail AS jsonb), o.seq
FROM (SELECT id, seq FROM operations WHERE id = @operation AND state = 'blocked' AND seq = @seq FOR UPDATE) o
WHERE NOT EXISTS (SELECT FROM operation_intents i WHERE i.operation_id = o.id AND i.kind <> 'cancel' AND (i.dispatched_at IS NULL OR i.seq = o.seq AND i.message = ''))`

// Decide writes down what shall become of a blocked operation, for the outbox to deliver, with its audit event. It
// reports false if somebody decided already, or it is blocked there no more.
func Decide(tx Tx, c Change, o Operation, kind string, way models.Way) (bool, error) {
	id := models.NewID()
	detail, err := json.Marshal(contract.Intent{ID: id, Actor: tx.Actor.Name, Way: way})
	if err != nil {
		return false, fmt.Errorf("encode an intent: %w", err)
	}
	done := tx.Exec(decide, map[string]any{"id": id, "kind": kind, "actor_id": tx.Actor.ID, "actor": tx.Actor.Name, "detail": string(detail), "operation": o.ID, "seq": o.Seq})
	if done.Error != nil || done.RowsAffected == 0 {
		return false, done.Error
	}
	c.Action = "operation." + kind
	e := c.event(Subject{Kind: "operation", ID: o.ID.String(), Name: o.ResourceName, TenantID: o.TenantID}, models.AuditAccepted)
	return true, writeAudit(tx.DB, e, map[string]any{"way": way})
}
