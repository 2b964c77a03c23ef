package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// auditReport writes down what a workflow reported of its region's work, in the report's own transaction. A report that
// came too late is written down as refused. What came before is in the history that the report wrote.
const auditReport = `
INSERT INTO audit_events (id, actor, on_behalf_of, action, resource_kind, resource_id, resource_name, tenant_id, operation_id, trace_id, outcome, code, before, detail)
SELECT $3, CASE WHEN o.region = '' THEN 'gateway' ELSE 'region/' || o.region END, o.actor, 'operation.report', o.resource_kind, o.resource_id::text,
	o.resource_name, o.tenant_id, o.id, coalesce(split_part(o.input ->> 'trace', '-', 2), ''), CASE WHEN o.seq = $2 THEN 'done' ELSE 'refused' END, CASE WHEN o.seq = $2 THEN '' ELSE 'wrong_state' END,
	version_before(o.resource_kind, o.resource_id::text), $4::jsonb
FROM operations o WHERE o.id = $1`

// reported is what the audit log keeps of a report: what happened, without the results that only their readers need.
type reported struct {
	Seq     int64                 `json:"seq"`
	State   models.OperationState `json:"state"`
	VM      *contract.VMFacts     `json:"vm,omitempty"`
	Machine *machineStory         `json:"baremetal,omitempty"`
	Fault   *models.Fault         `json:"fault,omitempty"`
}

func queueReportAudit(b *pgx.Batch, r contract.Report) {
	detail, _ := json.Marshal(reported{r.Seq, r.State, r.VM, storyOf(r.Baremetal), r.Fault}) // structs of texts and numbers cannot fail
	b.Queue(auditReport, r.OperationID, r.Seq, models.NewID(), string(detail))
}

// auditRegion writes down what a region told the gateway or asked of it, besides reports. Not all of it belongs to an
// operation.
const auditRegion = `
INSERT INTO audit_events (id, actor, on_behalf_of, action, resource_kind, resource_id, resource_name, operation_id, trace_id, outcome, detail)
SELECT $1, 'region/' || $2, coalesce((SELECT o.actor FROM operations o WHERE o.id = $4), ''), $3, 'region', $2, $2, nullif($4::uuid, '00000000-0000-0000-0000-000000000000'),
	coalesce((SELECT split_part(o.input ->> 'trace', '-', 2) FROM operations o WHERE o.id = $4), ''), 'done', $5::jsonb`

// executes is a transaction, or the pool.
type executes interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

func writeRegionAudit(ctx context.Context, db executes, region, action string, operation models.ID, detail any) error {
	raw, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("encode what region %s asked: %w", region, err)
	}
	if _, err := db.Exec(ctx, auditRegion, models.NewID(), region, action, operation, string(raw)); err != nil {
		return fmt.Errorf("write down what region %s asked: %w", region, err)
	}
	return nil
}
