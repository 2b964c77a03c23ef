package accept

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
)

// Cancel accepts that an operation shall be undone. The outbox tells its workflow; the workflow reports when it is.
func (a *Accepter) Cancel(ctx context.Context, req Request, id models.ID) (models.Operation, error) {
	return a.intend(ctx, req, id, "cancel", Resume{})
}

// Resume accepts that a blocked operation shall go on, in one of the ways that are open to it.
func (a *Accepter) Resume(ctx context.Context, req Request, id models.ID, r Resume) (models.Operation, error) {
	if r.Way == models.WayRollBack {
		return a.intend(ctx, req, id, "abort", r)
	}
	return a.intend(ctx, req, id, "resume", r)
}

// Abort accepts that a blocked operation shall give up and be undone.
func (a *Accepter) Abort(ctx context.Context, req Request, id models.ID) (models.Operation, error) {
	return a.intend(ctx, req, id, "abort", Resume{Way: models.WayRollBack})
}

// Resume says how a blocked operation shall go on.
type Resume struct {
	Way    models.Way // empty: retry
	To     string     // the host, image or address to begin again with; empty: the host or address that placement chooses
	Reason string
}

// intended is an intent on its way through a transaction.
type intended struct {
	Request
	Resume
	kind string
	op   models.Operation
	path []models.ID

	decided bool // somebody decided about this very block already
}

func (a *Accepter) intend(ctx context.Context, req Request, id models.ID, kind string, r Resume) (models.Operation, error) {
	defer a.wake()
	return retry(ctx, func(ctx context.Context) (op models.Operation, err error) {
		err = a.transaction(ctx, func(conn *pgxpool.Conn) error {
			i := intended{Request: req, Resume: r, kind: kind, op: models.Operation{ID: id}}
			err := a.tryIntend(ctx, conn, &i)
			op = i.op
			return err
		})
		return op, err
	})
}

const (
	lockOperation = `
SELECT o.id, o.kind, o.tenant_id, o.region, o.resource_kind, o.resource_id, o.resource_name, o.actor_id, o.actor, o.state, o.version,
	o.created_at, o.started_at, o.ended_at, coalesce(t.path, '{}'), o.input, o.error, o.seq,
	EXISTS (SELECT FROM operation_intents i WHERE i.operation_id = o.id AND i.kind <> 'cancel' AND (i.dispatched_at IS NULL OR i.seq = o.seq AND i.message = ''))
FROM operations o LEFT JOIN tenants t ON t.id = o.tenant_id WHERE o.id = $1 FOR UPDATE OF o`

	insertIntent = `
INSERT INTO operation_intents (id, operation_id, kind, actor_id, actor, detail, seq)
SELECT $1, $2, $3, $4, $5, $6, $7
WHERE NOT EXISTS (SELECT FROM operation_intents WHERE operation_id = $2 AND kind = $3 AND dispatched_at IS NULL)`

	auditIntent = `
INSERT INTO audit_events (id, actor_id, actor, action, resource_kind, resource_id, resource_name, tenant_id, operation_id, request_id, outcome,
	remote_address, user_agent, on_behalf_of, detail, trace_id)
VALUES ($1, $2, $3, $4, 'operation', $5, $6, $7, $8, $9, 'accepted', $10, $11, $12, $13, $14)`
)

func (a *Accepter) tryIntend(ctx context.Context, conn *pgxpool.Conn, i *intended) error {
	id := i.op.ID
	i.op.ID = models.NoID
	b := &pgx.Batch{}
	begin(b)
	standing := queueStanding(b, []Request{i.Request})
	b.Queue(lockOperation, id).QueryRow(func(row pgx.Row) error {
		op := &i.op
		return ifAny(row.Scan(&op.ID, &op.Kind, &op.TenantID, &op.Region, &op.ResourceKind, &op.ResourceID, &op.ResourceName, &op.ActorID, &op.Actor,
			&op.State, &op.Version, &op.CreatedAt, &op.StartedAt, &op.EndedAt, &i.path, &op.Input, &op.Error, &op.Seq, &i.decided), func() {})
	})
	if err := send(ctx, conn, b); err != nil {
		return fmt.Errorf("look at operation %s: %w", id, err)
	}
	var err error
	if i.Request, err = standing.current(i.Request); err != nil {
		return err
	}
	if i.op.ID == models.NoID {
		return invisible("operation", id.String())
	}
	if err := i.check(a.authz); err != nil {
		return err
	}
	if i.decided && i.kind != "cancel" {
		return nil
	}
	b = &pgx.Batch{}
	detail := contract.Intent{ID: models.NewID(), Actor: i.Actor.Name, Way: i.Way, Reason: i.Reason}
	if i.Way.Changes() {
		if detail.VM, err = a.mend(ctx, conn, b, i); err != nil {
			return err
		}
	}
	b.Queue(insertIntent, detail.ID, id, i.kind, i.Actor.ID, i.Actor.Name, detail, i.op.Seq)
	b.Queue(auditIntent, models.NewID(), i.Actor.ID, i.Actor.Name, "operation."+i.kind, id.String(), i.op.ResourceName, i.op.TenantID, id, i.RequestID,
		i.Origin.RemoteAddress, i.Origin.UserAgent, i.Origin.OnBehalfOf, i.story(), i.Origin.TraceID())
	b.Queue("COMMIT")
	return send(ctx, conn, b)
}

// check judges the intent: rights first, then whether it is possible.
func (i *intended) check(auth *authz.Authorizer) error {
	on := authz.Resource{Kind: "operation", Path: i.path}
	if err := auth.Check(i.Actor, "operation."+i.kind, on); err != nil {
		return err
	}
	if i.Way.Changes() || i.Way == models.WaySkip {
		if err := auth.Check(i.Actor, "operation.mend", on); err != nil {
			return err
		}
	}
	from := []models.OperationState{models.OperationBlocked}
	if i.kind == "cancel" {
		from = models.ActiveOperation
	}
	if !slices.Contains(from, i.op.State) {
		return models.Faultf(models.CodeWrongState, "The operation is %s, so there is nothing to %s.", i.op.State, i.kind)
	}
	if i.kind == "cancel" {
		return nil
	}
	return i.open()
}

// open refuses a way that does not lead out of this block.
func (i *intended) open() error {
	f := i.op.Error
	if f == nil || i.Way == "" || i.Way == models.WayRetry {
		return nil
	}
	ways := f.Ways
	if ways == nil { // blocked before there were other ways
		ways = []models.Way{models.WayRetry, models.WayRollBack}
	}
	if i.Way == models.WayRollBack && f.Code != models.CodeUndoFailed || slices.Contains(ways, i.Way) {
		return nil
	}
	return models.Faultf(models.CodeWrongState, "The operation is blocked at %s: %s To %s does not help there; what does: %s.", f.Step, f.Message, verbs[i.Way], words(ways))
}

var verbs = map[models.Way]string{
	models.WaySkip: "skip the step", models.WayHost: "take another host", models.WayImage: "take another image",
	models.WayAddress: "take another address", models.WayRollBack: "roll back",
}

func words(ways []models.Way) string {
	return strings.Join(each(ways, func(w models.Way) string { return string(w) }), ", ")
}

// story is what the audit log keeps of the intent besides its name.
func (i *intended) story() map[string]any {
	if i.kind == "cancel" {
		return nil
	}
	out := map[string]any{"way": cmp.Or(i.Way, models.WayRetry)}
	if i.To != "" {
		out["to"] = i.To
	}
	if i.Reason != "" {
		out["reason"] = i.Reason
	}
	return out
}
