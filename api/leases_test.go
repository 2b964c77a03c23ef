package api

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

func (s *stable) lease(tenant string) M {
	return M{"tenant": tenant, "region": "tw", "group": "metal", "image": "metal-1"}
}

// end reports that an operation succeeded, with facts of its machine.
func (s *stable) end(a answer, facts *contract.BaremetalFacts) Operation {
	s.t.Helper()
	op := decode[Operation](a.is(202))
	done, err := s.store.Report(s.t.Context(), contract.Report{OperationID: op.ID, Seq: 1, State: models.OperationSucceeded, Baremetal: facts})
	require.NoError(s.t, err)
	require.True(s.t, done.Applied)
	return op
}

var (
	isTheirs = &contract.BaremetalFacts{Role: models.RoleLeased, State: models.BaremetalInUse, Power: models.PowerOn}
	isSpare  = &contract.BaremetalFacts{Role: models.RoleSpare, State: models.BaremetalAvailable, Power: models.PowerOff}
)

func (s *stable) input(op Operation) string {
	return s.text("SELECT input ->> 'boot' FROM operations WHERE id = $1", op.ID)
}

func (s *stable) used(tenant string) (out string) {
	return s.text("SELECT q.baremetals_used::text FROM quotas q JOIN tenants t ON t.id = q.tenant_id WHERE t.full_name = $1 AND q.group_id IS NULL", tenant)
}

func TestAMachineIsLeasedAndReleased(t *testing.T) {
	t.Parallel()
	s := newStable(t, 2)
	member, viewer := s.user("member", "member@acme"), s.user("viewer", "viewer@acme")
	body := s.lease("acme/dev")
	body["hostname"] = "db-1"
	plan := decode[LeasePlan](s.call(member, "POST", "/v1/leases?dry_run=true", body).is(200))
	require.Equal(t, LeasePlan{BaremetalID: s.id("m0"), Baremetal: "m0", Boots: "network", Reasons: []models.Reason{{Cause: "fits", Hosts: 2}},
		Quotas: []PlannedQuota{{Where: "tenant acme", Resource: "baremetals", Limit: 10, Before: 0, After: 1}}}, plan)
	require.Zero(t, s.count("operations WHERE kind = 'baremetal.lease'"))

	op := s.end(s.call(member, "POST", "/v1/leases", body, "Idempotency-Key", "one"), isTheirs)
	require.Equal(t, op.ID, decode[Operation](s.call(member, "POST", "/v1/leases", body, "Idempotency-Key", "one").is(202)).ID, "the same request is the same lease")
	require.JSONEq(t, `{"purpose": "provision", "image": "metal-1", "hostname": "db-1"}`, s.input(op))
	require.Equal(t, "baremetal.lease m0 acme/dev", op.Kind+" "+op.ResourceName+" "+op.Tenant)
	require.Equal(t, "1", s.used("acme"))
	s.requireBalance()

	mine := decode[List[Baremetal]](s.call(viewer, "GET", "/v1/baremetals", nil).is(200)).Items
	require.Len(t, mine, 1)
	require.Empty(t, decode[List[Baremetal]](s.call(viewer, "GET", "/v1/baremetals?rack=r1", nil).is(200)).Items)
	one := decode[Baremetal](s.call(viewer, "GET", path("baremetals/%s", s.id("m0")), nil).is(200))
	require.Equal(t, mine[0], one)
	full := decode[Baremetal](s.call(s.admin, "GET", path("baremetals/%s", s.id("m0")), nil).is(200))
	require.Equal(t, "r1 ref-secret", full.Rack+" "+full.ProviderRef)
	dev := full.TenantID
	require.Equal(t, Baremetal{ID: full.ID, Region: "tw", Name: "m0", Role: "leased", State: models.BaremetalInUse, GroupID: full.GroupID, Group: "metal",
		Capacity: Size{64, 262144, 4096, 0}, Connected: true, Vendor: "Dell Inc.", Power: models.PowerOn, Health: models.HealthOK, Labels: map[string]string{"gpu": "a100"}, Leased: Leased{TenantID: dev, Tenant: "acme/dev"},
		Stamps: full.Stamps}, one, "without what is the platform's business")

	s.exec(`INSERT INTO baremetal_facts (baremetal_id, inventory, reachable, fault) VALUES ($1, '{"serial": "SN-0"}', false, 'The BMC at https://10.9.0.0 did not answer.')`, s.id("m0"))
	parts := path("baremetals/%s/inventory", s.id("m0"))
	require.NotEmpty(t, decode[Inventory](s.call(s.admin, "GET", parts, nil).is(200)).Fault)
	made := decode[Inventory](s.call(viewer, "GET", parts, nil).is(200))
	require.Equal(t, "SN-0", made.Serial+made.Fault, "where its BMC is, is not told")
	s.exec(`UPDATE baremetal_facts SET health = '{"log": [{"id": "1", "message": "User root signed in from 10.9.0.200."}]}'`)
	lines := func(token string) int {
		return len(decode[BaremetalHealth](s.call(token, "GET", path("baremetals/%s/health", s.id("m0")), nil).is(200)).Log)
	}
	require.Equal(t, []int{0, 1}, []int{lines(viewer), lines(s.admin)}, "nor who signed in to it, or what was before the lease")

	release := path("baremetals/%s/release", s.id("m0"))
	s.call(viewer, "POST", release, nil).problem(models.CodeForbidden)
	s.call(member, "POST", release, M{"skip_wipe": true}).problem(models.CodeInvalid)
	require.Equal(t, "baremetal-wipe.skip", s.call(member, "POST", release, M{"skip_wipe": true, "reason": "x"}).problem(models.CodeForbidden).Missing)
	back := s.end(s.call(member, "POST", release, M{"reason": "done"}), isSpare)
	require.JSONEq(t, `{"purpose": "wipe", "image": "wipe-2", "media": "http://boot.example.com/wipe.iso"}`, s.input(back))
	require.JSONEq(t, `{"skip_wipe": false, "reason": "done"}`, s.text("SELECT detail::text FROM audit_events WHERE operation_id = $1 AND action = 'baremetal.release' AND outcome = 'accepted'", back.ID))
	require.Equal(t, "0", s.used("acme"))
	s.requireBalance()
	require.Empty(t, decode[List[Baremetal]](s.call(viewer, "GET", "/v1/baremetals", nil).is(200)).Items)
	s.call(viewer, "GET", path("baremetals/%s", s.id("m0")), nil).problem(models.CodeForbidden)
	s.call(s.admin, "POST", release, nil).problem(models.CodeWrongState)
}

func TestOperatorsHandOverThisVeryMachine(t *testing.T) {
	t.Parallel()
	s := newStable(t, 2)
	member, operator := s.user("member", "member@acme"), s.user("operator", "operator")
	on, body := path("baremetals/%s/lease", s.id("m1")), M{"tenant": "acme/dev", "image": "metal-1"}
	require.Equal(t, "baremetal.assign", s.call(member, "POST", on, body).problem(models.CodeForbidden).Missing)
	s.call(operator, "POST", on, body, "If-Match", `"7"`).problem(models.CodePreconditionFailed)
	s.call(operator, "POST", path("baremetals/%s/lease", models.NewID()), body).problem(models.CodeNotFound)
	require.Equal(t, "m1", decode[LeasePlan](s.call(operator, "POST", on+"?dry_run=true", body).is(200)).Baremetal)
	accepted := s.call(operator, "POST", on, body)
	op := decode[Operation](accepted.is(202))
	require.Equal(t, op.ID, *s.call(operator, "POST", on, body).problem(models.CodeOperationInProgress).OperationID)
	require.Equal(t, op.ID, *s.call(operator, "POST", path("baremetals/%s/release", s.id("m1")), nil).problem(models.CodeOperationInProgress).OperationID)
	s.end(accepted, isTheirs)
	s.call(operator, "POST", on, body).problem(models.CodeWrongState)

	for say, c := range map[string]struct {
		sql  string
		code models.Code
	}{
		"maintenance": {"UPDATE baremetals SET maintenance = true WHERE name = 'm0'", models.CodeWrongState},
		"unhealthy":   {"UPDATE baremetals SET maintenance = false, health = 'critical' WHERE name = 'm0'", models.CodeWrongState},
		"no BMC":      {"WITH b AS (DELETE FROM bmcs WHERE baremetal_id = (SELECT id FROM baremetals WHERE name = 'm0')) UPDATE baremetals SET health = 'ok' WHERE name = 'm0'", models.CodeNoBMC},
	} {
		s := newStable(t, 1)
		s.exec(c.sql)
		s.call(s.admin, "POST", path("baremetals/%s/lease", s.id("m0")), body).problem(c.code)
		require.Zero(t, s.count("allocations"), say)
	}
}

func TestALeaseIsRefusedForWhatItLacks(t *testing.T) {
	t.Parallel()
	s := newStable(t, 6)
	member, operator := s.user("member", "member@acme"), s.user("operator", "operator")
	rival := s.user("rival", "member@rival")
	ask := func(who string, changes M) answer {
		body := s.lease("acme")
		for k, v := range changes {
			body[k] = v
		}
		return s.call(who, "POST", "/v1/leases", body)
	}
	ask(rival, nil).problem(models.CodeNotFound)
	ask(member, M{"image": "wipe-1"}).problem(models.CodeInvalid)
	ask(member, M{"image": "ubuntu"}).problem(models.CodeInvalid)
	ask(member, M{"group": "none"}).problem(models.CodeInvalid)
	ask(member, M{"hostname": "a b"}).problem(models.CodeInvalid)
	ask(member, M{"region": "jp", "group": "x"}).problem(models.CodeInvalid)

	none := int64(0)
	require.Equal(t, []models.Shortage{{Resource: "baremetals", Where: "tenant rival", Limit: &none, Asked: 1}},
		ask(rival, M{"tenant": "rival"}).problem(models.CodeQuotaExceeded).Shortages, "nobody promised rival any")
	s.call(s.admin, "PUT", "/v1/tenants/"+s.idOf("tenants", "rival")+"/quotas/"+s.idOf("groups", "general"), M{"baremetals": 5}).is(200)
	ask(rival, M{"tenant": "rival"}).problem(models.CodeQuotaExceeded) // but of another group
	ask(operator, M{"tenant": "rival"}).is(202)

	for i, sql := range []string{"maintenance = true", "health = 'critical'", "state = 'failed'", "labels = '{}'"} {
		s.exec("UPDATE baremetals SET "+sql+" WHERE name = $1", "m"+string(rune('1'+i)))
	}
	s.exec("DELETE FROM bmcs WHERE baremetal_id = $1", s.id("m5"))
	full := ask(member, M{"labels": M{"gpu": "a100"}}).problem(models.CodeCapacityExhausted)
	require.Equal(t, []models.Reason{{Cause: "has no BMC", Hosts: 1}, {Cause: "has other labels", Hosts: 1}, {Cause: "is in maintenance", Hosts: 1},
		{Cause: "is leased", Hosts: 1}, {Cause: "is not available", Hosts: 1}, {Cause: "is unhealthy", Hosts: 1}}, full.Reasons)
	s.exec("UPDATE bmcs SET protocol = 'ipmi'")
	s.post("/v1/images", M{"name": "iso-only", "boot": M{"tw": M{"iso": "http://h/a.iso"}}})
	require.Contains(t, ask(member, M{"image": "iso-only"}).problem(models.CodeCapacityExhausted).Reasons, models.Reason{Cause: "has no virtual drive", Hosts: 1})

	s.call(s.admin, "PUT", "/v1/tenants/"+s.idOf("tenants", "acme")+"/quotas/everywhere", M{"baremetals": 1}).is(200)
	ask(member, nil).is(202)
	one := int64(1)
	require.Equal(t, []models.Shortage{{Resource: "baremetals", Where: "tenant acme", Limit: &one, Asked: 1}}, ask(member, nil).problem(models.CodeQuotaExceeded).Shortages)
	s.call(s.admin, "PATCH", "/v1/regions/tw", M{"state": "cordoned"}).is(200)
	ask(member, nil).problem(models.CodeRegionNotReady)
	s.requireBalance()
}

func TestTenantsKeepTheirMachines(t *testing.T) {
	t.Parallel()
	s := newStable(t, 1)
	member := s.user("member", "member@acme")
	s.end(s.call(member, "POST", "/v1/leases", s.lease("acme/dev")), isTheirs)
	m := s.id("m0")
	dev := "/v1/tenants/" + s.idOf("tenants", "dev")
	require.Contains(t, s.call(s.admin, "DELETE", dev, nil).problem(models.CodeInUse).Detail, "1 leased physical servers")
	s.call(s.admin, "PATCH", path("baremetals/%s", m), M{"group": "general"}).problem(models.CodeInUse)

	s.call(s.admin, "POST", dev+"/suspend", nil).is(200)
	s.call(member, "POST", path("baremetals/%s/release", m), nil).problem(models.CodeSuspended)
	s.call(member, "POST", "/v1/leases", s.lease("acme/dev")).problem(models.CodeSuspended)
	s.call(s.admin, "POST", dev+"/resume", nil).is(200)

	s.call(s.admin, "PUT", "/v1/tenants/"+s.idOf("tenants", "rival")+"/quotas/everywhere", M{"baremetals": 0}).is(200)
	s.call(s.admin, "POST", dev+"/move", M{"parent": "rival"}).problem(models.CodeQuotaExceeded)
	s.call(s.admin, "PUT", "/v1/tenants/"+s.idOf("tenants", "rival")+"/quotas/everywhere", M{"baremetals": 1}).is(200)
	s.call(s.admin, "POST", dev+"/move", M{"parent": "rival"}).is(200)
	require.Equal(t, "0 1", s.used("acme")+" "+s.used("rival"), "what it leases moves along")
	s.requireBalance()
	s.call(member, "GET", path("baremetals/%s", m), nil).problem(models.CodeForbidden)
	s.call(member, "POST", path("baremetals/%s/release", m), nil).problem(models.CodeNotFound)
}

// TestALeaseGivesNoRightsOnHardware: who looks after a tenant is asked about its machines, and may do nothing to them.
func TestALeaseGivesNoRightsOnHardware(t *testing.T) {
	t.Parallel()
	s := newStable(t, 1)
	s.end(s.call(s.admin, "POST", "/v1/leases", s.lease("acme/dev")), isTheirs)
	keeper, porter := s.user("keeper"), s.user("porter")
	for name, on := range map[string]M{"keeper": {"resource_kind": "tenant", "resource": "acme"}, "porter": {"resource_kind": "rack", "resource": s.rack.ID.String()}} {
		s.post("/v1/maintainers", M{"name": name, "email": name + "@example.com", "user": name})
		on["maintainer"] = name
		s.post("/v1/assignments", on)
	}
	m := path("baremetals/%s", s.id("m0"))
	asked := decode[Responsible](s.get(m + "/responsible"))
	require.Equal(t, []string{"rack", "tenant"}, []string{asked.Through[0].ResourceKind, asked.Through[1].ResourceKind})
	s.call(keeper, "GET", m, nil).problem(models.CodeForbidden)
	s.call(keeper, "PATCH", m, M{"maintenance": true}).problem(models.CodeForbidden)
	s.exec(`INSERT INTO drifts (id, region, kind, resource_kind, resource_id, resource_name, message, policy)
		VALUES (gen_random_uuid(), 'tw', 'unreachable', 'baremetal', $1, 'm0', 'The BMC at https://10.9.0.0 did not answer.', 'report')`, s.id("m0"))
	seen := func(who string) int {
		return len(decode[List[Drift]](s.call(who, "GET", "/v1/drifts?maintainer=me", nil).is(200)).Items)
	}
	require.Equal(t, []int{0, 1}, []int{seen(keeper), seen(porter)}, "where its BMC is, is not told")
	drift := "/v1/drifts/" + s.text("SELECT id::text FROM drifts")
	s.call(keeper, "GET", drift, nil).problem(models.CodeForbidden)
	s.call(porter, "GET", drift, nil).is(200)
	require.Equal(t, "r1", decode[Baremetal](s.call(porter, "GET", m, nil).is(200)).Rack)
	s.call(porter, "PATCH", m, M{"maintenance": true}).is(200)
}

func TestDiscoveriesAndReleasesNeedAnImage(t *testing.T) {
	t.Parallel()
	s := newStable(t, 2)
	member := s.user("member", "member@acme")
	on := path("baremetals/%s/discover", s.id("m1"))
	s.call(member, "POST", on, nil).problem(models.CodeForbidden)
	require.JSONEq(t, `{"purpose": "discovery", "image": "discovery-1"}`, s.input(s.end(s.call(s.admin, "POST", on, nil), nil)))
	s.call(s.admin, "DELETE", "/v1/images/"+s.idOf("images", "discovery-1"), nil).is(204)
	require.Contains(t, s.call(s.admin, "POST", on, nil).problem(models.CodeWrongState).Detail, "yunshu image create NAME --purpose discovery --kernel tw=ADDRESS")

	s.end(s.call(member, "POST", "/v1/leases", s.lease("acme")), isTheirs)
	s.call(s.admin, "POST", path("baremetals/%s/discover", s.id("m0")), nil).problem(models.CodeWrongState)
	s.exec("UPDATE bmcs SET protocol = 'ipmi'")
	release := path("baremetals/%s/release", s.id("m0"))
	s.call(s.admin, "PATCH", "/v1/images/"+s.idOf("images", "wipe-1"), M{"boot": M{"jp": M{"kernel": "http://h/k"}}}).is(200)
	require.Contains(t, s.call(member, "POST", release, nil).problem(models.CodeWrongState).Detail, "no wipe image that the baremetal m0 can boot")
	require.Equal(t, "{}", s.text("SELECT coalesce(input ->> 'boot', '{}') FROM operations WHERE id = $1",
		s.end(s.call(s.admin, "POST", release, M{"skip_wipe": true, "reason": "it goes to the scrapyard"}), isSpare).ID))
	s.requireBalance()
}

func TestImagesSayHowMachinesBootThem(t *testing.T) {
	t.Parallel()
	s := newStable(t, 0)
	names := func(query string) (out []string) {
		for _, i := range decode[List[Image]](s.get("/v1/images?" + query)).Items {
			out = append(out, i.Name)
		}
		return out
	}
	require.Equal(t, []string{"wipe-1", "wipe-2"}, names("purpose=wipe"))
	require.Equal(t, []string{"ubuntu", "metal-1", "wipe-1", "wipe-2", "discovery-1"}, names("region=tw"), "by template or by boot")
	i := "/v1/images/" + s.idOf("images", "ubuntu")
	require.Equal(t, Bootable{Purpose: "provision", Boot: map[string]Netboot{}}, decode[Image](s.get(i)).Bootable)
	both := decode[Image](s.call(s.admin, "PATCH", i, M{"boot": M{"jp": M{"iso": "http://h/a.iso"}}}).is(200))
	require.Equal(t, Bootable{Purpose: "provision", Boot: map[string]Netboot{"jp": {ISO: "http://h/a.iso"}}}, both.Bootable)
	require.Equal(t, map[string]string{"tw": "ubuntu-template"}, both.Templates)
}

// TestATenantIsNotToldWhereBMCsAre: what a region says of a BMC is the platform's business, wherever it is read.
func TestATenantIsNotToldWhereBMCsAre(t *testing.T) {
	t.Parallel()
	s := newStable(t, 1)
	owner := s.user("owner", "owner@acme")
	op := decode[Operation](s.call(owner, "POST", "/v1/leases", s.lease("acme/dev")).is(202))
	fault := models.Faultf(models.CodeLoginRefused, "The BMC of baremetal m0 at https://10.9.0.0 refused the name admin or its password.")
	fault.Step = "power-on"
	for i, r := range []contract.Report{{State: models.OperationRunning}, {State: models.OperationBlocked, Fault: fault, Steps: []contract.Step{{Number: 1, Name: "power-on", State: models.StepFailed, Message: fault.Message}}}} {
		r.OperationID, r.Seq = op.ID, int64(i+1)
		done, err := s.store.Report(t.Context(), r)
		require.NoError(t, err)
		require.True(t, done.Applied)
	}
	one := path("operations/%s", op.ID)
	for _, at := range []string{one, "/v1/operations", "/v1/audit-events", "/v1/audit-events/export"} {
		all, some := s.call(s.admin, "GET", at, nil).is(200).Body, s.call(owner, "GET", at, nil).is(200).Body
		require.Contains(t, string(all), "10.9.0.0", at)
		require.Contains(t, string(some), op.ID.String(), at)
		for _, secret := range []string{"10.9.0.0", "admin or its password", "ref-secret", "SN-0", s.rack.ID.String()} {
			require.NotContains(t, string(some), secret, at)
		}
	}
	told := decode[Operation](s.call(owner, "GET", one, nil).is(200))
	require.Equal(t, "The platform cannot drive the hardware of m0 as it should. Its operators see why; ask them.", told.Error.Message)
	require.Equal(t, models.CodeLoginRefused, told.Error.Code)
}
