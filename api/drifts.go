package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Drift is a difference between what is known of a resource and what it is.
type Drift struct {
	ID           models.ID        `json:"id" format:"uuid" doc:"Id of the drift." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Region       string           `json:"region" doc:"Where it is." example:"tw"`
	Kind         models.DriftKind `json:"kind" enum:"power,health,sensor,firmware,hardware,identity,unreachable" doc:"What differs." example:"hardware"`
	ResourceKind string           `json:"resource_kind" doc:"Kind of the resource." example:"baremetal"`
	ResourceID   models.ID        `json:"resource_id" format:"uuid" doc:"Id of the resource." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	ResourceName string           `json:"resource_name" doc:"Name of the resource." example:"esx-01"`
	Field        string           `json:"field" doc:"Which part of it." example:"disks[sn-4]"`
	Expected     json.RawMessage  `json:"expected,omitempty" doc:"The fact that was known; absent: there was none."`
	Found        json.RawMessage  `json:"found,omitempty" doc:"The fact that was seen; absent: there is none."`
	Message      string           `json:"message" doc:"The difference in words." example:"disks[sn-4] of esx-01 is gone."`
	Policy       string           `json:"policy" enum:"report,adopt,repair,ignore" doc:"What happens with it: adopt takes over what was seen, report waits until it ends." example:"adopt"`
	State        string           `json:"state" enum:"open,closed,ignored" doc:"Whether it lasts, has ended or was adopted, or lasts and somebody knows." example:"closed"`
	Seen         int64            `json:"seen" doc:"In how many looks it was seen." example:"3"`
	Reason       string           `json:"reason,omitempty" doc:"Why it is ignored." example:"The disk is on order."`
	ClosedAt     *time.Time       `json:"closed_at,omitempty" doc:"When it ended, or was adopted." example:"2027-01-01T12:00:00Z"`
	Stamps
}

type listDriftsInput struct {
	Paging
	Region     string    `query:"region" maxLength:"63" doc:"Only of this region." example:"tw"`
	Kind       string    `query:"kind" enum:"power,health,sensor,firmware,hardware,identity,unreachable" doc:"Only of this kind." example:"hardware"`
	State      string    `query:"state" enum:"open,closed,ignored" doc:"Only in this state." example:"open"`
	Policy     string    `query:"policy" enum:"report,adopt,repair,ignore" doc:"Only with this policy." example:"report"`
	Resource   models.ID `query:"resource" format:"uuid" doc:"Only of this resource, by its id." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	Maintainer string    `query:"maintainer" enum:"me" doc:"Only of resources that you are responsible for; that takes no role." example:"me"`
}

type ignoreDriftInput struct {
	ByID
	Idempotent
	Precondition
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"1000" doc:"Why nothing has to be done about it." example:"The disk is on order."`
	}
}

type reopenDriftInput struct {
	ByID
	Idempotent
	Precondition
}

func (a *API) registerDrifts(h huma.API) {
	register(h, endpoint{ID: "list-drifts", Method: http.MethodGet, Path: "/v1/drifts", Action: "drift.read", Summary: "List drifts",
		Description: "Differences between what is known of resources and what they are, the newest first. What was adopted is closed: it is history. What lasts is open until it ends."}, a.listDrifts)
	register(h, endpoint{ID: "get-drift", Method: http.MethodGet, Path: "/v1/drifts/{id}", Action: "drift.read", Summary: "Show a drift"}, a.getDrift)
	register(h, endpoint{ID: "ignore-drift", Method: http.MethodPost, Path: "/v1/drifts/{id}/ignore", Action: "drift.update", Status: http.StatusOK, Summary: "Ignore a drift",
		Description: "Says that somebody knows. It ends like any other; when it comes again, it is open again."}, a.ignoreDrift)
	register(h, endpoint{ID: "reopen-drift", Method: http.MethodPost, Path: "/v1/drifts/{id}/reopen", Action: "drift.update", Status: http.StatusOK, Summary: "Stop ignoring a drift"}, a.reopenDrift)
}

func (a *API) listDrifts(ctx context.Context, in *listDriftsInput) (*ListOutput[Drift], error) {
	f := store.DriftFilter{Region: in.Region, Kind: in.Kind, State: in.State, Policy: in.Policy}
	filters := []string{"drifts", in.Region, in.Kind, in.State, in.Policy, in.Resource.String()}
	if in.Maintainer != "" {
		me := actor(ctx).Answerable()
		f.Maintainer, filters = &me, append(filters, me.String())
	}
	page, err := afterOrNone(in.Paging, filters...)
	if err != nil {
		return nil, err
	}
	f.IDPage = page
	if in.Resource != models.NoID {
		f.Resource = &in.Resource
	}
	if f.Maintainer == nil {
		if err := a.mayRead(ctx, "drift"); err != nil {
			return nil, err
		}
	}
	drifts, err := a.store.Drifts(ctx, f)
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, drifts, func(d models.Drift) string { return d.ID.String() }, drift, filters...), nil
}

func (a *API) getDrift(ctx context.Context, in *ByID) (*Resource[Drift], error) {
	if err := a.mayReadOne(ctx, "drift", in.ID); err != nil { // who maintains what it is about may
		return nil, err
	}
	d, err := a.store.Drift(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return seen(drift(d), d.Version) // being seen again is no version
}

func (a *API) ignoreDrift(ctx context.Context, in *ignoreDriftInput) (*Resource[Drift], error) {
	return a.decideDrift(ctx, in.ID, in.Precondition, "ignored", in.Body.Reason)
}

func (a *API) reopenDrift(ctx context.Context, in *reopenDriftInput) (*Resource[Drift], error) {
	return a.decideDrift(ctx, in.ID, in.Precondition, "open", "")
}

func (a *API) decideDrift(ctx context.Context, id models.ID, p Precondition, state, reason string) (*Resource[Drift], error) {
	answer, err := platformWrite(ctx, a, change(ctx, "drift.update"), func(tx *gorm.DB) (none store.Answer[Drift], err error) {
		d, err := store.LockDrift(tx, id)
		if err != nil {
			return none, err
		}
		if err := p.holds(d.Version); err != nil {
			return none, err
		}
		if d.State == "closed" {
			return none, models.Faultf(models.CodeWrongState, "The drift %s of %s %s has ended; there is nothing to decide about it.", d.Field, d.ResourceKind, d.ResourceName)
		}
		d.State, d.Reason = state, reason
		if d, err = store.UpdateDrift(tx, d); err != nil {
			return none, err
		}
		return store.Changed(drift(d), subject("drift", d.ID, d.ResourceName)), nil
	})
	if err != nil {
		return nil, err
	}
	return seen(answer.Body, answer.Body.Version)
}

func drift(d models.Drift) Drift {
	return Drift{ID: d.ID, Region: d.Region, Kind: d.Kind, ResourceKind: d.ResourceKind, ResourceID: d.ResourceID, ResourceName: d.ResourceName, Field: d.Field,
		Expected: d.Expected, Found: d.Found, Message: d.Message, Policy: d.Policy, State: d.State, Seen: d.Seen, Reason: d.Reason, ClosedAt: utc(d.ClosedAt), Stamps: stamps(d.Stamps)}
}
