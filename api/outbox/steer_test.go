package outbox_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/yunshu/yunshu/activities/contract"
	activities "github.com/yunshu/yunshu/activities/gateway"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/activities/vm/memory"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/workers/gateway"
	"github.com/yunshu/yunshu/workflows"
)

// within is how soon what somebody does in Temporal shows in the database.
const within = time.Minute

// theatre is a bed with everything that works on an operation.
type theatre struct {
	*bed
	world *memory.Provider
}

func newTheatre(t *testing.T) *theatre {
	t.Helper()
	b := newBed(t)
	s := &theatre{bed: b, world: memory.New(memory.Options{})}
	b.run(b.temporal)
	gate := gateway.New(b.temporal, activities.Activities{Store: b.store, Executions: b.temporal}, workflows.Set{Timing: workflows.Timing{Report: 50 * time.Millisecond}})
	require.NoError(t, gate.Start())
	t.Cleanup(gate.Stop)
	region := worker.New(b.temporal, contract.VMQueue("tw"), worker.Options{DisableWorkflowWorker: true, WorkerStopTimeout: time.Second})
	vm.Register(region, vm.Activities{Hypervisor: s.world})
	require.NoError(t, region.Start())
	t.Cleanup(region.Stop)
	return s
}

// stuck makes boots fail for as long as anybody tries.
func (s *theatre) stuck() {
	faults := make([]error, 10_000)
	for i := range faults {
		faults[i] = models.Faultf(models.CodeUnreachable, "The vCenter of tw does not answer.")
	}
	s.world.Fail(memory.SetPower, faults...)
}

// provision accepts the making of a machine.
func (s *theatre) provision() contract.VMProvisionInput { return s.accepted(nil) }

// accepted is provision of an operation that Temporal took at this time; nil: not yet.
func (s *theatre) accepted(dispatched *time.Time) contract.VMProvisionInput {
	s.Helper()
	o := contract.Operation{ID: models.NewID(), Kind: "vm.provision", Tenant: "acme", Region: "tw", ResourceKind: "vm", ResourceID: models.NewID(), ResourceName: "web", Actor: "ann"}
	in := contract.VMProvisionInput{Operation: o, VM: contract.VM{ID: o.ResourceID, Name: "web", Tenant: "acme", Size: models.Size{VCPU: 1, MemoryMiB: 1024, StorageGiB: 10}, Template: "ubuntu",
		Host: contract.Host{Name: "tw-a-01", Ref: "host-1000"}, Network: contract.Network{Name: "lan", Address: "10.1.0.7/16", Hostname: "web"}}}
	raw, err := json.Marshal(in)
	require.NoError(s, err)
	_, err = s.store.Pool.Exec(s.Context(), `INSERT INTO operations (id, kind, region, resource_kind, resource_id, resource_name, actor_id, actor, input, dispatched_at) VALUES ($1, $2, 'tw', 'vm', $3, 'web', $4, 'ann', $5, $6)`,
		o.ID, o.Kind, o.ResourceID, models.NewID(), raw, dispatched)
	require.NoError(s, err)
	return in
}

// seen is what the database knows of an operation, and at which step it is.
type seen struct {
	State, Code, Step, Run string
	Generation             int64
}

func (s *theatre) see(id models.ID) (out seen) {
	s.Helper()
	require.NoError(s, s.store.Pool.QueryRow(context.Background(), `SELECT state, error_code, coalesce((SELECT name FROM operation_steps WHERE operation_id = id ORDER BY number DESC LIMIT 1), ''), run_id, generation
		FROM operations WHERE id = $1`, id).Scan(&out.State, &out.Code, &out.Step, &out.Run, &out.Generation))
	return out
}

// becomes waits until an operation is in a state, and at a step if one is named. Temporal and the sweep take their time.
func (s *theatre) becomes(id models.ID, state, step string) seen {
	s.Helper()
	var last seen
	require.Eventually(s, func() bool {
		last = s.see(id)
		return last.State == state && (step == "" || last.Step == step)
	}, within, 50*time.Millisecond, "%s at %s; it is %+v", state, step, &last)
	return last
}

// booting is an operation whose machine is there and cannot be turned on.
func (s *theatre) booting() contract.VMProvisionInput {
	s.Helper()
	s.stuck()
	in := s.provision()
	s.becomes(in.ID, "running", "boot")
	require.Equal(s, 1, s.world.Live())
	return in
}

func (s *theatre) reset(in contract.VMProvisionInput) {
	s.Helper()
	_, err := s.temporal.ResetWorkflowExecution(s.Context(), &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: s.namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: in.ID.String()}, Reason: "try again",
		WorkflowTaskFinishEventId: 3 + 1, RequestId: models.NewID().String(), // the first workflow task ended with event 4
	})
	require.NoError(s, err)
}

func TestCancellingInTemporalCancelsTheOperation(t *testing.T) {
	t.Parallel()
	s := newTheatre(t)
	in := s.booting()
	require.NoError(t, s.temporal.CancelWorkflow(t.Context(), in.ID.String(), ""))
	require.Equal(t, "cancelled", s.becomes(in.ID, "cancelled", "").Code)
	require.Zero(t, s.world.Live())
}

func TestTerminatingInTemporalSettlesTheOperation(t *testing.T) {
	t.Parallel()
	s := newTheatre(t)
	in := s.booting()
	require.NoError(t, s.temporal.TerminateWorkflow(t.Context(), in.ID.String(), "", "enough"))
	require.Equal(t, "workflow_lost", s.becomes(in.ID, "failed", "").Code)
	require.Zero(t, s.world.Live())

	// Reset after that, it makes the machine again, learns that it is too late, and takes it back.
	s.world.Mend()
	s.reset(in)
	run := s.temporal.GetWorkflow(t.Context(), in.ID.String(), "")
	require.Error(t, run.Get(t.Context(), nil))
	require.Zero(t, s.world.Live())
	require.Equal(t, "failed", s.see(in.ID).State)
}

func TestAWorkflowThatTimedOutIsSettled(t *testing.T) {
	t.Parallel()
	s := newTheatre(t)
	s.stuck()
	now := time.Now()
	in := s.accepted(&now)
	_, err := s.temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: in.ID.String(), TaskQueue: contract.Gateway, WorkflowExecutionTimeout: 2 * time.Second}, in.Kind, in)
	require.NoError(t, err)
	require.Equal(t, "workflow_lost", s.becomes(in.ID, "failed", "").Code)
	require.Zero(t, s.world.Live())
}

func TestAResetIsHeardAndTheRunBeforeItNoMore(t *testing.T) {
	t.Parallel()
	s := newTheatre(t)
	in := s.booting()
	before := s.see(in.ID)
	s.reset(in)
	require.Eventually(t, func() bool { return s.see(in.ID).Generation == 2 }, within, 50*time.Millisecond, "the new run reports")
	s.world.Mend()
	after := s.becomes(in.ID, "succeeded", "")
	require.NotEqual(t, before.Run, after.Run)
	require.Equal(t, 1, s.world.Live(), "the machine that was there is adopted")
}

func TestAStaleReportIsRefused(t *testing.T) {
	t.Parallel()
	s := newTheatre(t)
	in := s.booting()
	now := s.see(in.ID)
	stale := contract.Report{OperationID: in.ID, Seq: 1000, State: models.OperationSucceeded, RunID: "another"}
	got, err := s.store.Report(t.Context(), stale)
	require.NoError(t, err)
	require.Equal(t, contract.Reported{RunID: now.Run}, got, "of another run, however high it counts")
	stale.RunID, stale.Seq = now.Run, 1
	got, err = s.store.Report(t.Context(), stale)
	require.NoError(t, err)
	require.False(t, got.Applied, "of this run, but not newer")
	require.Equal(t, "running", s.see(in.ID).State)
}

// paused waits until no attempt of the only activity is under way any more.
func (s *theatre) paused(in contract.VMProvisionInput) {
	s.Helper()
	require.Eventually(s, func() bool {
		d, err := s.temporal.DescribeWorkflowExecution(s.Context(), in.ID.String(), "")
		require.NoError(s, err)
		pending := d.GetPendingActivities()
		return len(pending) == 1 && pending[0].GetState() == enumspb.PENDING_ACTIVITY_STATE_PAUSED
	}, within, 20*time.Millisecond)
}

func TestPausingAndResettingAnActivity(t *testing.T) {
	t.Parallel()
	s := newTheatre(t)
	in := s.booting()
	service, at := s.temporal.WorkflowService(), &commonpb.WorkflowExecution{WorkflowId: in.ID.String()}
	_, err := service.PauseActivity(t.Context(), &workflowservice.PauseActivityRequest{Namespace: s.namespace, Execution: at, Identity: "ann", Reason: "tw is being repaired",
		Activity: &workflowservice.PauseActivityRequest_Type{Type: "vm.boot"}})
	require.NoError(t, err)
	s.paused(in) // an attempt that was under way would succeed as soon as the world is mended
	s.world.Mend()
	_, err = service.ResetActivity(t.Context(), &workflowservice.ResetActivityRequest{Namespace: s.namespace, Execution: at, KeepPaused: true,
		Activity: &workflowservice.ResetActivityRequest_Type{Type: "vm.boot"}})
	require.NoError(t, err)
	require.Equal(t, "running", s.see(in.ID).State, "it is paused, and that is no end")
	_, err = service.UnpauseActivity(t.Context(), &workflowservice.UnpauseActivityRequest{Namespace: s.namespace, Execution: at,
		Activity: &workflowservice.UnpauseActivityRequest_Type{Type: "vm.boot"}})
	require.NoError(t, err)
	s.becomes(in.ID, "succeeded", "")
	require.Equal(t, 1, s.world.Live())
}

// TestResumingInTemporal sends the update as the Temporal CLI does: in the clear.
func TestResumingInTemporal(t *testing.T) {
	t.Parallel()
	s := newTheatre(t)
	s.world.Fail(memory.AwaitGuest, models.Faultf(models.CodeGuestSilent, "The guest is silent."))
	in := s.provision()
	require.Equal(t, "guest_silent", s.becomes(in.ID, "blocked", "boot").Code)
	plain, err := client.Dial(client.Options{HostPort: s.address, Namespace: s.namespace})
	require.NoError(t, err)
	t.Cleanup(plain.Close)
	update := func(body string) error {
		handle, err := plain.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{WorkflowID: in.ID.String(), UpdateName: "resume",
			WaitForStage: client.WorkflowUpdateStageCompleted, Args: []any{json.RawMessage(body)}})
		if err != nil {
			return err
		}
		return handle.Get(t.Context(), nil)
	}
	require.Error(t, update(`{"actor": "ann", "way": "host"}`), "that takes the API, which chooses the host")
	require.NoError(t, update(`{"actor": "ann", "way": "skip", "reason": "no guest tools"}`))
	s.becomes(in.ID, "succeeded", "look")
}
