package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// VM is a virtual machine.
type VM struct {
	ID          models.ID      `json:"id" format:"uuid" doc:"Id of the machine; its instance UUID at the provider." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Name        string         `json:"name" doc:"Name, unique in its tenant; the guest's host name." example:"web-1"`
	TenantID    models.ID      `json:"tenant_id" format:"uuid" doc:"Tenant that owns it." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	Tenant      string         `json:"tenant" doc:"Full name of the tenant." example:"acme/dev"`
	Region      string         `json:"region" doc:"Where it runs." example:"tw"`
	GroupID     models.ID      `json:"group_id" format:"uuid" doc:"Group that it was placed in." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	Group       string         `json:"group" doc:"Name of the group." example:"general"`
	BaremetalID models.ID      `json:"baremetal_id" format:"uuid" doc:"Hypervisor that carries it." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6d"`
	Baremetal   string         `json:"baremetal" doc:"Name of the hypervisor." example:"esx-01"`
	ImageID     models.ID      `json:"image_id" format:"uuid" doc:"Image that it was made from." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6e"`
	Image       string         `json:"image" doc:"Name of the image." example:"ubuntu-24-04"`
	FlavorID    *models.ID     `json:"flavor_id,omitempty" format:"uuid" doc:"Flavor, if its size has one." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6f"`
	Flavor      string         `json:"flavor,omitempty" doc:"Name of the flavor." example:"medium"`
	SubnetID    models.ID      `json:"subnet_id" format:"uuid" doc:"Subnet of its address." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f70"`
	Subnet      string         `json:"subnet" doc:"Name of the subnet." example:"lan"`
	Address     string         `json:"address" doc:"The address that was given to it." example:"10.1.0.7"`
	State       models.VMState `json:"state" enum:"provisioning,running,stopped,updating,deleting,failed" doc:"State of the machine." example:"running"`
	Size
	Hostname       string     `json:"hostname" doc:"Host name that the guest reported." example:"web-1"`
	GuestAddresses []string   `json:"guest_addresses" doc:"Addresses that the guest reported." example:"[\"10.1.0.7\"]"`
	ProviderRef    string     `json:"provider_ref" doc:"The provider's own name for it." example:"vm-42"`
	CreatedBy      string     `json:"created_by" doc:"Who asked for it." example:"ada"`
	OperationID    *models.ID `json:"operation_id,omitempty" format:"uuid" doc:"The operation under way." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f71"`
	Operation      string     `json:"operation,omitempty" doc:"What the operation under way does." example:"vm.resize"`
	Links          VMLinks    `json:"links" doc:"Where to go from here."`
	Stamps
}

// VMLinks leads from a machine to what belongs to it.
type VMLinks struct {
	Self       string `json:"self" doc:"The machine." example:"/v1/vms/0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Operations string `json:"operations" doc:"Its operations, the newest first." example:"/v1/operations?resource_id=0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Operation  string `json:"operation,omitempty" doc:"The operation under way." example:"/v1/operations/0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f71"`
}

// Placement narrows where a machine may go.
type Placement struct {
	Policy       models.Policy `json:"policy,omitempty" enum:"spread,pack" doc:"Whether to take the emptiest host, or the fullest that fits; the group's policy if absent." example:"spread"`
	AntiAffinity *AntiAffinity `json:"anti_affinity,omitempty" doc:"Machines to keep away from."`
}

// AntiAffinity names machines to keep away from.
type AntiAffinity struct {
	VMs   []string `json:"vms" minItems:"1" maxItems:"100" doc:"Machines of the same tenant, by name or id." example:"[\"web-1\"]"`
	Scope string   `json:"scope,omitempty" enum:"host,rack" default:"host" doc:"Whether to use another host, or another rack." example:"rack"`
}

// VMCreate is what someone wants of a new machine.
type VMCreate struct {
	Name       string     `json:"name" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a DNS label" doc:"Name, unique in its tenant; the guest's host name." example:"web-1"`
	Tenant     string     `json:"tenant" minLength:"1" maxLength:"255" doc:"Tenant, by full name or id." example:"acme/dev"`
	Region     string     `json:"region" minLength:"1" maxLength:"63" doc:"Region." example:"tw"`
	Group      string     `json:"group" minLength:"1" maxLength:"255" doc:"Group of hosts, by name or id." example:"general"`
	Image      string     `json:"image" minLength:"1" maxLength:"255" doc:"Image, by name or id." example:"ubuntu-24-04"`
	Subnet     string     `json:"subnet" minLength:"1" maxLength:"255" doc:"Subnet, by name or id." example:"lan"`
	Flavor     string     `json:"flavor,omitempty" minLength:"1" maxLength:"255" doc:"Flavor, by name or id; instead of a size." example:"medium"`
	VCPU       int64      `json:"vcpu,omitempty" minimum:"1" maximum:"1024" doc:"Virtual processors; instead of a flavor." example:"4"`
	MemoryMiB  int64      `json:"memory_mib,omitempty" minimum:"4" multipleOf:"4" maximum:"25165824" doc:"Memory in MiB, a multiple of 4; instead of a flavor." example:"8192"`
	StorageGiB int64      `json:"storage_gib,omitempty" minimum:"1" maximum:"1048576" doc:"Storage in GiB; instead of a flavor." example:"40"`
	GPU        int64      `json:"gpu,omitempty" minimum:"0" maximum:"64" doc:"Graphics processors; instead of a flavor." example:"0"`
	Placement  *Placement `json:"placement,omitempty" doc:"Narrows where the machine may go."`
}

type createVMInput struct {
	Idempotent
	DryRun
	Preference
	Body VMCreate
}

// Resolve finds what a schema cannot: a size is a flavor, or its parts, and never both.
func (in *createVMInput) Resolve(huma.Context) []error {
	b := in.Body
	var out []error
	say := func(field, message string) {
		out = append(out, &huma.ErrorDetail{Location: "body." + field, Message: message})
	}
	parts := map[string]int64{"vcpu": b.VCPU, "memory_mib": b.MemoryMiB, "storage_gib": b.StorageGiB}
	for _, name := range models.Resources[:3] {
		if b.Flavor == "" && parts[name] == 0 {
			say(name, "is needed where no flavor is named")
		}
		if b.Flavor != "" && parts[name] != 0 {
			say(name, "must be absent where a flavor is named")
		}
	}
	if b.Flavor != "" && b.GPU != 0 {
		say("gpu", "must be absent where a flavor is named")
	}
	return out
}

// accept is the request as package accept wants it.
func (in *createVMInput) accept(ctx context.Context) accept.VMCreate {
	b := in.Body
	c := accept.VMCreate{
		Request: intent(ctx), Name: b.Name, Tenant: b.Tenant, Region: b.Region, Group: b.Group, Image: b.Image, Flavor: b.Flavor, Subnet: b.Subnet,
		Size: models.Size{VCPU: b.VCPU, MemoryMiB: b.MemoryMiB, StorageGiB: b.StorageGiB, GPU: b.GPU},
	}
	if b.Placement != nil {
		c.Placement.Policy = b.Placement.Policy
		if near := b.Placement.AntiAffinity; near != nil {
			c.Placement.AntiAffinity, c.Placement.Scope = near.VMs, near.Scope
		}
	}
	return c
}

// VMPlan is what a create would do.
type VMPlan struct {
	BaremetalID models.ID       `json:"baremetal_id" format:"uuid" doc:"Hypervisor that would carry the machine." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6d"`
	Baremetal   string          `json:"baremetal" doc:"Name of the hypervisor." example:"esx-01"`
	RackID      *models.ID      `json:"rack_id,omitempty" format:"uuid" doc:"Rack of the hypervisor." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6e"`
	Address     string          `json:"address" doc:"An address that is free now." example:"10.1.0.7"`
	Policy      models.Policy   `json:"policy" enum:"spread,pack" doc:"Policy by which the hypervisor was chosen." example:"spread"`
	Size        Size            `json:"size" doc:"What the machine would take."`
	Reasons     []models.Reason `json:"reasons" doc:"How many hosts of the group fit, and why the others do not."`
	Quotas      []PlannedQuota  `json:"quotas" doc:"Every limit that the machine would count against."`
}

// PlannedQuota is a limit before and after.
type PlannedQuota struct {
	Where    string `json:"where" doc:"Whose limit it is." example:"tenant acme"`
	Resource string `json:"resource" doc:"What it limits." example:"vcpu"`
	Limit    int64  `json:"limit" doc:"The limit." example:"16"`
	Before   int64  `json:"before" doc:"What is used now." example:"4"`
	After    int64  `json:"after" doc:"What would be used." example:"8"`
}

type listVMsInput struct {
	Paging
	Tenant    string `query:"tenant" maxLength:"255" doc:"Only of this tenant, by full name or id." example:"acme/dev"`
	Subtree   bool   `query:"subtree" doc:"With the tenant, also everything below it."`
	Region    string `query:"region" maxLength:"63" doc:"Only of this region." example:"tw"`
	Group     string `query:"group" maxLength:"255" doc:"Only of this group, by name or id." example:"general"`
	Baremetal string `query:"baremetal" maxLength:"255" doc:"Only on this hypervisor, by name or id." example:"esx-01"`
	State     string `query:"state" enum:"provisioning,running,stopped,updating,deleting,failed" doc:"Only in this state." example:"running"`
	Name      string `query:"name" maxLength:"63" doc:"Only with this name." example:"web-1"`
}

type getVMInput struct {
	ByID
	At time.Time `query:"at" doc:"Show it as it was at this time, even if it is gone now." example:"2027-01-01T12:00:00Z"`
}

type changeVMInput struct {
	ByID
	Precondition
	Idempotent
	Preference
}

type deleteVMInput struct {
	ByID
	Precondition
	Preference
}

type resizeVMInput struct {
	ByID
	Precondition
	Idempotent
	Preference
	Body struct {
		Flavor       string `json:"flavor,omitempty" minLength:"1" maxLength:"255" doc:"Flavor, by name or id; instead of a size." example:"large"`
		VCPU         int64  `json:"vcpu,omitempty" minimum:"1" maximum:"1024" doc:"Virtual processors; as they are if absent." example:"8"`
		MemoryMiB    int64  `json:"memory_mib,omitempty" minimum:"4" multipleOf:"4" maximum:"25165824" doc:"Memory in MiB, a multiple of 4; as it is if absent." example:"16384"`
		StorageGiB   int64  `json:"storage_gib,omitempty" minimum:"1" maximum:"1048576" doc:"Storage in GiB; as it is if absent. It never shrinks." example:"80"`
		AllowRestart bool   `json:"allow_restart,omitempty" doc:"Power the machine off and on if it cannot grow while it runs." example:"true"`
	}
}

// Resolve finds what a schema cannot: a new size is a flavor, or at least one part, and never both.
func (in *resizeVMInput) Resolve(huma.Context) []error {
	b := in.Body
	parts := b.VCPU != 0 || b.MemoryMiB != 0 || b.StorageGiB != 0
	switch {
	case b.Flavor == "" && !parts:
		return []error{&huma.ErrorDetail{Location: "body.flavor", Message: "is needed where no new vcpu, memory_mib or storage_gib is given"}}
	case b.Flavor != "" && parts:
		return []error{&huma.ErrorDetail{Location: "body.flavor", Message: "must be absent where a size is given"}}
	}
	return nil
}

func (a *API) registerVMs(h huma.API) {
	register(h, endpoint{ID: "create-vm", Method: http.MethodPost, Path: "/v1/vms", Action: "vm.create", Status: http.StatusAccepted, Summary: "Create a virtual machine",
		Description: "Accepts the machine and answers 202 with the operation that brings it. With dry_run it answers 200 with a plan (VMPlan) and changes nothing."}, a.createVM)
	register(h, endpoint{ID: "list-vms", Method: http.MethodGet, Path: "/v1/vms", Action: "vm.read", Summary: "List virtual machines",
		Description: "Lists the machines that you can see, in the order in which they were made."}, a.listVMs)
	register(h, endpoint{ID: "get-vm", Method: http.MethodGet, Path: "/v1/vms/{id}", Action: "vm.read", Summary: "Show a virtual machine"}, a.getVM)
	register(h, endpoint{ID: "delete-vm", Method: http.MethodDelete, Path: "/v1/vms/{id}", Action: "vm.delete", Status: http.StatusAccepted, Summary: "Delete a virtual machine",
		Description: "Removes the machine with its disks, whatever its state. Quota, room and address are free once it is gone."}, a.deleteVM)
	register(h, endpoint{ID: "power-on-vm", Method: http.MethodPost, Path: "/v1/vms/{id}/power-on", Action: "vm.power", Status: http.StatusAccepted, Summary: "Power a machine on"}, a.powerVM(contract.PowerOn))
	register(h, endpoint{ID: "power-off-vm", Method: http.MethodPost, Path: "/v1/vms/{id}/power-off", Action: "vm.power", Status: http.StatusAccepted, Summary: "Power a machine off",
		Description: "Asks the guest to shut down, and pulls the plug if it does not."}, a.powerVM(contract.PowerOff))
	register(h, endpoint{ID: "reboot-vm", Method: http.MethodPost, Path: "/v1/vms/{id}/reboot", Action: "vm.power", Status: http.StatusAccepted, Summary: "Reboot a machine"}, a.powerVM(contract.Reboot))
	register(h, endpoint{ID: "resize-vm", Method: http.MethodPost, Path: "/v1/vms/{id}/resize", Action: "vm.resize", Status: http.StatusAccepted, Summary: "Resize a machine",
		Description: "Gives the machine another flavor or size. What it grows by is taken at once; what it shrinks by is given back when it has shrunk."}, a.resizeVM)
	register(h, endpoint{ID: "migrate-vm", Method: http.MethodPost, Path: "/v1/vms/{id}/migrate", Action: "vm.migrate", Status: http.StatusAccepted, Summary: "Move a machine to another host",
		Description: "Moves the machine within its group, running or not. It takes room on both hosts until it has moved. For operators."}, a.migrateVM)
}

// CreateVMOutput is an operation, or the plan of a dry run.
type CreateVMOutput struct {
	Status            int
	Location          string `header:"Location" doc:"Path of the operation."`
	PreferenceApplied string `header:"Preference-Applied" doc:"The preference that was honoured."`
	ETag              string `header:"ETag" doc:"Version of the operation."`
	Body              any    `doc:"An Operation, or with dry_run a VMPlan."`
}

func (a *API) createVM(ctx context.Context, in *createVMInput) (*CreateVMOutput, error) {
	if in.DryRun.DryRun {
		plan, err := a.accept.PlanVM(ctx, in.accept(ctx))
		if err != nil {
			return nil, err
		}
		return &CreateVMOutput{Status: http.StatusOK, Body: vmPlan(plan)}, nil
	}
	done, err := a.accept.CreateVM(ctx, in.accept(ctx))
	if err != nil {
		a.noteTenant(ctx, in.Body.Tenant)
	}
	out, err := a.accepted(ctx, done, err, in.Preference)
	if err != nil {
		return nil, err
	}
	return &CreateVMOutput{Status: out.Status, Location: out.Location, PreferenceApplied: out.PreferenceApplied, ETag: out.ETag, Body: out.Body}, nil
}

func vmPlan(p accept.Plan) VMPlan {
	out := VMPlan{BaremetalID: p.BaremetalID, Baremetal: p.Baremetal, RackID: p.RackID, Address: p.Address.String(), Policy: p.Policy, Size: Size(p.Size),
		Reasons: append([]models.Reason{}, p.Reasons...), Quotas: []PlannedQuota{}}
	for _, q := range p.Quotas {
		out.Quotas = append(out.Quotas, PlannedQuota(q))
	}
	return out
}

func (a *API) listVMs(ctx context.Context, in *listVMsInput) (*ListOutput[VM], error) {
	filters := []string{in.Tenant, onOff(in.Subtree), in.Region, in.Group, in.Baremetal, in.State, in.Name}
	page, err := afterOrNone(in.Paging, filters...)
	if err != nil {
		return nil, err
	}
	f := store.VMFilter{Region: in.Region, State: in.State, Name: in.Name, IDPage: page}
	if f.Tenant, f.Within, err = a.reach(ctx, in.Tenant, in.Subtree); err != nil {
		return nil, err
	}
	if in.Group != "" {
		if f.Groups, err = a.store.GroupsNamed(ctx, in.Group, in.Region); err != nil {
			return nil, err
		}
	}
	if in.Baremetal != "" {
		if f.Baremetals, err = a.store.BaremetalsNamed(ctx, in.Baremetal, in.Region); err != nil {
			return nil, err
		}
	}
	vms, err := a.store.VMs(ctx, f)
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, vms, func(v store.VM) string { return v.ID.String() }, vm, filters...), nil
}

func (a *API) getVM(ctx context.Context, in *getVMInput) (*Resource[VM], error) {
	if !in.At.IsZero() {
		return a.pastVM(ctx, in.ID, in.At)
	}
	v, err := a.store.VM(ctx, in.ID)
	missing := store.NotFound(err)
	if missing {
		v.TenantPath, err = authz.Nowhere, nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := a.checkOn(ctx, "vm.read", authz.Resource{Kind: "vm", Path: v.TenantPath}, in.ID.String()); err != nil {
		return nil, err
	}
	if missing {
		return nil, models.Faultf(models.CodeNotFound, "There is no such vm that you can see.")
	}
	return seen(vm(v), v.Version)
}

func (a *API) deleteVM(ctx context.Context, in *deleteVMInput) (*AcceptedOutput, error) {
	done, err := a.accept.DeleteVM(ctx, intent(ctx), in.ID, in.version())
	return a.accepted(ctx, done, err, in.Preference)
}

func (a *API) powerVM(action contract.PowerAction) func(context.Context, *changeVMInput) (*AcceptedOutput, error) {
	return func(ctx context.Context, in *changeVMInput) (*AcceptedOutput, error) {
		done, err := a.accept.PowerVM(ctx, intent(ctx), in.ID, action, in.version())
		return a.accepted(ctx, done, err, in.Preference)
	}
}

func (a *API) resizeVM(ctx context.Context, in *resizeVMInput) (*AcceptedOutput, error) {
	b := in.Body
	done, err := a.accept.ResizeVM(ctx, intent(ctx), in.ID, accept.VMResize{
		Flavor: b.Flavor, Size: models.Size{VCPU: b.VCPU, MemoryMiB: b.MemoryMiB, StorageGiB: b.StorageGiB}, AllowRestart: b.AllowRestart,
	}, in.version())
	return a.accepted(ctx, done, err, in.Preference)
}

func vm(v store.VM) VM {
	out := VM{
		ID: v.ID, Name: v.Name, TenantID: v.TenantID, Tenant: v.Tenant, Region: v.Region, GroupID: v.GroupID, Group: v.Group,
		BaremetalID: v.BaremetalID, Baremetal: v.Baremetal, ImageID: v.ImageID, Image: v.Image, FlavorID: v.FlavorID, Flavor: text(v.Flavor),
		SubnetID: v.SubnetID, Subnet: v.Subnet, Address: v.Address.String(), State: v.State, Size: Size(v.Size), Hostname: v.Hostname,
		GuestAddresses: append([]string{}, v.GuestAddresses...), ProviderRef: v.ProviderRef, CreatedBy: v.CreatedBy,
		OperationID: v.OperationID, Operation: text(v.OperationKind), Stamps: stamps(v.Stamps),
		Links: VMLinks{Self: path("vms/%s", v.ID), Operations: path("operations?resource_id=%s", v.ID)},
	}
	if v.OperationID != nil {
		out.Links.Operation = path("operations/%s", *v.OperationID)
	}
	return out
}
