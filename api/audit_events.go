package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// AuditEvent records one write, one that was refused, a sign-in, a read of a secret, or what a region reported or asked.
// Its hash is that of package seal, which reads the same JSON.
type AuditEvent struct {
	ID            models.ID       `json:"id" format:"uuid" doc:"Id of the event." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	At            time.Time       `json:"at" doc:"When it happened." example:"2027-01-01T12:00:00Z"`
	ActorID       *models.ID      `json:"actor_id,omitempty" format:"uuid" doc:"Who did it." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	Actor         string          `json:"actor" doc:"Their name at that time; region/tw is a region, gateway the gateway itself." example:"ada"`
	OnBehalfOf    string          `json:"on_behalf_of,omitempty" doc:"For whom, where the actor acts for somebody." example:"ada"`
	RemoteAddress string          `json:"remote_address,omitempty" doc:"From where." example:"192.0.2.7"`
	UserAgent     string          `json:"user_agent,omitempty" doc:"With which program." example:"curl/8.5.0"`
	RequestID     string          `json:"request_id,omitempty" doc:"Leads to the request in the gateway's log." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6e"`
	TraceID       string          `json:"trace_id,omitempty" doc:"Leads to everything that every process did for the request." example:"4bf92f3577b34da6a3ce929d0e0e4736"`
	Action        string          `json:"action" doc:"What they did." example:"tenant.create"`
	ResourceKind  string          `json:"resource_kind" doc:"To what kind of resource." example:"tenant"`
	ResourceID    string          `json:"resource_id,omitempty" doc:"Id of the resource." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	ResourceName  string          `json:"resource_name,omitempty" doc:"Its name at that time." example:"acme/dev"`
	TenantID      *models.ID      `json:"tenant_id,omitempty" format:"uuid" doc:"The tenant that it concerns." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	Tenant        string          `json:"tenant,omitempty" doc:"Full name of the tenant, if it still exists." example:"acme/dev"`
	OperationID   *models.ID      `json:"operation_id,omitempty" format:"uuid" doc:"The operation that was accepted, or that reported." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6d"`
	Outcome       string          `json:"outcome" enum:"accepted,done,refused" doc:"What became of it." example:"done"`
	Code          string          `json:"code,omitempty" doc:"Why it was refused." example:"forbidden"`
	Before        json.RawMessage `json:"before,omitempty" doc:"The resource as it was before; absent of one that was made."`
	After         json.RawMessage `json:"after,omitempty" doc:"The resource as it became, or what else there is to say."`
}

// AuditFilter chooses events. Embed it in an input.
type AuditFilter struct {
	Actor        string    `query:"actor" maxLength:"100" doc:"Only what this user did, or this region, such as region/tw." example:"ada"`
	OnBehalfOf   string    `query:"on_behalf_of" maxLength:"100" doc:"Only what was done for this user." example:"ada"`
	Action       string    `query:"action" maxLength:"100" doc:"Only this action." example:"tenant.create"`
	Tenant       string    `query:"tenant" maxLength:"1100" doc:"Only what concerns this tenant or one below it, by full name or id." example:"acme"`
	ResourceKind string    `query:"resource_kind" maxLength:"63" doc:"Only what was done to this kind of resource." example:"tenant"`
	ResourceID   string    `query:"resource_id" maxLength:"100" doc:"Only what was done to this resource." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	OperationID  string    `query:"operation_id" format:"uuid" doc:"Only what belongs to this operation." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6d"`
	RequestID    string    `query:"request_id" maxLength:"128" doc:"Only what this request did." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6e"`
	TraceID      string    `query:"trace_id" maxLength:"32" doc:"Only what belongs to this trace." example:"4bf92f3577b34da6a3ce929d0e0e4736"`
	Outcome      string    `query:"outcome" enum:"accepted,done,refused" doc:"Only what ended so." example:"refused"`
	Since        time.Time `query:"since" doc:"Only from this time on." example:"2027-01-01T00:00:00Z"`
	Until        time.Time `query:"until" doc:"Only before this time." example:"2027-02-01T00:00:00Z"`
}

type auditList struct {
	Paging
	AuditFilter
}

func (a *API) registerAuditEvents(h huma.API) {
	register(h, endpoint{ID: "list-audit-events", Method: http.MethodGet, Path: "/v1/audit-events", Action: "audit-event.read", Summary: "List what was done",
		Description: "What concerns the tenants that you see, the newest first."}, a.listAuditEvents)
	a.registerAuditExport(h)
	register(h, endpoint{ID: "verify-audit-events", Method: http.MethodGet, Path: "/v1/audit-events/verification", Action: "audit-event.verify", Summary: "Verify the audit log",
		Description: "Compares the audit log with the chain of hashes that it is sealed by. One answer covers a stretch: go on with next_after until it is absent. " +
			"Keep the hash of the head elsewhere, and give it as anchor later: only so does it show if somebody wrote the whole chain anew."}, a.verifyAuditEvents)
}

// filter is the filter as package store wants it.
func (a *API) filter(ctx context.Context, in AuditFilter) (store.AuditFilter, error) {
	f := store.AuditFilter{Actor: in.Actor, OnBehalfOf: in.OnBehalfOf, Action: in.Action, ResourceKind: in.ResourceKind, ResourceID: in.ResourceID,
		RequestID: in.RequestID, TraceID: in.TraceID, Outcome: in.Outcome, Since: in.Since, Until: in.Until}
	if in.OperationID != "" {
		id, err := uuid.Parse(in.OperationID)
		if err != nil {
			return f, invalid("query.operation_id", "must be an id")
		}
		f.OperationID = &id
	}
	if in.Tenant == "" {
		return f, nil
	}
	t, err := a.visibleTenant(ctx, in.Tenant)
	f.TenantID = &t.ID
	return f, err
}

// words is everything that decides what is on the list.
func (in AuditFilter) words() []string {
	return []string{"audit events", in.Actor, in.OnBehalfOf, in.Action, in.Tenant, in.ResourceKind, in.ResourceID, in.OperationID, in.RequestID, in.TraceID, in.Outcome,
		in.Since.UTC().String(), in.Until.UTC().String()}
}

func (a *API) listAuditEvents(ctx context.Context, in *auditList) (*ListOutput[AuditEvent], error) {
	f, err := a.filter(ctx, in.AuditFilter)
	if err != nil {
		return nil, err
	}
	page, err := afterOrNone(in.Paging, in.words()...)
	if err != nil {
		return nil, err
	}
	rows, err := a.store.AuditEvents(ctx, store.ScopeOf(actor(ctx)), f, page)
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, rows, func(e store.AuditEvent) string { return e.ID.String() }, a.wireAuditEvent(ctx), in.words()...), nil
}

func wireAuditEvent(e store.AuditEvent) AuditEvent {
	return AuditEvent{
		ID: e.ID, At: e.At.UTC(), ActorID: e.ActorID, Actor: e.Actor, OnBehalfOf: e.OnBehalfOf, RemoteAddress: e.RemoteAddress, UserAgent: e.UserAgent,
		RequestID: e.RequestID, TraceID: e.TraceID, Action: e.Action, ResourceKind: e.ResourceKind, ResourceID: e.ResourceID, ResourceName: e.ResourceName, TenantID: e.TenantID,
		Tenant: e.TenantName, OperationID: e.OperationID, Outcome: e.Outcome, Code: e.Code, Before: json.RawMessage(e.Before), After: json.RawMessage(e.After),
	}
}
