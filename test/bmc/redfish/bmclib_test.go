package redfish_test

import (
	"context"
	"math"
	"net"
	"testing"
	"time"

	"github.com/bmc-toolbox/bmclib/v2"
	"github.com/bmc-toolbox/common"
	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/test/bmc"
	"github.com/yunshu/yunshu/test/bmc/redfish"
)

const password = "calvin-and-hobbes"

// start runs a small fleet: the vendors are Dell, HPE, Supermicro and Dell again.
func start(t *testing.T, o redfish.Options) *redfish.Fleet {
	t.Helper()
	o.Password = password
	if o.TLSDir == "" {
		o.TLSDir = t.TempDir()
	}
	if o.Transition == 0 {
		o.Transition, o.Shutdown = 10*time.Millisecond, 20*time.Millisecond
	}
	f, err := redfish.Start(o)
	require.NoError(t, err)
	t.Cleanup(f.Stop)
	return f
}

// open logs in through bmclib, over TLS that is verified.
func open(t *testing.T, f *redfish.Fleet, m *redfish.Machine, user, secret string) (*bmclib.Client, error) {
	t.Helper()
	host, port, err := net.SplitHostPort(m.Address())
	require.NoError(t, err)
	c := bmclib.NewClient(host, user, secret, bmclib.WithRedfishPort(port), bmclib.WithSecureTLS(f.Pool()), bmclib.WithLogger(logr.Discard()))
	c.Registry.Drivers = c.Registry.For("gofish")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return c, c.Open(ctx)
}

func opened(t *testing.T, f *redfish.Fleet, m *redfish.Machine) *bmclib.Client {
	t.Helper()
	c, err := open(t, f, m, "root", password)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close(context.WithoutCancel(t.Context())) })
	return c
}

// becomes polls: power comes and goes in its own time, and a BMC tells nobody.
func becomes(t *testing.T, m *redfish.Machine, power string) {
	t.Helper()
	require.Eventually(t, func() bool { return m.Power() == power }, 5*time.Second, 5*time.Millisecond)
}

func TestEveryVendorWorksThroughBmclib(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{Count: 4})
	for _, m := range f.Machines {
		t.Run(m.Hardware().Model, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			c := opened(t, f, m)

			_, err := c.SetPowerState(ctx, "on")
			require.NoError(t, err)
			becomes(t, m, "On")
			_, err = c.SetPowerState(ctx, "on")
			require.NoError(t, err)
			require.Equal(t, 1, m.Happened(redfish.PowerOn))
			state, err := c.GetPowerState(ctx)
			require.NoError(t, err)
			require.Equal(t, "On", state)

			_, err = c.SetBootDevice(ctx, "pxe", false, true)
			require.NoError(t, err)
			override, err := c.GetBootDeviceOverride(ctx)
			require.NoError(t, err)
			require.Equal(t, "pxe", string(override.Device))
			require.False(t, override.IsPersistent)

			_, err = c.SetVirtualMedia(ctx, "CD", "http://127.0.0.1:9/a.iso")
			require.NoError(t, err)
			_, err = c.SetVirtualMedia(ctx, "CD", "http://127.0.0.1:9/b.iso")
			require.NoError(t, err)
			require.Equal(t, []string{"http://127.0.0.1:9/b.iso"}, texts(m.Media()))
			_, err = c.SetVirtualMedia(ctx, "CD", "")
			require.NoError(t, err)
			require.Empty(t, m.Media())

			device, err := c.Inventory(ctx)
			require.NoError(t, err)
			same(t, m.Hardware(), device)

			log, err := c.GetSystemEventLog(ctx)
			require.NoError(t, err)
			require.ElementsMatch(t, []string{"System event log initialised", "The system was powered on"}, messages(log))
			require.NoError(t, c.ClearSystemEventLog(ctx))

			_, err = c.SetPowerState(ctx, "soft")
			require.Error(t, err, "the driver says so even though it works")
			becomes(t, m, "Off")
			require.Equal(t, 1, m.Happened(redfish.PowerOff))
		})
	}
}

func messages(log [][]string) []string {
	out := []string{}
	for _, e := range log {
		out = append(out, e[3])
	}
	return out
}

func texts(m map[string]string) []string {
	out := []string{}
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

// same compares what bmclib reads with what is there.
func same(t *testing.T, h bmc.Hardware, d *common.Device) {
	t.Helper()
	require.Equal(t, []string{h.Vendor, h.Model, h.Serial, h.BIOS, h.FirmwareVersion("BMC")}, []string{d.Vendor, d.Model, d.Serial, d.BIOS.Firmware.Installed, d.BMC.Firmware.Installed})
	var got bmc.Hardware
	for _, c := range d.CPUs {
		got.CPUs = append(got.CPUs, bmc.CPU{Model: c.Model, Cores: c.Cores, Threads: c.Threads, MHz: int(math.Round(float64(c.ClockSpeedHz) / 1e6))})
	}
	require.Equal(t, h.CPUs, got.CPUs)
	memory, serials := int64(0), []string{}
	for _, m := range d.Memory {
		memory += m.SizeBytes
	}
	require.Equal(t, int64(len(h.Memory)*h.Memory[0].SizeMiB)<<20, memory)
	want := []string{}
	for _, x := range h.Disks {
		want = append(want, x.Serial)
	}
	for _, x := range d.Drives {
		serials = append(serials, x.Serial)
	}
	require.ElementsMatch(t, want, serials)
	macs, wantMACs := []string{}, []string{}
	for _, n := range d.NICs {
		for _, p := range n.NICPorts {
			macs = append(macs, p.MacAddress)
		}
	}
	for _, n := range h.NICs {
		wantMACs = append(wantMACs, n.MAC)
	}
	require.ElementsMatch(t, wantMACs, macs) // the driver reads members side by side
}

func TestUsersChangeThroughBmclib(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{Count: 2})
	for _, m := range f.Machines {
		c := opened(t, f, m)
		_, err := c.CreateUser(t.Context(), "yunshu", "first-one", "Administrator")
		require.NoError(t, err)
		_, err = open(t, f, m, "yunshu", "first-one")
		require.NoError(t, err)
		_, err = c.UpdateUser(t.Context(), "yunshu", "second-one", "Administrator")
		require.NoError(t, err)
		require.True(t, m.PasswordIs("yunshu", "second-one"))
		_, err = open(t, f, m, "yunshu", "first-one")
		require.Error(t, err)
		_, err = c.DeleteUser(t.Context(), "yunshu")
		require.NoError(t, err)
		_, err = open(t, f, m, "yunshu", "second-one")
		require.Error(t, err)
	}
}

func TestABMCComesBackFromItsReset(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{Restart: 100 * time.Millisecond, PoweredOn: 1})
	m := f.Machines[0]
	c := opened(t, f, m)
	require.Equal(t, 1, m.Sessions())
	_, err := c.ResetBMC(t.Context(), "GracefulRestart")
	require.NoError(t, err)
	// The BMC goes away only a moment after its answer.
	require.Eventually(t, func() bool { return m.Sessions() == 0 }, 5*time.Second, 5*time.Millisecond)
	_, err = open(t, f, m, "root", password)
	require.Error(t, err)
	// And nobody tells when it is back.
	require.Eventually(t, func() bool { _, err := open(t, f, m, "root", password); return err == nil }, 5*time.Second, 20*time.Millisecond)
	require.Equal(t, "On", m.Power())
	require.Zero(t, m.Happened(redfish.PowerOff))
}
