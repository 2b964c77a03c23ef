package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/models"
)

// LeaseCreate is what someone wants of a whole machine, any of a group.
type LeaseCreate struct {
	Tenant   string            `json:"tenant" minLength:"1" maxLength:"255" doc:"Tenant that gets the machine, by full name or id." example:"acme/dev"`
	Region   string            `json:"region" minLength:"1" maxLength:"63" doc:"Region." example:"tw"`
	Group    string            `json:"group" minLength:"1" maxLength:"255" doc:"Group of machines, by name or id." example:"metal"`
	Image    string            `json:"image" minLength:"1" maxLength:"255" doc:"Image to boot, by name or id." example:"ubuntu-metal"`
	Hostname string            `json:"hostname,omitempty" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a DNS label" doc:"What the machine shall be called, as its image is told." example:"db-1"`
	Labels   map[string]string `json:"labels,omitempty" maxProperties:"16" doc:"Labels that the machine has." example:"{\"gpu\":\"a100\"}"`
}

type createLeaseInput struct {
	Idempotent
	DryRun
	Preference
	Body LeaseCreate
}

// Resolve finds what a schema cannot: labels are short.
func (in *createLeaseInput) Resolve(huma.Context) []error {
	var out []error
	for name, value := range in.Body.Labels {
		if len(name) > 63 || len(value) > 255 {
			out = append(out, &huma.ErrorDetail{Location: "body.labels", Message: "must have names of at most 63 characters, and values of at most 255"})
			break
		}
	}
	return out
}

type leaseBaremetalInput struct {
	ByID
	Precondition
	Idempotent
	DryRun
	Preference
	Body struct {
		Tenant   string `json:"tenant" minLength:"1" maxLength:"255" doc:"Tenant that gets the machine, by full name or id." example:"acme/dev"`
		Image    string `json:"image" minLength:"1" maxLength:"255" doc:"Image to boot, by name or id." example:"ubuntu-metal"`
		Hostname string `json:"hostname,omitempty" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a DNS label" doc:"What the machine shall be called, as its image is told." example:"db-1"`
	}
}

type releaseBaremetalInput struct {
	ByID
	Precondition
	Idempotent
	Preference
	Body *struct {
		SkipWipe bool   `json:"skip_wipe,omitempty" doc:"Leave the disks as they are. For operators, and with a reason." example:"false"`
		Reason   string `json:"reason,omitempty" maxLength:"1000" doc:"Why; kept in the audit log." example:"the project has ended"`
	} `required:"false"`
}

// Resolve finds what a schema cannot: whoever leaves disks full says why.
func (in *releaseBaremetalInput) Resolve(huma.Context) []error {
	if in.Body != nil && in.Body.SkipWipe && in.Body.Reason == "" {
		return []error{&huma.ErrorDetail{Location: "body.reason", Message: "is needed to leave the disks as they are"}}
	}
	return nil
}

// LeasePlan is what a lease would do.
type LeasePlan struct {
	BaremetalID models.ID       `json:"baremetal_id" format:"uuid" doc:"Machine that would be leased." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6d"`
	Baremetal   string          `json:"baremetal" doc:"Name of the machine." example:"tw-m-01"`
	Boots       string          `json:"boots" enum:"network,virtual_drive" doc:"From where it would boot the image." example:"network"`
	Reasons     []models.Reason `json:"reasons" doc:"How many machines of the group fit, and why the others do not; empty where the machine was named."`
	Quotas      []PlannedQuota  `json:"quotas" doc:"Every limit that the machine would count against."`
}

// LeaseOutput is an operation, or the plan of a dry run.
type LeaseOutput struct {
	Status            int
	Location          string `header:"Location" doc:"Path of the operation."`
	PreferenceApplied string `header:"Preference-Applied" doc:"The preference that was honoured."`
	ETag              string `header:"ETag" doc:"Version of the operation."`
	Body              any    `doc:"An Operation, or with dry_run a LeasePlan."`
}

func (a *API) registerLeases(h huma.API) {
	register(h, endpoint{ID: "create-lease", Method: http.MethodPost, Path: "/v1/leases", Action: "baremetal.lease", Status: http.StatusAccepted, Summary: "Lease a physical server",
		Description: "Gives a tenant a whole machine of a group, any that is spare, available and healthy, and boots the image on it. Answers 202 with the operation. " +
			"Where no quota promises the tenant, or one above it, machines of the group, only operators may. With dry_run it answers 200 with a plan (LeasePlan) and changes nothing."}, a.createLease)
	register(h, endpoint{ID: "lease-baremetal", Method: http.MethodPost, Path: "/v1/baremetals/{id}/lease", Action: "baremetal.assign", Status: http.StatusAccepted, Summary: "Lease this physical server to a tenant",
		Description: "Gives a tenant this very machine, and boots the image on it. With dry_run it answers 200 with a plan (LeasePlan) and changes nothing."}, a.leaseBaremetal)
	register(h, endpoint{ID: "release-baremetal", Method: http.MethodPost, Path: "/v1/baremetals/{id}/release", Action: "baremetal.release", Status: http.StatusAccepted, Summary: "Release a leased physical server",
		Description: "Turns the machine off, boots the region's wipe image, and makes the machine available again when every disk is empty. The quota is free then."}, a.releaseBaremetal)
	register(h, endpoint{ID: "discover-baremetal", Method: http.MethodPost, Path: "/v1/baremetals/{id}/discover", Action: "baremetal.discover", Status: http.StatusAccepted, Summary: "Discover what a physical server is made of",
		Description: "Boots the region's discovery image on a spare machine, and records what it reports."}, a.discoverBaremetal)
}

func (a *API) createLease(ctx context.Context, in *createLeaseInput) (*LeaseOutput, error) {
	b := in.Body
	return a.lease(ctx, accept.Lease{Request: intent(ctx), Tenant: b.Tenant, Image: b.Image, Hostname: b.Hostname, Region: b.Region, Group: b.Group, Labels: b.Labels}, in.DryRun, in.Preference)
}

func (a *API) leaseBaremetal(ctx context.Context, in *leaseBaremetalInput) (*LeaseOutput, error) {
	b := in.Body
	return a.lease(ctx, accept.Lease{Request: intent(ctx), Tenant: b.Tenant, Image: b.Image, Hostname: b.Hostname, Machine: &in.ID, Version: in.version()}, in.DryRun, in.Preference)
}

func (a *API) lease(ctx context.Context, l accept.Lease, d DryRun, p Preference) (*LeaseOutput, error) {
	if d.DryRun {
		plan, err := a.accept.PlanLease(ctx, l)
		if err != nil {
			return nil, err
		}
		return &LeaseOutput{Status: http.StatusOK, Body: leasePlan(plan)}, nil
	}
	done, err := a.accept.LeaseBaremetal(ctx, l)
	if err != nil {
		a.noteTenant(ctx, l.Tenant)
	}
	out, err := a.accepted(ctx, done, err, p)
	if err != nil {
		return nil, err
	}
	return &LeaseOutput{Status: out.Status, Location: out.Location, PreferenceApplied: out.PreferenceApplied, ETag: out.ETag, Body: out.Body}, nil
}

func leasePlan(p accept.LeasePlan) LeasePlan {
	out := LeasePlan{BaremetalID: p.BaremetalID, Baremetal: p.Baremetal, Boots: "network", Reasons: append([]models.Reason{}, p.Reasons...), Quotas: []PlannedQuota{}}
	if p.Boot.Media != "" {
		out.Boots = "virtual_drive"
	}
	for _, q := range p.Quotas {
		out.Quotas = append(out.Quotas, PlannedQuota(q))
	}
	return out
}

func (a *API) releaseBaremetal(ctx context.Context, in *releaseBaremetalInput) (*AcceptedOutput, error) {
	r := accept.Release{Request: intent(ctx), Machine: in.ID, Version: in.version()}
	if in.Body != nil {
		r.SkipWipe, r.Reason = in.Body.SkipWipe, in.Body.Reason
	}
	done, err := a.accept.ReleaseBaremetal(ctx, r)
	return a.accepted(ctx, done, err, in.Preference)
}

func (a *API) discoverBaremetal(ctx context.Context, in *changeVMInput) (*AcceptedOutput, error) {
	done, err := a.accept.DiscoverBaremetal(ctx, intent(ctx), in.ID, in.version())
	return a.accepted(ctx, done, err, in.Preference)
}
