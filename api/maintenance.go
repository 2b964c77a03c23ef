package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// MaintenanceMark is what the answer about a server in maintenance says of that.
type MaintenanceMark struct {
	MaintenanceReason  string     `json:"maintenance_reason,omitempty" doc:"Why it is in maintenance." example:"A fan fails."`
	MaintenanceUntil   *time.Time `json:"maintenance_until,omitempty" doc:"When it should be over." example:"2027-01-31T12:00:00Z"`
	MaintenanceBy      string     `json:"maintenance_by,omitempty" doc:"Who marked it." example:"ada"`
	MaintenanceOverdue bool       `json:"maintenance_overdue,omitempty" doc:"It should be over by now. Nothing happens by itself." example:"true"`
}

func maintenanceMark(b models.Baremetal) MaintenanceMark {
	if !b.Maintenance {
		return MaintenanceMark{}
	}
	return MaintenanceMark{b.MaintenanceReason, utc(b.MaintenanceUntil), b.MaintenanceBy, b.MaintenanceUntil != nil && b.MaintenanceUntil.Before(time.Now())}
}

// remark makes what is said of a server's maintenance fit a change of the mark alone.
func remark(b *store.Baremetal, was bool, by string) {
	switch {
	case !b.Maintenance:
		b.MaintenanceReason, b.MaintenanceUntil, b.MaintenanceBy = "", nil, ""
	case !was:
		b.MaintenanceBy = by
	}
}

// Maintenance says why a server shall be in maintenance, and until when.
type Maintenance struct {
	Reason string     `json:"reason" minLength:"1" maxLength:"500" doc:"Why." example:"A fan fails."`
	Until  *time.Time `json:"until,omitempty" doc:"When it should be over. Past that the server says that it is overdue; nothing happens by itself." example:"2027-01-31T12:00:00Z"`
}

// check refuses an end that is over.
func (m Maintenance) check() error {
	if m.Until != nil && m.Until.Before(time.Now()) {
		return invalid("body.until", "must be in the future")
	}
	return nil
}

type maintainBaremetalInput struct {
	ByID
	Precondition
	Idempotent
	Body Maintenance
}

type drainBaremetalInput struct {
	ByID
	Idempotent
	DryRun
	Preference
	Body struct {
		Maintenance
		Stop bool `json:"stop,omitempty" doc:"Turn off machines that cannot be moved, since no other host of the group has room." example:"false"`
	}
}

// DrainPlan is what a drain would do.
type DrainPlan struct {
	BaremetalID models.ID      `json:"baremetal_id" format:"uuid" doc:"Host that would be drained." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Baremetal   string         `json:"baremetal" doc:"Name of the host." example:"esx-01"`
	Possible    bool           `json:"possible" doc:"Whether every machine can be moved or be stopped. If not, a drain is refused." example:"true"`
	Items       []DrainPlanned `json:"items" doc:"What would become of each machine."`
}

// DrainPlanned is what would become of one machine.
type DrainPlanned struct {
	ID     models.ID      `json:"id" format:"uuid" doc:"Id of the machine." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	Name   string         `json:"name" doc:"Name of the machine." example:"web-1"`
	Tenant string         `json:"tenant" doc:"Tenant that owns it." example:"acme/dev"`
	State  models.VMState `json:"state" enum:"provisioning,running,stopped,updating,deleting,failed" doc:"State of the machine." example:"running"`
	Fate   accept.Fate    `json:"fate" enum:"move,stop,stay,later,stuck" doc:"It is moved; it is turned off, or stays as it is off, since it cannot be moved; it comes later, since an operation is under way; or it can neither be moved nor be stopped." example:"move"`
	ToID   *models.ID     `json:"to_id,omitempty" format:"uuid" doc:"Host to which it is moved." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	To     string         `json:"to" doc:"Name of that host." example:"esx-02"`
	Reason string         `json:"reason" doc:"Why it is not moved now." example:""`
}

func (a *API) registerMaintenance(h huma.API) {
	register(h, endpoint{ID: "maintain-baremetal", Method: http.MethodPost, Path: "/v1/baremetals/{id}/maintenance", Action: "baremetal.maintain", Summary: "Mark a physical server for maintenance",
		Description: "Says why, and until when; it takes no new machines from now on. Those that it carries stay: drain it to move them. To end it, set maintenance to false."}, a.maintainBaremetal)
	register(h, endpoint{ID: "drain-baremetal", Method: http.MethodPost, Path: "/v1/baremetals/{id}/drain", Action: "baremetal.drain", Status: http.StatusAccepted, Summary: "Move all machines away from a hypervisor",
		Description: "Marks the host for maintenance and moves its machines to other hosts of its group; each move is an operation of its own. It is refused, and nothing changed, if a machine can neither be moved nor be stopped. " +
			"Cancelling begins no more moves, and leaves the host in maintenance. With dry_run it answers 200 with a plan (DrainPlan) and changes nothing."}, a.drainBaremetal)
}

func (a *API) maintainBaremetal(ctx context.Context, in *maintainBaremetalInput) (*Resource[Baremetal], error) {
	c := restructure(change(ctx, "baremetal.maintain"))
	return a.changeBaremetal(ctx, c, in.ByID, in.Precondition, func(tx store.Tx, b store.Baremetal) (any, error) {
		if err := in.Body.check(); err != nil {
			return nil, err
		}
		b.Maintenance, b.MaintenanceReason, b.MaintenanceUntil, b.MaintenanceBy = true, in.Body.Reason, in.Body.Until, tx.Actor.Name
		return nil, store.UpdateBaremetal(tx.DB, b, b.GroupID)
	})
}

// DrainBaremetalOutput is an operation, or the plan of a dry run.
type DrainBaremetalOutput struct {
	Status            int
	Location          string `header:"Location" doc:"Path of the operation."`
	PreferenceApplied string `header:"Preference-Applied" doc:"The preference that was honoured."`
	ETag              string `header:"ETag" doc:"Version of the operation."`
	Body              any    `doc:"An Operation, or with dry_run a DrainPlan."`
}

func (a *API) drainBaremetal(ctx context.Context, in *drainBaremetalInput) (*DrainBaremetalOutput, error) {
	if err := in.Body.check(); err != nil {
		return nil, err
	}
	d := accept.Drain{Request: intent(ctx), Baremetal: in.ID, Reason: in.Body.Reason, Until: in.Body.Until, Stop: in.Body.Stop}
	if in.DryRun.DryRun {
		plan, err := a.accept.PlanDrain(ctx, d)
		if err != nil {
			return nil, err
		}
		return &DrainBaremetalOutput{Status: http.StatusOK, Body: drainPlan(plan)}, nil
	}
	done, err := a.accept.DrainBaremetal(ctx, d)
	out, err := a.accepted(ctx, done, err, in.Preference)
	if err != nil {
		return nil, err
	}
	return &DrainBaremetalOutput{Status: out.Status, Location: out.Location, PreferenceApplied: out.PreferenceApplied, ETag: out.ETag, Body: out.Body}, nil
}

func drainPlan(p accept.DrainPlan) DrainPlan {
	out := DrainPlan{BaremetalID: p.BaremetalID, Baremetal: p.Baremetal, Possible: true, Items: []DrainPlanned{}}
	for _, v := range p.VMs {
		out.Possible = out.Possible && v.Fate != accept.FateStuck
		out.Items = append(out.Items, DrainPlanned{ID: v.ID, Name: v.Name, Tenant: v.Tenant, State: v.State, Fate: v.Fate, ToID: v.ToID, To: v.To, Reason: v.Why})
	}
	return out
}
