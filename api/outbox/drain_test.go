package outbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vmware/govmomi/vim25/types"
	"go.temporal.io/sdk/worker"

	"github.com/yunshu/yunshu/activities/contract"
	activities "github.com/yunshu/yunshu/activities/gateway"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/activities/vm/vsphere"
	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/vcenter"
	"github.com/yunshu/yunshu/workers/gateway"
	"github.com/yunshu/yunshu/workflows"
)

// estate is a group of hosts in a vCenter, on a real PostgreSQL and a real Temporal, with everything that works on them.
type estate struct {
	*theatre
	accept  *accept.Accepter
	vcenter *vcenter.Server
	region  *vsphere.Provider
	admin   authz.Actor
}

func newEstate(t *testing.T) *estate {
	t.Helper()
	e := &estate{theatre: &theatre{bed: newBed(t)}, admin: authz.Actor{ID: models.NewID(), Name: "ann", TokenID: models.NewID()}}
	policies, err := authz.New()
	require.NoError(t, err)
	e.accept = accept.New(t.Context(), accept.Options{Store: e.store, Authz: policies})
	e.run(e.temporal)
	gate := gateway.New(e.temporal, activities.Activities{Store: e.store, Executions: e.temporal, Drains: e.accept}, workflows.Set{Timing: workflows.Timing{Report: 50 * time.Millisecond}})
	require.NoError(t, gate.Start())
	t.Cleanup(gate.Stop)

	dir := t.TempDir()
	e.vcenter, err = vcenter.Start(t.Context(), vcenter.Options{Password: "secret", TLSDir: dir, Clusters: 1, Hosts: 3})
	require.NoError(t, err)
	t.Cleanup(e.vcenter.Stop)
	file := filepath.Join(dir, "password")
	require.NoError(t, os.WriteFile(file, []byte("secret"), 0o600))
	e.region, err = vsphere.New(vsphere.Options{Region: "tw", URL: e.vcenter.URL.String(), Username: e.vcenter.User.Username(), PasswordFile: file, CAFile: e.vcenter.CAFile})
	require.NoError(t, err)
	region := worker.New(e.temporal, contract.VMQueue("tw"), worker.Options{DisableWorkflowWorker: true, WorkerStopTimeout: time.Second})
	vm.Register(region, vm.Activities{Hypervisor: e.region})
	require.NoError(t, region.Start())
	t.Cleanup(region.Stop)
	e.furnish()
	return e
}

// furnish makes what machines need.
func (e *estate) furnish() {
	e.Helper()
	acme, group := models.NewID(), models.NewID()
	for _, q := range []struct {
		sql  string
		args []any
	}{
		{`INSERT INTO users (id, name) VALUES ($1, 'ann')`, []any{e.admin.ID}},
		{`INSERT INTO tokens (id, actor_id, name, prefix, hash, expires_at) VALUES ($1, $2, 't', 'p', $3, now() + interval '1 day')`, []any{e.admin.TokenID, e.admin.ID, e.admin.TokenID[:]}},
		{`INSERT INTO role_bindings (id, actor_id, role) VALUES ($1, $2, 'operator')`, []any{models.NewID(), e.admin.ID}},
		{`INSERT INTO tenants (id, name, full_name, path) VALUES ($1, 'acme', 'acme', ARRAY[$1::uuid])`, []any{acme}},
		{`INSERT INTO regions (name, capabilities) VALUES ('tw', '{vm}')`, nil},
		{`INSERT INTO groups (id, region, name) VALUES ($1, 'tw', 'general')`, []any{group}},
		{`INSERT INTO images (id, name, templates) VALUES ($1, 'ubuntu', $2)`, []any{models.NewID(), map[string]string{"tw": vcenter.Templates[0]}}},
		{`INSERT INTO flavors (id, name, vcpu, memory_mib, storage_gib) VALUES ($1, 'small', 1, 1024, 10)`, []any{models.NewID()}},
		{`INSERT INTO subnets (id, region, name, cidr, network, range_start, range_end) VALUES ($1, 'tw', 'lan', '10.1.0.0/16', $2, '10.1.0.2', '10.1.255.254')`, []any{models.NewID(), vcenter.Networks[0]}},
	} {
		_, err := e.store.Pool.Exec(e.Context(), q.sql, q.args...)
		require.NoError(e, err, q.sql)
	}
	done, err := e.accept.ImportRegion(e.Context(), accept.Request{Actor: e.admin}, "tw")
	require.NoError(e, err)
	e.becomes(done.Operation.ID, "succeeded", "")
	_, err = e.store.Pool.Exec(e.Context(), `UPDATE baremetals SET group_id = $1`, group)
	require.NoError(e, err)
	e.open(true)
}

// open opens every host for machines, or the first alone.
func (e *estate) open(all bool) {
	e.Helper()
	_, err := e.store.Pool.Exec(e.Context(), `WITH u AS (UPDATE baremetals SET maintenance = NOT $1 AND name <> 'tw-a-01' RETURNING id) SELECT refresh_hypervisors(array_agg(id)) FROM u`, all)
	require.NoError(e, err)
	_, err = e.store.Pool.Exec(e.Context(), `SELECT refresh_hypervisors(array_agg(id)) FROM baremetals`)
	require.NoError(e, err)
}

// crowd makes running machines on the first host.
func (e *estate) crowd(n int) []models.ID {
	e.Helper()
	e.open(false)
	var made []models.Operation
	for i := range n {
		got, err := e.accept.CreateVM(e.Context(), accept.VMCreate{Request: accept.Request{Actor: e.admin}, Name: fmt.Sprintf("web-%d", i), Tenant: "acme", Region: "tw", Group: "general", Image: "ubuntu", Flavor: "small", Subnet: "lan"})
		require.NoError(e, err)
		made = append(made, got.Operation)
	}
	ids := make([]models.ID, n)
	for i, op := range made {
		e.becomes(op.ID, "succeeded", "")
		ids[i] = op.ResourceID
	}
	e.open(true)
	return ids
}

func (e *estate) drain() accept.Drain {
	e.Helper()
	d := accept.Drain{Request: accept.Request{Actor: e.admin}, Reason: "A fan fails."}
	require.NoError(e, e.store.Pool.QueryRow(e.Context(), `SELECT id FROM baremetals WHERE name = 'tw-a-01'`).Scan(&d.Baremetal))
	return d
}

// hosts are the names of the hosts that machines are on, by the database; the vCenter has to agree.
func (e *estate) hosts(ids []models.ID) []string {
	e.Helper()
	out := make([]string, len(ids))
	for i, id := range ids {
		var name, ref string
		require.NoError(e, e.store.Pool.QueryRow(e.Context(), `SELECT b.name, b.provider_ref FROM vms v JOIN baremetals b ON b.id = v.baremetal_id WHERE v.id = $1`, id).Scan(&name, &ref))
		got, err := e.region.Status(e.Context(), vm.Machine{ID: id, Name: fmt.Sprintf("web-%d", i)})
		require.NoError(e, err)
		require.True(e, got.On)
		require.Equal(e, ref, got.Host)
		out[i] = name
	}
	return out
}

// requireBalance compares the database with itself and with the vCenter.
func (e *estate) requireBalance() {
	e.Helper()
	done, err := e.accept.LeakCheck(e.Context(), accept.Request{Actor: e.admin}, nil)
	require.NoError(e, err)
	e.becomes(done.Operation.ID, "succeeded", "")
	var raw []byte
	require.NoError(e, e.store.Pool.QueryRow(e.Context(), `SELECT result FROM operations WHERE id = $1`, done.Operation.ID).Scan(&raw))
	var found contract.Findings
	require.NoError(e, json.Unmarshal(raw, &found))
	require.Empty(e, found.Findings)
	require.Zero(e, e.count(`SELECT count(*) FROM moves`))
}

func TestAHostIsDrained(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	ids := e.crowd(3)
	require.Equal(t, []string{"tw-a-01", "tw-a-01", "tw-a-01"}, e.hosts(ids))
	plan, err := e.accept.PlanDrain(t.Context(), e.drain())
	require.NoError(t, err)
	done, err := e.accept.DrainBaremetal(t.Context(), e.drain())
	require.NoError(t, err)
	e.becomes(done.Operation.ID, "succeeded", "drain")
	var planned []string
	for _, v := range plan.VMs {
		require.NotEqual(t, "tw-a-01", v.To)
		planned = append(planned, v.To)
	}
	require.Equal(t, planned, e.hosts(ids), "the preview is what happened")
	e.requireBalance()
}

func TestADrainGoesAroundAHostThatTakesNothing(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	ids := e.crowd(2)
	e.vcenter.Fail("RelocateVM_Task", 1, &types.HostNotConnected{})
	done, err := e.accept.DrainBaremetal(t.Context(), e.drain())
	require.NoError(t, err)
	e.becomes(done.Operation.ID, "succeeded", "drain")
	require.NotContains(t, e.hosts(ids), "tw-a-01")
	require.Equal(t, 1, e.count(`SELECT count(*) FROM operations WHERE kind = 'vm.migrate' AND state = 'failed' AND error_code = 'host_unusable'`))
	require.Equal(t, 3, e.count(`SELECT count(*) FROM operations WHERE kind = 'vm.migrate'`))
	e.requireBalance()
}

func TestACancelledDrainLetsMovesEndAndKeepsTheMark(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	ids := e.crowd(2)
	e.vcenter.Slow(2 * time.Second)
	done, err := e.accept.DrainBaremetal(t.Context(), e.drain())
	require.NoError(t, err)
	e.becomes(done.Operation.ID, "running", "drain")
	_, err = e.accept.Cancel(t.Context(), accept.Request{Actor: e.admin}, done.Operation.ID)
	require.NoError(t, err)
	e.becomes(done.Operation.ID, "cancelled", "drain")
	require.Eventually(t, func() bool {
		return e.count(`SELECT count(*) FROM operations WHERE kind = 'vm.migrate' AND state = 'succeeded'`) == 2
	}, within, 50*time.Millisecond, "moves take their time")
	require.NotContains(t, e.hosts(ids), "tw-a-01")
	require.Equal(t, 1, e.count(`SELECT count(*) FROM baremetals WHERE maintenance AND maintenance_reason = 'A fan fails.' AND name = 'tw-a-01'`))
	e.requireBalance()
}

// A move that is terminated in Temporal is settled by where the machine is then.
func TestAMoveThatLostItsWorkflowIsSettled(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	ids := e.crowd(1)
	e.vcenter.Fail("RelocateVM_Task", 1000, &types.TaskInProgress{})
	done, err := e.accept.MigrateVM(t.Context(), accept.Request{Actor: e.admin}, ids[0], accept.VMMove{}, nil)
	require.NoError(t, err)
	e.becomes(done.Operation.ID, "running", "move")
	require.Equal(t, 1, e.count(`SELECT count(*) FROM moves`))
	require.NoError(t, e.temporal.TerminateWorkflow(context.Background(), done.Operation.ID.String(), "", "enough"))
	require.Equal(t, "workflow_lost", e.becomes(done.Operation.ID, "failed", "").Code)
	require.Equal(t, []string{"tw-a-01"}, e.hosts(ids))
	e.requireBalance()
}
