package contract_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/vault"
)

// baremetalPayloads is everything about physical servers that crosses the boundary.
func baremetalPayloads(id models.ID, op contract.Operation, size models.Size, at time.Time) map[string]any {
	op.Kind, op.ResourceKind, op.ResourceName = "baremetal.enroll", "baremetal", "bm-1"
	sealed := vault.Sealed{KeyID: "k1", Data: []byte("ciphertext")}
	bmc := contract.BMC{ID: id, Name: "bm-1", Address: "https://10.0.0.5", Protocol: models.Redfish, Fingerprint: "00ff", Username: "root", Password: sealed}
	boot := contract.Boot{Purpose: models.BootWipe, Image: "wipe", Media: "http://10.0.0.1/wipe.iso"}
	identity := models.HardwareIdentity{UUID: "0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6d", Serial: "S-1", Vendor: "Yunshu", Model: "R1"}
	inventory := models.Inventory{
		HardwareIdentity: identity, BIOS: "1.4.2",
		CPUs:     []models.CPU{{Model: "c", Cores: 32, Threads: 64, MHz: 2100}},
		Memory:   []models.MemoryModule{{Slot: "A1", SizeMiB: 32768, Type: "DDR5", MHz: 4800, Serial: "M-1"}},
		Disks:    []models.Disk{{Name: "Bay 0", Model: "d", Serial: "D-1", SizeGiB: 1788, Kind: "nvme"}},
		NICs:     []models.NIC{{Name: "NIC.1", MAC: "02:00:00:00:00:01", SpeedMbps: 25000, Model: "n"}},
		GPUs:     []models.GPU{{Model: "H200", Vendor: "NVIDIA", Serial: "G-1", MemoryMiB: 147456}},
		Firmware: []models.Firmware{{Name: "BIOS", Version: "1.4.2"}},
	}
	probed := contract.Probed{Protocol: models.Redfish, Fingerprint: "00ff", Identity: identity, Console: "https://10.0.0.5/console"}
	inspected := contract.Inspected{Inventory: inventory, Power: models.PowerOn, Health: models.Health{
		Status:  models.HealthWarning,
		Sensors: []models.Sensor{{Name: "Fan 1", Value: 5400, Unit: "RPM", Health: models.HealthOK}},
		Log:     []models.LogEntry{{ID: "1", At: at, Health: models.HealthWarning, Message: "why"}},
	}}
	host := contract.Hypervisor{Ref: "host-21", UUID: "u", Name: "bm-1", Cluster: "tw-a", Capacity: size, Model: "m", Connected: true, Maintenance: true}
	seen := []contract.Observation{{ID: id, Inspected: &inspected}, {ID: id, Fault: &models.Fault{Code: models.CodeUnreachable, Message: "why"}}}
	access := contract.AccessInput{OperationID: id, BaremetalID: id}
	ref := contract.BootRef{OperationID: id, BaremetalID: id}
	return map[string]any{
		"baremetal-enroll":   contract.BaremetalEnrollInput{Operation: op, Rotate: true},
		"baremetal-power":    contract.BaremetalPowerInput{Operation: op, Action: contract.BMReset},
		"baremetal-boot":     contract.BaremetalBootInput{Operation: op, Device: models.BootPXE, Persistent: true},
		"baremetal-media":    contract.BaremetalMediaInput{Operation: op, URL: "http://10.0.0.1/a.iso"},
		"baremetal-locate":   contract.BaremetalLocateInput{Operation: op, On: true},
		"baremetal-inspect":  contract.BaremetalInspectInput{Operation: op, Return: true},
		"baremetal-discover": contract.BaremetalDiscoverInput{Operation: op, Boot: boot},
		"baremetal-rotate":   contract.BaremetalRotateInput{Operation: op},
		"baremetal-join":     contract.BaremetalJoinInput{Operation: op, UUID: "u"},
		"baremetal-lease":    contract.BaremetalLeaseInput{Operation: op, Boot: boot},
		"baremetal-release":  contract.BaremetalReleaseInput{Operation: op, Boot: boot},
		"baremetal-retire":   contract.BaremetalRetireInput{Operation: op, From: models.BaremetalMaintenance, BMC: true},
		"baremetal-watch":    contract.BaremetalWatchInput{Region: "tw", After: id},
		"bmc":                bmc,
		"bm-probed":          probed,
		"bm-inspected":       inspected,
		"bm-power":           contract.BMPowerInput{BMC: bmc, On: true, Soft: true},
		"bm-powered":         contract.BMPowered{Power: models.PowerOff},
		"bm-boot":            contract.BMBootInput{BMC: bmc, Device: models.BootCD, Persistent: true},
		"bm-media":           contract.BMMediaInput{BMC: bmc, URL: "http://10.0.0.1/a.iso"},
		"bm-locate":          contract.BMLocateInput{BMC: bmc, On: true},
		"bm-password":        contract.BMPasswordInput{BMC: bmc, New: sealed},
		"bm-observe":         contract.ObserveInput{BMCs: []contract.BMC{bmc}},
		"bm-observed":        contract.ObservePage{Observations: seen},
		"baremetal-report": contract.Report{OperationID: id, Seq: 3, State: models.OperationSucceeded, Baremetal: &contract.BaremetalFacts{
			State: models.BaremetalInUse, Role: models.RoleHypervisor, Probed: &probed, Inspected: &inspected, Power: models.PowerOn, Host: &host, EndService: "why", Serviceable: true}},
		"bmc-access":         access,
		"bmc-access-page":    contract.AccessPageInput{Region: "tw", After: id, Limit: 50},
		"bmc-page":           contract.AccessPage{BMCs: []contract.BMC{bmc}, Next: id},
		"bmc-staged":         contract.Staged{Password: sealed, Fresh: true, Replaced: true},
		"baremetal-claim":    contract.ClaimInput{OperationID: id, BaremetalID: id, Probed: probed},
		"baremetal-observed": contract.RecordObservationsInput{Region: "tw", Observations: seen},
		"observations":       contract.ObservationsRecorded{Changed: 1, Drifts: 2, Closed: 3},
		"boot-expect":        contract.BootExpectInput{OperationID: id, BaremetalID: id, Boot: boot},
		"boot-ref":           ref,
		"boot-report":        contract.BootReport{Reported: true, Begun: true, Inventory: &inventory, Wiped: []models.Wiped{{Name: "sda", Serial: "D-1", SizeGiB: 1788, Method: "zero", Verified: true}}, Error: "why"},
	}
}

// TestNoPayloadShowsAPassword looks for the words of a password in everything that may carry one.
func TestNoPayloadShowsAPassword(t *testing.T) {
	t.Parallel()
	keys, err := vault.Parse("test=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	require.NoError(t, err)
	id := uuid.MustParse("0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6d")
	sealed, err := keys.Seal("hunter2hunter2", contract.SealedFor(id))
	require.NoError(t, err)
	raw, err := json.Marshal(contract.BMPasswordInput{BMC: contract.BMC{ID: id, Password: sealed}, New: sealed})
	require.NoError(t, err)
	require.False(t, strings.Contains(string(raw), "hunter2"))
}
