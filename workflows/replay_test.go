package workflows_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/encoding/protojson"

	historypb "go.temporal.io/api/history/v1"

	"github.com/yunshu/yunshu/activities/baremetal"
	servers "github.com/yunshu/yunshu/activities/baremetal/memory"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/gateway"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/activities/vm/memory"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/temporal"
	"github.com/yunshu/yunshu/workflows"
)

var record = flag.Bool("record", false, "record the histories that there are none of yet from a real Temporal; remove a file to record it anew")

// TestRecordedHistoriesReplay runs today's workflows over what earlier ones did: an operation that is under way when the
// gateway is replaced must go on as it began.
func TestRecordedHistoriesReplay(t *testing.T) {
	t.Parallel()
	if *record {
		recordAll(t)
	}
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	replayer := worker.NewWorkflowReplayer()
	workflows.Set{}.Register(replayer)
	for _, file := range files {
		require.NoError(t, replayer.ReplayWorkflowHistoryFromJSONFile(nil, file), file)
	}
}

// recordAll runs each story on a real Temporal and keeps its history.
func recordAll(t *testing.T) {
	address, namespace := temporal.Namespace(t)
	c, err := client.Dial(client.Options{HostPort: address, Namespace: namespace, Identity: "recorder"})
	require.NoError(t, err)
	defer c.Close()
	world := memory.New(memory.Options{})
	gate := worker.New(c, contract.Gateway, worker.Options{})
	workflows.Set{}.Register(gate)
	books := &gatewayFake{drained: []contract.Drained{{Left: 2, Moving: 2, Marked: true}, {Left: 1, Moving: 1, Marked: true}, {Marked: true}}}
	gateway.Activities{Store: books, Drains: books}.Register(gate)
	rack := newRack(t)
	rack.db.Register(gate)
	require.NoError(t, gate.Start())
	defer gate.Stop()
	region := worker.New(c, contract.VMQueue("tw"), worker.Options{DisableWorkflowWorker: true})
	vm.Register(region, vm.Activities{Hypervisor: world})
	require.NoError(t, region.Start())
	defer region.Stop()
	bmcs := worker.New(c, contract.BMQueue("tw"), worker.Options{DisableWorkflowWorker: true})
	baremetal.Register(bmcs, rack.bmcs)
	require.NoError(t, bmcs.Start())
	defer bmcs.Stop()

	keep := func(name, kind string, input any, during func(id string)) {
		file := filepath.Join("testdata", name+".json")
		id := models.NewID().String()
		run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: contract.Gateway}, kind, input)
		require.NoError(t, err)
		if during != nil {
			during(id)
		}
		_ = run.Get(t.Context(), nil) // some stories end badly, as they should
		if _, err := os.Stat(file); err == nil {
			return // what an earlier release did stays as it was
		}
		history := &historypb.History{}
		for events := c.GetWorkflowHistory(t.Context(), id, "", false, 1); events.HasNext(); {
			e, err := events.Next()
			require.NoError(t, err)
			history.Events = append(history.Events, e)
		}
		raw, err := protojson.Marshal(history)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, raw, 0o600))
	}
	in := provision()
	keep("provision", "vm.provision", in, nil)
	keep("resize", "vm.resize", contract.VMResizeInput{Operation: on(in, "vm.resize"), From: in.VM.Size, To: models.Size{VCPU: 4, MemoryMiB: 4096, StorageGiB: 30}, State: models.VMRunning}, nil)
	keep("reboot", "vm.power", contract.VMPowerInput{Operation: on(in, "vm.power"), Action: contract.Reboot, From: models.VMRunning}, nil)
	keep("delete", "vm.delete", contract.VMDeleteInput{Operation: on(in, "vm.delete")}, nil)
	world.Fail(memory.AwaitGuest, final)
	keep("provision-undone", "vm.provision", provision(), nil)
	world.Fail(memory.SetPower, many(mending)[:5]...)
	keep("provision-cancelled", "vm.provision", provision(), func(id string) {
		time.Sleep(2 * time.Second) // into the retries of the second step; recording is done by hand
		require.NoError(t, c.CancelWorkflow(t.Context(), id, ""))
	})
	world.Mend()
	decide := func(in contract.Intent) func(string) {
		return func(id string) {
			in.Actor = "bob"
			require.Eventually(t, func() bool { // until it is blocked, which is refused
				handle, err := c.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{WorkflowID: id, UpdateName: contract.UpdateResume, WaitForStage: client.WorkflowUpdateStageCompleted, Args: []any{in}})
				return err == nil && handle.Get(t.Context(), nil) == nil
			}, 30*time.Second, 100*time.Millisecond)
		}
	}
	world.Fail(memory.AwaitGuest, silent)
	keep("provision-skipped", "vm.provision", provision(), decide(contract.Intent{Way: models.WaySkip, Reason: "no guest tools"}))
	world.Fail(memory.Clone, full)
	moved := provision()
	keep("provision-moved", "vm.provision", moved, decide(contract.Intent{Way: models.WayHost, VM: elsewhere(moved)}))
	there := provision()
	require.NoError(t, world.Clone(t.Context(), there.VM, there.ID, vm.Task{}))
	keep("migrate", "vm.migrate", migration(there), nil)
	world.Fail(memory.Migrate, final)
	keep("migrate-undone", "vm.migrate", migration(there), nil)
	keep("drain", "baremetal.drain", drain(2), nil)
	op := operation("region.import")
	keep("import", "region.import", contract.RegionImportInput{Operation: op}, nil)
	left := provision()
	require.NoError(t, world.Clone(t.Context(), left.VM, left.ID, vm.Task{}))
	keep("leak-check", "leak.check", contract.LeakCheckInput{Operation: operation("leak.check"), Regions: []string{"tw"}}, nil)

	boot := contract.Boot{Purpose: models.BootProvision, Image: "image", Media: iso}
	keep("enroll", "baremetal.enroll", contract.BaremetalEnrollInput{Operation: rack.of("baremetal.enroll"), Rotate: true}, nil)
	right := rack.db.Passwords()[0]
	rack.db.Mend(bmcAddress, "a typo")
	keep("enroll-resumed", "baremetal.enroll", contract.BaremetalEnrollInput{Operation: rack.of("baremetal.enroll")}, func(id string) {
		time.Sleep(2 * time.Second) // until it is refused; recording is done by hand
		rack.db.Mend(bmcAddress, right)
		decide(contract.Intent{})(id)
	})
	rack.db.Fail("bmc.commit-password", final)
	keep("rotate-undone", "baremetal.rotate", contract.BaremetalRotateInput{Operation: rack.of("baremetal.rotate")}, nil)
	keep("server-reset", "baremetal.power", contract.BaremetalPowerInput{Operation: rack.of("baremetal.power"), Action: contract.BMReset}, nil)
	keep("server-media", "baremetal.media", contract.BaremetalMediaInput{Operation: rack.of("baremetal.media"), URL: iso}, nil)
	rack.servers.Change(bmcAddress, func(m *servers.Machine) { m.Health.Status = models.HealthCritical })
	keep("return-skipped", "baremetal.inspect", contract.BaremetalInspectInput{Operation: rack.of("baremetal.inspect"), Return: true}, decide(contract.Intent{Way: models.WaySkip, Reason: "a spare is on its way"}))
	keep("discover", "baremetal.discover", contract.BaremetalDiscoverInput{Operation: rack.of("baremetal.discover"), Boot: boot}, nil)
	keep("lease", "baremetal.lease", contract.BaremetalLeaseInput{Operation: rack.of("baremetal.lease"), Boot: boot}, nil)
	rack.db.reports.Wiped[0].Verified = false
	keep("release-skipped", "baremetal.release", contract.BaremetalReleaseInput{Operation: rack.of("baremetal.release"), Boot: boot}, decide(contract.Intent{Way: models.WaySkip, Reason: "it goes to the shredder"}))
	rack.db.reports.Wiped[0].Verified = true
	keep("release", "baremetal.release", contract.BaremetalReleaseInput{Operation: rack.of("baremetal.release"), Boot: boot}, nil)
	rack.db.silent = 1 << 20
	keep("lease-cancelled", "baremetal.lease", contract.BaremetalLeaseInput{Operation: rack.of("baremetal.lease"), Boot: boot}, func(id string) {
		time.Sleep(8 * time.Second) // into the wait for its report
		require.NoError(t, c.CancelWorkflow(t.Context(), id, ""))
	})
	keep("join-aborted", "baremetal.join", contract.BaremetalJoinInput{Operation: rack.of("baremetal.join"), UUID: "de305d54-75b4-431b-adb2-eb6b9e546014"}, decide(contract.Intent{Way: models.WayRollBack}))
	keep("settle-lease", "operation.settle", contract.Lost{Operation: rack.of("baremetal.lease"), Seq: 2}, nil)
	keep("retire", "baremetal.retire", contract.BaremetalRetireInput{Operation: rack.of("baremetal.retire"), From: models.BaremetalMaintenance, BMC: true}, nil)
	rack.db.machines = []contract.BMC{{ID: rack.op.ResourceID, Name: "bm-1", Address: "https://10.0.0.99"}}
	keep("watch", "baremetal.watch", contract.BaremetalWatchInput{Region: "tw"}, nil)
}
