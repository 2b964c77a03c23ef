package api

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

func TestSubnetsGetTheirRange(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for i, s := range []struct {
		cidr, gateway, start, end string
		free                      int64
	}{
		{"10.2.0.0/24", "", "10.2.0.1", "10.2.0.254", 254},
		{"10.3.0.0/24", "10.3.0.1", "10.3.0.2", "10.3.0.254", 253},
		{"10.4.0.0/24", "10.4.0.254", "10.4.0.1", "10.4.0.253", 253},
		{"10.5.0.0/24", "10.5.0.7", "10.5.0.1", "10.5.0.254", 253},
		{"10.6.0.0/31", "", "10.6.0.0", "10.6.0.1", 2},
		{"10.7.0.0/32", "", "10.7.0.0", "10.7.0.0", 1},
		{"fd00:1::/64", "fd00:1::1", "fd00:1::2", "fd00:1::ffff:ffff:ffff:ffff", mostCounted},
		{"fd00:2::/126", "", "fd00:2::1", "fd00:2::3", 3},
	} {
		body := M{"region": "tw", "name": fmt.Sprint("s", i), "cidr": s.cidr, "network": "vlan-2"}
		if s.gateway != "" {
			body["gateway"] = s.gateway
		}
		got := decode[Subnet](c.post("/v1/subnets", body))
		require.Equal(t, []any{s.start, s.end, s.free, s.gateway}, []any{got.RangeStart, got.RangeEnd, got.Free, got.Gateway}, s.cidr)
	}
}

func TestBadSubnetsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for _, bad := range []struct {
		change M
		fields []string
	}{
		{M{"cidr": "10.2.0.1/24"}, []string{"body.cidr"}},
		{M{"cidr": "10.2.0.0/33", "gateway": "x", "dns": []string{"1.1.1.1", "y"}}, []string{"body.cidr", "body.dns[1]", "body.gateway"}},
		{M{"cidr": "::ffff:10.0.0.0/120"}, []string{"body.cidr"}},
		{M{"gateway": "10.3.0.1", "range_start": "10.1.9.9", "range_end": "fd00::1"}, []string{"body.gateway", "body.range_end", "body.range_start"}},
		{M{"gateway": "10.2.0.0"}, []string{"body.gateway"}},
		{M{"range_end": "10.2.0.255"}, []string{"body.range_end"}},
		{M{"range_start": "10.2.0.9", "range_end": "10.2.0.8"}, []string{"body.range_end"}},
		{M{"gateway": "10.2.0.9", "range_start": "10.2.0.9", "range_end": "10.2.0.9"}, []string{"body.range_end"}},
		{M{"gateway": "fe80::1%eth0"}, []string{"body.gateway"}},
		{M{"tenant": "nobody"}, []string{"body.tenant"}},
		{M{"cidr": "10.1.0.8/30", "network": "vlan-100"}, []string{"body.cidr"}},
		{M{"cidr": "10.0.0.0/8", "network": "vlan-100"}, []string{"body.cidr"}},
		{M{"vlan": 4095, "name": "Not A Name"}, []string{"body.name", "body.vlan"}},
	} {
		body := M{"region": "tw", "name": "s", "cidr": "10.2.0.0/24", "network": "vlan-2"}
		for k, v := range bad.change {
			body[k] = v
		}
		p := c.call(c.admin, "POST", "/v1/subnets", body).problem(models.CodeInvalid)
		require.Equal(t, bad.fields, wrongFields(p), "%v", bad.change)
	}
	// The same addresses are welcome on another network, and in another region.
	c.post("/v1/subnets", M{"region": "tw", "name": "other", "cidr": "10.1.0.0/28", "network": "vlan-101"})
	c.post("/v1/subnets", M{"region": "jp", "name": "lan", "cidr": "10.1.0.0/28", "network": "vlan-100"})
}

func TestOverlappingSubnetsCannotRace(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	var all sync.WaitGroup
	status := make([]int, 8)
	for i := range status {
		all.Go(func() {
			status[i] = c.call(c.admin, "POST", "/v1/subnets", M{"region": "tw", "name": fmt.Sprint("s", i), "cidr": fmt.Sprintf("10.2.0.0/%d", 20+i), "network": "race"}).Status
		})
	}
	all.Wait()
	require.Equal(t, 1, c.count("subnets WHERE network = 'race'"), "%v", status)
}

func TestATenantsSubnetIsSeenAlongItsBranch(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	private := decode[Subnet](c.post("/v1/subnets", M{"region": "tw", "name": "private", "cidr": "10.8.0.0/24", "network": "p", "tenant": "acme"}))
	require.Equal(t, "acme", private.Tenant)
	for token, sees := range map[string]bool{
		c.user("up", "viewer@acme"): true, c.user("down", "viewer@acme/dev"): true, c.user("aside", "admin@rival"): false, c.user("op", "operator"): true,
	} {
		names := 1
		if sees {
			names = 2
			c.call(token, "GET", path("subnets/%s", private.ID), nil).is(200)
		} else {
			c.call(token, "GET", path("subnets/%s", private.ID), nil).problem(models.CodeNotFound)
		}
		require.Len(t, decode[List[Subnet]](c.call(token, "GET", "/v1/subnets", nil).is(200)).Items, names)
	}
	p := c.call(c.admin, "POST", "/v1/ip-addresses", M{"subnet": "private", "tenant": "rival"}).problem(models.CodeInvalid)
	require.Equal(t, []string{"body.subnet"}, wrongFields(p))
	c.post("/v1/ip-addresses", M{"subnet": "private", "tenant": "acme/dev"})
}

func TestAddressesAreReservedAndReleased(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	dev := c.tenantID("acme/dev")
	c.call(c.admin, "PUT", path("tenants/%s/quotas/everywhere", c.tenantID("acme")), M{"ip_addresses": 3}).is(200)
	member := c.user("mia", "member@acme/dev")

	given := decode[IPAddress](c.call(member, "POST", "/v1/ip-addresses", M{"subnet": "lan", "region": "tw", "tenant": "acme/dev", "address": "10.1.0.9", "description": "for later"}).is(201))
	require.Equal(t, IPAddress{ID: given.ID, Region: "tw", SubnetID: c.lan.ID, Subnet: "lan", Address: "10.1.0.9", TenantID: &dev, Tenant: "acme/dev",
		Description: "for later", CreatedAt: given.CreatedAt}, given)
	require.Equal(t, given, decode[IPAddress](c.call(member, "GET", path("ip-addresses/%s", given.ID), nil).is(200)))
	c.call(member, "POST", "/v1/ip-addresses", M{"subnet": "lan", "tenant": "acme/dev", "address": "10.1.0.9"}).problem(models.CodeInUse)

	for _, bad := range []string{"10.1.0.1", "10.1.0.0", "10.1.0.15", "10.2.0.1", "hello"} {
		p := c.call(member, "POST", "/v1/ip-addresses", M{"subnet": "lan", "tenant": "acme/dev", "address": bad}).problem(models.CodeInvalid)
		require.Equal(t, []string{"body.address"}, wrongFields(p), bad)
	}
	require.Equal(t, "10.1.0.2", decode[IPAddress](c.call(member, "POST", "/v1/ip-addresses", M{"subnet": c.lan.ID, "tenant": dev}).is(201)).Address)
	require.Equal(t, "10.1.0.3", decode[IPAddress](c.call(member, "POST", "/v1/ip-addresses", M{"subnet": "lan", "tenant": "acme/dev"}).is(201)).Address)
	p := c.call(member, "POST", "/v1/ip-addresses", M{"subnet": "lan", "tenant": "acme/dev"}).problem(models.CodeQuotaExceeded)
	three := int64(3)
	require.Equal(t, []models.Shortage{{Resource: "ip_addresses", Where: "tenant acme", Limit: &three, Asked: 1, Free: 0}}, p.Shortages)
	require.EqualValues(t, 3, decode[Subnet](c.get(path("subnets/%s", c.lan.ID))).Used)
	c.requireBalance()

	c.call(c.user("rita", "admin@rival"), "DELETE", path("ip-addresses/%s", given.ID), nil).problem(models.CodeNotFound)
	c.call(c.user("vic", "viewer@acme"), "DELETE", path("ip-addresses/%s", given.ID), nil).problem(models.CodeForbidden)
	c.call(member, "DELETE", path("ip-addresses/%s", given.ID), nil).is(204)
	c.call(member, "DELETE", path("ip-addresses/%s", given.ID), nil).problem(models.CodeNotFound)
	c.call(member, "POST", "/v1/ip-addresses", M{"subnet": "lan", "tenant": "acme/dev"}).is(201)
	c.requireBalance()
}

func TestTheLastAddressGoesToExactlyOne(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	tiny := decode[Subnet](c.post("/v1/subnets", M{"region": "tw", "name": "tiny", "cidr": "10.9.0.0/29", "network": "tiny"}))
	require.EqualValues(t, 6, tiny.Free)
	var all sync.WaitGroup
	got := make([]answer, 20)
	for i := range got {
		all.Go(func() { got[i] = c.call(c.admin, "POST", "/v1/ip-addresses", M{"subnet": "tiny", "tenant": "acme"}) })
	}
	all.Wait()
	seen := map[string]bool{}
	for _, a := range got {
		if a.Status == 201 {
			seen[decode[IPAddress](a).Address] = true
			continue
		}
		a.problem(models.CodeAddressesExhausted)
	}
	require.Len(t, seen, 6)
	c.requireBalance()
}

func TestAMachinesAddressIsNotReleasedByHand(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	op := c.createVM(c.admin, "web")
	taken := decode[List[IPAddress]](c.get(fmt.Sprintf("/v1/ip-addresses?vm=%s", op.ResourceID))).Items
	require.Len(t, taken, 1)
	require.Equal(t, "web", taken[0].VM)
	require.True(t, netip.MustParsePrefix("10.1.0.0/28").Contains(netip.MustParseAddr(taken[0].Address)))
	c.call(c.admin, "DELETE", path("ip-addresses/%s", taken[0].ID), nil).problem(models.CodeInUse)
	c.requireBalance()
}

// tenantID finds a tenant.
func (c *cloud) tenantID(fullName string) models.ID {
	c.t.Helper()
	t, err := c.store.Tenant(c.t.Context(), fullName)
	require.NoError(c.t, err)
	return t.ID
}

// requireBalance proves that quota, host room, allocations and addresses add up.
func (c *cloud) requireBalance() {
	c.t.Helper()
	found, err := c.store.CheckLedger(c.t.Context())
	require.NoError(c.t, err)
	require.Empty(c.t, found.Findings)
}
