package memory

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/yunshu/yunshu/models"
)

// inventory makes up what the machine at an address is made of; the same each time. IPMI knows little of it.
func inventory(address string, protocol models.BMCProtocol) models.Inventory {
	sum := sha256.Sum256([]byte(address))
	serial := strings.ToUpper(hex.EncodeToString(sum[:4]))
	out := models.Inventory{
		HardwareIdentity: models.HardwareIdentity{
			UUID: uuid.NewSHA1(uuid.NameSpaceDNS, []byte(address)).String(), Serial: serial, Vendor: "Yunshu", Model: "Memory R1",
		},
	}
	if protocol == models.IPMI {
		return out
	}
	out.BIOS = "1.4.2"
	for range 2 {
		out.CPUs = append(out.CPUs, models.CPU{Model: "Memory Core 6430", Cores: 32, Threads: 64, MHz: 2100})
	}
	for i := range 8 {
		out.Memory = append(out.Memory, models.MemoryModule{Slot: fmt.Sprintf("A%d", i+1), SizeMiB: 32 << 10, Type: "DDR5", MHz: 4800, Serial: fmt.Sprintf("%s-M%d", serial, i+1)})
	}
	for i := range 2 {
		out.Disks = append(out.Disks, models.Disk{Name: fmt.Sprintf("Bay %d", i), Model: "Memory NV2", Serial: fmt.Sprintf("%s-D%d", serial, i), SizeGiB: 1788, Kind: "nvme"})
		out.NICs = append(out.NICs, models.NIC{Name: fmt.Sprintf("NIC.%d", i+1), MAC: fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", sum[4], sum[5], sum[6], sum[7], i), SpeedMbps: 25000, Model: "Memory E810"})
	}
	out.Firmware = []models.Firmware{{Name: "BIOS", Version: "1.4.2"}, {Name: "BMC", Version: "6.10.30"}}
	return out
}

// health makes up that all is well.
func health() models.Health {
	return models.Health{
		Status: models.HealthOK,
		Sensors: []models.Sensor{
			{Name: "Inlet Temp", Value: 23, Unit: "Cel", Health: models.HealthOK},
			{Name: "Fan 1", Value: 5400, Unit: "RPM", Health: models.HealthOK},
			{Name: "Power", Value: 312, Unit: "W", Health: models.HealthOK},
		},
		Log: []models.LogEntry{{ID: "1", At: time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC), Health: models.HealthOK, Message: "The log was cleared."}},
	}
}

// clone copies an inventory, so that nobody changes the machine by what they read of it.
func clone(i models.Inventory) models.Inventory {
	i.CPUs, i.Memory, i.Disks = slices.Clone(i.CPUs), slices.Clone(i.Memory), slices.Clone(i.Disks)
	i.NICs, i.GPUs, i.Firmware = slices.Clone(i.NICs), slices.Clone(i.GPUs), slices.Clone(i.Firmware)
	return i
}
