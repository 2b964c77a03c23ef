package api

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// enrolled is a server that has come in, at this path.
func (e *edge) enrolled(n int) (id models.ID, where string) {
	e.t.Helper()
	op := decode[Operation](e.call(e.admin, "POST", "/v1/baremetals", inTW(server(n))).is(202))
	e.end(op.ID, contract.BaremetalFacts{State: models.BaremetalAvailable})
	return op.ResourceID, path("baremetals/%s", op.ResourceID)
}

// end reports the end of an operation, with facts of its server.
func (e *edge) end(operation models.ID, facts contract.BaremetalFacts) {
	e.t.Helper()
	for seq, state := range []models.OperationState{models.OperationRunning, models.OperationSucceeded} {
		r := contract.Report{OperationID: operation, Seq: int64(seq + 1), State: state}
		if state.Ended() {
			r.Baremetal = &facts
		}
		got, err := e.store.Report(e.t.Context(), r)
		require.NoError(e.t, err)
		require.True(e.t, got.Applied)
	}
}

func TestAServerIsOperated(t *testing.T) {
	t.Parallel()
	e := newYard(t)
	id, where := e.enrolled(1)
	for verb, c := range map[string]struct {
		body any
		want string
	}{
		"power-on":        {nil, `"action": "on"`},
		"power-off":       {M{"force": true}, `"action": "off"`},
		"shutdown":        {nil, `"action": "shutdown"`},
		"reset":           {nil, `"action": "reset"`},
		"boot-device":     {M{"device": "pxe", "persistent": true}, `"device": "pxe"`},
		"insert-media":    {M{"url": "https://images.example.com/rescue.iso"}, `"url": "https://images.example.com/rescue.iso"`},
		"eject-media":     {nil, `"kind": "baremetal.media"`},
		"locate":          {M{"on": true}, `"on": true`},
		"health-check":    {nil, `"kind": "baremetal.inspect"`},
		"rotate-password": {nil, `"kind": "baremetal.rotate"`},
	} {
		op := decode[Operation](e.call(e.admin, "POST", where+"/"+verb, c.body, "Idempotency-Key", verb).is(202))
		require.Equal(t, op.ID, decode[Operation](e.call(e.admin, "POST", where+"/"+verb, c.body, "Idempotency-Key", verb).is(202)).ID, verb)
		require.Contains(t, e.text("SELECT input FROM operations WHERE id = $1", op.ID), c.want, verb)
		busy := e.call(e.admin, "POST", where+"/locate", M{"on": true}).problem(models.CodeOperationInProgress)
		require.Equal(t, op.ID, *busy.OperationID)
		e.end(op.ID, contract.BaremetalFacts{})
	}
	e.call(e.admin, "POST", where+"/reset", nil, "If-Match", `"99"`).problem(models.CodePreconditionFailed)
	e.call(e.admin, "POST", where+"/insert-media", M{"url": "https://user:secret@images.example.com/x.iso"}).problem(models.CodeInvalid)
	e.call(e.admin, "POST", where+"/insert-media", M{"url": "file:///etc/passwd"}).problem(models.CodeInvalid)
	e.call(e.admin, "POST", path("baremetals/%s/reset", models.NewID()), nil).problem(models.CodeNotFound)

	e.call(e.admin, "POST", where+"/return-to-service", nil).problem(models.CodeWrongState)
	e.call(e.admin, "POST", where+"/join", nil).problem(models.CodeWrongState) // nobody knows its hardware
	failed := decode[Baremetal](e.call(e.admin, "POST", where+"/mark-failed", M{"reason": "it smells burnt"}).is(200))
	require.Equal(t, models.BaremetalFailed, failed.State)
	require.Contains(t, e.text("SELECT string_agg(detail::text, '') FROM audit_events WHERE action = 'baremetal.maintain'"), "it smells burnt")
	back := decode[Operation](e.call(e.admin, "POST", where+"/return-to-service", nil).is(202))
	require.Contains(t, e.text("SELECT input FROM operations WHERE id = $1", back.ID), `"return": true`)
	e.end(back.ID, contract.BaremetalFacts{Serviceable: true})
	_, err := e.store.Pool.Exec(t.Context(), "UPDATE baremetals SET hardware_uuid = 'u-1' WHERE id = $1", id)
	require.NoError(t, err)
	join := decode[Operation](e.call(e.admin, "POST", where+"/join", nil).is(202))
	require.Contains(t, e.text("SELECT input FROM operations WHERE id = $1", join.ID), `"uuid": "u-1"`)
	e.end(join.ID, contract.BaremetalFacts{State: models.BaremetalAvailable})

	retire := decode[Operation](e.call(e.admin, "POST", where+"/retire", nil).is(202))
	require.Contains(t, e.text("SELECT input FROM operations WHERE id = $1", retire.ID), `"from": "available"`)
	require.Equal(t, models.BaremetalRetiring, decode[Baremetal](e.call(e.admin, "GET", where, nil).is(200)).State)
	e.end(retire.ID, contract.BaremetalFacts{State: models.BaremetalGone})
	e.call(e.admin, "GET", where, nil).problem(models.CodeNotFound)
	e.call(e.admin, "POST", "/v1/baremetals", inTW(server(1))).is(202) // its name, address, serial and place are free again
}

func TestAnImportedHypervisorGetsItsBMC(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.call(c.admin, "PATCH", "/v1/regions/tw", M{"capabilities": []string{"vm", "bm"}}).is(200)
	_, other := c.enrolledIn("r1")
	where := path("baremetals/%s", c.hosts[0].ID)
	require.Contains(t, c.call(c.admin, "POST", where+"/power-on", nil).problem(models.CodeNoBMC).Detail, "yunshu baremetal set-bmc esx-1")
	c.call(c.admin, "PATCH", where, M{"maintenance": true}).is(200)
	require.Contains(t, c.call(c.admin, "POST", where+"/end-maintenance", nil).problem(models.CodeNoBMC).Detail, "yunshu baremetal update esx-1 --maintenance=false")
	c.call(c.admin, "PATCH", where, M{"maintenance": false}).is(200)
	access := M{"address": "https://10.5.0.1:443", "username": "root", "password": "x", "fingerprint": fmt.Sprintf("%064d", 7)}
	got := decode[Baremetal](c.call(c.admin, "PUT", where+"/bmc", access).is(200))
	require.Equal(t, BMC{Address: "https://10.5.0.1", Protocol: models.Redfish, Fingerprint: fmt.Sprintf("%064d", 7), Username: "root"}, *got.BMC)
	require.Contains(t, c.call(c.admin, "PUT", other+"/bmc", access).problem(models.CodeAddressTaken).Detail, "esx-1")
	access["fingerprint"] = "12:34"
	c.call(c.admin, "PUT", where+"/bmc", access).problem(models.CodeInvalid)

	op := c.createVM(c.admin, "web")
	vm := decode[VM](c.call(c.admin, "GET", path("vms/%s", op.ResourceID), nil).is(200))
	where = path("baremetals/%s", vm.BaremetalID)
	c.call(c.admin, "PUT", where+"/bmc", M{"address": "https://10.5.0.2", "username": "root", "password": "x"}).is(200)
	require.Contains(t, c.call(c.admin, "POST", where+"/reset", nil).problem(models.CodeInUse).Detail, "carries 1 running vms")
	c.call(c.admin, "POST", where+"/retire", nil).problem(models.CodeWrongState)
	forced := decode[Operation](c.call(c.admin, "POST", where+"/reset", M{"force": true}).is(202))
	c.end(forced.ID, contract.BaremetalFacts{})
	c.call(c.admin, "POST", where+"/mark-failed", M{"reason": "x"}).is(200)
	require.False(t, decode[Baremetal](c.call(c.admin, "GET", where, nil)).Hypervisor.Placeable)
	c.call(c.admin, "POST", where+"/retire", nil).problem(models.CodeInUse)
}

// Whatever an operation comes to that was under way, who marked a server meanwhile is heard.
func TestAMarkOutlivesAnOperation(t *testing.T) {
	t.Parallel()
	e := newYard(t)
	_, where := e.enrolled(1)
	op := decode[Operation](e.call(e.admin, "POST", where+"/power-on", nil).is(202))
	e.call(e.admin, "POST", where+"/mark-failed", M{"reason": "The mainboard smells burnt."}).is(200)
	e.end(op.ID, contract.BaremetalFacts{State: models.BaremetalAvailable})
	got := decode[Baremetal](e.call(e.admin, "GET", where, nil).is(200))
	require.Equal(t, []any{true, "The mainboard smells burnt."}, []any{got.Maintenance, got.MaintenanceReason})
	op = decode[Operation](e.call(e.admin, "POST", where+"/return-to-service", nil).is(202))
	e.end(op.ID, contract.BaremetalFacts{Serviceable: true})
	got = decode[Baremetal](e.call(e.admin, "GET", where, nil).is(200))
	require.Equal(t, []any{false, models.BaremetalAvailable}, []any{got.Maintenance, got.State})
}

// enrolledIn is a server that has come in, in a rack.
func (e *edge) enrolledIn(rack string) (id models.ID, where string) {
	e.t.Helper()
	m := inTW(server(1))
	m["rack"] = rack
	op := decode[Operation](e.call(e.admin, "POST", "/v1/baremetals", m).is(202))
	e.end(op.ID, contract.BaremetalFacts{State: models.BaremetalAvailable})
	return op.ResourceID, path("baremetals/%s", op.ResourceID)
}

func TestWhoLeasesAServerSwitchesItsPower(t *testing.T) {
	t.Parallel()
	e := newYard(t)
	acme := e.tenant("acme", "")
	e.tenant("rival", "")
	member, viewer, rival := e.user("ming", "member@acme"), e.user("viv", "viewer@acme"), e.user("mallory", "owner@rival")
	id, where := e.enrolled(1)
	e.call(member, "POST", where+"/reset", nil).problem(models.CodeNotFound)
	_, err := e.store.Pool.Exec(t.Context(), "UPDATE baremetals SET role = 'leased', state = 'in_use', tenant_id = $2 WHERE id = $1", id, acme.ID)
	require.NoError(t, err)
	e.call(rival, "POST", where+"/reset", nil).problem(models.CodeNotFound)
	e.call(viewer, "POST", where+"/reset", nil).problem(models.CodeForbidden)
	e.call(member, "POST", where+"/boot-device", M{"device": "pxe"}).problem(models.CodeForbidden)
	op := decode[Operation](e.call(member, "POST", where+"/reset", nil).is(202))
	require.Equal(t, "acme", op.Tenant)
	e.call(member, "GET", path("operations/%s", op.ID), nil).is(200)
	e.call(rival, "GET", path("operations/%s", op.ID), nil).problem(models.CodeNotFound)
	e.end(op.ID, contract.BaremetalFacts{})
	e.call(e.admin, "POST", where+"/retire", nil).problem(models.CodeWrongState)
	e.call(e.admin, "POST", path("tenants/%s/suspend", acme.ID), nil).is(200)
	e.call(member, "POST", where+"/reset", nil).problem(models.CodeSuspended)
}

func TestAServerHasAPlaceANameAndLabels(t *testing.T) {
	t.Parallel()
	e := newYard(t)
	_, one := e.enrolled(1)
	_, two := e.enrolled(2)
	got := decode[Baremetal](e.call(e.admin, "PATCH", one, M{"name": "bm.one", "rack_unit": 10, "rack_height": 4, "labels": M{"a": "b"}}).is(200))
	require.Equal(t, []any{"bm.one", 10, 4, map[string]string{"a": "b"}}, []any{got.Name, got.RackUnit, got.RackHeight, got.Labels})
	require.Contains(t, e.call(e.admin, "PATCH", two, M{"rack_unit": 13}).problem(models.CodePositionTaken).Detail, "Unit 13 of rack r0 is taken by the baremetal bm.one")
	e.call(e.admin, "PATCH", two, M{"name": "bm.one"}).problem(models.CodeNameTaken)
	e.call(e.admin, "PATCH", two, M{"rack_unit": 40, "rack_height": 4}).problem(models.CodeInvalid)
	e.call(e.admin, "PATCH", two, M{"labels": M{"no spaces": "x"}}).problem(models.CodeInvalid)
	require.Zero(t, decode[Baremetal](e.call(e.admin, "PATCH", one, M{"rack": ""}).is(200)).RackUnit)
	e.call(e.admin, "PATCH", two, M{"rack_unit": 13}).is(200)
}

func TestWhatABMCSaidIsShown(t *testing.T) {
	t.Parallel()
	e := newYard(t)
	_, where := e.enrolled(1)
	none := decode[BaremetalHealth](e.call(e.admin, "GET", where+"/health", nil).is(200))
	require.Equal(t, BaremetalHealth{Sensors: []HealthSensor{}, Log: []HealthEntry{}}, none)
	op := decode[Operation](e.call(e.admin, "POST", where+"/health-check", nil).is(202))
	e.end(op.ID, contract.BaremetalFacts{Inspected: &contract.Inspected{
		Power: models.PowerOn, Health: models.Health{Status: models.HealthWarning, Sensors: []models.Sensor{{Name: "Inlet", Value: 41, Unit: "Cel", Health: models.HealthWarning}}, Log: []models.LogEntry{{ID: "1", Message: "hot"}}},
		Inventory: models.Inventory{HardwareIdentity: models.HardwareIdentity{Serial: "SN-1"}, CPUs: []models.CPU{{Cores: 8, Threads: 16}}, NICs: []models.NIC{{MAC: "aa:bb:cc:dd:ee:ff"}}},
	}})
	health := decode[BaremetalHealth](e.call(e.admin, "GET", where+"/health", nil).is(200))
	require.NotNil(t, health.SeenAt)
	health.SeenAt = nil
	require.Equal(t, BaremetalHealth{Status: models.HealthWarning, Power: models.PowerOn, Sensors: []HealthSensor{{"Inlet", 41, "Cel", models.HealthWarning}}, Log: []HealthEntry{{ID: "1", Message: "hot"}}, Reachability: Reachability{Reachable: true}}, health)
	inventory := decode[Inventory](e.call(e.admin, "GET", where+"/inventory", nil).is(200))
	require.Equal(t, []InventoryCPU{{Cores: 8, Threads: 16}}, inventory.CPUs)
	require.Equal(t, Size{VCPU: 16}, inventory.Capacity)
	require.Equal(t, Size{VCPU: 16}, decode[Baremetal](e.call(e.admin, "GET", where, nil)).Capacity)
}
