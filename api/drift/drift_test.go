package drift_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/drift"
	"github.com/yunshu/yunshu/models"
)

func machine() drift.Known {
	return drift.Known{Name: "m", UUID: "u", Serial: "s", Power: models.PowerOn, Health: models.HealthOK, Inventory: models.Inventory{
		BIOS: "1", CPUs: []models.CPU{{Model: "x", Cores: 8}, {Model: "x", Cores: 8}}, Disks: []models.Disk{{Name: "disk", SizeGiB: 1}, {Name: "disk", SizeGiB: 2}},
		NICs: []models.NIC{{MAC: "a"}}, GPUs: []models.GPU{{Model: "g"}}, Firmware: []models.Firmware{{Name: "f", Version: "1"}}}}
}

func seen(i models.Inventory, power models.Power) contract.Observation {
	return contract.Observation{Inspected: &contract.Inspected{Inventory: i, Power: power, Health: models.Health{Status: models.HealthOK}}}
}

func fields(v drift.Verdict) (out []string) {
	for _, d := range v.Differences {
		out = append(out, d.Field)
	}
	return out
}

func TestWhatABMCDoesNotListIsNotAlwaysGone(t *testing.T) {
	t.Parallel()
	k := machine()
	all := k.Inventory
	without := func(change func(*models.Inventory)) models.Inventory {
		i := all
		change(&i)
		return i
	}
	noGPU := without(func(i *models.Inventory) { i.GPUs = nil })
	require.Equal(t, []string{"gpus[0]"}, fields(drift.Compare(k, seen(noGPU, models.PowerOn))))
	require.Equal(t, []string{"power"}, fields(drift.Compare(k, seen(noGPU, models.PowerOff))), "one that is off lists less")
	require.Empty(t, fields(drift.Compare(k, seen(models.Inventory{}, models.PowerOn))), "IPMI lists nothing")
	require.Equal(t, []string{"disks[disk#2]"}, fields(drift.Compare(k, seen(without(func(i *models.Inventory) { i.Disks = i.Disks[:1] }), models.PowerOn))), "several of one name are told apart")
	require.Equal(t, []string{"cpus[1]"}, fields(drift.Compare(k, seen(without(func(i *models.Inventory) { i.CPUs = i.CPUs[:1] }), models.PowerOn))))
}

func TestAnotherMachineIsNotTakenOver(t *testing.T) {
	t.Parallel()
	o := seen(models.Inventory{HardwareIdentity: models.HardwareIdentity{UUID: "U", Serial: "other"}, BIOS: "2"}, models.PowerOff)
	v := drift.Compare(machine(), o)
	require.Equal(t, []string{"serial"}, fields(v))
	v.Differences, v.Judged = nil, nil
	require.Equal(t, drift.Verdict{Seen: true}, v)
}

func TestABusyMachineIsOnlySeen(t *testing.T) {
	t.Parallel()
	k := machine()
	k.Busy, k.Missed = true, 1
	require.Equal(t, drift.Verdict{Seen: true, Missed: 1}, drift.Compare(k, seen(models.Inventory{BIOS: "2"}, models.PowerOff)))
	require.Equal(t, drift.Verdict{Missed: 1}, drift.Compare(k, contract.Observation{Fault: models.Faultf(models.CodeUnreachable, "No.")}))
}

// TestWhatIsAdoptedIsNoDifferenceAnyMore looks at a machine twice, whatever it has become.
func TestWhatIsAdoptedIsNoDifferenceAnyMore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		k := machine()
		text := rapid.SampledFrom([]string{"", "a", "b"})
		var now models.Inventory
		now.BIOS = text.Draw(r, "bios")
		for range rapid.IntRange(0, 3).Draw(r, "cpus") {
			now.CPUs = append(now.CPUs, models.CPU{Model: text.Draw(r, "cpu")})
		}
		for range rapid.IntRange(0, 3).Draw(r, "disks") {
			now.Disks = append(now.Disks, models.Disk{Serial: text.Draw(r, "serial"), Name: text.Draw(r, "name")})
		}
		for range rapid.IntRange(0, 3).Draw(r, "firmware") {
			now.Firmware = append(now.Firmware, models.Firmware{Name: text.Draw(r, "part"), Version: text.Draw(r, "version")})
		}
		o := seen(now, rapid.SampledFrom([]models.Power{models.PowerOn, models.PowerOff, models.PowerUnknown}).Draw(r, "power"))
		v := drift.Compare(k, o)
		if v.Power != models.PowerUnknown {
			k.Power = v.Power
		}
		if v.Inventory != nil {
			k.Inventory = *v.Inventory
		}
		require.Empty(r, drift.Compare(k, o).Differences)
	})
}

func TestABIOSUpdateIsOneDifference(t *testing.T) {
	t.Parallel()
	k := machine()
	k.Inventory.Firmware = []models.Firmware{{Name: "BIOS", Version: "1"}, {Name: "f", Version: "1"}}
	now := k.Inventory
	now.BIOS, now.Firmware = "2", []models.Firmware{{Name: "BIOS", Version: "2"}, {Name: "f", Version: "1"}}
	require.Equal(t, []string{"bios"}, fields(drift.Compare(k, seen(now, models.PowerOn))))
}

// TestABMCNeedNotListWhatWasFoundInside: the discovery image sees disks that many BMCs do not.
func TestABMCNeedNotListWhatWasFoundInside(t *testing.T) {
	t.Parallel()
	k := machine()
	said := k.Inventory
	said.Disks = []models.Disk{{Name: "disk", Serial: "a"}}
	k.Inventory = said.With(models.Inventory{Disks: []models.Disk{{Name: "nvme0", Serial: "b"}}})
	require.Empty(t, fields(drift.Compare(k, seen(said, models.PowerOn))))
}
