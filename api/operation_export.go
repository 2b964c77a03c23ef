package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	common "go.temporal.io/api/common/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/serviceerror"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// OperationExport is all that is known of an operation in one file, without secrets: enough to see what happened, and to
// replay it.
type OperationExport struct {
	Format     int                `json:"format" doc:"Version of this format." example:"1"`
	ExportedAt time.Time          `json:"exported_at" doc:"When it was written." example:"2026-11-23T08:00:00Z"`
	Operation  Operation          `json:"operation" doc:"The operation with its steps."`
	Request    any                `json:"request" doc:"What was accepted: the input of the workflow, with the host, the address and the template that were chosen. Secrets are redacted."`
	Decisions  []Decision         `json:"decisions" doc:"What people asked of it while it ran, the oldest first."`
	Audit      []AuditEvent       `json:"audit" doc:"The audit log about it, the oldest first."`
	Activities []ExportedActivity `json:"activities" doc:"What was asked of the regions and of the gateway, and what they answered, in the order of the workflow."`
	History    any                `json:"history,omitempty" doc:"The history of the workflow, as Temporal writes it as JSON, decrypted and redacted. Absent where Temporal has none any more."`
}

// Decision is what a person asked of a running operation.
type Decision struct {
	At     time.Time `json:"at" doc:"When." example:"2026-11-23T08:00:00Z"`
	Actor  string    `json:"actor" doc:"Who." example:"ada"`
	Kind   string    `json:"kind" doc:"What: cancel, resume or abort." example:"resume"`
	Detail any       `json:"detail,omitempty" doc:"The way, the reason, and the machine as it was to be made then."`
	Answer string    `json:"answer,omitempty" doc:"Why the workflow refused it." example:"The operation had ended already."`
}

// ExportedActivity is one activity of an operation's workflow.
type ExportedActivity struct {
	Name         string     `json:"name" doc:"Name of the activity." example:"vm.clone"`
	Queue        string     `json:"queue" doc:"Task queue that it was put into." example:"vm.tw"`
	Worker       string     `json:"worker,omitempty" doc:"Worker that carried it out last." example:"1234@worker-tw"`
	Attempt      int32      `json:"attempt,omitempty" doc:"Which attempt was the last." example:"1"`
	ScheduledAt  time.Time  `json:"scheduled_at" doc:"When it was put into the queue." example:"2026-11-23T08:00:00Z"`
	StartedAt    *time.Time `json:"started_at,omitempty" doc:"When its last attempt began." example:"2026-11-23T08:00:01Z"`
	EndedAt      *time.Time `json:"ended_at,omitempty" doc:"When it ended." example:"2026-11-23T08:00:20Z"`
	Input        any        `json:"input,omitempty" doc:"What was asked, redacted."`
	Output       any        `json:"output,omitempty" doc:"What was answered, redacted; the ref in it is the provider's name of the machine."`
	Failure      string     `json:"failure,omitempty" doc:"How it failed." example:"The vCenter of tw does not answer."`
	ProviderTask any        `json:"provider_task,omitempty" doc:"The provider's task that it waits for now, or waited for when it timed out."`
}

// longestHistory bounds an export. No operation comes near it.
const longestHistory = 20_000

func (a *API) registerOperationExport(h huma.API) {
	register(h, endpoint{ID: "export-operation", Method: http.MethodGet, Path: "/v1/operations/{id}/export", Action: "operation.export", Summary: "Export an operation",
		Description: "Everything about one operation in one file: request, decisions, audit, activities with input and output, and the history of its workflow, decrypted and without secrets, which a developer can replay. That it was exported is in the audit log."}, a.exportOperation)
}

func (a *API) exportOperation(ctx context.Context, in *ByID) (*Resource[OperationExport], error) {
	o, err := a.visibleOperation(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := a.check(ctx, actor(ctx), "operation.export", authz.Resource{Kind: "operation", Path: o.TenantPath}); err != nil {
		return nil, err
	}
	on := store.Subject{Kind: "operation", ID: o.ID.String(), Name: o.ResourceName, TenantID: o.TenantID}
	if err := a.auditRead(ctx, "operation.export", on, nil); err != nil {
		return nil, err
	}
	out := OperationExport{Format: 1, ExportedAt: time.Now().UTC(), Request: redactedJSON(o.Input), Decisions: []Decision{}, Audit: []AuditEvent{}, Activities: []ExportedActivity{}}
	told, err := a.tell(ctx, o)
	if err != nil {
		return nil, err
	}
	out.Operation = told.Body
	if err := a.exportRecord(ctx, o.ID, &out); err != nil {
		return nil, err
	}
	if err := a.exportHistory(ctx, o.ID, &out); err != nil {
		return nil, err
	}
	return &Resource[OperationExport]{Body: out}, nil
}

// exportRecord adds what the database knows besides the operation itself.
func (a *API) exportRecord(ctx context.Context, id models.ID, out *OperationExport) error {
	decisions, err := a.store.OperationIntents(ctx, id)
	if err != nil {
		return fmt.Errorf("read what was asked of operation %s: %w", id, err)
	}
	for _, i := range decisions {
		out.Decisions = append(out.Decisions, Decision{At: i.CreatedAt.UTC(), Actor: i.Actor, Kind: i.Kind, Detail: redactedJSON(i.Detail), Answer: i.Message})
	}
	events, err := a.store.AuditEvents(ctx, store.Scope{All: true}, store.AuditFilter{OperationID: &id, OldestFirst: true}, store.IDPage{Limit: exportPage})
	if err != nil {
		return fmt.Errorf("read the audit log of operation %s: %w", id, err)
	}
	for _, e := range events {
		out.Audit = append(out.Audit, wireAuditEvent(e))
	}
	return nil
}

// exportHistory adds what Temporal knows. A Temporal that knows the workflow no more leaves it out; one that does not
// answer fails the export, which would look whole otherwise.
func (a *API) exportHistory(ctx context.Context, id models.ID, out *OperationExport) error {
	if a.temporal == nil {
		return nil
	}
	h := &history.History{}
	var missing *serviceerror.NotFound
	for events := a.temporal.GetWorkflowHistory(ctx, id.String(), "", false, 0); events.HasNext(); {
		e, err := events.Next()
		if errors.As(err, &missing) {
			return nil
		}
		if err != nil {
			return models.Faultf(models.CodeUnavailable, "Temporal does not give the history of the operation. Try again when it is back.").Because(err)
		}
		if h.Events = append(h.Events, e); len(h.Events) > longestHistory {
			return models.Faultf(models.CodeUnavailable, "The history of the operation has more than %d events, too many for one file.", longestHistory)
		}
	}
	if err := a.reveal(ctx, h); err != nil {
		return fmt.Errorf("decrypt the history of operation %s: %w", id, err)
	}
	raw, err := protojson.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode the history of operation %s: %w", id, err)
	}
	out.History = json.RawMessage(raw)
	out.Activities = activitiesOf(h)
	return nil
}

// reveal decrypts every payload of a history, and takes out what looks like a secret.
func (a *API) reveal(ctx context.Context, h *history.History) error {
	return proxy.VisitPayloads(ctx, h, proxy.VisitPayloadsOptions{SkipSearchAttributes: true, Visitor: func(_ *proxy.VisitPayloadsContext, in []*common.Payload) ([]*common.Payload, error) {
		out := in
		if a.codec != nil {
			var err error
			if out, err = a.codec.Decode(in); err != nil {
				return nil, err
			}
		}
		for i, p := range out {
			if string(p.GetMetadata()["encoding"]) == "json/plain" {
				out[i] = &common.Payload{Metadata: p.Metadata, Data: redacted(p.Data)}
			}
		}
		return out, nil
	}})
}

// activitiesOf reads the activities out of a history.
func activitiesOf(h *history.History) []ExportedActivity {
	out := []ExportedActivity{}
	at := map[int64]int{} // of the event that scheduled it
	end := func(scheduled int64, e *history.HistoryEvent, output *common.Payloads, failure string) {
		if i, ok := at[scheduled]; ok {
			ended := e.GetEventTime().AsTime()
			out[i].EndedAt, out[i].Output, out[i].Failure = &ended, payload(output), failure
		}
	}
	for _, e := range h.GetEvents() {
		if s := e.GetActivityTaskScheduledEventAttributes(); s != nil {
			at[e.GetEventId()] = len(out)
			out = append(out, ExportedActivity{Name: s.GetActivityType().GetName(), Queue: s.GetTaskQueue().GetName(), ScheduledAt: e.GetEventTime().AsTime(), Input: payload(s.GetInput())})
		}
		if s := e.GetActivityTaskStartedEventAttributes(); s != nil {
			if i, ok := at[s.GetScheduledEventId()]; ok {
				started := e.GetEventTime().AsTime()
				out[i].StartedAt, out[i].Worker, out[i].Attempt = &started, s.GetIdentity(), s.GetAttempt()
			}
		}
		if s := e.GetActivityTaskCompletedEventAttributes(); s != nil {
			end(s.GetScheduledEventId(), e, s.GetResult(), "")
		}
		if s := e.GetActivityTaskFailedEventAttributes(); s != nil {
			end(s.GetScheduledEventId(), e, nil, failureMessage(s.GetFailure().GetMessage(), s.GetFailure().GetEncodedAttributes()))
		}
		if s := e.GetActivityTaskTimedOutEventAttributes(); s != nil {
			end(s.GetScheduledEventId(), e, nil, failureMessage(s.GetFailure().GetMessage(), s.GetFailure().GetEncodedAttributes()))
			if i, ok := at[s.GetScheduledEventId()]; ok {
				out[i].ProviderTask = payload(s.GetFailure().GetTimeoutFailureInfo().GetLastHeartbeatDetails())
			}
		}
		if s := e.GetActivityTaskCanceledEventAttributes(); s != nil {
			end(s.GetScheduledEventId(), e, nil, "Cancelled.")
		}
	}
	return out
}

// failureMessage is what a failure says, which the failure converter has put among the encrypted payloads.
func failureMessage(plain string, encoded *common.Payload) string {
	var in struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(encoded.GetData(), &in) == nil && in.Message != "" {
		return in.Message
	}
	return plain
}

// payload is the first of some payloads as JSON.
func payload(p *common.Payloads) any {
	if len(p.GetPayloads()) == 0 || !json.Valid(p.GetPayloads()[0].GetData()) {
		return nil
	}
	return json.RawMessage(p.GetPayloads()[0].GetData())
}

// secretive are names of fields whose values nobody should see. Our own payloads have none: this is for what somebody
// adds one day, and for what was typed into Temporal by hand.
var secretive = regexp.MustCompile(`(?i)(password|passwd|secret|credential|private_?key|kubeconfig|authorization|api_?key|bearer|token)$`)

// redactedJSON is redacted for an answer; nothing stays nothing.
func redactedJSON(raw []byte) any {
	if len(raw) == 0 {
		return nil
	}
	return json.RawMessage(redacted(raw))
}

// redacted replaces the values of secretive fields. What is not JSON stays as it is, and so does what has none of them.
func redacted(raw []byte) []byte {
	var v any
	if json.Unmarshal(raw, &v) != nil || !redact(v) {
		return raw
	}
	out, err := json.Marshal(v)
	if err != nil {
		panic(err) // it was JSON just now
	}
	return out
}

// redact reports whether it replaced anything.
func redact(v any) (found bool) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			found = redact(item) || found
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if s, ok := v[name].(string); ok && s != "" && secretive.MatchString(name) {
				v[name], found = "[redacted]", true
				continue
			}
			found = redact(v[name]) || found
		}
	}
	return found
}
