package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Operation is one accepted intent: what it does, how far it is, and how it ended.
type Operation struct {
	ID           models.ID             `json:"id" format:"uuid" doc:"Id of the operation; also of its workflow." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Kind         string                `json:"kind" doc:"What it does." example:"vm.provision"`
	State        models.OperationState `json:"state" enum:"accepted,running,blocked,cancelling,succeeded,failed,cancelled" doc:"How far it is. A blocked one waits for a person: resume or abort." example:"running"`
	TenantID     *models.ID            `json:"tenant_id,omitempty" format:"uuid" doc:"Tenant that it works for; absent for the platform's own." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	Tenant       string                `json:"tenant,omitempty" doc:"Full name of the tenant." example:"acme/dev"`
	Region       string                `json:"region,omitempty" doc:"Where it works." example:"tw"`
	ResourceKind string                `json:"resource_kind" doc:"Kind of the resource that it works on." example:"vm"`
	ResourceID   models.ID             `json:"resource_id" format:"uuid" doc:"Resource that it works on." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	ResourceName string                `json:"resource_name" doc:"Name of the resource." example:"web-1"`
	ActorID      models.ID             `json:"actor_id" format:"uuid" doc:"Who asked for it." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6d"`
	Actor        string                `json:"actor" doc:"Name of who asked for it." example:"ada"`
	Steps        []Step                `json:"steps,omitempty" doc:"Its story, step by step; not in lists."`
	Error        *OperationError       `json:"error,omitempty" doc:"Why it failed, was cancelled, or is blocked."`
	Result       any                   `json:"result,omitempty" doc:"What it found, if that is what it is for."`
	WaitingFor   string                `json:"waiting_for,omitempty" doc:"What it waits for: a person, temporal, gateway, or a region." example:"region tw"`
	Waiting      string                `json:"waiting,omitempty" doc:"The same as a sentence." example:"Waiting for a worker of region tw to take up vm.clone."`
	Attempt      *Attempt              `json:"attempt,omitempty" doc:"The activity that is tried again and again, if one is."`
	Intent       string                `json:"intent,omitempty" doc:"What a person asked of it that has not reached it yet: cancel, resume or abort." example:"cancel"`
	Temporal     WorkflowRef           `json:"temporal" doc:"The workflow that carries it out."`
	Links        OperationLinks        `json:"links" doc:"Where to go from here."`
	Version      int64                 `json:"version" doc:"Counts up with every report." example:"4"`
	CreatedAt    time.Time             `json:"created_at" doc:"When it was accepted." example:"2026-11-23T08:00:00Z"`
	StartedAt    *time.Time            `json:"started_at,omitempty" doc:"When its workflow began." example:"2026-11-23T08:00:01Z"`
	EndedAt      *time.Time            `json:"ended_at,omitempty" doc:"When it ended." example:"2026-11-23T08:00:30Z"`
}

// Step is one line of an operation's story.
type Step struct {
	Number    int              `json:"number" doc:"Position, from 1." example:"1"`
	Name      string           `json:"name" doc:"What the step does." example:"clone"`
	State     models.StepState `json:"state" enum:"pending,running,succeeded,failed,skipped,undoing,undone" doc:"How far it is." example:"succeeded"`
	Message   string           `json:"message,omitempty" doc:"Why it failed or waits." example:"The template ubuntu-24.04 does not exist."`
	StartedAt *time.Time       `json:"started_at,omitempty" doc:"When it began." example:"2026-11-23T08:00:01Z"`
	EndedAt   *time.Time       `json:"ended_at,omitempty" doc:"When it ended." example:"2026-11-23T08:00:20Z"`
	Seconds   *float64         `json:"seconds,omitempty" doc:"How long it took." example:"19.2"`
}

// OperationError says why an operation did not succeed.
type OperationError struct {
	Code    models.Code `json:"code" doc:"Stable name of the fault; see docs/errors.md." example:"template_missing"`
	Message string      `json:"message" doc:"What happened, to what, why, and what to do." example:"The template ubuntu-24.04 does not exist in tw."`
	Step    string      `json:"step,omitempty" doc:"The step that failed." example:"clone"`
	Remedy  string      `json:"remedy,omitempty" doc:"What to do about faults of this kind." example:"Correct the image."`

	Ways []models.Way `json:"ways,omitempty" enum:"retry,skip,host,image,address,roll_back" doc:"What a person may do about it, while the operation is blocked: the ways of resume." example:"[\"retry\", \"image\", \"roll_back\"]"`
}

// Attempt is an activity that was tried before and will be tried again.
type Attempt struct {
	Activity string     `json:"activity" doc:"Name of the activity." example:"vm.clone"`
	Number   int32      `json:"number" doc:"Which attempt is under way or next." example:"3"`
	Failure  string     `json:"failure,omitempty" doc:"How the last one failed." example:"The vCenter of tw does not answer."`
	NextAt   *time.Time `json:"next_at,omitempty" doc:"When it is tried again." example:"2026-11-23T08:01:00Z"`
}

// WorkflowRef leads to the workflow of an operation.
type WorkflowRef struct {
	WorkflowID string `json:"workflow_id" doc:"Id of the workflow." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	URL        string `json:"url,omitempty" doc:"The workflow in the Temporal Web UI." example:"http://localhost:8233/namespaces/default/workflows/0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
}

// OperationLinks leads from an operation to what belongs to it.
type OperationLinks struct {
	Self     string `json:"self" doc:"The operation." example:"/v1/operations/0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Resource string `json:"resource,omitempty" doc:"The resource, while it exists." example:"/v1/vms/0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	Cancel   string `json:"cancel,omitempty" doc:"Where to cancel it, while that is possible." example:"/v1/operations/0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a/cancel"`
	Resume   string `json:"resume,omitempty" doc:"Where to resume it, while it is blocked." example:"/v1/operations/0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a/resume"`
	Abort    string `json:"abort,omitempty" doc:"Where to give up on it, while it is blocked." example:"/v1/operations/0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a/abort"`
}

// AcceptedOutput is the answer to an accepted intent: its operation, on its way (202) or at its end (200).
type AcceptedOutput struct {
	Status            int
	Location          string `header:"Location" doc:"Path of the operation."`
	PreferenceApplied string `header:"Preference-Applied" doc:"The preference that was honoured."`
	ETag              string `header:"ETag" doc:"Version of the operation."`
	Body              Operation
}

// OperationFilter narrows operations. Embed it.
type OperationFilter struct {
	Tenant       string      `query:"tenant" maxLength:"255" doc:"Only of this tenant, by full name or id." example:"acme/dev"`
	Subtree      bool        `query:"subtree" doc:"With the tenant, also everything below it."`
	State        string      `query:"state" enum:"accepted,running,blocked,cancelling,succeeded,failed,cancelled,active" doc:"Only in this state; active is each that has not ended." example:"blocked"`
	Kind         string      `query:"kind" maxLength:"63" doc:"Only of this kind." example:"vm.provision"`
	Region       string      `query:"region" maxLength:"63" doc:"Only of this region." example:"tw"`
	ResourceKind string      `query:"resource_kind" maxLength:"63" doc:"Only on this kind of resource." example:"vm"`
	ResourceID   models.ID   `query:"resource_id" format:"uuid" doc:"Only of this resource." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	OlderThan    string      `query:"older_than" pattern:"^[0-9]{1,6}[smhd]$" patternDescription:"a number of seconds, minutes, hours or days" doc:"Only accepted longer ago than this." example:"15m"`
	ErrorCode    models.Code `query:"error_code" maxLength:"63" doc:"Only with this fault." example:"guest_silent"`
}

type listOperationsInput struct {
	Paging
	OperationFilter
}

type getOperationInput struct {
	ByID
	Preference
	IfNoneMatch string `header:"If-None-Match" maxLength:"255" doc:"With Prefer: wait=N, answers as soon as the operation is no longer as this ETag says." example:"\"4\""`
}

type steerOperationInput struct {
	ByID
	Idempotent
	Preference
}

type resumeOperationInput struct {
	ByID
	Idempotent
	Preference
	Body *Resumption `required:"false"`
}

// Resumption says how a blocked operation shall go on.
type Resumption struct {
	Way    models.Way `json:"way,omitempty" enum:"retry,skip,host,image,address,roll_back" default:"retry" doc:"Try the failed step again; skip it; begin again on another host, from another image or with another address; or undo everything. The error of the operation lists the ways that help. All but retry and roll_back are for operators." example:"retry"`
	To     string     `json:"to,omitempty" maxLength:"255" doc:"The host, image or address to begin again with. Without it another host or address is chosen." example:"tw-a-02"`
	Reason string     `json:"reason,omitempty" maxLength:"500" doc:"Why; needed to skip a step." example:"An appliance without guest tools."`
}

func (a *API) registerOperations(h huma.API) {
	register(h, endpoint{ID: "list-operations", Method: http.MethodGet, Path: "/v1/operations", Action: "operation.read", Summary: "List operations",
		Description: "Lists the operations that you can see, the newest first."}, a.listOperations)
	register(h, endpoint{ID: "get-operation", Method: http.MethodGet, Path: "/v1/operations/{id}", Action: "operation.read", Summary: "Show an operation",
		Description: "To watch one, repeat the request with Prefer: wait=N and If-None-Match: it answers as soon as something changed, or 304 after N seconds."}, a.getOperation)
	a.registerOperationEvents(h)
	a.registerOperationExport(h)
	a.registerOperationBulk(h)
	register(h, endpoint{ID: "cancel-operation", Method: http.MethodPost, Path: "/v1/operations/{id}/cancel", Action: "operation.cancel", Status: http.StatusAccepted,
		Summary: "Cancel an operation", Description: "Undoes what it has done so far, and ends it."}, a.steer((*accept.Accepter).Cancel))
	register(h, endpoint{ID: "resume-operation", Method: http.MethodPost, Path: "/v1/operations/{id}/resume", Action: "operation.resume", Status: http.StatusAccepted,
		Summary: "Resume a blocked operation", Description: "Tries the step that failed again, or goes on in another of the ways that its error lists."}, a.resumeOperation)
	register(h, endpoint{ID: "abort-operation", Method: http.MethodPost, Path: "/v1/operations/{id}/abort", Action: "operation.abort", Status: http.StatusAccepted,
		Summary: "Abort a blocked operation", Description: "Gives up on the step that failed, and undoes what came before."}, a.steer((*accept.Accepter).Abort))
}

func (a *API) listOperations(ctx context.Context, in *listOperationsInput) (*ListOutput[Operation], error) {
	page, err := afterOrNone(in.Paging, in.marks()...)
	if err != nil {
		return nil, err
	}
	f, err := a.operationFilter(ctx, in.OperationFilter)
	if err != nil {
		return nil, err
	}
	f.IDPage = page
	ops, err := a.store.Operations(ctx, f)
	if err != nil {
		return nil, err
	}
	told := make([]Operation, len(ops))
	for i, o := range ops {
		if told[i], err = a.recount(ctx, o, nil); err != nil {
			return nil, err
		}
	}
	return pageOf(in.Paging, told, func(o Operation) string { return o.ID.String() }, func(o Operation) Operation { return o }, in.marks()...), nil
}

// marks are what a page token goes with.
func (f OperationFilter) marks() []string {
	return []string{f.Tenant, onOff(f.Subtree), f.State, f.Kind, f.Region, f.ResourceKind, f.ResourceID.String(), f.OlderThan, string(f.ErrorCode)}
}

// operationFilter is the filter as the database wants it, within what the actor may see.
func (a *API) operationFilter(ctx context.Context, in OperationFilter) (f store.OperationFilter, err error) {
	f = store.OperationFilter{Kind: in.Kind, Region: in.Region, Resource: in.ResourceKind, Error: in.ErrorCode}
	if f.Tenant, f.Within, err = a.reach(ctx, in.Tenant, in.Subtree); err != nil {
		return f, err
	}
	switch in.State {
	case "":
	case "active":
		f.States = activeStates()
	default:
		f.States = []string{in.State}
	}
	if in.ResourceID != models.NoID {
		f.ResourceID = &in.ResourceID
	}
	if in.OlderThan != "" {
		f.Before = models.IDAt(time.Now().Add(-age(in.OlderThan)))
	}
	return f, nil
}

func activeStates() []string {
	out := make([]string, len(models.ActiveOperation))
	for i, s := range models.ActiveOperation {
		out[i] = string(s)
	}
	return out
}

// age reads a number with its unit, which the contract has looked at.
func age(s string) time.Duration {
	unit := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[s[len(s)-1]]
	n, _ := strconv.Atoi(s[:len(s)-1]) // six digits
	return time.Duration(n) * unit
}

func (a *API) getOperation(ctx context.Context, in *getOperationInput) (*Resource[Operation], error) {
	o, err := a.visibleOperation(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	patient, done := a.patient(ctx)
	defer done()
	until := time.Now().Add(in.wait())
	for {
		out, err := a.tell(ctx, o)
		if err != nil {
			return nil, err
		}
		left := time.Until(until)
		if in.wait() == 0 || in.IfNoneMatch == "" || left <= 0 || !knows(in.IfNoneMatch, out.ETag) {
			return out, nil
		}
		// What an operation waits for is Temporal's to tell, and changes without a version: look again now and then.
		a.watcher.changed(patient, o.ID, o.Version, min(left, lookAgain))
		if patient.Err() != nil {
			return out, nil
		}
		if o, err = a.store.Operation(ctx, in.ID); err != nil {
			return nil, err
		}
	}
}

// lookAgain is how often a watched operation is looked at although its version stayed.
const lookAgain = 2 * time.Second

// visibleOperation reads an operation that the actor may read. Those of the platform's own are for its people.
func (a *API) visibleOperation(ctx context.Context, id models.ID) (store.Operation, error) {
	o, err := a.store.Operation(ctx, id)
	missing := store.NotFound(err) || err == nil && o.TenantID == nil && !actor(ctx).Platform()
	if missing {
		o = store.Operation{Operation: models.Operation{ResourceKind: "vm", ResourceID: id}, TenantPath: authz.Nowhere}
	} else if err != nil {
		return o, err
	}
	if denied := a.mayFollow(ctx, o); denied != nil || !missing {
		return o, denied
	}
	return o, models.Faultf(models.CodeNotFound, "There is no such operation that you can see.")
}

// mayFollow asks for the right to read an operation. Whoever maintains what it is about has it, too.
func (a *API) mayFollow(ctx context.Context, o store.Operation) (err error) {
	r := authz.Resource{Kind: "operation", Path: o.TenantPath}
	denied := a.check(ctx, actor(ctx), "operation.read", r)
	if denied == nil {
		return nil
	}
	if r.Maintained, err = a.store.Maintains(ctx, actor(ctx).Answerable(), o.ResourceKind, o.ResourceID.String()); err != nil || !r.Maintained {
		return cmp.Or(err, denied)
	}
	return a.check(ctx, actor(ctx), "operation.read", r)
}

// tell is everything that is known of an operation now. Its ETag covers what Temporal says as well.
func (a *API) tell(ctx context.Context, o store.Operation) (*Resource[Operation], error) {
	out := a.operation(o)
	steps, err := a.store.OperationSteps(ctx, o.ID)
	if err != nil {
		return nil, fmt.Errorf("read the steps of operation %s: %w", o.ID, err)
	}
	out.Steps = wireSteps(steps)
	live := a.progress.of(ctx, o)
	out.WaitingFor, out.Waiting, out.Attempt = live.waitingFor, live.waiting, live.attempt
	err = a.discreet(ctx, &out)
	return &Resource[Operation]{ETag: live.etag(o), Body: out}, err
}

// wireSteps is an operation's story, with how long each step took or takes.
func wireSteps(steps []models.OperationStep) []Step {
	var out []Step
	for _, s := range steps {
		w := Step{Number: s.Number, Name: s.Name, State: s.State, Message: s.Message, StartedAt: utc(s.StartedAt), EndedAt: utc(s.EndedAt)}
		if s.StartedAt != nil && s.EndedAt != nil {
			seconds := max(0, s.EndedAt.Sub(*s.StartedAt)).Seconds()
			w.Seconds = &seconds
		}
		out = append(out, w)
	}
	return out
}

func (a *API) steer(do func(*accept.Accepter, context.Context, accept.Request, models.ID) (models.Operation, error)) func(context.Context, *steerOperationInput) (*AcceptedOutput, error) {
	return func(ctx context.Context, in *steerOperationInput) (*AcceptedOutput, error) {
		if _, err := a.visibleOperation(ctx, in.ID); err != nil {
			return nil, err
		}
		op, err := do(a.accept, ctx, intent(ctx), in.ID)
		return a.accepted(ctx, accept.Accepted{Operation: op, Replayed: true}, err, in.Preference)
	}
}

func (a *API) resumeOperation(ctx context.Context, in *resumeOperationInput) (*AcceptedOutput, error) {
	if _, err := a.visibleOperation(ctx, in.ID); err != nil {
		return nil, err
	}
	var how accept.Resume
	if b := in.Body; b != nil {
		how = accept.Resume{Way: b.Way, To: b.To, Reason: strings.TrimSpace(b.Reason)}
	}
	if how.Way == models.WaySkip && how.Reason == "" {
		return nil, invalid("body.reason", "say why the step is skipped")
	}
	op, err := a.accept.Resume(ctx, intent(ctx), in.ID, how)
	return a.accepted(ctx, accept.Accepted{Operation: op, Replayed: true}, err, in.Preference)
}

// accepted answers an accepted intent, at once or, if the client prefers, when the operation has ended.
func (a *API) accepted(ctx context.Context, done accept.Accepted, err error, p Preference) (*AcceptedOutput, error) {
	if err != nil {
		return nil, err
	}
	op := done.Operation
	out := &AcceptedOutput{Status: http.StatusAccepted, Location: path("operations/%s", op.ID), PreferenceApplied: p.applied()}
	if p.wait() == 0 && !done.Replayed {
		out.ETag, out.Body = etag(op.Version), a.operation(store.Operation{Operation: op, Tenant: tenantOf(op)})
		return out, nil
	}
	if p.wait() > 0 {
		if err := a.await(ctx, op.ID, p); err != nil {
			return nil, err
		}
	}
	o, err := a.store.Operation(ctx, op.ID)
	if err != nil {
		return nil, fmt.Errorf("read operation %s: %w", op.ID, err)
	}
	told, err := a.tell(ctx, o)
	if err != nil {
		return nil, err
	}
	out.ETag, out.Body = told.ETag, told.Body
	if p.wait() > 0 && o.State.Ended() {
		out.Status = http.StatusOK
	}
	return out, nil
}

// tenantOf reads the tenant's name out of a fresh operation's input: the accept knew it, and nobody has to look it up.
func tenantOf(op models.Operation) *string {
	var in contract.Operation
	if json.Unmarshal(op.Input, &in) != nil || in.Tenant == "" {
		return nil
	}
	return &in.Tenant
}

// operation is what the database knows of an operation, without its steps.
func (a *API) operation(o store.Operation) Operation {
	out := Operation{
		ID: o.ID, Kind: o.Kind, State: o.State, TenantID: o.TenantID, Tenant: text(o.Tenant), Region: o.Region,
		ResourceKind: o.ResourceKind, ResourceID: o.ResourceID, ResourceName: o.ResourceName, ActorID: o.ActorID, Actor: o.Actor,
		Intent: text(o.Intent), Temporal: a.workflowRef(o.ID), Links: operationLinks(o), Version: o.Version,
		CreatedAt: o.CreatedAt.UTC(), StartedAt: utc(o.StartedAt), EndedAt: utc(o.EndedAt),
	}
	if f := o.Error; f != nil {
		out.Error = &OperationError{Code: f.Code, Message: f.Message, Step: f.Step, Remedy: f.Code.Info().Remedy, Ways: f.Ways}
	}
	if len(o.Result) > 0 && string(o.Result) != "null" {
		out.Result = json.RawMessage(o.Result)
	}
	return out
}

func (a *API) workflowRef(id models.ID) WorkflowRef {
	out := WorkflowRef{WorkflowID: id.String()}
	if a.temporalUI != "" {
		out.URL = a.workflowURL(id)
	}
	return out
}

// workflowURL is where the Temporal Web UI shows a workflow.
func (a *API) workflowURL(id models.ID) string {
	base := a.temporalUI
	if !strings.Contains(base, "/namespaces/") {
		base += "/namespaces/" + a.namespace
	}
	return base + "/workflows/" + id.String()
}

func operationLinks(o store.Operation) OperationLinks {
	self := path("operations/%s", o.ID)
	out := OperationLinks{Self: self}
	switch o.ResourceKind {
	case "vm":
		out.Resource = path("vms/%s", o.ResourceID)
	case "baremetal":
		out.Resource = path("baremetals/%s", o.ResourceID)
	case "region":
		out.Resource = path("regions/%s", o.ResourceName)
	}
	if !o.State.Ended() {
		out.Cancel = self + "/cancel"
	}
	if o.State == models.OperationBlocked {
		out.Resume, out.Abort = self+"/resume", self+"/abort"
	}
	return out
}
