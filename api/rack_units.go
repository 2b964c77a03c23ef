package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// RackElevation is a rack as one sees it who stands before it.
type RackElevation struct {
	Rack     string         `json:"rack" doc:"Name of the rack." example:"tw-r01"`
	Region   string         `json:"region" doc:"Where it stands." example:"tw"`
	Height   int            `json:"height" doc:"How many units it has." example:"42"`
	Units    []RackUnit     `json:"units" doc:"Its units from top to bottom."`
	Unplaced []RackOccupant `json:"unplaced" doc:"Machines of the rack of which nobody said where they stand."`
}

// RackUnit is one unit of a rack.
type RackUnit struct {
	Unit    int           `json:"unit" doc:"Its number; the lowest is 1." example:"12"`
	Free    bool          `json:"free" doc:"Whether nothing stands there." example:"false"`
	Machine *RackOccupant `json:"machine,omitempty" doc:"What stands there; a machine of several units is at each of them."`
}

// RackOccupant is a machine that stands in a rack.
type RackOccupant struct {
	ID          models.ID             `json:"id" format:"uuid" doc:"Id of the server." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Name        string                `json:"name" doc:"Its name." example:"esx-01"`
	Bottom      int                   `json:"bottom" doc:"The lowest unit that it takes; 0: unknown." example:"12"`
	Height      int                   `json:"height" doc:"How many units it takes." example:"2"`
	Role        string                `json:"role" enum:"hypervisor,k8s_node,leased,spare" doc:"What it is used for." example:"hypervisor"`
	State       models.BaremetalState `json:"state" enum:"enrolling,available,in_use,maintenance,failed,retiring" doc:"State of the server." example:"in_use"`
	Power       models.Power          `json:"power" enum:",on,off" doc:"Whether it is on; empty: unknown." example:"on"`
	Health      models.HealthStatus   `json:"health" enum:",ok,warning,critical" doc:"How it is; empty: unknown." example:"ok"`
	Maintenance bool                  `json:"maintenance" doc:"Whether it is in maintenance." example:"false"`
}

func (a *API) registerRackUnits(h huma.API) {
	register(h, endpoint{ID: "get-rack-units", Method: http.MethodGet, Path: "/v1/racks/{id}/units", Action: "rack.read", Summary: "Show what stands in a rack",
		Description: "Its units from top to bottom, and what stands there."}, a.rackUnits)
}

func (a *API) rackUnits(ctx context.Context, in *ByID) (*Resource[RackElevation], error) {
	if err := a.mayReadOne(ctx, "rack", in.ID); err != nil {
		return nil, err
	}
	r, err := a.store.Rack(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	machines, err := a.store.Occupants(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return seen(elevation(r.Rack, machines), r.Version)
}

func elevation(r models.Rack, machines []store.Occupant) RackElevation {
	out := RackElevation{Rack: r.Name, Region: r.Region, Height: r.Height, Unplaced: []RackOccupant{}}
	at := map[int]*RackOccupant{}
	for _, m := range machines {
		o := RackOccupant{ID: m.ID, Name: m.Name, Bottom: m.Unit, Height: m.Height, Role: m.Role, State: m.State, Power: m.Power, Health: m.Health, Maintenance: m.Maintenance}
		if m.Unit == 0 {
			out.Unplaced = append(out.Unplaced, o)
			continue
		}
		for unit := m.Unit; unit < m.Unit+m.Height; unit++ {
			at[unit] = &o
		}
	}
	for unit := r.Height; unit > 0; unit-- {
		out.Units = append(out.Units, RackUnit{Unit: unit, Free: at[unit] == nil, Machine: at[unit]})
	}
	return out
}
