package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Baremetal is a physical server.
type Baremetal struct {
	ID                  models.ID             `json:"id" format:"uuid" doc:"Id of the server." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Region              string                `json:"region" doc:"Where it is." example:"tw"`
	Name                string                `json:"name" doc:"Name, unique in its region; of an imported hypervisor that in its provider's inventory." example:"esx-01"`
	Role                string                `json:"role" enum:"hypervisor,k8s_node,leased,spare" doc:"What it is used for." example:"hypervisor"`
	State               models.BaremetalState `json:"state" enum:"enrolling,available,in_use,maintenance,failed,retiring" doc:"State of the server." example:"in_use"`
	RackID              *models.ID            `json:"rack_id,omitempty" format:"uuid" doc:"Rack in which it stands." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	Rack                string                `json:"rack,omitempty" doc:"Name of the rack." example:"r1"`
	GroupID             *models.ID            `json:"group_id,omitempty" format:"uuid" doc:"Group that it belongs to." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	Group               string                `json:"group,omitempty" doc:"Name of the group." example:"general"`
	Capacity            Size                  `json:"capacity" doc:"What it physically has."`
	Hypervisor          *HypervisorRoom       `json:"hypervisor,omitempty" doc:"Its room for machines; absent unless it is a hypervisor."`
	RackUnit            int                   `json:"rack_unit,omitempty" doc:"The lowest unit that it takes, counted from the bottom; absent if nobody said." example:"12"`
	RackHeight          int                   `json:"rack_height" doc:"How many units it takes." example:"2"`
	Labels              map[string]string     `json:"labels" doc:"What people note about it." example:"{\"owner\": \"storage\"}"`
	Power               models.Power          `json:"power,omitempty" enum:"on,off" doc:"Whether it is on; absent until it is known." example:"on"`
	Health              models.HealthStatus   `json:"health,omitempty" enum:"ok,warning,critical" doc:"How its hardware is; absent until it is known." example:"ok"`
	Unfit               bool                  `json:"unfit" doc:"Whether its health keeps new work away." example:"false"`
	BMC                 *BMC                  `json:"bmc,omitempty" doc:"How its BMC is reached; absent if nobody said."`
	Connected           bool                  `json:"connected" doc:"Whether the provider reached it at the last import." example:"true"`
	Maintenance         bool                  `json:"maintenance" doc:"Whether someone here wants it empty of new machines." example:"false"`
	ProviderMaintenance bool                  `json:"provider_maintenance" doc:"Whether the provider says that it is in maintenance." example:"false"`
	HardwareUUID        string                `json:"hardware_uuid" doc:"What recognises the hardware." example:"4c4c4544-0042-3510-8053-b7c04f4d3532"`
	Serial              string                `json:"serial,omitempty" doc:"Serial of the maker; absent until it is known." example:"CN7016"`
	Vendor              string                `json:"vendor,omitempty" doc:"The maker; absent until it is known." example:"Dell Inc."`
	ProviderRef         string                `json:"provider_ref" doc:"The provider's own name for it." example:"host-21"`
	Cluster             string                `json:"cluster" doc:"The provider's cluster." example:"cluster-1"`
	Model               string                `json:"model" doc:"Make and model." example:"PowerEdge R760"`
	MaintenanceMark
	SeenAt *time.Time `json:"seen_at,omitempty" doc:"When an import, or its BMC if it is no hypervisor, last showed it." example:"2026-11-23T08:00:00Z"`
	Leased
	Stamps
}

// HypervisorRoom is a hypervisor's room for machines.
type HypervisorRoom struct {
	Placeable bool  `json:"placeable" doc:"Whether it takes new machines." example:"true"`
	VMs       int64 `json:"vms" doc:"How many machines it carries." example:"7"`
	Total     Size  `json:"total" doc:"What may be promised: its capacity by the ratios of its group."`
	Allocated Size  `json:"allocated" doc:"What its machines take."`
	Free      Size  `json:"free" doc:"What is left."`
}

type listBaremetalsInput struct {
	Paging
	Region string `query:"region" maxLength:"63" doc:"Only of this region." example:"tw"`
	Group  string `query:"group" maxLength:"255" doc:"Only of this group, by name or id." example:"general"`
	Rack   string `query:"rack" maxLength:"255" doc:"Only in this rack, by name or id." example:"r1"`
	Role   string `query:"role" enum:"hypervisor,k8s_node,leased,spare" doc:"Only with this role." example:"hypervisor"`
	State  string `query:"state" enum:"enrolling,available,in_use,maintenance,failed,retiring" doc:"Only in this state." example:"in_use"`
	Name   string `query:"name" maxLength:"255" doc:"Only with this name." example:"esx-01"`

	Tenant  string `query:"tenant" maxLength:"255" doc:"Only those that this tenant leases, by full name or id." example:"acme/dev"`
	Subtree bool   `query:"subtree" doc:"With the tenant, also everything below it."`
}

type updateBaremetalInput struct {
	ByID
	Precondition
	Body struct {
		Name        *string            `json:"name,omitempty" maxLength:"253" pattern:"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$" patternDescription:"lower-case letters, digits, dots and dashes" doc:"Name, unique in its region." example:"bm-tw-13"`
		Rack        *string            `json:"rack,omitempty" maxLength:"255" doc:"Rack in which it stands, by name or id; empty for none." example:"r1"`
		RackUnit    *int               `json:"rack_unit,omitempty" minimum:"0" maximum:"60" doc:"The lowest unit that it takes, counted from the bottom; 0 if nobody knows." example:"12"`
		RackHeight  *int               `json:"rack_height,omitempty" minimum:"1" maximum:"20" doc:"How many units it takes." example:"2"`
		Labels      *map[string]string `json:"labels,omitempty" doc:"What people note about it; all of it anew." example:"{\"owner\": \"storage\"}"`
		Group       *string            `json:"group,omitempty" maxLength:"255" doc:"Group to which it belongs, by name or id; empty for none. A host that carries machines stays in its group." example:"general"`
		Maintenance *bool              `json:"maintenance,omitempty" doc:"Whether to keep new machines away from it." example:"true"`
	}
}

// Resolve finds what a schema cannot.
func (in *updateBaremetalInput) Resolve(huma.Context) []error {
	return details(wrongLabels("body.labels", given(in.Body.Labels, nil)))
}

func (a *API) registerBaremetals(h huma.API) {
	register(h, endpoint{ID: "list-baremetals", Method: http.MethodGet, Path: "/v1/baremetals", Action: "baremetal.read", Summary: "List physical servers",
		Description: "A tenant's people see those that the tenant leases, without what is the platform's business: where they stand, and how they are driven."}, a.listBaremetals)
	register(h, endpoint{ID: "get-baremetal", Method: http.MethodGet, Path: "/v1/baremetals/{id}", Action: "baremetal.read", Summary: "Show a physical server",
		Description: "The machines on it are at /v1/vms?baremetal={id}."}, a.getBaremetal)
	register(h, endpoint{ID: "update-baremetal", Method: http.MethodPatch, Path: "/v1/baremetals/{id}", Action: "baremetal.update", Summary: "Change a physical server",
		Description: "Names or labels it, moves it to another place or group, or marks it for maintenance."}, a.updateBaremetal)
}

func (a *API) listBaremetals(ctx context.Context, in *listBaremetalsInput) (*ListOutput[Baremetal], error) {
	filters := []string{in.Region, in.Group, in.Rack, in.Role, in.State, in.Name, in.Tenant, onOff(in.Subtree)}
	page, err := afterOrNone(in.Paging, filters...)
	if err != nil {
		return nil, err
	}
	f := store.BaremetalFilter{Region: in.Region, Group: in.Group, Rack: in.Rack, Role: in.Role, State: in.State, Name: in.Name, IDPage: page}
	wire := baremetal
	if !a.seesHardware(ctx) {
		wire = func(b store.Baremetal) Baremetal { return theirs(baremetal(b)) }
	}
	if f.Tenant, f.Within, err = a.reach(ctx, in.Tenant, in.Subtree); err != nil {
		return nil, err
	}
	if in.Rack != "" && !a.seesHardware(ctx) {
		f.Within = []models.ID{} // where machines stand is not told: by a filter neither
	}
	servers, err := a.store.Baremetals(ctx, f)
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, servers, func(b store.Baremetal) string { return b.ID.String() }, wire, filters...), nil
}

func (a *API) getBaremetal(ctx context.Context, in *ByID) (*Resource[Baremetal], error) {
	b, err := a.visibleBaremetal(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return seen(b, b.Version)
}

func (a *API) updateBaremetal(ctx context.Context, in *updateBaremetalInput) (*Resource[Baremetal], error) {
	c := restructure(change(ctx, in.action()))
	return a.changeBaremetal(ctx, c, in.ByID, in.Precondition, func(tx store.Tx, b store.Baremetal) (any, error) {
		was := b.Maintenance
		group, err := in.apply(tx.DB, &b)
		if err != nil {
			return nil, err
		}
		remark(&b, was, tx.Actor.Name)
		return nil, store.UpdateBaremetal(tx.DB, b, group)
	})
}

// action is the right that the change takes: to mark maintenance takes less than to move the server.
func (in *updateBaremetalInput) action() string {
	b := in.Body
	if b.Maintenance != nil && b.Rack == nil && b.Group == nil && b.Name == nil && b.RackUnit == nil && b.RackHeight == nil && b.Labels == nil {
		return "baremetal.maintain"
	}
	return "baremetal.update"
}

// apply puts the change into the server, and returns the group that it shall belong to.
func (in *updateBaremetalInput) apply(tx *gorm.DB, b *store.Baremetal) (group *models.ID, err error) {
	var wrong []models.FieldError
	group = b.GroupID
	set(&b.Maintenance, in.Body.Maintenance)
	set(&b.Name, in.Body.Name)
	set(&b.RackUnit, in.Body.RackUnit)
	set(&b.RackHeight, in.Body.RackHeight)
	set(&b.Labels, in.Body.Labels)
	if ref := in.Body.Rack; ref != nil {
		b.RackID = nil
		if *ref == "" {
			b.RackUnit = 0
		}
		if *ref != "" {
			r, err := store.RackRef(tx, b.Region, *ref)
			if err != nil && !store.NotFound(err) {
				return nil, err
			} else if err != nil {
				wrong = append(wrong, models.FieldError{Field: "body.rack", Message: "there is no such rack in region " + b.Region})
			}
			b.RackID = &r.ID
		}
	}
	if ref := in.Body.Group; ref != nil {
		group, b.GroupByRule = nil, false
		if *ref != "" {
			g, err := store.GroupRef(tx, b.Region, *ref)
			if err != nil && !store.NotFound(err) {
				return nil, err
			} else if err != nil {
				wrong = append(wrong, models.FieldError{Field: "body.group", Message: "there is no such group in region " + b.Region})
			}
			group = &g.ID
		}
	}
	return group, faulty(wrong)
}

func baremetal(b store.Baremetal) Baremetal {
	out := Baremetal{
		ID: b.ID, Region: b.Region, Name: b.Name, Role: b.Role, State: b.State, RackID: b.RackID, Rack: text(b.Rack), GroupID: b.GroupID, Group: text(b.Group),
		Capacity: Size(b.Size), Connected: b.Connected, Maintenance: b.Maintenance, ProviderMaintenance: b.ProviderMaintenance, MaintenanceMark: maintenanceMark(b.Baremetal),
		RackUnit: b.RackUnit, RackHeight: b.RackHeight, Labels: b.Labels, Power: b.Power, Health: b.Health, Unfit: b.Unfit, Leased: leased(b),
		BMC: bmc(b), Serial: b.Serial, Vendor: b.Vendor, HardwareUUID: b.HardwareUUID, ProviderRef: b.ProviderRef, Cluster: b.Cluster, Model: b.Model, SeenAt: utc(b.SeenAt), Stamps: stamps(b.Stamps),
	}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	if b.Placeable != nil {
		out.Hypervisor = &HypervisorRoom{Placeable: *b.Placeable, VMs: b.VMs, Total: Size(b.Total), Allocated: Size(b.Total.Sub(b.Free)), Free: Size(b.Free)}
	}
	return out
}

// text is a name that may be absent.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// utc is a time that may be absent, as the API writes times.
func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
