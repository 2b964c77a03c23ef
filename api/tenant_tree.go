package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

type tenantMove struct {
	TenantPath
	Idempotent
	Precondition
	DryRun
	Body struct {
		_      struct{} `additionalProperties:"false"`
		Parent string   `json:"parent" maxLength:"1100" doc:"Full name or id of the tenant to put it under; empty makes it a root, which only an admin of the platform may." example:"acme/labs"`
	}
}

type tenantSuspend struct {
	TenantPath
	Idempotent
	Precondition
}

func (a *API) registerTenantTree(h huma.API) {
	register(h, endpoint{ID: "move-tenant", Method: http.MethodPost, Path: "/v1/tenants/{id}/move", Action: "tenant.move", Summary: "Put a tenant under another one",
		Description: "Everything below it comes along. What it uses counts for its new ancestors from then on, and the move is refused where these have too little quota. One must be an admin of what is above it, and may make tenants where it goes."}, a.moveTenant)
	register(h, endpoint{ID: "suspend-tenant", Method: http.MethodPost, Path: "/v1/tenants/{id}/suspend", Action: "tenant.suspend", Summary: "Make a tenant read only",
		Description: "What the tenant and all below it have goes on as it is, and can be read; nothing of it can be made, changed or deleted until it is resumed. Operations under way end."}, a.suspend(true))
	register(h, endpoint{ID: "resume-tenant", Method: http.MethodPost, Path: "/v1/tenants/{id}/resume", Action: "tenant.suspend", Summary: "Let a suspended tenant work again"}, a.suspend(false))
}

func (a *API) moveTenant(ctx context.Context, in *tenantMove) (*Resource[Tenant], error) {
	c := trial(restructure(change(ctx, "tenant.move")), in.DryRun)
	answer, err := store.Write(ctx, a.store, c, func(tx store.Tx) (store.Answer[Tenant], error) {
		t, err := store.FindTenant(tx.DB, in.ID.String())
		if err != nil {
			return store.Answer[Tenant]{}, err
		}
		if err := a.checkAbove(ctx, tx, "tenant.move", t); err != nil {
			return store.Answer[Tenant]{}, err
		}
		parent, err := a.parentFor(ctx, tx, in.Body.Parent)
		if err != nil {
			return store.Answer[Tenant]{}, err
		}
		if err := a.checkEscape(ctx, tx, t, parent); err != nil {
			return store.Answer[Tenant]{}, err
		}
		if err := in.holds(t.Version); err != nil {
			return store.Answer[Tenant]{}, err
		}
		before := wireTenant(t)
		if err := store.MoveTenant(tx.DB, &t, parent); err != nil {
			return store.Answer[Tenant]{}, err
		}
		answer := store.Changed(wireTenant(t), tenantSubject(t))
		answer.Detail = map[string]any{"before": before, "after": wireTenant(t)}
		return answer, nil
	})
	if err != nil {
		return nil, err
	}
	a.tokens.forget() // roles on the old ancestors reach it no longer
	return one(answer.Body, answer.Body.Version), nil
}

// checkEscape refuses to move a tenant out of a suspension to those who could not end that suspension.
func (a *API) checkEscape(ctx context.Context, tx store.Tx, t store.Tenant, parent *store.Tenant) error {
	above, err := store.SuspendedAbove(tx.DB, t.ID)
	if err != nil {
		return err
	}
	for _, s := range above {
		if stays := parent != nil && slices.Contains(parent.Path, s.ID); stays {
			continue
		}
		err := a.checkAbove(ctx, tx, "tenant.suspend", s)
		if models.IsCode(err, models.CodeForbidden, models.CodeNotFound) {
			return models.Faultf(models.CodeForbidden, "Tenant %s is suspended, and %s with it. Only who may resume it moves something out of it.", s.FullName, t.FullName)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// suspend makes the handler that suspends, or resumes.
func (a *API) suspend(on bool) func(context.Context, *tenantSuspend) (*Resource[Tenant], error) {
	return func(ctx context.Context, in *tenantSuspend) (*Resource[Tenant], error) {
		answer, err := store.Write(ctx, a.store, restructure(change(ctx, "tenant.suspend")), func(tx store.Tx) (store.Answer[Tenant], error) {
			t, err := store.FindTenant(tx.DB, in.ID.String())
			if err != nil {
				return store.Answer[Tenant]{}, err
			}
			if err := a.checkAbove(ctx, tx, "tenant.suspend", t); err != nil {
				return store.Answer[Tenant]{}, err
			}
			if err := in.holds(t.Version); err != nil {
				return store.Answer[Tenant]{}, err
			}
			if err := store.SuspendTenant(tx.DB, &t, on); err != nil {
				return store.Answer[Tenant]{}, err
			}
			return store.Changed(wireTenant(t), tenantSubject(t)), nil
		})
		if err != nil {
			return nil, err
		}
		return one(answer.Body, answer.Body.Version), nil
	}
}
