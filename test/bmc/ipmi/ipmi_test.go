package ipmi_test

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/bmc-toolbox/bmclib/v2"
	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/test/bmc"
	"github.com/yunshu/yunshu/test/bmc/guest"
	"github.com/yunshu/yunshu/test/bmc/ipmi"
)

const password = "for-ipmi-only"

func start(t *testing.T, o ipmi.Options) *ipmi.Machine {
	t.Helper()
	o.Password = password
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Guest == nil {
		o.Guest = func(*ipmi.Machine) bmc.Guest { return guest.New(guest.Options{ShutdownDelay: 10 * time.Millisecond}) }
	}
	m, err := ipmi.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(m.Stop)
	return m
}

// tool runs ipmitool as people do.
func tool(t *testing.T, m *ipmi.Machine, secret string, args ...string) (string, error) {
	t.Helper()
	host, port, err := net.SplitHostPort(m.Address())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ipmitool", append([]string{"-I", "lanplus", "-C", "3", "-N", "2", "-R", "2", "-H", host, "-p", port, "-U", "root", "-E"}, args...)...)
	cmd.Env = append(cmd.Environ(), "IPMI_PASSWORD="+secret)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func must(t *testing.T, m *ipmi.Machine, args ...string) string {
	t.Helper()
	out, err := tool(t, m, password, args...)
	require.NoError(t, err, out)
	return out
}

// happens polls: the hook tells in its own time.
func happens(t *testing.T, m *ipmi.Machine, kind string, times int) {
	t.Helper()
	require.Eventually(t, func() bool { return m.Happened(kind) == times }, 10*time.Second, 5*time.Millisecond, "%s: %v", kind, m.Events())
}

func TestPowerWorksThroughIpmitool(t *testing.T) {
	t.Parallel()
	m := start(t, ipmi.Options{})
	require.Contains(t, must(t, m, "chassis", "power", "status"), "Chassis Power is off")
	must(t, m, "chassis", "power", "on")
	must(t, m, "chassis", "power", "on")
	require.Contains(t, must(t, m, "chassis", "power", "status"), "Chassis Power is on")
	happens(t, m, bmc.PowerOn, 1)
	must(t, m, "chassis", "power", "reset")
	happens(t, m, bmc.Reset, 1)
	must(t, m, "chassis", "power", "cycle")
	happens(t, m, bmc.PowerOn, 2) // a second later, as the simulator has it
	must(t, m, "chassis", "power", "soft")
	require.Eventually(t, func() bool { return !m.Power() }, 5*time.Second, 5*time.Millisecond) // the guest takes its time
	require.Contains(t, must(t, m, "chassis", "power", "status"), "Chassis Power is off")
	happens(t, m, bmc.PowerOff, 2)
	must(t, m, "chassis", "identify", "30")
	require.Eventually(t, m.Lit, 5*time.Second, 5*time.Millisecond) // the hook tells in its own time
}

// heard is a guest that only remembers how it was started.
type heard struct{ boots chan bmc.Boot }

func (h heard) Start(b bmc.Boot) error { h.boots <- b; return nil }
func (heard) Shutdown() error          { return nil }
func (heard) Stop() error              { return nil }

func TestAMachineBootsOnceWhatItIsSetTo(t *testing.T) {
	t.Parallel()
	boots := make(chan bmc.Boot, 8)
	hardware := bmc.Machine("tw", 100)
	m := start(t, ipmi.Options{Hardware: hardware, Media: "http://127.0.0.1:9/a.iso", Guest: func(*ipmi.Machine) bmc.Guest { return heard{boots} }})
	must(t, m, "chassis", "bootdev", "pxe")
	require.Contains(t, must(t, m, "chassis", "bootparam", "get", "5"), "Force PXE")
	must(t, m, "chassis", "power", "on")
	first := <-boots
	require.Equal(t, []string{bmc.PXE, hardware.NICs[0].MAC, hardware.UUID}, []string{first.Device, first.MAC, first.UUID})
	must(t, m, "chassis", "power", "reset")
	require.Equal(t, bmc.Disk, (<-boots).Device)
	must(t, m, "chassis", "bootdev", "cdrom")
	must(t, m, "chassis", "power", "reset")
	third := <-boots
	require.Equal(t, []string{bmc.CD, "http://127.0.0.1:9/a.iso"}, []string{third.Device, third.Media})
}

func TestTheMachineTellsWhatItIs(t *testing.T) {
	t.Parallel()
	hardware := bmc.Machine("tw", 100)
	m := start(t, ipmi.Options{Hardware: hardware})
	fru := must(t, m, "fru", "print")
	for _, want := range []string{hardware.Serial, hardware.Vendor, hardware.Model} {
		require.Contains(t, fru, want)
	}
	require.Contains(t, strings.ToLower(must(t, m, "mc", "guid")), hardware.UUID)
	sensors := must(t, m, "sensor")
	for _, want := range []string{"Inlet Temp       | 23.000     | degrees C  | ok", "Fan1             | 7200.000   | RPM        | ok", "CMOS Battery     | 3.040      | Volts      | ok"} {
		require.Contains(t, sensors, want)
	}
}

func TestASensorPastItsThresholdIsInTheEventLog(t *testing.T) {
	t.Parallel()
	m := start(t, ipmi.Options{})
	require.Contains(t, must(t, m, "sel", "list"), "no entries")
	require.NoError(t, m.SetSensor("Inlet Temp", 43))
	require.Error(t, m.SetSensor("Nose", 1))
	// The simulator reads its commands in its own time.
	require.Eventually(t, func() bool {
		return strings.Contains(must(t, m, "sensor"), "Inlet Temp       | 43.000     | degrees C  | cr")
	}, 10*time.Second, 50*time.Millisecond)
	require.Contains(t, must(t, m, "sel", "elist"), "Upper Critical going high")
	must(t, m, "sel", "clear")
	require.Contains(t, must(t, m, "sel", "list"), "no entries")
}

func TestAPasswordChangesByIPMI(t *testing.T) {
	t.Parallel()
	m := start(t, ipmi.Options{})
	must(t, m, "user", "set", "password", "2", "another-one-20", "20")
	_, err := tool(t, m, password, "chassis", "power", "status")
	require.Error(t, err)
	out, err := tool(t, m, "another-one-20", "chassis", "power", "status")
	require.NoError(t, err, out)
}

func TestTheSwitchOutlivesTheSimulator(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := start(t, ipmi.Options{Dir: dir})
	must(t, m, "chassis", "power", "on")
	happens(t, m, bmc.PowerOn, 1)
	m.Stop()
	boots := make(chan bmc.Boot, 1)
	again := start(t, ipmi.Options{Dir: dir, Guest: func(*ipmi.Machine) bmc.Guest { return heard{boots} }})
	require.Equal(t, bmc.Disk, (<-boots).Device)
	require.Contains(t, must(t, again, "chassis", "power", "status"), "Chassis Power is on")
	require.Empty(t, again.Events())
}

func TestAFrozenBMCHearsAgain(t *testing.T) {
	t.Parallel()
	m := start(t, ipmi.Options{})
	require.NoError(t, m.Freeze(true))
	_, err := tool(t, m, password, "-N", "1", "-R", "1", "chassis", "power", "status")
	require.Error(t, err)
	require.NoError(t, m.Freeze(false))
	must(t, m, "chassis", "power", "status")
}

func TestItWorksThroughBmclib(t *testing.T) {
	t.Parallel()
	m := start(t, ipmi.Options{})
	host, port, err := net.SplitHostPort(m.Address())
	require.NoError(t, err)
	c := bmclib.NewClient(host, "root", password, bmclib.WithIpmitoolPort(port), bmclib.WithIpmitoolCipherSuite("3"), bmclib.WithLogger(logr.Discard()))
	c.Registry.Drivers = c.Registry.For("ipmitool")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, c.Open(ctx))
	defer c.Close(context.WithoutCancel(ctx))
	_, err = c.SetBootDevice(ctx, "pxe", false, true)
	require.NoError(t, err)
	_, err = c.SetPowerState(ctx, "on")
	require.NoError(t, err)
	state, err := c.GetPowerState(ctx)
	require.NoError(t, err)
	require.Contains(t, state, "on")
	happens(t, m, bmc.PowerOn, 1)
	require.NoError(t, c.ClearSystemEventLog(ctx))
}
