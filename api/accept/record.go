package accept

import (
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/yunshu/yunshu/models"
)

// record is what an accepted intent leaves besides its resource: the operation, the audit event and the key.
type record struct {
	Request
	op     models.Operation
	action string // for the audit, such as vm.create
	detail any    // what the audit log keeps besides; no secrets
}

const (
	insertOperations = `
INSERT INTO operations (id, kind, tenant_id, region, resource_kind, resource_id, resource_name, actor_id, actor, input, created_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::text[], $8::uuid[], $9::text[], $10::jsonb[], $11::timestamptz[])`

	insertAudit = `
INSERT INTO audit_events (id, at, actor_id, actor, action, resource_kind, resource_id, resource_name, tenant_id, operation_id, request_id, trace_id, outcome,
	remote_address, user_agent, on_behalf_of, before, detail)
SELECT id, at, actor_id, actor, action, kind, resource_id::text, name, tenant_id, operation_id, request_id, trace_id, 'accepted',
	remote_address, user_agent, on_behalf_of, CASE WHEN action NOT LIKE '%.create' AND action <> 'baremetal.enroll' THEN version_before(kind, resource_id::text) END,
	detail
FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::text[], $9::uuid[], $10::uuid[], $11::text[],
	$12::text[], $13::text[], $14::text[], $15::text[], $16::jsonb[])
	AS r (id, at, actor_id, actor, action, kind, resource_id, name, tenant_id, operation_id, request_id, remote_address, user_agent, on_behalf_of, trace_id, detail)`

	insertKeys = `
INSERT INTO idempotency_keys (actor_id, key, request_hash, operation_id, status)
SELECT actor_id, key, hash, operation_id, 202 FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::uuid[]) AS r (actor_id, key, hash, operation_id)
ORDER BY actor_id, key`
)

// queueRecords writes the records of accepted intents.
func queueRecords(b *pgx.Batch, rs []record) {
	ids := each(rs, func(r record) models.ID { return r.op.ID })
	tenants := each(rs, func(r record) pgtype.UUID { return optional(r.op.TenantID) })
	kinds := each(rs, func(r record) string { return r.op.ResourceKind })
	resources := each(rs, func(r record) models.ID { return r.op.ResourceID })
	names := each(rs, func(r record) string { return r.op.ResourceName })
	actors := each(rs, func(r record) models.ID { return r.op.ActorID })
	actorNames := each(rs, func(r record) string { return r.op.Actor })
	at := each(rs, func(r record) time.Time { return r.op.CreatedAt })

	b.Queue(insertOperations, ids, each(rs, func(r record) string { return r.op.Kind }), tenants,
		each(rs, func(r record) string { return r.op.Region }), kinds, resources, names, actors, actorNames,
		each(rs, func(r record) string { return string(r.op.Input) }), at)
	b.Queue(insertAudit, each(rs, func(record) models.ID { return models.NewID() }), at, actors, actorNames,
		each(rs, func(r record) string { return r.action }), kinds, resources, names, tenants, ids,
		each(rs, func(r record) string { return r.RequestID }), each(rs, func(r record) string { return r.Origin.RemoteAddress }),
		each(rs, func(r record) string { return r.Origin.UserAgent }), each(rs, func(r record) string { return r.Origin.OnBehalfOf }),
		each(rs, func(r record) string { return r.Origin.TraceID() }), each(rs, func(r record) any { return r.detail }))
	keyed := filter(rs, func(r record) bool { return r.Key != "" })
	if len(keyed) == 0 {
		return
	}
	b.Queue(insertKeys, each(keyed, func(r record) models.ID { return r.Actor.ID }), each(keyed, func(r record) string { return r.Key }),
		each(keyed, func(r record) []byte { return r.Hash }), each(keyed, func(r record) models.ID { return r.op.ID }))
}

// nullableOperation scans an operation that an outer join may have missed.
type nullableOperation struct {
	ID                                       *models.ID
	Kind, Region, ResourceKind, ResourceName *string
	TenantID, ResourceID, ActorID            *models.ID
	Actor                                    *string
	State                                    *models.OperationState
	Version                                  *int64
	CreatedAt, StartedAt, EndedAt            *time.Time
}

func (o nullableOperation) operation() *models.Operation {
	if o.ID == nil {
		return nil
	}
	return &models.Operation{
		ID: *o.ID, Kind: *o.Kind, TenantID: o.TenantID, Region: *o.Region, ResourceKind: *o.ResourceKind, ResourceID: *o.ResourceID,
		ResourceName: *o.ResourceName, ActorID: *o.ActorID, Actor: *o.Actor, State: *o.State, Version: *o.Version,
		CreatedAt: *o.CreatedAt, StartedAt: o.StartedAt, EndedAt: o.EndedAt,
	}
}
