package accept

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
)

// Cancel accepts that an operation shall be undone. The outbox tells its workflow; the workflow reports when it is.
func (a *Accepter) Cancel(ctx context.Context, req Request, id models.ID) (models.Operation, error) {
	return a.intend(ctx, req, id, "cancel", models.ActiveOperation)
}

// Resume accepts that a blocked operation shall try its failed step again.
func (a *Accepter) Resume(ctx context.Context, req Request, id models.ID) (models.Operation, error) {
	return a.intend(ctx, req, id, "resume", []models.OperationState{models.OperationBlocked})
}

// Abort accepts that a blocked operation shall give up and be undone.
func (a *Accepter) Abort(ctx context.Context, req Request, id models.ID) (models.Operation, error) {
	return a.intend(ctx, req, id, "abort", []models.OperationState{models.OperationBlocked})
}

func (a *Accepter) intend(ctx context.Context, req Request, id models.ID, kind string, from []models.OperationState) (models.Operation, error) {
	defer a.wake()
	return retry(ctx, func(ctx context.Context) (op models.Operation, err error) {
		err = a.transaction(ctx, func(conn *pgxpool.Conn) error {
			op, err = a.tryIntend(ctx, conn, req, id, kind, from)
			return err
		})
		return op, err
	})
}

const (
	lockOperation = `
SELECT o.id, o.kind, o.tenant_id, o.region, o.resource_kind, o.resource_id, o.resource_name, o.actor_id, o.actor, o.state, o.version,
	o.created_at, o.started_at, o.ended_at, coalesce(t.path, '{}')
FROM operations o LEFT JOIN tenants t ON t.id = o.tenant_id WHERE o.id = $1 FOR UPDATE OF o`

	insertIntent = `
INSERT INTO operation_intents (id, operation_id, kind, actor_id, actor)
SELECT $1, $2, $3, $4, $5
WHERE NOT EXISTS (SELECT FROM operation_intents WHERE operation_id = $2 AND kind = $3 AND dispatched_at IS NULL)`

	auditIntent = `
INSERT INTO audit_events (id, actor_id, actor, action, resource_kind, resource_id, resource_name, tenant_id, operation_id, request_id, outcome,
	remote_address, user_agent, on_behalf_of)
VALUES ($1, $2, $3, $4, 'operation', $5, $6, $7, $8, $9, 'accepted', $10, $11, $12)`
)

func (a *Accepter) tryIntend(ctx context.Context, conn *pgxpool.Conn, req Request, id models.ID, kind string, from []models.OperationState) (models.Operation, error) {
	var op models.Operation
	var path []models.ID
	b := &pgx.Batch{}
	begin(b)
	standing := queueStanding(b, []Request{req})
	b.Queue(lockOperation, id).QueryRow(func(row pgx.Row) error {
		return ifAny(row.Scan(&op.ID, &op.Kind, &op.TenantID, &op.Region, &op.ResourceKind, &op.ResourceID, &op.ResourceName, &op.ActorID, &op.Actor,
			&op.State, &op.Version, &op.CreatedAt, &op.StartedAt, &op.EndedAt, &path), func() {})
	})
	if err := send(ctx, conn, b); err != nil {
		return op, fmt.Errorf("look at operation %s: %w", id, err)
	}
	req, err := standing.current(req)
	if err != nil {
		return op, err
	}
	if op.ID == models.NoID {
		return op, invisible("operation", id.String())
	}
	action := "operation." + kind
	if err := a.authz.Check(req.Actor, action, authz.Resource{Kind: "operation", Path: path}); err != nil {
		return op, err
	}
	if !slices.Contains(from, op.State) {
		return op, models.Faultf(models.CodeWrongState, "The operation is %s, so there is nothing to %s.", op.State, kind)
	}
	b = &pgx.Batch{}
	b.Queue(insertIntent, models.NewID(), id, kind, req.Actor.ID, req.Actor.Name)
	b.Queue(auditIntent, models.NewID(), req.Actor.ID, req.Actor.Name, action, id.String(), op.ResourceName, op.TenantID, id, req.RequestID,
		req.Origin.RemoteAddress, req.Origin.UserAgent, req.Origin.OnBehalfOf)
	b.Queue("COMMIT")
	return op, send(ctx, conn, b)
}
