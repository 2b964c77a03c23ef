package contract_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

var update = flag.Bool("update", false, "write the golden files")

// TestWhatCrossesTheBoundaryStaysTheSame keeps the JSON of every payload: regions may lag a release behind, so a field
// may be added, but none renamed or dropped.
func TestWhatCrossesTheBoundaryStaysTheSame(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6d")
	size := models.Size{VCPU: 2, MemoryMiB: 4096, StorageGiB: 40, GPU: 1}
	op := contract.Operation{ID: id, Kind: "vm.provision", TenantID: id, Tenant: "acme/dev", Region: "tw", ResourceKind: "vm", ResourceID: id, ResourceName: "web", Actor: "ann"}
	vm := contract.VM{ID: id, Name: "web", Tenant: "acme/dev", Size: size, Template: "ubuntu-24.04", Host: contract.Host{ID: id, Name: "tw-a-01", Ref: "host-21"},
		Network: contract.Network{Name: "vlan-100", Address: "10.1.0.7/16", Gateway: "10.1.0.1", DNS: []string{"10.1.0.2"}, Hostname: "web"}}
	ref := contract.VMRef{OperationID: id, ID: id, Name: "web"}
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for name, payload := range map[string]any{
		"vm-provision": contract.VMProvisionInput{Operation: op, VM: vm},
		"vm-delete":    contract.VMDeleteInput{Operation: op},
		"vm-power":     contract.VMPowerInput{Operation: op, Action: contract.Reboot, From: models.VMRunning, Drain: id},
		"vm-resize":    contract.VMResizeInput{Operation: op, From: size, To: size, State: models.VMRunning, AllowRestart: true},
		"vm-migrate":   contract.VMMigrateInput{Operation: op, From: vm.Host, To: vm.Host, State: models.VMRunning, Drain: id},
		"migrate":      contract.MigrateInput{VMRef: ref, To: vm.Host},
		"clone":        contract.CloneInput{OperationID: id, VM: vm},
		"power":        contract.PowerInput{VMRef: ref, On: true},
		"boot":         contract.BootInput{VMRef: ref, Address: "10.1.0.7"},
		"reconfigure":  contract.ReconfigureInput{VMRef: ref, Size: size},
		"status":       contract.VMStatus{Found: true, Ref: "vm-42", On: true, Size: size, Hostname: "web", Addresses: []string{"10.1.0.7"}, Host: "host-21"},
		"report": contract.Report{OperationID: id, Seq: 3, State: models.OperationFailed, Steps: []contract.Step{{Number: 1, Name: "clone", State: models.StepUndone, Started: at, Ended: at, Message: "why"}},
			VM: &contract.VMFacts{State: models.VMGone, Ref: "vm-42", Hostname: "web", Addresses: []string{"10.1.0.7"}, Size: &size, HostRef: "host-21"}, Fault: &models.Fault{Code: models.CodeTaskFailed, Message: "why", Step: "clone"}, Result: json.RawMessage(`{}`)},
		"import":          contract.RegionImportInput{Operation: op},
		"hypervisors":     contract.HypervisorPage{Hypervisors: []contract.Hypervisor{{Ref: "host-21", UUID: "u", Name: "tw-a-01", Cluster: "tw-a", Capacity: size, Model: "m", Connected: true}}, Next: "host-21"},
		"record":          contract.RecordInput{OperationID: id, Region: "tw", Last: true},
		"compare":         contract.CompareInput{OperationID: id, Region: "tw", After: "a", Machines: []contract.Machine{{ID: id, Ref: "vm-42", Name: "web"}}, Last: true},
		"findings":        contract.Findings{Findings: []contract.Finding{{Kind: "unknown_machine", Region: "tw", ResourceKind: "vm", ResourceID: id, Message: "why"}}},
		"baremetal-drain": contract.BaremetalDrainInput{Operation: op, Machines: 12, Stop: true},
		"drain":           contract.DrainInput{OperationID: id, BaremetalID: id, Stop: true, Attempts: 3},
		"drained":         contract.Drained{Left: 4, Moving: 2, Stopped: 1, Stuck: []contract.Stuck{{Name: "acme/dev/web", Reason: "why"}}, Waiting: []contract.Stuck{{Name: "acme/dev/db", Reason: "why"}}, Marked: true},
		"lost":            contract.Lost{Operation: op, Seq: 3},
		"intent":          contract.Intent{ID: id, Actor: "ann"},
	} {
		requireGolden(t, name, payload)
	}
	for name, payload := range baremetalPayloads(id, op, size, at) {
		requireGolden(t, name, payload)
	}
}

// requireGolden compares a payload's JSON with the file that keeps it.
func requireGolden(t *testing.T, name string, payload any) {
	t.Helper()
	raw, err := json.MarshalIndent(payload, "", "  ")
	require.NoError(t, err)
	golden := filepath.Join("testdata", name+".json")
	if *update {
		require.NoError(t, os.WriteFile(golden, append(raw, '\n'), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), string(raw)+"\n", name)
}

func TestFaultsCrossTheBoundaryWhole(t *testing.T) {
	t.Parallel()
	for _, info := range models.Codes {
		fault := &models.Fault{Code: info.Code, Message: "A sentence.", Step: "clone"}
		err := contract.Error(fault)
		var app *temporal.ApplicationError
		require.ErrorAs(t, err, &app)
		require.Equal(t, string(info.Code), app.Type())
		require.Equal(t, !info.Retryable, app.NonRetryable())
		require.Equal(t, fault, contract.FaultOf(err))
	}
	require.Equal(t, models.CodeCancelled, contract.FaultOf(temporal.NewCanceledError()).Code)
	require.Nil(t, contract.FaultOf(nil))
	require.NoError(t, contract.Error(nil))
}
