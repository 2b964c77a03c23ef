package api

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// hall is a region with a rack of two spare machines that have GPUs and one without, as an enrolment leaves them.
type hall struct {
	*edge
	rack     Rack
	machines []models.ID
}

func newHall(t *testing.T) *hall {
	t.Helper()
	h := &hall{edge: newEdge(t)}
	h.call(h.admin, "POST", "/v1/regions", M{"name": "tw", "capabilities": []string{"bm"}}).is(201)
	h.rack = decode[Rack](h.call(h.admin, "POST", "/v1/racks", M{"region": "tw", "name": "r1", "height": 20}).is(201))
	for i := range 3 {
		id := models.NewID()
		h.exec(`INSERT INTO baremetals (id, region, name, role, state, hardware_uuid, rack_id, rack_unit, rack_height, vcpu, memory_mib) VALUES ($1, 'tw', $2, 'spare', 'available', $2, $3, $4, 2, 8, 4096)`,
			id, fmt.Sprintf("bm-%d", i+1), h.rack.ID, 1+2*i)
		gpus := `[]`
		if i < 2 {
			gpus = `[{"model": "H100"}]`
		}
		h.exec(`INSERT INTO baremetal_facts (baremetal_id, inventory) VALUES ($1, jsonb_build_object('bios', '1', 'gpus', $2::jsonb))`, id, gpus)
		h.machines = append(h.machines, id)
	}
	return h
}

func (h *hall) exec(sql string, args ...any) {
	h.t.Helper()
	_, err := h.store.Pool.Exec(h.t.Context(), sql, args...)
	require.NoError(h.t, err, sql)
}

func (h *hall) group(body M) Group {
	h.t.Helper()
	body["region"] = "tw"
	return decode[Group](h.call(h.admin, "POST", "/v1/groups", body).is(201))
}

func (h *hall) of(machine int) Baremetal {
	h.t.Helper()
	return decode[Baremetal](h.call(h.admin, "GET", path("baremetals/%s", h.machines[machine]), nil).is(200))
}

func TestAGroupGathersMachinesByItsRule(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	rule := M{"region": "tw", "name": "gpu", "rule": `gpu.model = "H100" and rack in ["r1"]`}
	planned := decode[Group](h.call(h.admin, "POST", "/v1/groups?dry_run=true", rule).is(200))
	require.Equal(t, MachineNames{2, []string{"bm-1", "bm-2"}}, planned.Membership.Joined)
	require.Zero(t, h.count("groups"))
	require.Empty(t, h.of(0).Group)

	g := h.group(rule)
	require.Equal(t, planned.Membership.Joined, g.Membership.Joined)
	require.Equal(t, GroupMachines{Total: 2, ByRole: map[string]int64{"spare": 2}, ByState: map[string]int64{"available": 2}, ByRule: 2, Spare: 2}, g.Machines)
	require.Equal(t, []string{"gpu", "gpu", ""}, []string{h.of(0).Group, h.of(1).Group, h.of(2).Group})

	all := h.group(M{"name": "all", "rule": "true"})
	require.Equal(t, int64(3), all.Membership.Joined.Count, "the smallest name wins")
	require.Equal(t, []RuleConflict{{"bm-1", []string{"all", "gpu"}}, {"bm-2", []string{"all", "gpu"}}}, all.Membership.Conflicts)

	where := path("groups/%s", all.ID)
	plan := decode[Group](h.call(h.admin, "PATCH", where+"?dry_run=true", M{"rule": `name = "bm-3"`}).is(200))
	require.Equal(t, MachineNames{2, []string{"bm-1", "bm-2"}}, plan.Membership.Left)
	require.Equal(t, all.Version, decode[Group](h.call(h.admin, "GET", where, nil).is(200)).Version, "a dry run changes nothing")
	h.call(h.admin, "PATCH", where, M{"rule": ""}).is(200)
	require.Equal(t, []string{"gpu", "gpu", ""}, []string{h.of(0).Group, h.of(1).Group, h.of(2).Group})

	p := h.call(h.admin, "PATCH", where, M{"rule": `colour == "red"`}).problem(models.CodeInvalid)
	require.Equal(t, []models.FieldError{{Field: "body.rule", Message: "line 1, column 1: there is no fact or function named colour"}}, p.Errors)
	h.call(h.admin, "POST", "/v1/groups", M{"region": "tw", "name": "x", "rule": "1 +"}).problem(models.CodeInvalid)
}

// A machine that was leased in no group counts in none, whatever a rule says.
func TestARuleLeavesWhatIsLeased(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	acme := h.tenant("acme", "")
	h.exec("UPDATE baremetals SET role = 'leased', state = 'in_use', tenant_id = $2 WHERE id = $1", h.machines[0], acme.ID)
	all := h.group(M{"name": "all", "rule": "true"})
	require.Equal(t, Membership{Joined: MachineNames{2, []string{"bm-2", "bm-3"}}, Left: MachineNames{0, []string{}}, Staying: MachineNames{0, []string{}}, Conflicts: []RuleConflict{}}, *all.Membership)
	require.Empty(t, h.of(0).Group)
}

func TestWhomAPersonPutSomewhereStaysThere(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	h.group(M{"name": "gpu", "rule": `gpu.count > 0`})
	h.group(M{"name": "mine"})
	where := path("baremetals/%s", h.machines[0])
	h.call(h.admin, "PATCH", where, M{"group": "mine"}).is(200)
	h.group(M{"name": "every", "rule": `true`})
	require.Equal(t, "mine", h.of(0).Group)
	h.call(h.admin, "PATCH", where, M{"group": ""}).is(200)
	require.Equal(t, "every", h.of(0).Group, "whom nobody puts anywhere is the rules' to decide about")
	h.call(h.admin, "PATCH", where, M{"rack": ""}).is(200)
	require.Equal(t, "every", h.of(0).Group)
	h.call(h.admin, "PATCH", where, M{"group": "every"}).is(200)
	h.group(M{"name": "a", "rule": `true`})
	require.Equal(t, []string{"every", "a"}, []string{h.of(0).Group, h.of(1).Group}, "whom a rule put there, a person may keep there")
}

func TestARackShowsWhatStandsInIt(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	where := path("racks/%s", h.rack.ID)
	e := decode[RackElevation](h.call(h.admin, "GET", where+"/units", nil).is(200))
	require.Len(t, e.Units, 20)
	require.Equal(t, RackUnit{Unit: 20, Free: true}, e.Units[0])
	require.Equal(t, RackUnit{Unit: 1, Machine: &RackOccupant{ID: h.machines[0], Name: "bm-1", Bottom: 1, Height: 2, Role: "spare", State: models.BaremetalAvailable}}, e.Units[19])
	p := h.call(h.admin, "PATCH", where, M{"height": 5}).problem(models.CodeInUse)
	require.Equal(t, "The rack r1 cannot have 5 units: the machine bm-3 stands up to unit 6. Move it first.", p.Detail)
	h.call(h.admin, "PATCH", where, M{"height": 61}).problem(models.CodeInvalid)
	require.Equal(t, 6, decode[Rack](h.call(h.admin, "PATCH", where, M{"height": 6}).is(200)).Height)

	h.group(M{"name": "hall", "rule": `failure_domain = "hall-1"`})
	h.call(h.admin, "PATCH", where, M{"failure_domain": "hall-1"}).is(200)
	require.Equal(t, "hall", h.of(2).Group, "what is said of a rack is said of its machines")
}

func TestDriftsAreLookedUpByWhoIsResponsible(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	ada := h.user("ada")
	h.call(h.admin, "POST", "/v1/maintainers", M{"name": "ada", "email": "ada@example.com", "user": "ada"}).is(201)
	h.call(h.admin, "POST", "/v1/assignments", M{"resource_kind": "rack", "resource": h.rack.ID.String(), "maintainer": "ada"}).is(201)
	lone := models.NewID()
	h.exec("INSERT INTO baremetals (id, region, name, role, state, hardware_uuid) VALUES ($1, 'tw', 'lone', 'spare', 'available', 'lone')", lone)
	look := contract.RecordObservationsInput{Region: "tw"}
	for _, id := range []models.ID{h.machines[0], lone} {
		look.Observations = append(look.Observations, contract.Observation{ID: id, Inspected: &contract.Inspected{Power: models.PowerOn, Health: models.Health{Status: models.HealthCritical}}})
	}
	recorded, err := h.store.RecordObservations(t.Context(), look)
	require.NoError(t, err)
	require.Equal(t, contract.ObservationsRecorded{Changed: 2, Drifts: 2}, recorded)

	list := func(token, query string) []Drift {
		return decode[List[Drift]](h.call(token, "GET", "/v1/drifts?"+query, nil).is(200)).Items
	}
	require.Len(t, list(h.admin, "state=open&kind=health&policy=report&region=tw"), 2)
	mine := list(ada, "maintainer=me")
	require.Len(t, mine, 1)
	require.Equal(t, []string{"bm-1", "health", `"ok"`, `"critical"`, "open"}, []string{mine[0].ResourceName, mine[0].Field, string(mine[0].Expected), string(mine[0].Found), mine[0].State})
	require.Empty(t, list(h.user("bob"), "maintainer=me"))
	h.call(ada, "GET", "/v1/drifts", nil).problem(models.CodeForbidden)
	h.call(ada, "GET", path("drifts/%s", mine[0].ID), nil).is(200)
	theirs := list(h.admin, "resource="+lone.String())[0]
	h.call(ada, "GET", path("drifts/%s", theirs.ID), nil).problem(models.CodeForbidden)
	h.call(ada, "POST", path("drifts/%s/ignore", mine[0].ID), M{"reason": "x"}).problem(models.CodeForbidden)

	operator := h.user("op", "operator")
	ignored := decode[Drift](h.call(operator, "POST", path("drifts/%s/ignore", mine[0].ID), M{"reason": "The disk is on order."}).is(200))
	require.Equal(t, []string{"ignored", "The disk is on order."}, []string{ignored.State, ignored.Reason})
	look.Observations[0].Inspected = &contract.Inspected{Power: models.PowerOn, Health: models.Health{Status: models.HealthOK}}
	recorded, err = h.store.RecordObservations(t.Context(), look)
	require.NoError(t, err)
	require.Equal(t, contract.ObservationsRecorded{Changed: 1, Closed: 1}, recorded, "it ends like any other")
	h.call(operator, "POST", path("drifts/%s/reopen", mine[0].ID), nil).problem(models.CodeWrongState)

	who := decode[Responsible](h.call(h.admin, "GET", path("baremetals/%s/responsible", h.machines[0]), nil).is(200))
	require.Equal(t, "rack", who.Through[0].ResourceKind)
	require.Empty(t, decode[Responsible](h.call(h.admin, "GET", path("baremetals/%s/responsible", lone), nil).is(200)).Through, "a machine without rack and group")
	h.call(h.admin, "POST", "/v1/assignments", M{"resource_kind": "region", "resource": "tw", "maintainer": "ada"}).is(201)
	require.Len(t, list(ada, "maintainer=me"), 2)
}

// TestRulesAndPeopleAtOnce changes a rule and a machine's group at the same time: whoever was last, nobody fails, and the
// machine is where the person put it.
func TestRulesAndPeopleAtOnce(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	g := h.group(M{"name": "gpu", "rule": `true`})
	h.group(M{"name": "mine"})
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			h.call(h.admin, "PATCH", path("groups/%s", g.ID), M{"rule": fmt.Sprintf("cores < %d or true", i)}).is(200)
		})
		all.Go(func() { h.call(h.admin, "PATCH", path("baremetals/%s", h.machines[i%3]), M{"group": "mine"}).is(200) })
	}
	all.Wait()
	require.Equal(t, []string{"mine", "mine", "mine"}, []string{h.of(0).Group, h.of(1).Group, h.of(2).Group})
}
