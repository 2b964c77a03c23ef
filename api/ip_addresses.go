package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// IPAddress is an address that is taken, by a machine or by a reservation.
type IPAddress struct {
	ID          models.ID  `json:"id" format:"uuid" doc:"Id of the taken address." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Region      string     `json:"region" doc:"Where it is." example:"tw"`
	SubnetID    models.ID  `json:"subnet_id" format:"uuid" doc:"Subnet that it belongs to." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	Subnet      string     `json:"subnet" doc:"Name of the subnet." example:"lan"`
	Address     string     `json:"address" doc:"The address." example:"10.1.0.7"`
	TenantID    *models.ID `json:"tenant_id,omitempty" format:"uuid" doc:"Tenant that it counts for." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	Tenant      string     `json:"tenant,omitempty" doc:"Full name of the tenant." example:"acme/dev"`
	VMID        *models.ID `json:"vm_id,omitempty" format:"uuid" doc:"Machine that has it; absent for a reservation." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6d"`
	VM          string     `json:"vm,omitempty" doc:"Name of the machine." example:"web-1"`
	Description string     `json:"description" doc:"What a reservation is for." example:"the load balancer"`
	CreatedAt   time.Time  `json:"created_at" doc:"When it was taken." example:"2026-11-23T08:00:00Z"`
}

type reserveAddressInput struct {
	Idempotent
	DryRun
	Body struct {
		Subnet      string `json:"subnet" minLength:"1" maxLength:"255" doc:"Subnet, by name or id." example:"lan"`
		Region      string `json:"region,omitempty" maxLength:"63" doc:"Region of the subnet; needed where several have one of this name." example:"tw"`
		Tenant      string `json:"tenant" minLength:"1" maxLength:"255" doc:"Tenant that it is for, by full name or id." example:"acme/dev"`
		Address     string `json:"address,omitempty" maxLength:"45" doc:"The address; a free one if absent." example:"10.1.0.7"`
		Description string `json:"description,omitempty" maxLength:"1000" doc:"What it is for." example:"the load balancer"`
	}
}

type listAddressesInput struct {
	Paging
	Region  string    `query:"region" maxLength:"63" doc:"Region of the subnet, where it is given by name." example:"tw"`
	Subnet  string    `query:"subnet" maxLength:"255" doc:"Only of this subnet, by name or id." example:"lan"`
	Tenant  string    `query:"tenant" maxLength:"255" doc:"Only of this tenant, by full name or id." example:"acme/dev"`
	Subtree bool      `query:"subtree" doc:"With the tenant, also everything below it."`
	VM      models.ID `query:"vm" format:"uuid" doc:"Only of this machine." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6d"`
}

func (a *API) registerIPAddresses(h huma.API) {
	register(h, endpoint{ID: "reserve-ip-address", Method: http.MethodPost, Path: "/v1/ip-addresses", Action: "ip-address.reserve", Status: http.StatusCreated, Summary: "Reserve an address",
		Description: "Takes the given address, or a free one, so that no machine gets it. It counts against the tenant's quota."}, a.reserveAddress)
	register(h, endpoint{ID: "list-ip-addresses", Method: http.MethodGet, Path: "/v1/ip-addresses", Action: "ip-address.read", Summary: "List taken addresses"}, a.listAddresses)
	register(h, endpoint{ID: "get-ip-address", Method: http.MethodGet, Path: "/v1/ip-addresses/{id}", Action: "ip-address.read", Summary: "Show a taken address"}, a.getAddress)
	register(h, endpoint{ID: "release-ip-address", Method: http.MethodDelete, Path: "/v1/ip-addresses/{id}", Action: "ip-address.release", Status: http.StatusNoContent,
		Summary: "Release a reserved address", Description: "Gives a reservation back. A machine's address is given back when the machine is deleted."}, a.releaseAddress)
}

func (a *API) reserveAddress(ctx context.Context, in *reserveAddressInput) (*Resource[IPAddress], error) {
	c := trial(change(ctx, "ip-address.reserve"), in.DryRun)
	c.Share = true
	answer, err := store.Write(ctx, a.store, c, func(tx store.Tx) (store.Answer[IPAddress], error) {
		var none store.Answer[IPAddress]
		tenant, err := store.FindTenant(tx.DB, in.Body.Tenant)
		if err != nil {
			return none, err
		}
		if err := a.check(ctx, tx.Actor, c.Action, tenant.Resource("ip-address")); err != nil {
			return none, hidden(err)
		}
		sub, address, err := in.resolve(tx, tenant)
		if err != nil {
			return none, err
		}
		if err := store.ReserveAddress(tx.DB, sub, &address); err != nil {
			return none, err
		}
		wire := ipAddress(store.IPAddress{IPAddress: address, Region: sub.Region, Subnet: sub.Name, Tenant: &tenant.FullName})
		about := store.Subject{Kind: "ip-address", ID: address.ID.String(), Name: address.Address.String(), TenantID: &tenant.ID}
		return store.Created(path("ip-addresses/%s", address.ID), wire, about), nil
	})
	if err != nil {
		return nil, err
	}
	return created(answer, in.DryRun.DryRun, 0), nil
}

// hidden makes a refusal to see a tenant sound like there being none.
func hidden(err error) error {
	if models.IsCode(err, models.CodeNotFound) {
		return models.Faultf(models.CodeNotFound, "There is no such tenant that you can see.")
	}
	return err
}

// resolve finds the subnet and reads the address, and lists everything that is wrong with them.
func (in *reserveAddressInput) resolve(tx store.Tx, tenant store.Tenant) (store.Subnet, models.IPAddress, error) {
	address := models.IPAddress{ID: models.NewID(), TenantID: &tenant.ID, Description: in.Body.Description, CreatedAt: time.Now().UTC().Truncate(time.Microsecond)}
	var p addressReader
	sub, err := store.SubnetRef(tx.DB, in.Body.Region, in.Body.Subnet)
	open := err == nil && (sub.TenantID == nil || slices.Contains(tenant.Path, *sub.TenantID))
	switch {
	case err != nil && !models.IsCode(err, models.CodeNotFound):
		return sub, address, err
	case !open:
		p.say("body.subnet", "there is no such subnet for this tenant; a name that several regions have needs the region beside it")
		p.address("body.address", in.Body.Address)
	default:
		address.SubnetID = sub.ID
		address.Address.Addr = p.inside("body.address", in.Body.Address, sub.CIDR.Prefix)
		if address.Address.IsValid() && address.Address == sub.Gateway {
			p.say("body.address", "is the subnet's gateway")
		}
	}
	return sub, address, faulty(p.wrong)
}

func (a *API) listAddresses(ctx context.Context, in *listAddressesInput) (*ListOutput[IPAddress], error) {
	filters := []string{in.Region, in.Subnet, in.Tenant, onOff(in.Subtree), in.VM.String()}
	page, err := afterOrNone(in.Paging, filters...)
	if err != nil {
		return nil, err
	}
	f := store.IPAddressFilter{IDPage: page}
	if f.Tenant, f.Within, err = a.reach(ctx, in.Tenant, in.Subtree); err != nil {
		return nil, err
	}
	if in.Subnet != "" {
		if f.Subnets, err = a.store.SubnetsNamed(ctx, in.Subnet, in.Region); err != nil {
			return nil, err
		}
	}
	if in.VM != models.NoID {
		f.VM = &in.VM
	}
	addresses, err := a.store.IPAddresses(ctx, f)
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, addresses, func(i store.IPAddress) string { return i.ID.String() }, ipAddress, filters...), nil
}

// onOff is a switch as a filter.
func onOff(on bool) string {
	if on {
		return "true"
	}
	return ""
}

// reach says which tenants a list looks at: one, one and everything below it, or all that the actor may see.
func (a *API) reach(ctx context.Context, ref string, subtree bool) (tenant *models.ID, within []models.ID, err error) {
	if ref == "" {
		if who := actor(ctx); !who.Platform() {
			within = who.Tenants()
		}
		return nil, within, nil
	}
	id, err := a.tenantFilter(ctx, ref)
	if err != nil || !subtree {
		return id, nil, err
	}
	return nil, []models.ID{*id}, nil
}

func (a *API) getAddress(ctx context.Context, in *ByID) (*Resource[IPAddress], error) {
	i, err := a.address(ctx, a.store.DB.WithContext(ctx), actor(ctx), in.ID, "ip-address.read")
	if err != nil {
		return nil, err
	}
	return seen(ipAddress(i), 1)
}

// address reads a taken address that the actor may do this to.
func (a *API) address(ctx context.Context, db *gorm.DB, who authz.Actor, id models.ID, action string) (store.IPAddress, error) {
	i, err := store.FindIPAddress(db, id)
	if store.NotFound(err) || err == nil && !store.ScopeOf(who).Sees(i.TenantPath) {
		return i, models.Faultf(models.CodeNotFound, "There is no such ip-address that you can see.")
	}
	if err != nil {
		return i, err
	}
	return i, a.check(ctx, who, action, authz.Resource{Kind: "ip-address", Path: i.TenantPath, Frozen: i.TenantFrozen != nil && *i.TenantFrozen})
}

func (a *API) releaseAddress(ctx context.Context, in *ByID) (*struct{}, error) {
	c := change(ctx, "ip-address.release")
	c.Share = true
	_, err := store.Write(ctx, a.store, c, func(tx store.Tx) (store.Answer[struct{}], error) {
		var none store.Answer[struct{}]
		i, err := a.address(ctx, tx.DB, tx.Actor, in.ID, c.Action)
		if err != nil {
			return none, err
		}
		if i.VMID != nil {
			return none, models.Faultf(models.CodeInUse, "The address %s belongs to the vm %s. It is given back when the vm is deleted.", i.Address, text(i.VM))
		}
		answer := removed("ip-address", i.ID, i.Address.String())
		answer.Subject.TenantID = i.TenantID
		return answer, store.ReleaseAddress(tx.DB, i)
	})
	return nil, err
}

func ipAddress(i store.IPAddress) IPAddress {
	return IPAddress{ID: i.ID, Region: i.Region, SubnetID: i.SubnetID, Subnet: i.Subnet, Address: i.Address.String(), TenantID: i.TenantID, Tenant: text(i.Tenant),
		VMID: i.VMID, VM: text(i.VM), Description: i.Description, CreatedAt: i.CreatedAt.UTC()}
}
