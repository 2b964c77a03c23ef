package workflows_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/gateway"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/activities/vm/memory"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/workflows"
)

// gatewayFake keeps reports as the gateway would: in order, each number once.
type gatewayFake struct {
	gateway.Boots // none of these workflows boots anything
	mu            sync.Mutex
	reports       []contract.Report
	findings      contract.Findings
	recorded      []contract.Hypervisor
	ended         bool               // the operation has ended without this workflow
	home          *contract.Host     // that its machine is on then
	drained       []contract.Drained // what looks at a host find, one after the other; the last one stays
	looks         []contract.DrainInput
}

func (g *gatewayFake) Report(_ context.Context, r contract.Report) (contract.Reported, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return contract.Reported{Ended: true, Home: g.home}, nil
	}
	if n := len(g.reports); n > 0 && g.reports[n-1].Seq >= r.Seq {
		return contract.Reported{}, nil
	}
	g.reports = append(g.reports, r)
	return contract.Reported{Applied: true}, nil
}

func (g *gatewayFake) RecordHypervisors(_ context.Context, in contract.RecordInput) (contract.Recorded, error) {
	g.recorded = append(g.recorded, in.Hypervisors...)
	return contract.Recorded{Added: len(in.Hypervisors)}, nil
}

// RecordObservations takes over whatever was seen.
func (g *gatewayFake) RecordObservations(_ context.Context, in contract.RecordObservationsInput) (contract.ObservationsRecorded, error) {
	return contract.ObservationsRecorded{Changed: len(in.Observations)}, nil
}

func (g *gatewayFake) CompareMachines(_ context.Context, in contract.CompareInput) (contract.Findings, error) {
	var out contract.Findings
	for _, m := range in.Machines {
		out.Findings = append(out.Findings, contract.Finding{Kind: "unknown_machine", Region: in.Region, ResourceKind: "vm", ResourceID: m.ID})
	}
	return out, nil
}

func (g *gatewayFake) CheckLedger(context.Context) (contract.Findings, error) { return g.findings, nil }

func (g *gatewayFake) WatchUsage(context.Context) (contract.UsageWatched, error) {
	return contract.UsageWatched{}, nil
}

func (g *gatewayFake) LostOperations(context.Context, models.ID, int) (contract.LostPage, error) {
	return contract.LostPage{}, nil
}

func (g *gatewayFake) UnderWay(context.Context, []models.ID) (contract.LostPage, error) {
	return contract.LostPage{}, nil
}

func (g *gatewayFake) Hear(context.Context, models.ID, string, string) (bool, error) {
	return false, nil
}

func (g *gatewayFake) ContinueDrain(_ context.Context, in contract.DrainInput) (contract.Drained, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.looks = append(g.looks, in)
	return g.drained[min(len(g.looks), len(g.drained))-1], nil
}

// stage is a workflow environment with a real little hypervisor and a gateway that only remembers.
type stage struct {
	*testing.T
	env   *testsuite.TestWorkflowEnvironment
	world *memory.Provider
	gate  *gatewayFake
}

func newStage(t *testing.T) *stage {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	s := &stage{T: t, env: suite.NewTestWorkflowEnvironment(), world: memory.New(memory.Options{}), gate: &gatewayFake{}}
	s.env.SetTestTimeout(30 * time.Second)
	workflows.Set{}.Register(s.env)
	vm.Register(s.env, vm.Activities{Hypervisor: s.world})
	gateway.Activities{Store: s.gate, Drains: s.gate}.Register(s.env)
	return s
}

// last is the report that ended the operation, or nearly.
func (s *stage) last() contract.Report {
	s.Helper()
	require.NotEmpty(s, s.gate.reports)
	return s.gate.reports[len(s.gate.reports)-1]
}

// story is the last report in a line: the state, what became of each step, of the machine, and why.
func (s *stage) story() string {
	s.Helper()
	r := s.last()
	parts := []string{string(r.State)}
	for _, step := range r.Steps {
		parts = append(parts, step.Name+":"+string(step.State))
	}
	if r.VM != nil {
		parts = append(parts, "vm:"+string(r.VM.State))
	}
	parts = append(parts, bmFacts(r.Baremetal)...)
	if r.Fault != nil {
		parts = append(parts, fmt.Sprintf("fault:%s@%s", r.Fault.Code, r.Fault.Step))
	}
	return strings.Join(parts, " ")
}

func operation(kind string) contract.Operation {
	return contract.Operation{ID: models.NewID(), Kind: kind, TenantID: models.NewID(), Tenant: "acme/dev", Region: "tw",
		ResourceKind: "vm", ResourceID: models.NewID(), ResourceName: "web", Actor: "ann"}
}

func provision() contract.VMProvisionInput {
	op := operation("vm.provision")
	return contract.VMProvisionInput{Operation: op, VM: contract.VM{
		ID: op.ResourceID, Name: "web", Tenant: op.Tenant, Size: models.Size{VCPU: 2, MemoryMiB: 2048, StorageGiB: 20}, Template: "ubuntu-24.04",
		Host:    contract.Host{ID: models.NewID(), Name: "tw-a-01", Ref: "host-1000"},
		Network: contract.Network{Name: "vlan-100", Address: "10.1.0.7/16", Hostname: "web"},
	}}
}

// exists puts a machine there as an earlier provision would have.
func (s *stage) exists(in contract.VMProvisionInput, on bool) {
	s.Helper()
	require.NoError(s, s.world.Clone(context.Background(), in.VM, in.ID, vm.Task{}))
	require.NoError(s, s.world.SetPower(context.Background(), s.machine(in), on, vm.Task{}))
}

func (s *stage) machine(in contract.VMProvisionInput) vm.Machine {
	return vm.Machine{ID: in.VM.ID, Name: in.VM.Name}
}

func (s *stage) status(in contract.VMProvisionInput) contract.VMStatus {
	s.Helper()
	got, err := s.world.Status(context.Background(), s.machine(in))
	require.NoError(s, err)
	return got
}

// on makes an operation of another kind on the same machine.
func on(in contract.VMProvisionInput, kind string) contract.Operation {
	op := in.Operation
	op.ID, op.Kind = models.NewID(), kind
	return op
}

var (
	final   = models.Faultf(models.CodeTaskFailed, "vCenter failed the task.")
	mending = models.Faultf(models.CodeUnreachable, "vCenter does not answer.")
)

func many(err error) []error {
	out := make([]error, 2000)
	for i := range out {
		out[i] = err
	}
	return out
}
