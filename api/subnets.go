package api

import (
	"context"
	"fmt"
	"math/big"
	"net/http"
	"net/netip"

	"github.com/danielgtaylor/huma/v2"
	"go4.org/netipx"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Subnet is a network that addresses are taken from.
type Subnet struct {
	ID         models.ID  `json:"id" format:"uuid" doc:"Id of the subnet." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Region     string     `json:"region" doc:"Where it is." example:"tw"`
	TenantID   *models.ID `json:"tenant_id,omitempty" format:"uuid" doc:"The tenant that it is for, with all below; absent: for everyone." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	Tenant     string     `json:"tenant,omitempty" doc:"Full name of the tenant." example:"acme"`
	Name       string     `json:"name" doc:"Name, unique in its region." example:"lan"`
	CIDR       string     `json:"cidr" doc:"Its addresses." example:"10.1.0.0/16"`
	VLAN       int        `json:"vlan" doc:"VLAN id; 0 for none." example:"100"`
	Gateway    string     `json:"gateway,omitempty" doc:"Router that guests use; never given to a machine." example:"10.1.0.1"`
	DNS        []string   `json:"dns" doc:"Name servers that guests use." example:"[\"10.1.0.53\"]"`
	Network    string     `json:"network" doc:"The provider's network, such as a port group." example:"vlan-100"`
	RangeStart string     `json:"range_start" doc:"First address that is given to machines." example:"10.1.0.2"`
	RangeEnd   string     `json:"range_end" doc:"Last address that is given to machines." example:"10.1.255.254"`
	Used       int64      `json:"used" doc:"How many addresses of the range are taken." example:"17"`
	Free       int64      `json:"free" doc:"How many are free, at most 9007199254740991 (what JSON numbers hold)." example:"65516"`
	Stamps
}

type createSubnetInput struct {
	Idempotent
	DryRun
	Body struct {
		Region     string   `json:"region" minLength:"1" maxLength:"63" doc:"Where it is." example:"tw"`
		Tenant     string   `json:"tenant,omitempty" maxLength:"255" doc:"The tenant that it is for, with all below, by full name or id; absent: for everyone." example:"acme"`
		Name       string   `json:"name" pattern:"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" patternDescription:"a DNS label" doc:"Name, unique in its region." example:"lan"`
		CIDR       string   `json:"cidr" minLength:"3" maxLength:"49" doc:"Its addresses, IPv4 or IPv6." example:"10.1.0.0/16"`
		VLAN       int      `json:"vlan,omitempty" minimum:"0" maximum:"4094" doc:"VLAN id; 0 for none." example:"100"`
		Gateway    string   `json:"gateway,omitempty" maxLength:"45" doc:"Router that guests use; never given to a machine." example:"10.1.0.1"`
		DNS        []string `json:"dns,omitempty" maxItems:"8" doc:"Name servers that guests use." example:"[\"10.1.0.53\"]"`
		Network    string   `json:"network" minLength:"1" maxLength:"255" doc:"The provider's network, such as a port group." example:"vlan-100"`
		RangeStart string   `json:"range_start,omitempty" maxLength:"45" doc:"First address that is given to machines; the first usable one if absent." example:"10.1.0.2"`
		RangeEnd   string   `json:"range_end,omitempty" maxLength:"45" doc:"Last address that is given to machines; the last usable one if absent." example:"10.1.255.254"`
	}
}

type listSubnetsInput struct {
	Paging
	Region  string `query:"region" maxLength:"63" doc:"Only of this region." example:"tw"`
	Tenant  string `query:"tenant" maxLength:"255" doc:"Only those made for this very tenant, by full name or id." example:"acme"`
	Name    string `query:"name" maxLength:"63" doc:"Only with this name." example:"lan"`
	Network string `query:"network" maxLength:"255" doc:"Only of this provider's network." example:"vlan-100"`
}

type updateSubnetInput struct {
	ByID
	Precondition
	Body struct {
		DNS []string `json:"dns" maxItems:"8" doc:"Name servers that guests of new machines use." example:"[\"10.1.0.53\"]"`
	}
}

func (a *API) registerSubnets(h huma.API) {
	register(h, endpoint{ID: "create-subnet", Method: http.MethodPost, Path: "/v1/subnets", Action: "subnet.create", Status: http.StatusCreated, Summary: "Add a subnet",
		Description: "Adds a network that addresses are taken from. Subnets of one network do not overlap."}, a.createSubnet)
	register(h, endpoint{ID: "list-subnets", Method: http.MethodGet, Path: "/v1/subnets", Action: "subnet.read", Summary: "List subnets",
		Description: "Lists shared subnets and those of the tenants that you work with."}, a.listSubnets)
	register(h, endpoint{ID: "get-subnet", Method: http.MethodGet, Path: "/v1/subnets/{id}", Action: "subnet.read", Summary: "Show a subnet"}, a.getSubnet)
	register(h, endpoint{ID: "update-subnet", Method: http.MethodPatch, Path: "/v1/subnets/{id}", Action: "subnet.update", Summary: "Change a subnet's name servers",
		Description: "Machines that exist keep theirs."}, a.updateSubnet)
	register(h, endpoint{ID: "delete-subnet", Method: http.MethodDelete, Path: "/v1/subnets/{id}", Action: "subnet.delete", Status: http.StatusNoContent,
		Summary: "Remove a subnet", Description: "Removes a subnet of which no address is taken."}, a.deleteSubnet)
}

func (a *API) createSubnet(ctx context.Context, in *createSubnetInput) (*Resource[Subnet], error) {
	s, err := in.subnet()
	if err != nil {
		return nil, err
	}
	answer, err := platformWrite(ctx, a, trial(change(ctx, "subnet.create"), in.DryRun), func(tx *gorm.DB) (store.Answer[Subnet], error) {
		if err := in.place(tx, &s); err != nil {
			return store.Answer[Subnet]{}, err
		}
		if err := store.CreateSubnet(tx, &s); err != nil {
			return store.Answer[Subnet]{}, err
		}
		view, err := store.SubnetByID(tx, s.ID)
		about := subject("subnet", s.ID, s.Name)
		about.TenantID = s.TenantID
		return store.Created(path("subnets/%s", s.ID), subnet(view), about), err
	})
	if err != nil {
		return nil, err
	}
	return created(answer, in.DryRun.DryRun, answer.Body.Version), nil
}

// place checks a new subnet against what there is: its region, its tenant and its neighbours.
func (in *createSubnetInput) place(tx *gorm.DB, s *models.Subnet) error {
	if err := regionExists(tx, s.Region); err != nil {
		return err
	}
	if in.Body.Tenant != "" {
		t, err := store.FindTenant(tx, in.Body.Tenant)
		if models.IsCode(err, models.CodeNotFound) {
			return invalid("body.tenant", "there is no such tenant")
		} else if err != nil {
			return err
		}
		s.TenantID = &t.ID
	}
	other, err := store.Overlapping(tx, *s)
	if err == nil && other != nil {
		return invalid("body.cidr", fmt.Sprintf("overlaps with the subnet %s (%s) of the same network", other.Name, other.CIDR))
	}
	return err
}

// subnet reads the addresses of a new subnet and lists everything that is wrong with them.
func (in *createSubnetInput) subnet() (models.Subnet, error) {
	b := in.Body
	s := models.Subnet{ID: models.NewID(), Region: b.Region, Name: b.Name, VLAN: b.VLAN, Network: b.Network, DNS: models.Texts{}}
	var p addressReader
	cidr := p.prefix("body.cidr", b.CIDR)
	s.CIDR = models.CIDR{Prefix: cidr}
	s.Gateway.Addr = p.inside("body.gateway", b.Gateway, cidr)
	for i, server := range b.DNS {
		if dns := p.address(fmt.Sprintf("body.dns[%d]", i), server); dns.IsValid() {
			s.DNS = append(s.DNS, dns.String())
		}
	}
	start, end := p.inside("body.range_start", b.RangeStart, cidr), p.inside("body.range_end", b.RangeEnd, cidr)
	if p.wrong != nil {
		return s, faulty(p.wrong)
	}
	first, last := usable(cidr, s.Gateway.Addr)
	if !start.IsValid() {
		start = first
	}
	if !end.IsValid() {
		end = last
	}
	if !start.IsValid() || !end.IsValid() || end.Less(start) {
		return s, invalid("body.range_end", "leaves no address for machines")
	}
	s.RangeStart.Addr, s.RangeEnd.Addr = start, end
	if start == end && start == s.Gateway.Addr {
		return s, invalid("body.range_end", "leaves no address for machines besides the gateway")
	}
	return s, nil
}

// addressReader reads addresses and collects what is wrong with them.
type addressReader struct{ wrong []models.FieldError }

func (r *addressReader) say(field, message string) {
	r.wrong = append(r.wrong, models.FieldError{Field: field, Message: message})
}

func (r *addressReader) prefix(field, s string) netip.Prefix {
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || p.Addr().Is4In6():
		r.say(field, "must be an IPv4 or IPv6 network such as 10.1.0.0/16")
		return netip.Prefix{}
	case p != p.Masked():
		r.say(field, "must be the address of a network: the bits behind its prefix must be zero")
		return netip.Prefix{}
	}
	return p
}

// address reads an address; without a text there is none.
func (r *addressReader) address(field, s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		r.say(field, "must be an IPv4 or IPv6 address")
		return netip.Addr{}
	}
	return a
}

// inside reads an address that must be one of the network's hosts.
func (r *addressReader) inside(field, s string, network netip.Prefix) netip.Addr {
	a := r.address(field, s)
	if !a.IsValid() || !network.IsValid() {
		return a
	}
	switch {
	case !network.Contains(a):
		r.say(field, "must be inside the subnet")
	case reserved(network, a):
		r.say(field, "must not be the network's own address or its broadcast address")
	}
	return a
}

// reserved reports whether an address of a network is not for hosts: the first, and with IPv4 also the last. The
// smallest networks have no such addresses.
func reserved(network netip.Prefix, a netip.Addr) bool {
	if network.Addr().BitLen()-network.Bits() < 2 {
		return false
	}
	return a == network.Addr() || a.Is4() && a == netipx.PrefixLastIP(network)
}

// usable returns the first and last address of a network that hosts may have, less a gateway at one of the ends.
func usable(network netip.Prefix, gateway netip.Addr) (first, last netip.Addr) {
	first, last = network.Addr(), netipx.PrefixLastIP(network)
	if reserved(network, first) {
		first = first.Next()
	}
	if reserved(network, last) {
		last = last.Prev()
	}
	if first == gateway && first != last {
		first = first.Next()
	} else if last == gateway && first != last {
		last = last.Prev()
	}
	return first, last
}

func (a *API) listSubnets(ctx context.Context, in *listSubnetsInput) (*ListOutput[Subnet], error) {
	filters := []string{in.Region, in.Tenant, in.Name, in.Network}
	page, err := afterOrNone(in.Paging, filters...)
	if err != nil {
		return nil, err
	}
	tenant, err := a.tenantFilter(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	subnets, err := a.store.Subnets(ctx, store.SubnetFilter{Region: in.Region, Name: in.Name, Network: in.Network, Tenant: tenant, See: store.ScopeOf(actor(ctx)), IDPage: page})
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, subnets, func(s store.Subnet) string { return s.ID.String() }, subnet, filters...), nil
}

// tenantFilter finds the tenant that a list is narrowed to, if the actor may see it.
func (a *API) tenantFilter(ctx context.Context, ref string) (*models.ID, error) {
	if ref == "" {
		return nil, nil
	}
	t, err := a.store.Tenant(ctx, ref)
	if err != nil {
		return nil, err
	}
	if err := a.check(ctx, actor(ctx), "tenant.read", t.Resource("tenant")); err != nil {
		return nil, err
	}
	return &t.ID, nil
}

func (a *API) getSubnet(ctx context.Context, in *ByID) (*Resource[Subnet], error) {
	got, err := a.store.Subnets(ctx, store.SubnetFilter{ID: &in.ID, See: store.ScopeOf(actor(ctx)), IDPage: store.IDPage{Limit: 1}})
	if err != nil {
		return nil, err
	}
	if len(got) == 0 {
		return nil, models.Faultf(models.CodeNotFound, "There is no such subnet that you can see.")
	}
	return seen(subnet(got[0]), got[0].Version)
}

func (a *API) updateSubnet(ctx context.Context, in *updateSubnetInput) (*Resource[Subnet], error) {
	var p addressReader
	dns := models.Texts{}
	for i, server := range in.Body.DNS {
		at := fmt.Sprintf("body.dns[%d]", i)
		if server == "" {
			p.say(at, "must be an IPv4 or IPv6 address")
			continue
		}
		dns = append(dns, p.address(at, server).String())
	}
	if err := faulty(p.wrong); err != nil {
		return nil, err
	}
	answer, err := platformWrite(ctx, a, change(ctx, "subnet.update"), func(tx *gorm.DB) (store.Answer[Subnet], error) {
		var none store.Answer[Subnet]
		s, err := store.LockSubnet(tx, in.ID)
		if err != nil {
			return none, err
		}
		if err := in.holds(s.Version); err != nil {
			return none, err
		}
		s.DNS = dns
		if err := store.UpdateSubnet(tx, s.Subnet); err != nil {
			return none, err
		}
		view, err := store.SubnetByID(tx, in.ID)
		return store.Changed(subnet(view), subject("subnet", s.ID, s.Name)), err
	})
	if err != nil {
		return nil, err
	}
	return seen(answer.Body, answer.Body.Version)
}

func (a *API) deleteSubnet(ctx context.Context, in *deleteInput) (*struct{}, error) {
	_, err := platformWrite(ctx, a, change(ctx, "subnet.delete"), func(tx *gorm.DB) (store.Answer[struct{}], error) {
		s, err := store.LockSubnet(tx, in.ID)
		if err == nil {
			err = in.holds(s.Version)
		}
		if err == nil {
			err = store.DeleteSubnet(tx, s.Subnet)
		}
		return removed("subnet", s.ID, s.Name), err
	})
	return nil, err
}

func subnet(s store.Subnet) Subnet {
	out := Subnet{
		ID: s.ID, Region: s.Region, TenantID: s.TenantID, Tenant: text(s.Tenant), Name: s.Name, CIDR: s.CIDR.String(), VLAN: s.VLAN,
		DNS: append([]string{}, s.DNS...), Network: s.Network, RangeStart: s.RangeStart.String(), RangeEnd: s.RangeEnd.String(),
		Used: s.Used, Stamps: stamps(s.Stamps),
	}
	if s.Gateway.IsValid() {
		out.Gateway = s.Gateway.String()
	}
	out.Free = max(0, size(s.Subnet)-s.Used)
	return out
}

// mostCounted is the largest number that every reader of JSON holds.
const mostCounted = 1<<53 - 1

// size counts the addresses of a subnet's range that machines may have.
func size(s models.Subnet) int64 {
	first, last := new(big.Int).SetBytes(s.RangeStart.AsSlice()), new(big.Int).SetBytes(s.RangeEnd.AsSlice())
	n := last.Sub(last, first).Add(last, big.NewInt(1))
	if g := s.Gateway.Addr; g.IsValid() && !g.Less(s.RangeStart.Addr) && !s.RangeEnd.Less(g) {
		n.Sub(n, big.NewInt(1))
	}
	if !n.IsInt64() || n.Int64() > mostCounted {
		return mostCounted
	}
	return n.Int64()
}
