package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// Origin is from where a request came.
type Origin struct {
	RemoteAddress string
	UserAgent     string
	OnBehalfOf    string // for whom, where the actor is a service that acts for somebody
	Trace         string // place in the trace, as W3C's traceparent
}

// TraceID is the id of the trace that the request belongs to; empty: none.
func (o Origin) TraceID() string {
	if parts := strings.Split(o.Trace, "-"); len(parts) == 4 {
		return parts[1]
	}
	return ""
}

// event begins an audit event about a change.
func (c Change) event(on Subject, outcome string) models.AuditEvent {
	e := models.AuditEvent{
		ID: models.NewID(), Actor: c.Actor.Name, OnBehalfOf: c.Origin.OnBehalfOf, RemoteAddress: c.Origin.RemoteAddress, UserAgent: c.Origin.UserAgent,
		RequestID: c.RequestID, TraceID: c.Origin.TraceID(), Action: c.Action, ResourceKind: on.Kind, ResourceID: on.ID, ResourceName: on.Name, TenantID: on.TenantID, Outcome: outcome,
	}
	if c.Actor.ID != models.NoID {
		e.ActorID = &c.Actor.ID
	}
	return e
}

// insertAudit writes an event of a transaction. What the resource was like before is in its history, which this very
// transaction wrote when it changed the row.
const insertAudit = `
INSERT INTO audit_events (id, actor_id, actor, on_behalf_of, remote_address, user_agent, request_id, trace_id, action, resource_kind, resource_id,
	resource_name, tenant_id, operation_id, outcome, code, before, detail)
VALUES (@id, @actor_id, @actor, @on_behalf_of, @remote_address, @user_agent, @request_id, @trace_id, @action, @resource_kind, @resource_id,
	@resource_name, @tenant_id, @operation_id, @outcome, @code, version_before(@resource_kind, @resource_id), CAST(@detail AS jsonb))`

// audit writes down a change in its own transaction.
func audit(db *gorm.DB, c Change, on Subject, outcome string, after any) error {
	return writeAudit(db, c.event(on, outcome), after)
}

func writeAudit(db *gorm.DB, e models.AuditEvent, after any) error {
	var detail *string
	if after != nil {
		raw, err := json.Marshal(after)
		if err != nil {
			return fmt.Errorf("encode the detail of an audit event: %w", err)
		}
		text := string(raw)
		detail = &text
	}
	err := db.Exec(insertAudit, map[string]any{
		"id": e.ID, "actor_id": e.ActorID, "actor": e.Actor, "on_behalf_of": e.OnBehalfOf, "remote_address": e.RemoteAddress, "user_agent": e.UserAgent,
		"request_id": e.RequestID, "trace_id": e.TraceID, "action": e.Action, "resource_kind": e.ResourceKind, "resource_id": e.ResourceID, "resource_name": e.ResourceName,
		"tenant_id": e.TenantID, "operation_id": e.OperationID, "outcome": e.Outcome, "code": e.Code, "detail": detail,
	}).Error
	if err != nil {
		return fmt.Errorf("write the audit event: %w", err)
	}
	return nil
}

// AuditRead writes down that somebody reads what not everybody may: a secret, or the record itself. Call it before the
// answer, and do not answer if it fails.
func (s *Store) AuditRead(ctx context.Context, c Change, on Subject, detail any) error {
	return audit(s.DB.WithContext(ctx), c, on, models.AuditDone, detail)
}

// signInAction is what signing in is called in the audit log.
const signInAction = "user.sign-in"

// SignInRefused writes down that somebody tried to sign in, whoever they are. It waits with the other refusals, so that it
// cannot be used to hurt the database.
func (r *Refusals) SignInRefused(c Change, code models.Code) {
	c.Action = signInAction
	r.Add(c, Subject{Kind: "user"}, code)
}

// AuditEvent is an audit event with the name of its tenant, if there still is one.
type AuditEvent struct {
	models.AuditEvent
	TenantName string `gorm:"column:tenant_name"`
}

// AuditFilter chooses audit events. Empty fields choose all.
type AuditFilter struct {
	Actor        string
	OnBehalfOf   string
	Action       string
	TenantID     *models.ID // and everything below it
	ResourceKind string
	ResourceID   string
	OperationID  *models.ID
	RequestID    string
	TraceID      string
	Outcome      string
	Since        time.Time
	Until        time.Time
	OldestFirst  bool
}

const namedAuditEvents = `SELECT e.id, e.at, e.actor_id, e.actor, e.on_behalf_of, e.remote_address, e.user_agent, e.request_id, e.trace_id, e.action, e.resource_kind,
	e.resource_id, e.resource_name, e.tenant_id, e.operation_id, e.outcome, e.code, e.before, e.detail, e.txid, coalesce(t.full_name, '') AS tenant_name
FROM (%s) e LEFT JOIN tenants t ON t.id = e.tenant_id ORDER BY e.id %s`

// AuditEvents lists events, the newest first unless the filter says otherwise.
func (s *Store) AuditEvents(ctx context.Context, see Scope, f AuditFilter, p IDPage) ([]AuditEvent, error) {
	var w where
	w.given("t.actor = ?", f.Actor).given("t.on_behalf_of = ?", f.OnBehalfOf).given("t.action = ?", f.Action).given("t.resource_kind = ?", f.ResourceKind).
		given("t.resource_id = ?", f.ResourceID).given("t.request_id = ?", f.RequestID).given("t.trace_id = ?", f.TraceID).given("t.outcome = ?", f.Outcome)
	if f.OperationID != nil {
		w.and("t.operation_id = ?", *f.OperationID)
	}
	if !f.Since.IsZero() {
		w.and("t.at >= ?", f.Since)
	}
	if !f.Until.IsZero() {
		w.and("t.at < ?", f.Until)
	}
	o := owned{table: "audit_events", page: p, newest: !f.OldestFirst}
	switch {
	case f.TenantID != nil:
		o.within = []models.ID{*f.TenantID}
	case !see.All:
		o.within = append([]models.ID{}, see.Tenants...)
	}
	order := "DESC"
	if f.OldestFirst {
		order = "ASC"
	}
	page, args := o.sql(w)
	events, err := query[AuditEvent](ctx, s, fmt.Sprintf(namedAuditEvents, page, order), args...)
	if err != nil {
		return nil, fmt.Errorf("list audit events: %w", err)
	}
	return events, nil
}
