package workers

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// full is what a BMC says of a machine with all that fits into it, and with a long event log.
func full(r *rand.Rand) contract.Observation {
	serial := func() string { return fmt.Sprintf("S%011X", r.Uint64()>>20) }
	var i contract.Inspected
	i.Inventory.HardwareIdentity = models.HardwareIdentity{UUID: models.NewID().String(), Serial: serial(), Vendor: "Dell Inc.", Model: "PowerEdge XE9680"}
	for n := range 32 {
		i.Inventory.Memory = append(i.Inventory.Memory, models.MemoryModule{Slot: fmt.Sprintf("DIMM.Socket.A%d", n), SizeMiB: 65536, Type: "DDR5", MHz: 4800, Serial: serial()})
	}
	for n := range 24 {
		i.Inventory.Disks = append(i.Inventory.Disks, models.Disk{Name: fmt.Sprintf("Solid State Disk 0:1:%d", n), Model: "Dell Ent NVMe P5600 MU U.2 3.2TB", Serial: serial(), SizeGiB: 2980, Kind: "nvme"})
	}
	for n := range 60 {
		i.Inventory.Firmware = append(i.Inventory.Firmware, models.Firmware{Name: fmt.Sprintf("Broadcom Adv. Dual 25Gb Ethernet - port %d", n), Version: fmt.Sprintf("%d.%d.%d", r.IntN(30), r.IntN(90), r.IntN(90))})
	}
	for n := range 150 {
		i.Health.Sensors = append(i.Health.Sensors, models.Sensor{Name: fmt.Sprintf("System Board Sensor %d Temp", n), Value: r.Float64() * 90, Unit: "Cel", Health: models.HealthOK})
	}
	for n := range 50 {
		i.Health.Log = append(i.Health.Log, models.LogEntry{ID: fmt.Sprint(4000 - n), At: time.Unix(1_700_000_000+r.Int64N(1<<24), 0).UTC(), Health: models.HealthWarning,
			Message: fmt.Sprintf("Correctable memory error logging disabled for a memory device at location DIMM_A%d after %d errors. The memory may not be usable after the next start of this server; replace the module at the next maintenance window, and check the seat of its neighbours. Serial %s.", r.IntN(32), r.IntN(9999), serial())})
	}
	return contract.Observation{ID: models.NewID(), Inspected: &i}
}

// TestWhatIsSeenOfAPageOfFullMachinesFits keeps far below the 2 MB of a payload, and below what the history of a round can
// hold: 50 MB, with 32 pages at a time that are in it twice, once as seen and once to be recorded.
func TestWhatIsSeenOfAPageOfFullMachinesFits(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var page contract.ObservePage
	for range 50 {
		page.Observations = append(page.Observations, full(r))
	}
	in := plain(t, page)
	require.Greater(t, proto.Size(in), 1<<20)
	c := codecOf(t, key(t, "a"))
	out, err := c.Encode([]*commonpb.Payload{in})
	require.NoError(t, err)
	t.Logf("%d bytes in the clear, %d encoded", proto.Size(in), proto.Size(out[0]))
	require.Less(t, proto.Size(out[0])*2*32, 40<<20)

	back, err := c.Decode(out)
	require.NoError(t, err)
	require.True(t, proto.Equal(in, back[0]))
}
