package bmclib_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/baremetal/bmclib"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/bmc/redfish"
)

// seen is everything that is read of a machine.
func seen(t *testing.T, m *redfish.Machine) contract.Inspected {
	t.Helper()
	bmc, err := bmclib.New(bmclib.Options{}).Open(t.Context(), target(m))
	require.NoError(t, err)
	defer bmc.Close(t.Context())
	out, err := bmc.Inspect(t.Context())
	require.NoError(t, err)
	return out
}

func sensor(t *testing.T, in contract.Inspected, name string) models.Sensor {
	t.Helper()
	for _, s := range in.Health.Sensors {
		if s.Name == name {
			return s
		}
	}
	require.Fail(t, "there is no sensor "+name)
	return models.Sensor{}
}

func TestHealthIsTheWorstOfAll(t *testing.T) {
	t.Parallel()
	m := fleet(t, 1).Machines[0]
	require.Equal(t, models.HealthOK, seen(t, m).Health.Status)
	m.SetSensor("Inlet Temp", 40)
	hot := seen(t, m)
	require.Equal(t, models.HealthWarning, hot.Health.Status)
	require.Equal(t, models.Sensor{Name: "Inlet Temp", Value: 40, Unit: "Cel", Health: models.HealthWarning}, sensor(t, hot, "Inlet Temp"))
	require.Equal(t, models.Sensor{Name: "CMOS Battery", Value: 3.05, Unit: "V", Health: models.HealthOK}, sensor(t, hot, "CMOS Battery"))
	require.Equal(t, "RPM", sensor(t, hot, "Fan1").Unit)
	require.Equal(t, "W", sensor(t, hot, "System Power Control").Unit)
	m.SetPartHealth(m.Hardware().Disks[0].Serial, redfish.Critical)
	require.Equal(t, models.HealthCritical, seen(t, m).Health.Status)
}

func TestOnlyTheNewestLinesOfTheLogAreTold(t *testing.T) {
	t.Parallel()
	m := fleet(t, 1).Machines[0]
	for i := range 80 {
		m.Log("Critical", fmt.Sprintf("Line %d", i))
	}
	log := seen(t, m).Health.Log
	require.Len(t, log, 50)
	require.Equal(t, []string{"Line 79", "Line 30"}, []string{log[0].Message, log[49].Message})
	require.Equal(t, models.HealthCritical, log[0].Health)
}

// TestALookIsAsFewCallsAsThereAreDocuments bounds what a health round costs a BMC. A session reads no link twice.
func TestALookIsAsFewCallsAsThereAreDocuments(t *testing.T) {
	t.Parallel()
	m := fleet(t, 1).Machines[0]
	seen(t, m)
	total := 0
	for call, times := range m.Calls() {
		total += times
		require.True(t, times == 1 || call == "GET /redfish/v1", "%s: %d times", call, times)
	}
	h := m.Hardware()
	parts := len(h.CPUs) + len(h.GPUs) + len(h.Memory) + len(h.Disks) + 2*len(h.NICs) + len(h.Firmware)
	require.LessOrEqual(t, total, parts+25)
	t.Logf("%d calls", total)
}
