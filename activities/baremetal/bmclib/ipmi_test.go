package bmclib_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/activities/baremetal/bmclib"
	"github.com/yunshu/yunshu/activities/baremetal/bmctest"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/bmc"
	"github.com/yunshu/yunshu/test/bmc/guest"
	"github.com/yunshu/yunshu/test/bmc/ipmi"
)

func TestIPMI(t *testing.T) {
	t.Parallel()
	bmctest.Exercise(t, func(t *testing.T) bmctest.Fixture {
		m := server(t)
		h := m.Hardware()
		identity := models.HardwareIdentity{UUID: h.UUID, Serial: h.Serial, Vendor: h.Vendor, Model: h.Model}
		return bmctest.Fixture{
			Provider:  bmclib.New(bmclib.Options{}),
			Target:    ipmiTarget(m),
			Want:      contract.Probed{Protocol: models.IPMI, Identity: identity, Console: "ipmi://" + m.Address()},
			Inventory: models.Inventory{HardwareIdentity: identity},
			PowerOns:  func() int { return m.Happened(bmc.PowerOn) },
			PowerOffs: func() int { return m.Happened(bmc.PowerOff) },
			Sessions:  func() int { return 0 }, // there are none between calls
			Hang:      func() { require.NoError(t, m.Freeze(true)) },
			Gone:      m.Stop,
		}
	})
}

// server starts a machine that speaks only IPMI.
func server(t *testing.T) *ipmi.Machine {
	t.Helper()
	m, err := ipmi.Start(t.Context(), ipmi.Options{Dir: t.TempDir(), Password: password, Hardware: bmc.Machine("tw", 100),
		Guest: func(*ipmi.Machine) bmc.Guest { return guest.New(guest.Options{ShutdownDelay: 10 * time.Millisecond}) }})
	require.NoError(t, err)
	t.Cleanup(m.Stop)
	return m
}

// ipmiTarget reaches a machine whose protocol nobody has said.
func ipmiTarget(m *ipmi.Machine) baremetal.Target {
	return baremetal.Target{ID: models.NewID(), Name: m.Name, Address: m.Address(), Username: "root", Password: password}
}

func TestWithoutIpmitoolItIsSaidWhatToInstall(t *testing.T) {
	t.Parallel()
	m := server(t)
	_, err := bmclib.New(bmclib.Options{Ipmitool: "/nonexistent/ipmitool"}).Open(t.Context(), ipmiTarget(m))
	require.Equal(t, models.CodeNotSupported, models.AsFault(err).Code)
	require.Equal(t, "The BMC of baremetal ipmi-01 at "+m.Address()+" speaks IPMI, and this worker has no program /nonexistent/ipmitool to speak it with. Install ipmitool beside the worker, or give the BMC's Redfish address.", err.Error())
}

// TestNoPasswordIsOnACommandLine puts a program in ipmitool's place that writes down how it is called.
func TestNoPasswordIsOnACommandLine(t *testing.T) {
	t.Parallel()
	m := server(t)
	dir := t.TempDir()
	spy := filepath.Join(dir, "ipmitool")
	require.NoError(t, os.WriteFile(spy, []byte("#!/bin/sh\necho \"$@\" >>'"+dir+"/calls'\nexec /usr/bin/env ipmitool \"$@\"\n"), 0o700))
	open, err := bmclib.New(bmclib.Options{Ipmitool: spy}).Open(t.Context(), ipmiTarget(m))
	require.NoError(t, err)
	require.NoError(t, open.Order(t.Context(), baremetal.TurnOn))
	require.NoError(t, open.SetBoot(t.Context(), models.BootPXE, false))
	_, err = open.Inspect(t.Context())
	require.NoError(t, err)
	require.NoError(t, open.SetPassword(t.Context(), "Battery-Staple-8"))
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	require.NoError(t, err)
	require.Greater(t, strings.Count(string(calls), "\n"), 5)
	require.NotContains(t, string(calls), password)
	require.NotContains(t, string(calls), "Battery-Staple-8")
}

// TestListsMayTakeLongerThanOtherCalls puts a program in ipmitool's place that takes as long for them as real BMCs do.
func TestListsMayTakeLongerThanOtherCalls(t *testing.T) {
	t.Parallel()
	m := server(t)
	slow := filepath.Join(t.TempDir(), "ipmitool")
	require.NoError(t, os.WriteFile(slow, []byte("#!/bin/sh\ncase \"$*\" in *'sdr list'*|*'sel list'*) sleep 2.5;; esac\nexec /usr/bin/env ipmitool \"$@\"\n"), 0o700))
	open, err := bmclib.New(bmclib.Options{Ipmitool: slow, CallTimeout: 2 * time.Second}).Open(t.Context(), ipmiTarget(m))
	require.NoError(t, err)
	got, err := open.Inspect(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, got.Health.Sensors)
}

// TestAPinnedCertificateIsNotGoneAround has Redfish kept from us at an address where a certificate is pinned.
func TestAPinnedCertificateIsNotGoneAround(t *testing.T) {
	t.Parallel()
	pinned := ipmiTarget(server(t))
	pinned.Fingerprint = strings.Repeat("ab", 32)
	_, err := bmclib.New(bmclib.Options{}).Open(t.Context(), pinned)
	require.True(t, models.IsCode(err, models.CodeUnreachable), "%v", err)
}
