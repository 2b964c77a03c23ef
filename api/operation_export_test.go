package api

import (
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/gateway"
	vmactivities "github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/activities/vm/memory"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/workers"
	"github.com/yunshu/yunshu/workflows"
)

// TestAnExportCanBeReplayed carries an operation out, exports it, and replays the file with today's workflows, without
// any key.
func TestAnExportCanBeReplayed(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	temporal := c.connect()
	codec, err := workers.NewCodec(keys)
	require.NoError(t, err)
	c.api.temporal, c.api.codec = temporal, codec
	op := c.createVM(c.admin, "web")
	world := memory.New(memory.Options{})
	world.SetHost("host-1", contract.Hypervisor{Ref: "host-1", Name: "esx-1", Connected: true, Capacity: models.Size{VCPU: 8, MemoryMiB: 16384, StorageGiB: 100}})
	world.SetHost("host-2", contract.Hypervisor{Ref: "host-2", Name: "esx-2", Connected: true, Capacity: models.Size{VCPU: 8, MemoryMiB: 16384, StorageGiB: 100}})
	world.Fail(memory.SetPower, models.Faultf(models.CodeTaskFailed, "vCenter failed the task."))
	gate := worker.New(temporal, contract.Gateway, worker.Options{})
	workflows.Set{}.Register(gate)
	gateway.Activities{Store: c.store, Executions: temporal}.Register(gate)
	require.NoError(t, gate.Start())
	t.Cleanup(gate.Stop)
	region := worker.New(temporal, contract.VMQueue("tw"), worker.Options{DisableWorkflowWorker: true})
	vmactivities.Register(region, vmactivities.Activities{Hypervisor: world})
	require.NoError(t, region.Start())
	t.Cleanup(region.Stop)

	var input json.RawMessage
	require.NoError(t, c.store.Pool.QueryRow(t.Context(), "SELECT input FROM operations WHERE id = $1", op.ID).Scan(&input))
	run, err := temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: op.ID.String(), TaskQueue: contract.Gateway}, op.Kind, input)
	require.NoError(t, err)
	require.Error(t, run.Get(t.Context(), nil), "the machine does not boot")

	var got struct {
		OperationExport
		History json.RawMessage `json:"history"`
	}
	require.NoError(t, json.Unmarshal(c.get(op.Links.Self+"/export").Body, &got))
	require.Equal(t, []any{1, models.OperationFailed, "web"}, []any{got.Format, got.Operation.State, got.Request.(map[string]any)["resource_name"]})
	require.Equal(t, "vm.create", got.Audit[0].Action)
	var asked []string
	for _, a := range got.Activities {
		asked = append(asked, a.Name+" "+a.Failure)
	}
	require.Equal(t, []string{"vm.clone ", "vm.boot vCenter failed the task.", "vm.destroy ", "operation.report "}, asked)
	require.Equal(t, "web", got.Activities[0].Input.(map[string]any)["vm"].(map[string]any)["name"])
	require.Equal(t, true, got.Activities[0].Output.(map[string]any)["found"])
	require.NotContains(t, string(got.History), "binary/encrypted")

	h := &history.History{}
	require.NoError(t, protojson.Unmarshal(got.History, h))
	replayer := worker.NewWorkflowReplayer()
	workflows.Set{}.Register(replayer)
	require.NoError(t, replayer.ReplayWorkflowHistory(silentLog{}, h))
	require.Equal(t, 1, c.count("audit_events WHERE action = 'operation.export'"))
	c.call(c.user("member", "member@acme"), "GET", op.Links.Self+"/export", nil).problem(models.CodeForbidden)
}

// silentLog says nothing.
type silentLog struct{}

func (silentLog) Debug(string, ...any)      {}
func (silentLog) Info(string, ...any)       {}
func (silentLog) Warn(string, ...any)       {}
func (silentLog) Error(m string, kv ...any) { slog.Error(m, kv...) }

func TestSecretsAreRedacted(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"name":"web","password":"hunter2"}`:                         `{"name":"web","password":"[redacted]"}`,
		`{"bmc":[{"api_key":"k","n":1}],"next":{"kubeconfig":"yes"}}`: `{"bmc":[{"api_key":"[redacted]","n":1}],"next":{"kubeconfig":"[redacted]"}}`,
		`{"name": "untouched as it is written"}`:                      `{"name": "untouched as it is written"}`,
		`not JSON`:                                                    `not JSON`,
	} {
		require.Equal(t, want, string(redacted([]byte(in))))
	}
}

func TestBlockedOperationsAreSteeredTogether(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	var ops []Operation
	for _, name := range []string{"web-1", "web-2", "web-3", "web-4"} {
		op := c.createVM(c.admin, name)
		ops = append(ops, op)
	}
	c.block(ops[0].ID, models.CodeUnreachable)
	c.block(ops[1].ID, models.CodeUnreachable)
	c.block(ops[2].ID, models.CodeUndoFailed)
	outcomes := func(b Bulk) map[string]string {
		out := map[string]string{}
		for _, r := range b.Items {
			out[r.ResourceName] = r.Outcome
		}
		return out
	}
	preview := decode[Bulk](c.call(c.admin, "POST", "/v1/operations/abort?dry_run=true", nil).is(200))
	require.Equal(t, map[string]string{"web-1": "accepted", "web-2": "accepted", "web-3": "impossible"}, outcomes(preview))
	require.Zero(t, c.count("operation_intents"), "a preview changes nothing")
	c.call(c.admin, "POST", "/v1/operations/abort", nil).problem(models.CodeInvalid)
	c.call(c.admin, "POST", "/v1/operations/abort?state=running", nil).problem(models.CodeInvalid)

	viewer := c.user("viewer", "viewer@acme")
	require.Equal(t, "operation.resume", c.call(viewer, "POST", "/v1/operations/resume?region=tw", nil).problem(models.CodeForbidden).Missing)
	member := c.user("member", "member@rival")
	require.Empty(t, decode[Bulk](c.call(member, "POST", "/v1/operations/resume?region=tw", nil).is(200)).Items, "others' operations are not seen")

	c.call(c.admin, "POST", ops[0].Links.Self+"/resume", nil).is(202)
	resume := func() Bulk {
		return decode[Bulk](c.call(c.admin, "POST", "/v1/operations/resume?error_code=unreachable", nil, "Idempotency-Key", "all").is(200))
	}
	require.Equal(t, map[string]string{"web-1": "decided", "web-2": "accepted"}, outcomes(resume()))
	require.Equal(t, map[string]string{"web-1": "decided", "web-2": "accepted"}, outcomes(resume()), "the same request, the same answer")
	require.Equal(t, 2, c.count("operation_intents"))
	require.Equal(t, 2, c.count("audit_events WHERE action = 'operation.resume'"))
}
