package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/seal"
)

// jsonLines is the type of an export: one JSON object in each line.
const jsonLines = "application/jsonl"

// exportPage is how many events an export reads at once.
const exportPage = 1000

type auditExport struct {
	AuditFilter
	Seals bool `query:"seals" doc:"After the events, also the seals by which the file can be verified; for those who may verify."`
}

// SealLine is a line of an export that has a seal rather than an event.
type SealLine struct {
	Seal seal.Seal `json:"seal"`
}

func (a *API) registerAuditExport(h huma.API) {
	register(h, endpoint{ID: "export-audit-events", Method: http.MethodGet, Path: "/v1/audit-events/export", Action: "audit-event.export", Summary: "Export what was done",
		Description: "Streams what concerns the tenants that you see as JSON lines, the oldest first. A connection that breaks before the end is an export that failed. The export itself is in the audit log."}, a.exportAuditEvents)
	event := &huma.Schema{Ref: "#/components/schemas/AuditEvent"}
	h.OpenAPI().Paths["/v1/audit-events/export"].Get.Responses["200"] = &huma.Response{
		Description: "One event in each line; with seals, the lines after the last event are objects with a seal.",
		Content:     map[string]*huma.MediaType{jsonLines: {Schema: event}},
	}
}

func (a *API) exportAuditEvents(ctx context.Context, in *auditExport) (*huma.StreamResponse, error) {
	f, err := a.filter(ctx, in.AuditFilter)
	if err != nil {
		return nil, err
	}
	f.OldestFirst = true
	x := &export{api: a, see: store.ScopeOf(actor(ctx)), filter: f}
	if in.Seals {
		if err := a.check(ctx, actor(ctx), "audit-event.verify", authz.Resource{Kind: "audit-event"}); err != nil {
			return nil, err
		}
		// The chain is read before the events: then every event that it seals is there to be read.
		if x.sealedUpTo, err = a.store.LastSeal(ctx); err != nil {
			return nil, err
		}
	}
	if err := a.auditRead(ctx, "audit-event.export", store.Subject{Kind: "audit-event", TenantID: f.TenantID}, in.given()); err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: x.stream}, nil
}

// given is what of the filter was given, for the audit log.
func (in AuditFilter) given() map[string]any {
	out := map[string]any{}
	for name, value := range map[string]string{"actor": in.Actor, "on_behalf_of": in.OnBehalfOf, "action": in.Action, "tenant": in.Tenant,
		"resource_kind": in.ResourceKind, "resource_id": in.ResourceID, "operation_id": in.OperationID, "request_id": in.RequestID, "trace_id": in.TraceID, "outcome": in.Outcome} {
		if value != "" {
			out[name] = value
		}
	}
	if !in.Since.IsZero() {
		out["since"] = in.Since
	}
	if !in.Until.IsZero() {
		out["until"] = in.Until
	}
	return out
}

// export is one export under way.
type export struct {
	api        *API
	see        store.Scope
	filter     store.AuditFilter
	sealedUpTo int64 // 0: without seals
}

// stream writes the lines. Half an export must not look like a whole one: where it fails, the connection breaks.
func (x *export) stream(ctx huma.Context) {
	ctx.SetHeader("Content-Type", jsonLines)
	ctx.SetHeader("Content-Disposition", `attachment; filename="audit-events.jsonl"`)
	w := bufio.NewWriterSize(ctx.BodyWriter(), 64<<10)
	if err := errors.Join(x.events(ctx.Context(), w), x.seals(ctx.Context(), w), w.Flush()); err != nil {
		x.api.log.ErrorContext(ctx.Context(), "export broken off", "request_id", scope(ctx.Context()).id, "error", err)
		panic(http.ErrAbortHandler)
	}
}

func (x *export) events(ctx context.Context, w *bufio.Writer) error {
	page := store.IDPage{Limit: exportPage}
	lines, wire := json.NewEncoder(w), x.api.wireAuditEvent(ctx)
	for {
		rows, err := x.api.store.AuditEvents(ctx, x.see, x.filter, page)
		if err != nil {
			return err
		}
		for _, e := range rows {
			if err := lines.Encode(wire(e)); err != nil {
				return err
			}
		}
		if len(rows) < exportPage {
			return nil
		}
		page.After = rows[len(rows)-1].ID
	}
}

func (x *export) seals(ctx context.Context, w *bufio.Writer) error {
	lines := json.NewEncoder(w)
	for after := int64(0); after < x.sealedUpTo; {
		seals, err := x.api.store.Seals(ctx, after, x.sealedUpTo, 16)
		if err != nil {
			return err
		}
		if len(seals) == 0 {
			return models.Faultf(models.CodeInternal, "the seals after %d are missing", after)
		}
		for _, s := range seals {
			if err := lines.Encode(SealLine{s.Seal}); err != nil {
				return err
			}
			after = s.Number
		}
	}
	return nil
}
