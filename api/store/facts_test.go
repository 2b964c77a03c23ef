package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

func inspected(health models.HealthStatus) *contract.Inspected {
	return &contract.Inspected{Power: models.PowerOn, Health: models.Health{Status: health, Sensors: []models.Sensor{{Name: "inlet", Value: 21}}},
		Inventory: models.Inventory{HardwareIdentity: models.HardwareIdentity{Vendor: "Maker", Model: "M1"}, CPUs: []models.CPU{{Cores: 8, Threads: 16}}, Memory: []models.MemoryModule{{SizeMiB: 1024}},
			Disks: []models.Disk{{SizeGiB: 100}}, NICs: []models.NIC{{MAC: "aa:bb"}, {MAC: "aa:bb"}, {MAC: ""}}}}
}

func TestFactsOfAMachineFollowItsOperation(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	in := f.machine("bm-1", models.RoleSpare, "enrolling")
	f.report(in, 1, contract.BaremetalFacts{Probed: &contract.Probed{Protocol: models.IPMI, Fingerprint: "ab"}})
	f.report(in, 2, contract.BaremetalFacts{State: models.BaremetalAvailable, Inspected: inspected(models.HealthCritical)})
	row := f.row(in.BaremetalID)
	require.Subset(t, row, map[string]any{"state": "available", "power": "on", "health": "critical", "unfit": true, "vcpu": 16.0, "memory_mib": 1024.0, "storage_gib": 100.0, "model": "M1", "vendor": "Maker"})
	require.Equal(t, "aa:bb", f.text("SELECT string_agg(mac, ' ') FROM baremetal_macs"))
	require.Equal(t, "21 8", f.text("SELECT concat_ws(' ', health #>> '{sensors,0,value}', inventory #>> '{cpus,0,cores}') FROM baremetal_facts"))
	require.Equal(t, "ipmi ab", f.text("SELECT concat_ws(' ', protocol, fingerprint) FROM bmcs"))
	require.NotContains(t, f.text("SELECT string_agg(detail::text, '') FROM audit_events"), "inlet", "the audit log has no bulk")
	require.Contains(t, f.text("SELECT string_agg(detail::text, '') FROM audit_events"), `"memory_mib": 1024`)

	old, err := f.Report(t.Context(), contract.Report{OperationID: in.OperationID, Seq: 1, State: models.OperationRunning, Baremetal: &contract.BaremetalFacts{State: models.BaremetalFailed}})
	require.NoError(t, err)
	require.False(t, old.Applied)
	f.report(in, 3, contract.BaremetalFacts{State: models.BaremetalEnrolling, Power: models.PowerOff}) // it cannot become what it was
	require.Subset(t, f.row(in.BaremetalID), map[string]any{"state": "available", "power": "off"})

	f.report(in, 4, contract.BaremetalFacts{EndService: "a disk was not wiped"})
	require.Equal(t, "failed", f.row(in.BaremetalID)["state"])
	f.exec("UPDATE baremetals SET maintenance = true")
	f.report(in, 5, contract.BaremetalFacts{Serviceable: true, Inspected: inspected(models.HealthOK)})
	require.Subset(t, f.row(in.BaremetalID), map[string]any{"state": "available", "maintenance": false, "unfit": false})
}

func TestAMachineBecomesAHypervisorAndPlacementSeesIt(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	in := f.machine("bm-1", models.RoleSpare, "available")
	f.report(in, 1, contract.BaremetalFacts{State: models.BaremetalInUse, Role: models.RoleHypervisor, Host: &contract.Hypervisor{Ref: "host-7", UUID: uuidOne, Cluster: "c1",
		Capacity: models.Size{VCPU: 32, MemoryMiB: 2048, StorageGiB: 500}, Connected: true}})
	require.Subset(t, f.row(in.BaremetalID), map[string]any{"name": "bm-1", "role": "hypervisor", "state": "in_use", "provider_ref": "host-7", "hardware_uuid": uuidOne, "vcpu": 32.0})
	require.Equal(t, "t 32", f.text("SELECT concat_ws(' ', placeable, vcpu_free) FROM hypervisors"))

	f.report(in, 2, contract.BaremetalFacts{Inspected: inspected(models.HealthCritical)})
	require.Equal(t, "f 32", f.text("SELECT concat_ws(' ', placeable, vcpu_free) FROM hypervisors"), "what it can give is what vCenter says")
	f.report(in, 3, contract.BaremetalFacts{State: models.BaremetalGone})
	require.Equal(t, "1", f.text("SELECT count(*) FROM baremetals"), "what is in use does not go")
	f.report(in, 4, contract.BaremetalFacts{EndService: "out of order"})
	f.report(in, 5, contract.BaremetalFacts{State: models.BaremetalRetiring})
	f.report(in, 6, contract.BaremetalFacts{State: models.BaremetalGone})
	for _, table := range []string{"baremetals", "bmcs", "hypervisors", "baremetal_facts", "baremetal_macs", "rack_units"} {
		require.Equal(t, "0", f.text("SELECT count(*) FROM "+table), table)
	}
	require.NotEqual(t, "0", f.text("SELECT count(*) FROM resource_versions WHERE kind = 'baremetal'"), "its history stays")
}

func TestTheEndOfALeaseGivesTheQuotaBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.exec("INSERT INTO quotas (id, tenant_id, baremetals_limit, baremetals_used) VALUES (gen_random_uuid(), $1, 2, 1)", f.tenant)
	in := f.machine("bm-1", models.RoleLeased, "in_use")
	findings, err := f.CheckLedger(t.Context())
	require.NoError(t, err)
	require.Empty(t, findings.Findings)
	f.report(in, 1, contract.BaremetalFacts{State: models.BaremetalAvailable, Role: models.RoleSpare})
	require.Subset(t, f.row(in.BaremetalID), map[string]any{"role": "spare", "state": "available", "tenant_id": nil})
	require.Equal(t, "0 0", f.text("SELECT concat_ws(' ', baremetals_used, (SELECT count(*) FROM allocations)) FROM quotas"))
}

func TestTheLedgerKnowsOfMachines(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.machine("bm-1", models.RoleLeased, "in_use")
	f.exec("DELETE FROM allocations")
	f.machine("bm-2", models.RoleSpare, "retiring")
	f.machine("bm-3", models.RoleSpare, "enrolling")
	f.exec("UPDATE operations SET state = 'failed'")
	spare := f.machine("bm-4", models.RoleSpare, "available")
	f.exec("INSERT INTO allocations (resource_id, resource_kind, tenant_id, baremetals) VALUES ($1, 'baremetal', $2, 1), ($2, 'baremetal', $2, 1)", spare.BaremetalID, f.tenant)
	found, err := f.CheckLedger(t.Context())
	require.NoError(t, err)
	var got []string
	for _, one := range found.Findings {
		got = append(got, one.Kind+": "+one.Message)
	}
	require.ElementsMatch(t, []string{
		"allocation: The baremetal bm-1 is leased, but the ledger does not count it for its tenant.",
		"allocation: The ledger counts the baremetal bm-4 for a tenant that does not lease it.",
		"allocation: The ledger takes something for a baremetal that does not exist.",
		"stuck: The baremetal bm-2 is retiring, but no operation is under way.",
		"stuck: The baremetal bm-3 is enrolling, but no operation is under way.",
	}, got)
}

func TestAnImportMeetsAnEnrolledMachine(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	in := f.machine("esx-1", models.RoleSpare, "available")
	f.exec("UPDATE baremetals SET hardware_uuid = $1, model = 'M1', vcpu = 16", uuidOne)
	f.machine("esx-2", models.RoleSpare, "available")
	op := models.NewID()
	f.exec(`INSERT INTO operations (id, kind, region, resource_kind, resource_id, resource_name, actor_id, actor, state, input)
		VALUES ($1, 'region.import', 'tw', 'region', $1, 'tw', $1, 'ann', 'running', '{}')`, op)
	hosts := []contract.Hypervisor{
		{Ref: "host-1", UUID: "4C4C4544-0042-3510-8053-B7C04F4D3532", Name: "esx-2", Cluster: "c1", Capacity: models.Size{VCPU: 8}, Model: "other", Connected: true},
		{Ref: "host-2", UUID: uuidTwo, Name: "esx-1", Cluster: "c1", Capacity: models.Size{VCPU: 8}, Connected: true},
	}
	for i, want := range []contract.Recorded{{Added: 1, Changed: 1}, {}} {
		got, err := f.RecordHypervisors(t.Context(), contract.RecordInput{OperationID: op, Region: "tw", Hypervisors: hosts, Last: true})
		require.NoError(t, err)
		require.Equal(t, want, got, "%d", i)
	}
	require.Subset(t, f.row(in.BaremetalID), map[string]any{"name": "esx-1", "role": "spare", "model": "M1", "vcpu": 16.0, "provider_ref": "host-1", "cluster": "c1", "connected": true})
	require.Equal(t, "esx-1 esx-1~"+uuidTwo+" esx-2", f.text("SELECT string_agg(name, ' ' ORDER BY name) FROM baremetals"))
}

func TestAnImportMeetsAMachineWhoseBMCReadsItsUUIDTheOtherWay(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	in := f.machine("bm-1", models.RoleSpare, "available")
	f.exec("UPDATE baremetals SET hardware_uuid = $1", swapped)
	got, err := f.RecordHypervisors(t.Context(), contract.RecordInput{OperationID: in.OperationID, Region: "tw", Hypervisors: []contract.Hypervisor{{Ref: "host-1", UUID: uuidOne, Name: "esx-1"}, {Ref: "host-2", UUID: "host-2", Name: "esx-2"}}})
	require.NoError(t, err)
	require.Equal(t, contract.Recorded{Added: 1, Changed: 1}, got)
	require.Subset(t, f.row(in.BaremetalID), map[string]any{"name": "bm-1", "provider_ref": "host-1", "hardware_uuid": swapped})
}

// TestAHealthCheckKeepsWhatTheDiscoveryFound: the BMC does not list the disk that the image saw.
func TestAHealthCheckKeepsWhatTheDiscoveryFound(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	in := f.machine("bm-1", models.RoleSpare, "available")
	bmc := inspected(models.HealthOK)
	bmc.Inventory.Disks = []models.Disk{{Name: "Bay 0", Serial: "d-1", SizeGiB: 100}}
	found := *bmc
	found.Inventory, found.Inside = bmc.Inventory.With(models.Inventory{Disks: []models.Disk{{Name: "nvme0", Serial: "d-2", SizeGiB: 200}}}), true
	disks := func() string {
		return f.text("SELECT concat_ws(' ', b.storage_gib, string_agg(d ->> 'serial', ' ' ORDER BY d ->> 'serial')) FROM baremetals b JOIN baremetal_facts ON baremetal_id = b.id, jsonb_array_elements(inventory -> 'disks') d GROUP BY b.id")
	}
	f.report(in, 1, contract.BaremetalFacts{Inspected: &found})
	require.Equal(t, "300 d-1 d-2", disks())
	f.report(in, 2, contract.BaremetalFacts{Inspected: bmc})
	require.Equal(t, "300 d-1 d-2", disks())
	found.Inventory = bmc.Inventory
	f.report(in, 3, contract.BaremetalFacts{Inspected: &found})
	require.Equal(t, "100 d-1", disks(), "a new discovery knows better")
}

func TestWhatDifferedOfAMachineEndsWithIt(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	in := f.machine("bm-1", models.RoleSpare, "retiring")
	f.exec(`INSERT INTO drifts (id, region, kind, resource_kind, resource_id, resource_name, message, policy) VALUES (gen_random_uuid(), 'tw', 'unreachable', 'baremetal', $1, 'bm-1', 'Away.', 'report')`, in.BaremetalID)
	f.report(in, 1, contract.BaremetalFacts{State: models.BaremetalGone})
	require.Equal(t, "closed true", f.text("SELECT concat_ws(' ', state, (closed_at IS NOT NULL)::text) FROM drifts"))
}

// TestAGivenInterfaceStays: a BMC that lists others, or none, does not make the one go that people know.
func TestAGivenInterfaceStays(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	in := f.machine("bm-1", models.RoleSpare, "available")
	f.exec("INSERT INTO baremetal_macs (mac, baremetal_id, given) VALUES ('02:00:00:00:00:09', $1, true)", in.BaremetalID)
	macs := func() string { return f.text("SELECT string_agg(mac, ' ' ORDER BY mac) FROM baremetal_macs") }
	f.report(in, 1, contract.BaremetalFacts{Inspected: inspected(models.HealthOK)})
	require.Equal(t, "02:00:00:00:00:09 aa:bb", macs())
	silent := inspected(models.HealthOK)
	silent.Inventory.NICs = nil
	f.report(in, 2, contract.BaremetalFacts{Inspected: silent})
	require.Equal(t, "02:00:00:00:00:09", macs())
}
