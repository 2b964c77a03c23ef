package api

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// running creates a machine and reports that it runs.
func (c *cloud) running(name string) VM {
	c.t.Helper()
	op := c.createVM(c.admin, name)
	c.report(op.ID, contract.Report{Seq: 1, State: models.OperationSucceeded, VM: &contract.VMFacts{State: models.VMRunning}})
	return decode[VM](c.get(op.Links.Resource))
}

func (c *cloud) exec(sql string, args ...any) {
	c.t.Helper()
	_, err := c.store.Pool.Exec(context.Background(), sql, args...)
	require.NoError(c.t, err, sql)
}

// leakCheck begins a comparison.
func (c *cloud) leakCheck() models.ID {
	c.t.Helper()
	op := decode[Operation](c.call(c.admin, "POST", "/v1/leak-checks", nil).is(202))
	c.report(op.ID, contract.Report{Seq: 1, State: models.OperationRunning})
	return op.ID
}

func (c *cloud) compare(in contract.CompareInput) []contract.Finding {
	c.t.Helper()
	in.Region = "tw"
	found, err := c.store.CompareMachines(c.t.Context(), in)
	require.NoError(c.t, err)
	return found.Findings
}

// A region without virtual machines has no worker who could list them: a check that waited for one would never end.
func TestOnlyRegionsWithMachinesAreCompared(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.call(c.admin, "POST", "/v1/regions", M{"name": "metal", "capabilities": []string{"bm"}}).is(201)
	check := func(body any) string {
		op := decode[Operation](c.call(c.admin, "POST", "/v1/leak-checks", body).is(202))
		c.report(op.ID, contract.Report{Seq: 1, State: models.OperationSucceeded})
		var regions string
		require.NoError(t, c.store.Pool.QueryRow(t.Context(), "SELECT input ->> 'regions' FROM operations WHERE id = $1", op.ID).Scan(&regions))
		return regions
	}
	require.NotContains(t, check(nil), "metal")
	require.Equal(t, "[]", check(M{"regions": []string{"metal"}}))
	require.Contains(t, check(nil), "tw")
}

func TestTheComparisonFindsWhatDiffers(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	known, missing, busy := c.running("known"), c.running("missing"), c.createVM(c.admin, "busy")
	op := c.leakCheck()
	stranger := models.NewID()
	machines := []contract.Machine{{ID: known.ID, Ref: "vm-1", Name: "known"}, {ID: stranger, Ref: "vm-9", Name: "stranger"}}

	require.Equal(t, []contract.Finding{
		{Kind: "missing_machine", Region: "tw", ResourceKind: "vm", ResourceID: missing.ID, Message: "The vm missing is running, but the region tw has no such machine."},
		{Kind: "unknown_machine", Region: "tw", ResourceKind: "vm", ResourceID: stranger, Message: "The region tw has a machine stranger (vm-9) that carries our mark, but there is no such vm."},
	}, c.compare(contract.CompareInput{OperationID: op, Machines: machines, Last: true}))

	require.Empty(t, c.compare(contract.CompareInput{OperationID: op, Machines: machines[:1]}), "the window ends at the last machine of its page")
	require.Len(t, c.compare(contract.CompareInput{OperationID: op, After: known.ID.String(), Machines: machines[1:], Last: true}), 2)
	require.Len(t, c.compare(contract.CompareInput{OperationID: op, After: missing.ID.String(), Machines: machines[1:], Last: true}), 1)

	c.exec("UPDATE vms SET region = 'jp' WHERE id = $1", known.ID)
	require.Equal(t, "The region tw has a machine known (vm-1), but that vm belongs to region jp.", c.compare(contract.CompareInput{OperationID: op, Machines: machines[:1]})[0].Message)

	// What changed after the region was asked is nobody's leak.
	c.report(busy.ID, contract.Report{Seq: 1, State: models.OperationSucceeded, VM: &contract.VMFacts{State: models.VMRunning}})
	c.exec("UPDATE vms SET region = 'tw' WHERE id = $1", known.ID)
	require.Len(t, c.compare(contract.CompareInput{OperationID: op, Machines: machines[:1], Last: true}), 1)
	gone := decode[Operation](c.call(c.admin, "DELETE", path("vms/%s", missing.ID), nil).is(202))
	require.Empty(t, c.compare(contract.CompareInput{OperationID: op, Machines: machines[:1], Last: true}), "an operation is under way")
	c.report(gone.ID, contract.Report{Seq: 1, State: models.OperationSucceeded, VM: &contract.VMFacts{State: models.VMGone}})
	require.Empty(t, c.compare(contract.CompareInput{OperationID: op, Machines: append(machines[:1:1], contract.Machine{ID: missing.ID}), Last: true}), "it went meanwhile")

	_, err := c.store.CompareMachines(t.Context(), contract.CompareInput{OperationID: op, After: "x"})
	require.ErrorContains(t, err, `"x", which is not an id`)
}

func TestTheLedgerTellsEveryImbalance(t *testing.T) {
	t.Parallel()
	for _, spoil := range []struct {
		name, sql string
		kinds     []string
		message   string
	}{
		{"quota", "UPDATE quotas SET vcpu_used = vcpu_used + 1 WHERE group_id IS NULL", []string{"quota_sum"}, "The quota of tenant acme counts 3 vcpu, but the ledger has 2."},
		{"quota in a group", "UPDATE quotas SET vms_used = 0 WHERE group_id IS NOT NULL", []string{"quota_sum"}, "The quota of tenant acme counts 0 vms, but the ledger has 1."},
		{"host", "UPDATE hypervisors SET memory_mib_free = 1 WHERE vcpu_free < vcpu_total", []string{"host_sum"}, "shows 1 memory_mib free, but 16384 less what the ledger takes is 14336."},
		{"size", "UPDATE vms SET vcpu = 7", []string{"allocation"}, "What the ledger says of the vm web is not what its row says."},
		{"no allocation", "DELETE FROM allocations WHERE resource_kind = 'vm'", []string{"quota_sum", "quota_sum", "quota_sum", "host_sum", "allocation"}, "counts"},
		{"no machine", "DELETE FROM vms", []string{"allocation", "address"}, "The ledger takes something for a vm that does not exist."},
		{"no address", "DELETE FROM ip_addresses WHERE vm_id IS NOT NULL", []string{"address"}, "but no address is taken for it."},
		{"another address", "UPDATE ip_addresses SET address = '10.99.0.1' WHERE vm_id IS NOT NULL", []string{"address"}, "but another one is taken for it."},
		{"reservation without allocation", "DELETE FROM allocations WHERE resource_kind = 'ip-address'", []string{"address"}, "a reservation that the ledger does not count"},
		{"allocation without reservation", "DELETE FROM ip_addresses WHERE vm_id IS NULL", []string{"allocation"}, "The ledger takes something for a ip-address that does not exist."},
		{"move", "INSERT INTO moves SELECT v.id, o.id, v.baremetal_id, 0, 0, 0, 0 FROM vms v JOIN operations o ON o.resource_id = v.id", []string{"move"}, "The vm web takes room on the host esx-"},
		{"move without room", "INSERT INTO moves SELECT v.id, o.id, v.baremetal_id, 1, 0, 0, 0 FROM vms v JOIN operations o ON o.resource_id = v.id", []string{"host_sum", "move"}, "vcpu free"},
		{"stuck", "UPDATE vms SET state = 'updating'", []string{"stuck"}, "The vm web is updating, but no operation is under way."},
	} {
		t.Run(spoil.name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			acme := c.tenantID("acme")
			c.call(c.admin, "PUT", path("tenants/%s/quotas/everywhere", acme), M{"vcpu": 100}).is(200)
			c.exec("INSERT INTO quotas (id, tenant_id, group_id, vms_limit) VALUES ($1, $2, $3, 10)", models.NewID(), acme, c.group.ID)
			c.running("web")
			c.post("/v1/ip-addresses", M{"subnet": "lan", "tenant": "rival"})
			c.requireBalance()
			c.exec(spoil.sql)
			found, err := c.store.CheckLedger(t.Context())
			require.NoError(t, err)
			var kinds []string
			for _, f := range found.Findings {
				kinds = append(kinds, f.Kind)
			}
			if spoil.name == "no allocation" { // each resource of both quotas and of the host is out of balance
				require.Subset(t, kinds, spoil.kinds)
			} else {
				require.Equal(t, spoil.kinds, kinds, "%v", found.Findings)
			}
			require.Contains(t, found.Findings[0].Message, spoil.message)
		})
	}
}

func TestOperationsThatMayBeLost(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	var ops []Operation
	for i := range 4 {
		ops = append(ops, c.createVM(c.admin, fmt.Sprint("web-", i)))
	}
	c.exec("UPDATE operations SET dispatched_at = now() - interval '2 minutes', seq = 5, state = 'running' WHERE id = ANY ($1)", []models.ID{ops[0].ID, ops[1].ID})
	c.exec("UPDATE operations SET dispatched_at = now() WHERE id = $1", ops[2].ID)
	page, err := c.store.LostOperations(t.Context(), models.NoID, 1)
	require.NoError(t, err)
	require.Len(t, page.Lost, 1)
	require.NotEmpty(t, page.Lost[0].Operation.Trace)
	require.Equal(t, []contract.Lost{{Seq: 5, Operation: contract.Operation{
		ID: ops[0].ID, Kind: "vm.provision", TenantID: *ops[0].TenantID, Tenant: "acme/dev", Region: "tw", ResourceKind: "vm", ResourceID: ops[0].ResourceID,
		ResourceName: "web-0", Actor: "root", Trace: page.Lost[0].Operation.Trace,
	}}}, page.Lost)
	page, err = c.store.LostOperations(t.Context(), ops[0].ID, 10)
	require.NoError(t, err)
	require.Len(t, page.Lost, 1)
	require.Equal(t, ops[1].ID, page.Lost[0].Operation.ID)
}
