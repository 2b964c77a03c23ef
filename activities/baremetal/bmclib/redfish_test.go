package bmclib_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/activities/baremetal/bmclib"
	"github.com/yunshu/yunshu/activities/baremetal/bmctest"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/bmc"
	"github.com/yunshu/yunshu/test/bmc/redfish"
)

const password = "correct-horse-7"

// fleet starts machines of every vendor: Dell, HPE, Supermicro and Dell again.
func fleet(t *testing.T, count int) *redfish.Fleet {
	t.Helper()
	f, err := redfish.Start(redfish.Options{Count: count, Password: password, TLSDir: t.TempDir(), Transition: 20 * time.Millisecond, Shutdown: 20 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(f.Stop)
	return f
}

// target reaches a machine.
func target(m *redfish.Machine) baremetal.Target {
	return baremetal.Target{ID: models.NewID(), Name: m.Name, Address: m.URL(), Username: "root", Password: password}
}

func TestRedfish(t *testing.T) {
	t.Parallel()
	for i, vendor := range []string{"dell", "hpe", "supermicro"} {
		t.Run(vendor, func(t *testing.T) {
			t.Parallel()
			bmctest.Exercise(t, func(t *testing.T) bmctest.Fixture { return fixture(t, fleet(t, 3).Machines[i]) })
		})
	}
}

// inventory is what the provider should read of a machine.
func inventory(h bmc.Hardware) models.Inventory {
	out := models.Inventory{HardwareIdentity: models.HardwareIdentity{UUID: h.UUID, Serial: h.Serial, Vendor: h.Vendor, Model: h.Model}, BIOS: h.BIOS}
	for _, c := range h.CPUs {
		out.CPUs = append(out.CPUs, models.CPU{Model: c.Model, Cores: int64(c.Cores), Threads: int64(c.Threads), MHz: int64(c.MHz)})
	}
	for _, d := range h.Memory {
		out.Memory = append(out.Memory, models.MemoryModule{Slot: d.Slot, SizeMiB: int64(d.SizeMiB), Type: d.Type, MHz: int64(d.MHz), Serial: d.Serial})
	}
	for _, kind := range []bool{false, true} { // by controller
		for _, d := range h.Disks {
			if (d.Kind == "nvme") == kind {
				out.Disks = append(out.Disks, models.Disk{Name: "Drive " + d.Name, Model: d.Model, Serial: d.Serial, SizeGiB: int64(d.SizeGiB), Kind: d.Kind})
			}
		}
	}
	for _, n := range h.NICs {
		out.NICs = append(out.NICs, models.NIC{Name: n.Name, MAC: n.MAC, SpeedMbps: int64(n.SpeedMbps), Model: n.Model})
	}
	for _, g := range h.GPUs {
		out.GPUs = append(out.GPUs, models.GPU{Model: g.Model, Vendor: g.Vendor, Serial: g.Serial, MemoryMiB: int64(g.MemoryMiB)})
	}
	for _, name := range []string{"BIOS", "BMC", "GPU", "NIC"} {
		if v := h.FirmwareVersion(name); v != "" {
			out.Firmware = append(out.Firmware, models.Firmware{Name: name, Version: v})
		}
	}
	return out
}

func fixture(t *testing.T, m *redfish.Machine) bmctest.Fixture {
	h := m.Hardware()
	fail := func(f redfish.Fault) func() { return func() { require.NoError(t, m.Fail(f)) } }
	return bmctest.Fixture{
		Provider:  bmclib.New(bmclib.Options{}),
		Target:    target(m),
		Want:      contract.Probed{Protocol: models.Redfish, Fingerprint: m.Fingerprint(), Identity: inventory(h).HardwareIdentity, Console: m.URL() + "/"},
		Inventory: inventory(h),

		PowerOns:  func() int { return m.Happened(bmc.PowerOn) },
		PowerOffs: func() int { return m.Happened(bmc.PowerOff) },
		Media: func() string {
			for _, url := range m.Media() {
				return url
			}
			return ""
		},
		Lit:        m.Lit,
		PasswordIs: func(password string) bool { return m.PasswordIs("root", password) },
		Sessions:   m.Sessions,

		Deaf: func() { m.IgnoreShutdown(true) },
		Log:  func(line string) { m.Log("Warning", line) },
		Hang: fail(redfish.Fault{Kind: redfish.Hang}),
		Busy: fail(redfish.Fault{Kind: redfish.Unavailable}),
		Gone: fail(redfish.Fault{Kind: redfish.Dead}),
		Bare: func() {
			m.Change(func(h *bmc.Hardware) { h.CPUs, h.Memory = nil, nil })
		},
	}
}
