package bmclib

import (
	"context"
	"strings"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/models"
)

// link leads to another document.
type link struct {
	Path string `json:"@odata.id"`
}

// collection lists documents. Some BMCs list many in pages.
type collection struct {
	Members []link `json:"Members"`
	Next    string `json:"Members@odata.nextLink"`
}

// state is how a part is. Absent parts are empty slots.
type state struct {
	State        string `json:"State"`
	Health       string `json:"Health"`
	HealthRollup string `json:"HealthRollup"`
}

// system is a machine as its BMC shows it. Of this document, as of the others here, only what is needed is read: what else a
// vendor writes in a shape of its own cannot be in the way.
type system struct {
	UUID           string `json:"UUID"`
	SerialNumber   string `json:"SerialNumber"`
	SKU            string `json:"SKU"`
	Manufacturer   string `json:"Manufacturer"`
	Model          string `json:"Model"`
	BiosVersion    string `json:"BiosVersion"`
	PowerState     string `json:"PowerState"`
	Status         state  `json:"Status"`
	LocationActive *bool  `json:"LocationIndicatorActive"`
	IndicatorLED   string `json:"IndicatorLED"`
	Processors     link   `json:"Processors"`
	Memory         link   `json:"Memory"`
	Storage        link   `json:"Storage"`
	Ethernet       link   `json:"EthernetInterfaces"`
	LogServices    link   `json:"LogServices"`
	VirtualMedia   link   `json:"VirtualMedia"`
	Boot           boot   `json:"Boot"`
	Links          struct {
		Chassis   []link `json:"Chassis"`
		ManagedBy []link `json:"ManagedBy"`
	} `json:"Links"`
}

type boot struct {
	Enabled string `json:"BootSourceOverrideEnabled"`
	Target  string `json:"BootSourceOverrideTarget"`
	Mode    string `json:"BootSourceOverrideMode"`
}

type manager struct {
	FirmwareVersion  string `json:"FirmwareVersion"`
	VirtualMedia     link   `json:"VirtualMedia"`
	LogServices      link   `json:"LogServices"`
	GraphicalConsole struct {
		ServiceEnabled bool `json:"ServiceEnabled"`
	} `json:"GraphicalConsole"`
}

// root is where the tree begins.
type root struct {
	Systems       link `json:"Systems"`
	Chassis       link `json:"Chassis"`
	UpdateService link `json:"UpdateService"`
}

const rootPath = "/redfish/v1/"

// tree is what a session has read of the links between documents, which do not change while it lasts.
type tree struct {
	root    *root
	system  string // path
	manager *manager
	boxes   []chassis
}

// top reads where the tree begins.
func (r *redfish) top(ctx context.Context) (root, error) {
	if r.tree.root == nil {
		top, err := get[root](ctx, r, rootPath)
		if err != nil {
			return root{}, err
		}
		r.tree.root = &top
	}
	return *r.tree.root, nil
}

// system reads the machine. Of a BMC that stands for several machines nobody can say which one is meant.
func (r *redfish) system(ctx context.Context) (system, error) {
	if r.tree.system == "" {
		top, err := r.top(ctx)
		if err != nil {
			return system{}, err
		}
		if top.Systems.Path == "" {
			return system{}, r.t.Faultf(models.CodeUnreachable, "does not speak Redfish: its root names no machines. Correct its address, or give it as ipmi://; the step is tried again.")
		}
		all, err := get[collection](ctx, r, top.Systems.Path)
		if err != nil {
			return system{}, err
		}
		if len(all.Members) != 1 {
			return system{}, r.t.Faultf(models.CodeNotSupported, "stands for %d machines instead of one. Enroll each machine by a BMC of its own.", len(all.Members))
		}
		r.tree.system = all.Members[0].Path
	}
	return get[system](ctx, r, r.tree.system)
}

// manager reads the BMC itself. Of one that shows none, nothing is known.
func (r *redfish) manager(ctx context.Context, s system) (manager, error) {
	if r.tree.manager == nil {
		var m manager
		if len(s.Links.ManagedBy) > 0 {
			var err error
			if m, err = get[manager](ctx, r, s.Links.ManagedBy[0].Path); err != nil {
				return manager{}, err
			}
		}
		r.tree.manager = &m
	}
	return *r.tree.manager, nil
}

// boxes reads the boxes that the machine is in.
func (r *redfish) boxes(ctx context.Context, s system) ([]chassis, error) {
	if r.tree.boxes == nil {
		for _, l := range s.Links.Chassis {
			box, err := get[chassis](ctx, r, l.Path)
			if err != nil {
				r.tree.boxes = nil
				return nil, err
			}
			r.tree.boxes = append(r.tree.boxes, box)
		}
	}
	return r.tree.boxes, nil
}

// identity is who the machine says it is. Dell has the service tag that is on the machine in SKU, and in SerialNumber the
// one of the board.
func (s system) identity() models.HardwareIdentity {
	serial := s.SerialNumber
	if s.SKU != "" && strings.HasPrefix(s.Manufacturer, "Dell") {
		serial = s.SKU
	}
	return models.HardwareIdentity{UUID: strings.ToLower(s.UUID), Serial: strings.TrimSpace(serial), Vendor: strings.TrimSpace(s.Manufacturer), Model: strings.TrimSpace(s.Model)}
}

// power is the power in our words.
func (s system) power() baremetal.PowerState {
	switch s.PowerState {
	case "On", "Paused":
		return baremetal.StateOn
	case "Off":
		return baremetal.StateOff
	case "PoweringOn":
		return baremetal.StateTurningOn
	case "PoweringOff":
		return baremetal.StateTurningOff
	}
	return baremetal.StateUnknown
}

// health is a Redfish health in our words.
func health(redfish string) models.HealthStatus {
	switch redfish {
	case "OK":
		return models.HealthOK
	case "Warning":
		return models.HealthWarning
	case "Critical":
		return models.HealthCritical
	}
	return models.HealthUnknown
}

// maxMembers bounds what a BMC may list, so that one that lists without end is not followed.
const maxMembers = 2000

// members reads what a collection lists, in its order. A collection that there is not is empty.
func members[T any](ctx context.Context, r *redfish, path string) ([]T, error) {
	var out []T
	for path != "" && len(out) < maxMembers {
		page, err := get[collection](ctx, r, path)
		if status(err) == 404 && len(out) == 0 {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for _, m := range page.Members {
			one, err := get[T](ctx, r, m.Path)
			if err != nil {
				return nil, err
			}
			out = append(out, one)
		}
		path = page.Next
	}
	return out, nil
}
