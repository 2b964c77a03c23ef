package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Rack is a physical place of machines.
type Rack struct {
	ID            models.ID `json:"id" format:"uuid" doc:"Id of the rack." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Region        string    `json:"region" doc:"Where it stands." example:"tw"`
	Name          string    `json:"name" doc:"Name, unique in its region." example:"r1"`
	Row           string    `json:"row" doc:"Row of the hall." example:"A"`
	Position      string    `json:"position" doc:"Position in the row." example:"7"`
	PowerKW       float64   `json:"power_kw" doc:"Power that the rack may draw, in kW." example:"12.5"`
	FailureDomain string    `json:"failure_domain" doc:"Racks of one failure domain fail together." example:"hall-1"`
	Height        int       `json:"height" doc:"How many units it has." example:"42"`
	Baremetals    int64     `json:"baremetals" doc:"How many machines stand in it." example:"12"`
	Stamps
}

type createRackInput struct {
	Idempotent
	DryRun
	Body struct {
		Region        string  `json:"region" minLength:"1" maxLength:"63" doc:"Where it stands." example:"tw"`
		Name          string  `json:"name" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a DNS label" doc:"Name, unique in its region." example:"r1"`
		Row           string  `json:"row,omitempty" maxLength:"63" doc:"Row of the hall." example:"A"`
		Position      string  `json:"position,omitempty" maxLength:"63" doc:"Position in the row." example:"7"`
		PowerKW       float64 `json:"power_kw,omitempty" minimum:"0" maximum:"100000" doc:"Power that the rack may draw, in kW." example:"12.5"`
		FailureDomain string  `json:"failure_domain,omitempty" maxLength:"63" doc:"Racks of one failure domain fail together." example:"hall-1"`
		Height        int     `json:"height,omitempty" minimum:"1" maximum:"60" default:"42" doc:"How many units it has." example:"42"`
	}
}

type listRacksInput struct {
	Paging
	Region string `query:"region" maxLength:"63" doc:"Only of this region." example:"tw"`
	Name   string `query:"name" maxLength:"63" doc:"Only with this name." example:"r1"`
}

type updateRackInput struct {
	ByID
	Precondition
	Body struct {
		Row           *string  `json:"row,omitempty" maxLength:"63" doc:"Row of the hall." example:"A"`
		Position      *string  `json:"position,omitempty" maxLength:"63" doc:"Position in the row." example:"7"`
		PowerKW       *float64 `json:"power_kw,omitempty" minimum:"0" maximum:"100000" doc:"Power that the rack may draw, in kW." example:"12.5"`
		FailureDomain *string  `json:"failure_domain,omitempty" maxLength:"63" doc:"Racks of one failure domain fail together." example:"hall-1"`
		Height        *int     `json:"height,omitempty" minimum:"1" maximum:"60" doc:"How many units it has; not fewer than its machines need." example:"42"`
	}
}

type deleteInput struct {
	ByID
	Precondition
}

func (a *API) registerRacks(h huma.API) {
	register(h, endpoint{ID: "create-rack", Method: http.MethodPost, Path: "/v1/racks", Action: "rack.create", Status: http.StatusCreated, Summary: "Add a rack"}, a.createRack)
	register(h, endpoint{ID: "list-racks", Method: http.MethodGet, Path: "/v1/racks", Action: "rack.read", Summary: "List racks"}, a.listRacks)
	register(h, endpoint{ID: "get-rack", Method: http.MethodGet, Path: "/v1/racks/{id}", Action: "rack.read", Summary: "Show a rack"}, a.getRack)
	register(h, endpoint{ID: "update-rack", Method: http.MethodPatch, Path: "/v1/racks/{id}", Action: "rack.update", Summary: "Change a rack", Description: "Changes the given fields."}, a.updateRack)
	register(h, endpoint{ID: "delete-rack", Method: http.MethodDelete, Path: "/v1/racks/{id}", Action: "rack.delete", Status: http.StatusNoContent,
		Summary: "Remove a rack", Description: "Removes a rack in which nothing stands."}, a.deleteRack)
}

func (a *API) createRack(ctx context.Context, in *createRackInput) (*Resource[Rack], error) {
	b := in.Body
	r := models.Rack{ID: models.NewID(), Region: b.Region, Name: b.Name, Row: b.Row, Position: b.Position, PowerKW: b.PowerKW, FailureDomain: b.FailureDomain, Height: b.Height}
	answer, err := platformWrite(ctx, a, trial(change(ctx, "rack.create"), in.DryRun), func(tx *gorm.DB) (store.Answer[Rack], error) {
		if err := regionExists(tx, b.Region); err != nil {
			return store.Answer[Rack]{}, err
		}
		if err := store.CreateRack(tx, &r); err != nil {
			return store.Answer[Rack]{}, err
		}
		view, err := store.RackByID(tx, r.ID)
		return store.Created(path("racks/%s", r.ID), rack(view), subject("rack", r.ID, r.Name)), err
	})
	if err != nil {
		return nil, err
	}
	return created(answer, in.DryRun.DryRun, answer.Body.Version), nil
}

// regionExists refuses a body that names a region that there is not.
func regionExists(tx *gorm.DB, name string) error {
	unknown, err := store.UnknownRegions(tx, []string{name})
	if err == nil && len(unknown) > 0 {
		return invalid("body.region", "there is no such region")
	}
	return err
}

func (a *API) listRacks(ctx context.Context, in *listRacksInput) (*ListOutput[Rack], error) {
	filters := []string{in.Region, in.Name}
	page, err := afterOrNone(in.Paging, filters...)
	if err != nil {
		return nil, err
	}
	if err := a.mayRead(ctx, "rack"); err != nil {
		return nil, err
	}
	racks, err := a.store.Racks(ctx, store.RackFilter{Region: in.Region, Name: in.Name, IDPage: page})
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, racks, func(r store.Rack) string { return r.ID.String() }, rack, filters...), nil
}

func (a *API) getRack(ctx context.Context, in *ByID) (*Resource[Rack], error) {
	if err := a.mayReadOne(ctx, "rack", in.ID); err != nil {
		return nil, err
	}
	r, err := a.store.Rack(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return seen(rack(r), r.Version)
}

func (a *API) updateRack(ctx context.Context, in *updateRackInput) (*Resource[Rack], error) {
	answer, err := platformWrite(ctx, a, restructure(change(ctx, "rack.update")), func(tx *gorm.DB) (store.Answer[Rack], error) {
		var none store.Answer[Rack]
		r, err := store.LockRack(tx, in.ID)
		if err != nil {
			return none, err
		}
		if err := in.holds(r.Version); err != nil {
			return none, err
		}
		set(&r.Row, in.Body.Row)
		set(&r.Position, in.Body.Position)
		set(&r.PowerKW, in.Body.PowerKW)
		set(&r.FailureDomain, in.Body.FailureDomain)
		set(&r.Height, in.Body.Height)
		if err := store.UpdateRack(tx, r.Rack); err != nil {
			return none, err
		}
		view, err := store.RackByID(tx, in.ID)
		return store.Changed(rack(view), subject("rack", r.ID, r.Name)), err
	})
	if err != nil {
		return nil, err
	}
	return seen(answer.Body, answer.Body.Version)
}

func (a *API) deleteRack(ctx context.Context, in *deleteInput) (*struct{}, error) {
	_, err := platformWrite(ctx, a, change(ctx, "rack.delete"), func(tx *gorm.DB) (store.Answer[struct{}], error) {
		r, err := store.LockRack(tx, in.ID)
		if err == nil {
			err = in.holds(r.Version)
		}
		if err == nil {
			err = store.DeleteRack(tx, r.Rack)
		}
		return removed("rack", r.ID, r.Name), err
	})
	return nil, err
}

func rack(r store.Rack) Rack {
	return Rack{ID: r.ID, Region: r.Region, Name: r.Name, Row: r.Row, Position: r.Position, PowerKW: r.PowerKW,
		FailureDomain: r.FailureDomain, Height: r.Height, Baremetals: r.Baremetals, Stamps: stamps(r.Stamps)}
}
