package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// AuditEvent records one write, or one that was refused.
type AuditEvent struct {
	ID           models.ID       `json:"id" format:"uuid" doc:"Id of the event." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	At           time.Time       `json:"at" doc:"When it happened." example:"2027-01-01T12:00:00Z"`
	ActorID      *models.ID      `json:"actor_id,omitempty" format:"uuid" doc:"Who did it." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	Actor        string          `json:"actor" doc:"Their name at that time." example:"ada"`
	Action       string          `json:"action" doc:"What they did." example:"tenant.create"`
	ResourceKind string          `json:"resource_kind" doc:"To what kind of resource." example:"tenant"`
	ResourceID   string          `json:"resource_id,omitempty" doc:"Id of the resource." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	ResourceName string          `json:"resource_name,omitempty" doc:"Its name at that time." example:"acme/dev"`
	TenantID     *models.ID      `json:"tenant_id,omitempty" format:"uuid" doc:"The tenant that it concerns." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	Tenant       string          `json:"tenant,omitempty" doc:"Full name of the tenant, if it still exists." example:"acme/dev"`
	OperationID  *models.ID      `json:"operation_id,omitempty" format:"uuid" doc:"The operation that was accepted." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6d"`
	RequestID    string          `json:"request_id,omitempty" doc:"Leads to the request in the gateway's log." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6e"`
	Outcome      string          `json:"outcome" enum:"accepted,done,refused" doc:"What became of it." example:"done"`
	Detail       json.RawMessage `json:"detail,omitempty" doc:"What the resource was like after it."`
}

type auditList struct {
	Paging
	Actor      string    `query:"actor" maxLength:"63" doc:"Only what this user did." example:"ada"`
	Action     string    `query:"action" maxLength:"100" doc:"Only this action." example:"tenant.create"`
	Tenant     string    `query:"tenant" maxLength:"1100" doc:"Only what concerns this tenant or one below it, by full name or id." example:"acme"`
	ResourceID string    `query:"resource_id" maxLength:"100" doc:"Only what was done to this resource." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	Outcome    string    `query:"outcome" enum:"accepted,done,refused" doc:"Only what ended so." example:"refused"`
	Since      time.Time `query:"since" doc:"Only from this time on." example:"2027-01-01T00:00:00Z"`
	Until      time.Time `query:"until" doc:"Only before this time." example:"2027-02-01T00:00:00Z"`
}

func (a *API) registerAuditEvents(h huma.API) {
	register(h, endpoint{ID: "list-audit-events", Method: http.MethodGet, Path: "/v1/audit-events", Action: "audit-event.read", Summary: "List what was done",
		Description: "What concerns the tenants that you see, the newest first."}, a.listAuditEvents)
}

func (a *API) listAuditEvents(ctx context.Context, in *auditList) (*ListOutput[AuditEvent], error) {
	f := store.AuditFilter{Actor: in.Actor, Action: in.Action, ResourceID: in.ResourceID, Outcome: in.Outcome, Since: in.Since, Until: in.Until}
	if in.Tenant != "" {
		t, err := a.visibleTenant(ctx, in.Tenant)
		if err != nil {
			return nil, err
		}
		f.TenantID = &t.ID
	}
	filters := []string{"audit events", in.Actor, in.Action, in.Tenant, in.ResourceID, in.Outcome, in.Since.UTC().String(), in.Until.UTC().String()}
	page, err := afterOrNone(in.Paging, filters...)
	if err != nil {
		return nil, err
	}
	rows, err := a.store.AuditEvents(ctx, store.ScopeOf(actor(ctx)), f, page)
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, rows, func(e store.AuditEvent) string { return e.ID.String() }, wireAuditEvent, filters...), nil
}

func wireAuditEvent(e store.AuditEvent) AuditEvent {
	return AuditEvent{
		ID: e.ID, At: e.At.UTC(), ActorID: e.ActorID, Actor: e.Actor, Action: e.Action, ResourceKind: e.ResourceKind, ResourceID: e.ResourceID,
		ResourceName: e.ResourceName, TenantID: e.TenantID, Tenant: e.TenantName, OperationID: e.OperationID, RequestID: e.RequestID,
		Outcome: e.Outcome, Detail: json.RawMessage(e.Detail),
	}
}
