package models_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

func TestAnInventoryIsFilledUp(t *testing.T) {
	t.Parallel()
	outside := models.Inventory{
		HardwareIdentity: models.HardwareIdentity{UUID: "u", Vendor: "Yunshu"},
		CPUs:             []models.CPU{{Model: "a"}},
		Disks:            []models.Disk{{Name: "Bay 0", Serial: "d-1"}},
		NICs:             []models.NIC{{Name: "NIC.1", MAC: "02:00:00:00:00:01"}},
		GPUs:             []models.GPU{{Model: "named by nobody"}},
	}
	inside := models.Inventory{
		HardwareIdentity: models.HardwareIdentity{UUID: "other", Serial: "S-1"},
		BIOS:             "1.0",
		CPUs:             []models.CPU{{Model: "b"}, {Model: "b"}},
		Memory:           []models.MemoryModule{{Slot: "A1", SizeMiB: 1024}},
		Disks:            []models.Disk{{Name: "sda", Serial: "D-1"}, {Name: "sdb", Serial: "D-2"}},
		NICs:             []models.NIC{{Name: "eth0", MAC: "02:00:00:00:00:01"}, {Name: "eth1", MAC: "02:00:00:00:00:02"}},
		GPUs:             []models.GPU{{Model: "H200", Serial: "G-1"}},
	}
	require.Equal(t, models.Inventory{
		HardwareIdentity: models.HardwareIdentity{UUID: "u", Serial: "S-1", Vendor: "Yunshu"},
		BIOS:             "1.0",
		CPUs:             outside.CPUs,
		Memory:           inside.Memory,
		Disks:            []models.Disk{{Name: "Bay 0", Serial: "d-1"}, {Name: "sdb", Serial: "D-2"}},
		NICs:             []models.NIC{{Name: "NIC.1", MAC: "02:00:00:00:00:01"}, {Name: "eth1", MAC: "02:00:00:00:00:02"}},
		GPUs:             outside.GPUs, // they cannot be told apart
	}, outside.With(inside))
	require.Equal(t, inside, models.Inventory{}.With(inside))
	require.Equal(t, outside, outside.With(models.Inventory{}))
}
