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
		Disks:            []models.Disk{{Name: "Bay 0", Serial: "d-1"}, {Name: "sdb", Serial: "D-2", Inside: true}},
		NICs:             []models.NIC{{Name: "NIC.1", MAC: "02:00:00:00:00:01"}, {Name: "eth1", MAC: "02:00:00:00:00:02", Inside: true}},
		GPUs:             outside.GPUs, // they cannot be told apart
	}, outside.With(inside))
	require.Equal(t, outside, outside.With(models.Inventory{}))
}

// TestWhatOnlyALookFromInsideFindsStays: a BMC that does not list a disk does not make it go.
func TestWhatOnlyALookFromInsideFindsStays(t *testing.T) {
	t.Parallel()
	bmc := models.Inventory{CPUs: []models.CPU{{Model: "a"}}, Disks: []models.Disk{{Name: "Bay 0", Serial: "d-1"}}}
	known := bmc.With(models.Inventory{Disks: []models.Disk{{Name: "sda", Serial: "d-1"}, {Name: "nvme0", Serial: "d-2"}}, NICs: []models.NIC{{MAC: "02:00:00:00:00:01"}}})
	require.Equal(t, known, bmc.Keeping(known))

	none := models.Inventory{CPUs: bmc.CPUs}
	require.Equal(t, models.Inventory{CPUs: bmc.CPUs, Disks: []models.Disk{{Name: "nvme0", Serial: "d-2", Inside: true}}, NICs: known.NICs}, none.Keeping(known), "what the BMC listed itself, and no more, is gone")

	lists := models.Inventory{CPUs: bmc.CPUs, Disks: []models.Disk{{Name: "Bay 0", Serial: "d-1"}, {Name: "Bay 1", Serial: "D-2"}}}
	require.Equal(t, lists.Disks, lists.Keeping(known).Disks, "a BMC that lists it now is believed")
}
