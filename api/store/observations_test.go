package store

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// healthy is what a machine says when it is as it was.
func healthy() *contract.Inspected {
	return &contract.Inspected{Power: models.PowerOn, Health: models.Health{Status: models.HealthOK, Sensors: []models.Sensor{{Name: "Inlet", Value: 21, Unit: "Cel", Health: models.HealthOK}}},
		Inventory: models.Inventory{
			HardwareIdentity: models.HardwareIdentity{UUID: "uuid-1", Serial: "SN1"}, BIOS: "1.0",
			CPUs: []models.CPU{{Model: "Xeon", Cores: 16, Threads: 32}}, Memory: []models.MemoryModule{{Slot: "A1", SizeMiB: 32768}},
			Disks: []models.Disk{{Serial: "d1", SizeGiB: 1000, Kind: "ssd"}, {Serial: "d2", SizeGiB: 1000, Kind: "ssd"}}, NICs: []models.NIC{{MAC: "aa:bb:cc:00:00:01", SpeedMbps: 25000}},
			GPUs: []models.GPU{{Model: "H100", Serial: "g1"}}, Firmware: []models.Firmware{{Name: "BMC", Version: "7.0"}},
		}}
}

// driftRow is a drift as a test compares it.
type driftRow struct{ kind, field, expected, found, policy, state string }

func (h *hall) drifts() (out []driftRow) {
	rows, err := h.Pool.Query(context.Background(), "SELECT kind, field, coalesce(expected::text, ''), coalesce(found::text, ''), policy, state FROM drifts ORDER BY kind, field, id")
	require.NoError(h.t, err)
	defer rows.Close()
	for rows.Next() {
		var f driftRow
		require.NoError(h.t, rows.Scan(&f.kind, &f.field, &f.expected, &f.found, &f.policy, &f.state))
		out = append(out, f)
	}
	return out
}

func (h *hall) observe(id models.ID, seen *contract.Inspected, fault *models.Fault) contract.ObservationsRecorded {
	out, err := h.RecordObservations(context.Background(), contract.RecordObservationsInput{Region: "tw", Observations: []contract.Observation{{ID: id, Inspected: seen, Fault: fault}}})
	require.NoError(h.t, err)
	return out
}

// enrolled is a machine that was looked at once.
func (h *hall) enrolled(name string) models.ID {
	id := h.machine(name, "hypervisor")
	h.exec("UPDATE baremetals SET hardware_uuid = 'uuid-1', serial = 'SN1' WHERE id = $1", id)
	require.Equal(h.t, contract.ObservationsRecorded{Changed: 1}, h.observe(id, healthy(), nil), "the first look is no difference")
	require.Equal(h.t, contract.ObservationsRecorded{}, h.observe(id, healthy(), nil), "nothing differs")
	return id
}

func TestEachKindOfDriftIsFound(t *testing.T) {
	t.Parallel()
	away := models.Faultf(models.CodeUnreachable, "The BMC does not answer.")
	for name, c := range map[string]struct {
		change func(*contract.Inspected)
		want   []driftRow
		left   []driftRow // after the machine is as it was again; nil: the change back is history as well
	}{
		"power": {func(i *contract.Inspected) { i.Power = models.PowerOff }, []driftRow{{"power", "power", `"on"`, `"off"`, "adopt", "closed"}}, nil},
		"health": {func(i *contract.Inspected) { i.Health.Status = models.HealthCritical }, []driftRow{{"health", "health", `"ok"`, `"critical"`, "report", "open"}},
			[]driftRow{{"health", "health", `"ok"`, `"critical"`, "report", "closed"}}},
		"sensor": {func(i *contract.Inspected) {
			i.Health.Sensors = []models.Sensor{{Name: "Inlet", Value: 48, Unit: "Cel", Health: models.HealthWarning}}
		}, []driftRow{{"sensor", "sensors[Inlet]", `"ok"`, `{"name": "Inlet", "unit": "Cel", "value": 48, "health": "warning"}`, "report", "open"}},
			[]driftRow{{"sensor", "sensors[Inlet]", `"ok"`, `{"name": "Inlet", "unit": "Cel", "value": 48, "health": "warning"}`, "report", "closed"}}},
		"firmware": {func(i *contract.Inspected) { i.Inventory.Firmware[0].Version, i.Inventory.BIOS = "7.1", "1.1" },
			[]driftRow{{"firmware", "bios", `"1.0"`, `"1.1"`, "adopt", "closed"}, {"firmware", "firmware[BMC]", `{"name": "BMC", "version": "7.0"}`, `{"name": "BMC", "version": "7.1"}`, "adopt", "closed"}}, nil},
		"hardware": {func(i *contract.Inspected) {
			i.Inventory.Disks = append(i.Inventory.Disks[:1], models.Disk{Serial: "d3", SizeGiB: 2000, Kind: "nvme"})
			i.Inventory.Memory[0].SizeMiB, i.Inventory.GPUs = 65536, nil
		}, []driftRow{{"hardware", "disks[d2]", `{"kind": "ssd", "serial": "d2", "size_gib": 1000}`, "", "adopt", "closed"}, {"hardware", "disks[d3]", "", `{"kind": "nvme", "serial": "d3", "size_gib": 2000}`, "adopt", "closed"},
			{"hardware", "gpus[g1]", `{"model": "H100", "serial": "g1"}`, "", "adopt", "closed"}, {"hardware", "memory[A1]", `{"slot": "A1", "size_mib": 32768}`, `{"slot": "A1", "size_mib": 65536}`, "adopt", "closed"}}, nil},
		"identity": {func(i *contract.Inspected) {
			i.Inventory.Serial, i.Power, i.Inventory.BIOS = "SN2", models.PowerOff, "9"
		}, []driftRow{{"identity", "serial", `"SN1"`, `"SN2"`, "report", "open"}}, []driftRow{{"identity", "serial", `"SN1"`, `"SN2"`, "report", "closed"}}},
		"unreachable": {nil, []driftRow{{"unreachable", "", `"reachable"`, `"unreachable"`, "report", "open"}}, []driftRow{{"unreachable", "", `"reachable"`, `"unreachable"`, "report", "closed"}}},
		"a BMC that knows nothing of its machine": {func(i *contract.Inspected) {
			i.Inventory = models.Inventory{HardwareIdentity: models.HardwareIdentity{UUID: "UUID-1"}}
		}, nil, []driftRow{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHall(t)
			id := h.enrolled("m")
			seen := healthy()
			if c.change == nil {
				require.Equal(t, contract.ObservationsRecorded{}, h.observe(id, nil, away), "once is no news")
				require.Equal(t, contract.ObservationsRecorded{Drifts: 1}, h.observe(id, nil, away))
				require.Equal(t, contract.ObservationsRecorded{}, h.observe(id, nil, away), "it is open already")
			} else {
				c.change(seen)
				require.Equal(t, len(c.want), h.observe(id, seen, nil).Drifts)
				require.Equal(t, contract.ObservationsRecorded{}, h.observe(id, seen, nil), "it is adopted, or open already")
			}
			require.Equal(t, c.want, h.drifts())
			h.observe(id, healthy(), nil)
			if c.left != nil {
				require.ElementsMatch(t, c.left, h.drifts())
			} else {
				require.Len(t, h.drifts(), 2*len(c.want))
			}
			var power, inventory string
			require.NoError(t, h.Pool.QueryRow(t.Context(), "SELECT power, inventory::text FROM baremetals JOIN baremetal_facts ON baremetal_id = id").Scan(&power, &inventory))
			want, err := json.Marshal(healthy().Inventory)
			require.NoError(t, err)
			require.JSONEq(t, string(want), inventory)
			require.Equal(t, "on", power)
		})
	}
}

func TestHealthKeepsNewWorkAway(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	id := h.enrolled("m")
	group := h.group("g", "")
	h.exec("UPDATE baremetals SET group_id = $2 WHERE id = $1", id, group)
	h.exec("SELECT refresh_hypervisors(ARRAY[$1::uuid])", id)
	ill := healthy()
	ill.Health.Status = models.HealthCritical
	state := func() (unfit, placeable bool) {
		require.NoError(t, h.Pool.QueryRow(t.Context(), "SELECT unfit, placeable FROM baremetals JOIN hypervisors ON baremetal_id = id").Scan(&unfit, &placeable))
		return unfit, placeable
	}
	h.observe(id, ill, nil)
	unfit, placeable := state()
	require.True(t, unfit)
	require.False(t, placeable)
	h.observe(id, healthy(), nil)
	unfit, placeable = state()
	require.False(t, unfit)
	require.True(t, placeable)
	h.exec("UPDATE groups SET health_policy = 'report'")
	h.observe(id, ill, nil)
	unfit, placeable = state()
	require.False(t, unfit)
	require.True(t, placeable)
}

func TestAnOperationKnowsBetter(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	id := h.enrolled("m")
	h.exec(`INSERT INTO operations (id, kind, region, resource_kind, resource_id, resource_name, actor_id, actor, state, input)
		VALUES (gen_random_uuid(), 'baremetal.power', 'tw', 'baremetal', $1, 'm', $1, 'ann', 'running', '{}')`, id)
	h.exec("UPDATE baremetals SET seen_at = NULL, role = 'spare'") // a hypervisor is seen in its vCenter
	off := healthy()
	off.Power = models.PowerOff
	require.Equal(t, contract.ObservationsRecorded{}, h.observe(id, off, nil))
	var power string
	var seen bool
	require.NoError(t, h.Pool.QueryRow(t.Context(), "SELECT power, seen_at IS NOT NULL FROM baremetals").Scan(&power, &seen))
	require.Equal(t, "on", power)
	require.True(t, seen)
	require.Equal(t, contract.ObservationsRecorded{}, h.observe(models.NewID(), healthy(), nil), "whoever is unknown is left out")
}

func TestFactsThatWereSeenMoveMachinesByRule(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	gpu := h.group("gpu", `gpu.model = "H100" and health = "ok"`)
	id := h.enrolled("m")
	require.Equal(t, member{gpu, true}, h.members()[id])
	none := healthy()
	none.Inventory.GPUs = nil
	h.observe(id, none, nil)
	require.Equal(t, member{}, h.members()[id])
}

// TestPagesMayBeRecordedAtOnce records 50 pages about the same machines at the same time, in different orders: each
// difference is there once, and was seen by every page.
func TestPagesMayBeRecordedAtOnce(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	h.group("gpu", `gpu.model = "H100" and health != "critical"`)
	const machines, pages = 20, 50
	ids := make([]models.ID, machines)
	for i := range ids {
		ids[i] = h.machine(fmt.Sprintf("m%d", i), "hypervisor")
		h.exec("UPDATE baremetals SET hardware_uuid = '' WHERE id = $1", ids[i])
		h.observe(ids[i], healthy(), nil)
	}
	ill := healthy()
	ill.Health.Status, ill.Inventory.BIOS = models.HealthCritical, "2.0"
	var all sync.WaitGroup
	for p := range pages {
		in := contract.RecordObservationsInput{Region: "tw"}
		for i := range ids {
			in.Observations = append(in.Observations, contract.Observation{ID: ids[(i*7+p)%machines], Inspected: ill})
		}
		all.Go(func() {
			_, err := h.RecordObservations(context.Background(), in)
			require.NoError(t, err)
		})
	}
	all.Wait()
	var health, firmware, seen, unfit, members int
	require.NoError(t, h.Pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE kind = 'health'), count(*) FILTER (WHERE kind = 'firmware'), sum(seen) FILTER (WHERE kind = 'health') FROM drifts`).Scan(&health, &firmware, &seen))
	require.Equal(t, []int{machines, machines, machines * pages}, []int{health, firmware, seen})
	require.NoError(t, h.Pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE unfit), count(group_id) FROM baremetals`).Scan(&unfit, &members))
	require.Equal(t, []int{machines, 0}, []int{unfit, members})
}

func TestAUUIDIsKnownInEitherSpelling(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	id := h.machine("esx-1", "hypervisor")
	h.exec("UPDATE baremetals SET hardware_uuid = $2 WHERE id = $1", id, uuidOne)
	seen := healthy()
	seen.Inventory.UUID = swapped
	require.Equal(t, contract.ObservationsRecorded{Changed: 1}, h.observe(id, seen, nil), "an imported host is taken for what it is by its BMC")
	h.exec("UPDATE baremetals SET serial = 'SN-1' WHERE id = $1", id) // as somebody read it from the case
	for _, says := range []models.HardwareIdentity{{Serial: noOnesOwn}, {Serial: " sn-1 ", UUID: "00000000-0000-0000-0000-000000000000"}} {
		seen := healthy()
		seen.Inventory.HardwareIdentity = says
		require.Zero(t, h.observe(id, seen, nil).Drifts, "%v is nobody else", says)
	}
}

// That a BMC answers says nothing about the vCenter: a host that is no more there takes no VMs.
func TestALookAtABMCHidesNoMissingHost(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	op := models.NewID()
	id := h.machine("esx-1", "hypervisor")
	h.exec(`INSERT INTO operations (id, kind, region, resource_kind, resource_id, resource_name, actor_id, actor, state, input)
		VALUES ($1, 'region.import', 'tw', 'region', $1, 'tw', $1, 'ann', 'running', '{}')`, op)
	h.observe(id, healthy(), nil)
	got, err := h.RecordHypervisors(t.Context(), contract.RecordInput{OperationID: op, Region: "tw", Last: true})
	require.NoError(t, err)
	require.Equal(t, 1, got.Missing)
}
