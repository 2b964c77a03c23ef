package api

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// cloud is a small cloud that was made through the API: region tw with a rack, a group of two hosts, an image, a
// flavor, a shared subnet, and the tenants acme, acme/dev and rival.
type cloud struct {
	*edge
	group Group
	rack  Rack
	hosts []Baremetal
	image Image
	small Flavor
	lan   Subnet
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{edge: newEdge(t)}
	c.post("/v1/regions", M{"name": "tw", "title": "Taiwan"})
	c.post("/v1/regions", M{"name": "jp"})
	c.rack = decode[Rack](c.post("/v1/racks", M{"region": "tw", "name": "r1"}))
	c.group = decode[Group](c.post("/v1/groups", M{"region": "tw", "name": "general", "vcpu_ratio": 2}))
	c.image = decode[Image](c.post("/v1/images", M{"name": "ubuntu", "min_storage_gib": 5, "templates": M{"tw": "ubuntu-template"}}))
	c.small = decode[Flavor](c.post("/v1/flavors", M{"name": "small", "vcpu": 2, "memory_mib": 2048, "storage_gib": 10}))
	c.lan = decode[Subnet](c.post("/v1/subnets", M{"region": "tw", "name": "lan", "cidr": "10.1.0.0/28", "gateway": "10.1.0.1", "network": "vlan-100"}))
	c.record(hypervisor(1), hypervisor(2))
	for _, b := range decode[List[Baremetal]](c.get("/v1/baremetals")).Items {
		c.hosts = append(c.hosts, decode[Baremetal](c.call(c.admin, "PATCH", path("baremetals/%s", b.ID), M{"group": "general", "rack": "r1"}).is(200)))
	}
	c.tenant("acme", "")
	c.tenant("dev", "acme")
	c.tenant("rival", "")
	return c
}

func (c *cloud) post(path string, body any) answer {
	c.t.Helper()
	return c.call(c.admin, "POST", path, body).is(201)
}
func (c *cloud) get(path string) answer {
	c.t.Helper()
	return c.call(c.admin, "GET", path, nil).is(200)
}

func hypervisor(n int) contract.Hypervisor {
	return contract.Hypervisor{Ref: fmt.Sprintf("host-%d", n), UUID: fmt.Sprintf("uuid-%d", n), Name: fmt.Sprintf("esx-%d", n), Connected: true,
		Capacity: models.Size{VCPU: 8, MemoryMiB: 16384, StorageGiB: 100}}
}

// record records hosts as an import of its own would.
func (c *cloud) record(hosts ...contract.Hypervisor) contract.Recorded {
	c.t.Helper()
	op := models.NewID()
	_, err := c.store.Pool.Exec(c.t.Context(), `INSERT INTO operations (id, kind, region, resource_kind, resource_id, resource_name, actor_id, actor, state, input)
		VALUES ($1, 'region.import', 'tw', 'region', $1, 'tw', $1, 'test', 'succeeded', '{}')`, op)
	require.NoError(c.t, err)
	out, err := c.store.RecordHypervisors(c.t.Context(), contract.RecordInput{OperationID: op, Region: "tw", Hypervisors: hosts, Last: true})
	require.NoError(c.t, err)
	return out
}

// vm is a good create in acme/dev.
func (c *cloud) vm(name string) M {
	return M{"name": name, "tenant": "acme/dev", "region": "tw", "group": "general", "image": "ubuntu", "flavor": "small", "subnet": "lan"}
}

func (c *cloud) createVM(token, name string) Operation {
	c.t.Helper()
	return decode[Operation](c.call(token, "POST", "/v1/vms", c.vm(name)).is(202))
}

func TestAnImportKeepsWhatPeopleDecided(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	require.Equal(t, contract.Recorded{}, c.record(hypervisor(1), hypervisor(2)), "nothing changed")

	c.call(c.admin, "PATCH", path("baremetals/%s", c.hosts[0].ID), M{"maintenance": true}).is(200)
	bigger := hypervisor(1)
	bigger.Capacity.VCPU, bigger.Name = 16, "renamed"
	require.Equal(t, contract.Recorded{Added: 1, Changed: 1, Missing: 1}, c.record(bigger, hypervisor(3)))

	got := decode[Baremetal](c.get("/v1/baremetals/" + c.hosts[0].ID.String()))
	require.Equal(t, "renamed", got.Name)
	require.Equal(t, "general", got.Group)
	require.Equal(t, "r1", got.Rack)
	require.True(t, got.Maintenance)
	require.Equal(t, &HypervisorRoom{Total: Size{32, 16384, 100, 0}, Free: Size{32, 16384, 100, 0}}, got.Hypervisor)

	missing := decode[Baremetal](c.get("/v1/baremetals/" + c.hosts[1].ID.String()))
	require.False(t, missing.Connected)
	require.False(t, missing.Hypervisor.Placeable)

	require.Equal(t, Capacity{Hosts: 2, Placeable: 0, Total: Size{48, 32768, 200, 0}, Free: Size{48, 32768, 200, 0}}, decode[Group](c.get("/v1/groups/"+c.group.ID.String())).Capacity)
	require.Equal(t, contract.Recorded{Changed: 1, Missing: 1}, c.record(bigger, hypervisor(2)), "one is back, the other is gone")
}

func TestHostsMaySwapTheirNames(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	one, two := hypervisor(1), hypervisor(2)
	one.Name, two.Name = two.Name, one.Name
	twin := hypervisor(3)
	twin.Name = one.Name
	require.Equal(t, contract.Recorded{Added: 1, Changed: 2}, c.record(one, two, twin))
	var names []string
	for _, b := range decode[List[Baremetal]](c.get("/v1/baremetals?region=tw")).Items {
		names = append(names, b.Name)
	}
	require.Equal(t, []string{"esx-2", "esx-1", "esx-2~uuid-3"}, names)
}

func TestRatiosAndGroupsMoveTheRoomOfHosts(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	g := path("groups/%s", c.group.ID)
	changed := decode[Group](c.call(c.admin, "PATCH", g, M{"vcpu_ratio": 4, "policy": "pack"}, "If-Match", `"1"`).is(200))
	require.Equal(t, Capacity{Hosts: 2, Placeable: 2, Total: Size{64, 32768, 200, 0}, Free: Size{64, 32768, 200, 0}}, changed.Capacity)
	require.Equal(t, models.Pack, changed.Policy)
	c.call(c.admin, "PATCH", g, M{"vcpu_ratio": 2}, "If-Match", `"1"`).problem(models.CodePreconditionFailed)

	host := path("baremetals/%s", c.hosts[0].ID)
	p := c.call(c.admin, "PATCH", host, M{"group": "nowhere", "rack": "nowhere"}).problem(models.CodeInvalid)
	require.Equal(t, []models.FieldError{{Field: "body.rack", Message: "there is no such rack in region tw"}, {Field: "body.group", Message: "there is no such group in region tw"}}, p.Errors)
	out := decode[Baremetal](c.call(c.admin, "PATCH", host, M{"group": "", "rack": ""}).is(200))
	require.Nil(t, out.GroupID)
	require.Nil(t, out.RackID)
	require.False(t, out.Hypervisor.Placeable)
	require.EqualValues(t, 1, decode[Group](c.get(g)).Capacity.Hosts)
}

func TestAHostWithMachinesStaysInItsGroup(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.createVM(c.admin, "web")
	on := decode[List[VM]](c.get("/v1/vms")).Items[0].BaremetalID
	p := c.call(c.admin, "PATCH", path("baremetals/%s", on), M{"group": ""}).problem(models.CodeInUse)
	require.Contains(t, p.Detail, "carries 1 vms")
	c.call(c.admin, "PATCH", path("baremetals/%s", on), M{"maintenance": true, "group": "general"}).is(200)
}

func TestWhatIsUsedIsNotRemoved(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.createVM(c.admin, "web")
	for path, uses := range map[string]string{
		"racks/" + c.rack.ID.String():    "2 baremetals",
		"groups/" + c.group.ID.String():  "2 baremetals and 1 vms",
		"images/" + c.image.ID.String():  "1 vms",
		"flavors/" + c.small.ID.String(): "1 vms",
		"subnets/" + c.lan.ID.String():   "1 vms",
	} {
		p := c.call(c.admin, "DELETE", "/v1/"+path, nil).problem(models.CodeInUse)
		require.Contains(t, p.Detail, "still used by "+uses, path)
	}
	for _, made := range []answer{
		c.post("/v1/racks", M{"region": "jp", "name": "r1"}), c.post("/v1/groups", M{"region": "jp", "name": "general"}),
		c.post("/v1/images", M{"name": "empty"}), c.post("/v1/flavors", M{"name": "big", "vcpu": 8, "memory_mib": 8, "storage_gib": 1}),
		c.post("/v1/subnets", M{"region": "jp", "name": "lan", "cidr": "10.1.0.0/28", "network": "n"}),
	} {
		c.call(c.admin, "DELETE", made.Header.Get("Location"), nil, "If-Match", `"7"`).problem(models.CodePreconditionFailed)
		c.call(c.admin, "DELETE", made.Header.Get("Location"), nil).is(204)
		c.call(c.admin, "GET", made.Header.Get("Location"), nil).problem(models.CodeNotFound)
	}
}

func TestNamesAreTakenOnce(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for path, body := range map[string]M{
		"/v1/regions": {"name": "tw"}, "/v1/racks": {"region": "tw", "name": "r1"}, "/v1/groups": {"region": "tw", "name": "general"},
		"/v1/images": {"name": "ubuntu"}, "/v1/flavors": {"name": "small", "vcpu": 1, "memory_mib": 4, "storage_gib": 1},
		"/v1/subnets": {"region": "tw", "name": "lan", "cidr": "10.9.0.0/24", "network": "other"},
	} {
		p := c.call(c.admin, "POST", path, body).problem(models.CodeNameTaken)
		require.Contains(t, p.Detail, body["name"], path)
	}
	for path, body := range map[string]M{
		"/v1/racks": {"region": "mars", "name": "r1"}, "/v1/groups": {"region": "mars", "name": "g"},
		"/v1/subnets": {"region": "mars", "name": "lan", "cidr": "10.9.0.0/24", "network": "other"},
	} {
		p := c.call(c.admin, "POST", path, body).problem(models.CodeInvalid)
		require.Equal(t, []models.FieldError{{Field: "body.region", Message: "there is no such region"}}, p.Errors, path)
	}
}

func TestARegionShowsItsHostsAndWorkers(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	r := decode[Region](c.call(c.admin, "PATCH", "/v1/regions/tw", M{"state": "cordoned", "capabilities": []string{"vm", "k8s"}}).is(200))
	require.Equal(t, Region{Name: "tw", Title: "Taiwan", State: "cordoned", Capabilities: []string{"vm", "k8s"}, Workers: "unknown",
		Hypervisors: 2, Connected: 2, Placeable: 2, Stamps: Stamps{2, r.CreatedAt, r.UpdatedAt}}, r)
	c.call(c.admin, "POST", "/v1/vms", c.vm("web")).problem(models.CodeRegionNotReady)
	c.call(c.admin, "GET", "/v1/regions/mars", nil).problem(models.CodeNotFound)

	first := decode[List[Region]](c.get("/v1/regions?limit=1"))
	require.Equal(t, "jp", first.Items[0].Name)
	rest := decode[List[Region]](c.get("/v1/regions?limit=1&page_token=" + first.NextPageToken))
	require.Equal(t, "tw", rest.Items[0].Name)
	require.Empty(t, rest.NextPageToken)
}

func TestDryRunsOfTheInventoryWriteNothing(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	before := c.written()
	for path, body := range map[string]M{
		"/v1/regions": {"name": "de"}, "/v1/racks": {"region": "tw", "name": "r9"}, "/v1/groups": {"region": "tw", "name": "g9"},
		"/v1/images": {"name": "i9"}, "/v1/flavors": {"name": "f9", "vcpu": 1, "memory_mib": 4, "storage_gib": 1},
		"/v1/subnets":      {"region": "tw", "name": "s9", "cidr": "10.9.0.0/24", "network": "other"},
		"/v1/ip-addresses": {"subnet": "lan", "tenant": "acme"}, "/v1/vms": c.vm("web"),
	} {
		a := c.call(c.admin, "POST", path+"?dry_run=true", body).is(200)
		require.Empty(t, a.Header.Get("Location"), path)
	}
	require.Equal(t, before, c.written())
}

func TestListsAreFiltered(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for query, items := range map[string]int{
		"racks?region=tw": 1, "racks?region=jp": 0, "racks?name=r1": 1, "groups?region=tw&name=general": 1, "groups?name=none": 0,
		"baremetals": 2, "baremetals?group=general": 2, "baremetals?group=" + c.group.ID.String(): 2, "baremetals?rack=r1&role=hypervisor&state=in_use": 2,
		"baremetals?role=spare": 0, "baremetals?name=esx-1": 1, "baremetals?region=jp": 0, "images?region=tw": 1, "images?region=jp": 0, "images?name=ubuntu": 1,
		"flavors?name=small": 1, "flavors?name=x": 0, "subnets?region=tw&network=vlan-100": 1, "subnets?name=x": 0, "subnets?tenant=acme": 0,
		"vms?state=running": 0, "operations?kind=vm.provision": 0, "operations?state=active": 0, "operations?state=succeeded": 1, "ip-addresses?subnet=lan": 0,
	} {
		got := decode[List[map[string]any]](c.get("/v1/" + query))
		require.Len(t, got.Items, items, query)
	}
	token := decode[List[Baremetal]](c.get("/v1/baremetals?limit=1")).NextPageToken
	require.NotEmpty(t, token)
	c.call(c.admin, "GET", "/v1/baremetals?limit=1&name=esx-1&page_token="+token, nil).problem(models.CodeInvalid)
	c.call(c.admin, "GET", "/v1/baremetals?state=asleep", nil).problem(models.CodeInvalid)
	c.call(c.admin, "GET", "/v1/vms?tenant=nobody", nil).problem(models.CodeNotFound)
}

func TestTheInventoryIsForItsPeople(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	member := c.user("mia", "member@acme")
	for _, path := range []string{"/v1/racks", path("racks/%s", c.rack.ID), path("baremetals/%s", c.hosts[0].ID)} {
		c.call(member, "GET", path, nil).problem(models.CodeForbidden)
	}
	for _, path := range []string{"/v1/regions", "/v1/regions/tw", "/v1/groups", "/v1/images", "/v1/flavors", "/v1/subnets", path("subnets/%s", c.lan.ID)} {
		c.call(member, "GET", path, nil).is(200)
	}
	refused := c.count("audit_events WHERE outcome = 'refused'")
	for path, body := range map[string]any{
		"/v1/regions": M{"name": "de"}, "/v1/images": M{"name": "i"}, "/v1/leak-checks": M{}, "/v1/regions/tw/import": nil,
	} {
		c.call(member, "POST", path, body).problem(models.CodeForbidden)
		refused++
	}
	require.NoError(t, c.api.Flush(t.Context()))
	require.Equal(t, refused, c.count("audit_events WHERE outcome = 'refused'"))
}

func TestEveryReadHasAnETagThatChangesNeedAndReadsRespect(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	machine := c.running("web")
	for _, p := range []string{
		"/v1/regions/tw", path("racks/%s", c.rack.ID), path("groups/%s", c.group.ID), path("baremetals/%s", machine.BaremetalID), path("images/%s", c.image.ID),
		path("flavors/%s", c.small.ID), path("subnets/%s", c.lan.ID), machine.Links.Self,
	} {
		tag := c.get(p).Header.Get("ETag")
		require.Regexp(t, `^"[0-9]+(-[0-9a-f]{8})?"$`, tag, p)
		c.call(c.admin, "GET", p, nil, "If-None-Match", tag).is(304)
		require.Equal(t, tag, c.get(p).Header.Get("ETag"), p)
	}
	group := path("groups/%s", c.group.ID)
	tag := c.get(group).Header.Get("ETag")
	c.running("more") // takes room of the group, and leaves its row alone
	require.NotEqual(t, tag, c.get(group).Header.Get("ETag"))
	c.call(c.admin, "PATCH", group, M{"description": "x"}, "If-Match", tag).is(200)
	c.call(c.admin, "PATCH", group, M{"description": "y"}, "If-Match", tag).problem(models.CodePreconditionFailed)
	c.call(c.admin, "POST", machine.Links.Self+"/reboot", nil, "If-Match", c.get(machine.Links.Self).Header.Get("ETag")).is(202)
}
