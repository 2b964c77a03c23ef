package bmclib

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

func TestSensorsOfIpmitool(t *testing.T) {
	t.Parallel()
	require.Equal(t, []models.Sensor{
		{Name: "Inlet Temp", Value: 23, Unit: "Cel", Health: models.HealthOK},
		{Name: "Fan 1", Value: 480, Unit: "RPM", Health: models.HealthCritical},
		{Name: "12V", Value: 11.1, Unit: "V", Health: models.HealthWarning},
		{Name: "Load", Value: 12, Health: models.HealthUnknown},
	}, parseSensors("Inlet Temp,23,degrees C,ok\nFan 1,480,RPM,lcr\nGPU Temp,disabled,,ns\n12V,11.1,Volts,lnc\nLoad,12,percent,\nnonsense\n"))
	require.Equal(t, models.HealthUnknown, worst(nil))
	require.Equal(t, models.HealthWarning, worst([]models.Sensor{{Health: models.HealthOK}, {Health: models.HealthWarning}, {}}))
}

func TestTheLogOfIpmitool(t *testing.T) {
	t.Parallel()
	require.Equal(t, []models.LogEntry{
		{ID: "3", At: time.Date(2026, 11, 28, 12, 0, 1, 0, time.UTC), Message: "Temperature #0x01: Upper Critical going high"},
		{ID: "2", At: time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC), Message: "Power Unit: Power off/down : Deasserted"},
		{ID: "1", Message: "Event Logging Disabled: Log area reset/cleared"},
	}, parseLog([][]string{
		{"1", "Pre-Init 0000000001", "Event Logging Disabled", "Log area reset/cleared : Asserted"},
		{"broken"},
		{"2", "01/05/26 08:00:00", "Power Unit", "Power off/down : Deasserted"},
		{"3", "11/28/2026 12:00:01 UTC", "Temperature #0x01", "Upper Critical going high : Asserted"},
	}))
}

func TestIdentitiesOfIpmitool(t *testing.T) {
	t.Parallel()
	require.Equal(t, models.HardwareIdentity{Serial: "SN-1", Vendor: "Acme", Model: "One"},
		parseFRU(" Board Mfg             : Board Maker\n Board Serial          : B-1\n Product Manufacturer  : Acme\n Product Name          : One\n Product Serial        : SN-1\n"))
	require.Equal(t, models.HardwareIdentity{Serial: "B-1", Vendor: "Board Maker"}, parseFRU(" Board Mfg : Board Maker\n Board Serial : B-1\n"))
	require.Equal(t, "38947555-7742-3448-3784-823347823834", parseGUID("System GUID  : 38947555-7742-3448-3784-823347823834\nTimestamp    : 10/10/2001 10:10:10\n"))
	require.Empty(t, parseGUID("System GUID  : 00000000-0000-0000-0000-000000000000\n"))
	require.Empty(t, parseGUID(""))
}

func TestUsersOfIpmitool(t *testing.T) {
	t.Parallel()
	const list = "ID  Name\t     Callin  Link Auth\tIPMI Msg   Channel Priv Limit\n1                    true    false      false      USER\n2   admin            true    false      true       ADMINISTRATOR\n"
	require.Equal(t, "2", parseUser(list, "admin"))
	require.Empty(t, parseUser(list, "Name"))
	require.Empty(t, parseUser(list, "root"))
}

func TestAddressesAreSplit(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][2]string{
		"https://10.0.0.7": {"10.0.0.7", "443"}, "10.0.0.7": {"10.0.0.7", "443"}, "bmc.tw:8443": {"bmc.tw", "8443"}, "https://[fd00::7]": {"[fd00::7]", "443"}, "[fd00::7]:8443": {"[fd00::7]", "8443"},
	} {
		host, port := split(address, "443")
		require.Equal(t, want, [2]string{host, port}, address)
	}
}
