package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// bulkMost is how many operations are steered at once.
const bulkMost = 200

type bulkInput struct {
	OperationFilter
	Idempotent
	DryRun bool `query:"dry_run" doc:"Answer which operations match and what would become of each, and change nothing."`
}

// Bulk is what became of the operations that matched.
type Bulk struct {
	DryRun bool         `json:"dry_run,omitempty" doc:"It is a preview: nothing was changed."`
	Items  []BulkResult `json:"items" doc:"The blocked operations that match, the newest first."`
	More   bool         `json:"more,omitempty" doc:"More match than were looked at: repeat the request, with a new key."`
}

// BulkResult is what became of one operation.
type BulkResult struct {
	ID           models.ID   `json:"id" format:"uuid" doc:"Id of the operation." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Kind         string      `json:"kind" doc:"What it does." example:"vm.provision"`
	Tenant       string      `json:"tenant,omitempty" doc:"Tenant that it works for." example:"acme/dev"`
	ResourceName string      `json:"resource_name" doc:"Name of the resource that it works on." example:"web-1"`
	Step         string      `json:"step,omitempty" doc:"Where it is blocked." example:"boot"`
	Code         models.Code `json:"code,omitempty" doc:"Why." example:"unreachable"`
	Outcome      string      `json:"outcome" enum:"accepted,decided,forbidden,impossible" doc:"It is told to go on, or in a preview would be; somebody decided about it already; you may not; or it is blocked on its own undo, which can only be resumed." example:"accepted"`
}

func (a *API) registerOperationBulk(h huma.API) {
	register(h, endpoint{ID: "resume-operations", Method: http.MethodPost, Path: "/v1/operations/resume", Action: "operation.resume", Summary: "Resume blocked operations",
		Description: "Tries the failed step of every blocked operation that matches again, at most 200 at once, all in one transaction. It needs at least one filter; with dry_run it says what would happen."}, a.steerAll("resume"))
	register(h, endpoint{ID: "abort-operations", Method: http.MethodPost, Path: "/v1/operations/abort", Action: "operation.abort", Summary: "Abort blocked operations",
		Description: "Gives up on every blocked operation that matches and undoes it, at most 200 at once, all in one transaction. It needs at least one filter; with dry_run it says what would happen."}, a.steerAll("abort"))
}

// steerAll decides about every blocked operation that matches.
func (a *API) steerAll(kind string) func(context.Context, *bulkInput) (*Resource[Bulk], error) {
	return func(ctx context.Context, in *bulkInput) (*Resource[Bulk], error) {
		if err := a.maySteer(ctx, "operation."+kind); err != nil {
			return nil, err
		}
		if in.State != "" && in.State != string(models.OperationBlocked) {
			return nil, invalid("query.state", "only blocked operations can be resumed or aborted")
		}
		in.State = ""
		if in.OperationFilter == (OperationFilter{}) && !in.DryRun {
			return nil, invalid("query", "give at least one filter; see with dry_run what matches")
		}
		f, err := a.operationFilter(ctx, in.OperationFilter)
		if err != nil {
			return nil, err
		}
		f.States, f.Limit = []string{string(models.OperationBlocked)}, bulkMost+1
		ops, err := a.store.Operations(ctx, f) // each is locked, and read again, when it is its turn
		if err != nil {
			return nil, err
		}
		c := change(ctx, "operation."+kind+"-all")
		c.DryRun = in.DryRun
		answer, err := store.Write(ctx, a.store, c, func(tx store.Tx) (store.Answer[Bulk], error) {
			out := Bulk{DryRun: in.DryRun, Items: []BulkResult{}, More: len(ops) > bulkMost}
			for _, o := range ops[:min(len(ops), bulkMost)] {
				r, err := a.steerOne(tx, c, kind, o)
				if err != nil {
					return store.Answer[Bulk]{}, err
				}
				out.Items = append(out.Items, r)
			}
			return store.Changed(out, store.Subject{Kind: "operation"}), nil
		})
		if err != nil {
			return nil, err
		}
		a.accept.Wake()
		return &Resource[Bulk]{Body: answer.Body}, nil
	}
}

// maySteer refuses whoever may do this to no operation at all: on the platform, or of any of their tenants.
func (a *API) maySteer(ctx context.Context, action string) error {
	who := actor(ctx)
	err := a.check(ctx, who, action, authz.Resource{Kind: "operation"})
	for _, tenant := range who.Tenants() {
		if err == nil {
			return nil
		}
		err = a.authz.Check(who, action, authz.Resource{Kind: "operation", Path: []models.ID{tenant}})
	}
	return err
}

// steerOne decides about one operation. Its row is locked, and read again with that.
func (a *API) steerOne(tx store.Tx, c store.Change, kind string, o store.Operation) (BulkResult, error) {
	out := BulkResult{ID: o.ID, Kind: o.Kind, Tenant: text(o.Tenant), ResourceName: o.ResourceName, Outcome: "accepted"}
	if o.Error != nil {
		out.Step, out.Code = o.Error.Step, o.Error.Code
	}
	switch err := a.authz.Check(tx.Actor, "operation."+kind, authz.Resource{Kind: "operation", Path: o.TenantPath}); {
	case models.IsCode(err, models.CodeForbidden, models.CodeNotFound):
		out.Outcome = "forbidden"
		return out, nil
	case err != nil:
		return out, err
	case kind == "abort" && out.Code == models.CodeUndoFailed:
		out.Outcome = "impossible"
		return out, nil
	}
	way := map[string]models.Way{"resume": models.WayRetry, "abort": models.WayRollBack}[kind]
	done, err := store.Decide(tx, c, o, kind, way)
	if err == nil && !done {
		out.Outcome = "decided"
	}
	return out, err
}
