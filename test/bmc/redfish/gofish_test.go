package redfish_test

import (
	"net/http"
	"testing"

	"github.com/stmcginnis/gofish"
	"github.com/stmcginnis/gofish/common"
	gofishredfish "github.com/stmcginnis/gofish/redfish"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/test/bmc"
	"github.com/yunshu/yunshu/test/bmc/redfish"
)

// What bmclib does not read is there for a client of the tree itself: GPUs, sensors and the event log.
func TestTheTreeIsReadThroughGofish(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{Count: 3, PoweredOn: 3})
	m := f.Machines[2] // the one with four GPUs
	m.SetSensor("CPU1 Temp", 96)
	c, err := gofish.ConnectContext(t.Context(), gofish.ClientConfig{Endpoint: m.URL(), Username: "root", Password: password, HTTPClient: browse(t, f, m).client})
	require.NoError(t, err)
	defer c.Logout()
	systems, err := c.Service.Systems()
	require.NoError(t, err)
	require.Equal(t, m.Hardware().UUID, systems[0].UUID)
	require.Equal(t, common.CriticalHealth, systems[0].Status.Health)
	processors, err := systems[0].Processors()
	require.NoError(t, err)
	var gpus []bmc.GPU
	for _, p := range processors {
		if p.ProcessorType == gofishredfish.GPUProcessorType {
			gpus = append(gpus, bmc.GPU{Model: p.Model, Vendor: p.Manufacturer, Serial: p.SerialNumber})
		}
	}
	want := m.Hardware().GPUs
	for i := range want {
		want[i].MemoryMiB = 0 // it is in the tree, but gofish has no field for it
	}
	require.ElementsMatch(t, want, gpus)
	chassis, err := c.Service.Chassis()
	require.NoError(t, err)
	thermal, err := chassis[0].Thermal()
	require.NoError(t, err)
	for _, s := range thermal.Temperatures {
		if s.Name == "CPU1 Temp" {
			require.Equal(t, []any{float32(96), float32(95), common.CriticalHealth}, []any{s.ReadingCelsius, s.UpperThresholdCritical, s.Status.Health})
		}
	}
	power, err := chassis[0].Power()
	require.NoError(t, err)
	require.Len(t, power.PowerSupplies, 2)
	managers, err := c.Service.Managers()
	require.NoError(t, err)
	logs, err := managers[0].LogServices()
	require.NoError(t, err)
	entries, err := logs[0].Entries()
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Positive(t, m.Called(http.MethodGet, "/redfish/v1/Chassis/1/Thermal"))
}
