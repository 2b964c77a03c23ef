package redfish_test

import (
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/test/bmc"
	"github.com/yunshu/yunshu/test/bmc/redfish"
)

func TestTwoThousandMachinesAreCheapAndAllDifferent(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begin := time.Now()
	l, err := net.Listen("tcp", "127.23.0.1:0") // a port that nobody else takes for all of these addresses
	require.NoError(t, err)
	require.NoError(t, l.Close())
	f, err := redfish.Start(redfish.Options{Count: 2000, Listen: l.Addr().String(), Password: password, TLSDir: t.TempDir()})
	require.NoError(t, err)
	defer f.Stop()
	require.Less(t, time.Since(begin), 20*time.Second) // it is below one second on an idle machine
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Less(t, after.Sys, before.Sys+300<<20)
	seen := map[string]bool{}
	for _, m := range f.Machines {
		h := m.Hardware()
		for _, id := range []string{m.Name, m.Address(), h.Serial, h.UUID, h.NICs[0].MAC, h.Disks[0].Serial} {
			require.False(t, seen[id], "%s twice", id)
			seen[id] = true
		}
	}
	require.Equal(t, strings.Replace(l.Addr().String(), "127.23.0.1", "127.23.7.208", 1), f.Machines[1999].Address())
	require.Equal(t, http.StatusOK, browse(t, f, f.Machines[1999]).do(http.MethodGet, "/redfish/v1/Systems", nil).status)
	t.Logf("2,000 machines in %s, %d MiB", time.Since(begin), (after.Sys-before.Sys)>>20)
}

func TestTheFirstMachinesAreTheHostsOfTheVCenter(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"tw-a-01", "tw-b-24", "tw-m0049"}, []string{bmc.Name("tw", 0), bmc.Name("tw", 47), bmc.Name("tw", 48)})
	require.Equal(t, bmc.Machine("jp", 7), bmc.Machine("jp", 7))
	require.NotEqual(t, bmc.Machine("jp", 7).NICs[0].MAC, bmc.Machine("tw", 7).NICs[0].MAC)
}

func TestWhatWasDoneToAMachineOutlivesTheSimulator(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := redfish.Options{Count: 2, TLSDir: dir, StateFile: dir + "/state"}
	f := start(t, o)
	m := f.Machines[0]
	b := browse(t, f, m)
	require.Equal(t, http.StatusOK, b.do(http.MethodPatch, system, in{"Boot": in{"BootSourceOverrideTarget": "Cd", "BootSourceOverrideEnabled": "Continuous"}}).status)
	c := opened(t, f, m)
	_, err := c.SetVirtualMedia(t.Context(), "CD", "http://127.0.0.1:9/a.iso")
	require.NoError(t, err)
	_, err = c.SetPowerState(t.Context(), "on")
	require.NoError(t, err)
	becomes(t, m, "On")
	m.SetPassword("root", "changed-since")
	disk := m.SwapDisk("sda")
	f.Stop()
	raw, err := os.ReadFile(o.StateFile)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "changed-since")

	again := start(t, o).Machines[0]
	require.Equal(t, []any{"On", 0, map[string]string{"CD": "http://127.0.0.1:9/a.iso"}}, []any{again.Power(), again.Happened(redfish.PowerOn), again.Media()})
	require.True(t, again.PasswordIs("root", "changed-since"))
	require.False(t, again.PasswordIs("root", password))
	require.Equal(t, disk, again.Hardware().Disks[0].Serial)
}

// A client that was told of a new password may count on it, even if the simulator is killed the moment after.
func TestANewPasswordIsOnDiskBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := start(t, redfish.Options{TLSDir: dir, StateFile: dir + "/state"})
	b := browse(t, f, f.Machines[0])
	require.Equal(t, http.StatusOK, b.do(http.MethodPatch, "/redfish/v1/AccountService/Accounts/2", in{"Password": "from-now-on"}).status)
	raw, err := os.ReadFile(dir + "/state")
	require.NoError(t, err)
	again := start(t, redfish.Options{TLSDir: dir, StateFile: copied(t, raw)})
	require.True(t, again.Machines[0].PasswordIs("root", "from-now-on"))
	_, err = open(t, f, f.Machines[0], "root", password)
	require.Error(t, err)
}

func copied(t *testing.T, raw []byte) string {
	t.Helper()
	file := t.TempDir() + "/state"
	require.NoError(t, os.WriteFile(file, raw, 0o600))
	return file
}

// heard is a guest that only remembers how it was started.
type heard struct{ boots chan bmc.Boot }

func (h heard) Start(b bmc.Boot) error { h.boots <- b; return nil }
func (heard) Shutdown() error          { return nil }
func (heard) Stop() error              { return nil }

func TestAMachineBootsWhatItIsSetTo(t *testing.T) {
	t.Parallel()
	boots := make(chan bmc.Boot, 8)
	f := start(t, redfish.Options{Guest: func(*redfish.Machine) bmc.Guest { return heard{boots} }})
	m := f.Machines[0]
	b := browse(t, f, m)
	restart := func(kind string) []string {
		t.Helper()
		require.Equal(t, http.StatusNoContent, b.do(http.MethodPost, resetAction, in{"ResetType": kind}).status)
		got := <-boots
		require.Equal(t, []string{m.Hardware().UUID, m.Hardware().NICs[0].MAC}, []string{got.UUID, got.MAC})
		return []string{got.Device, got.Media}
	}
	set := func(target, enabled string) {
		t.Helper()
		require.Equal(t, http.StatusOK, b.do(http.MethodPatch, system, in{"Boot": in{"BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": enabled}}).status)
	}
	set("Pxe", "Once")
	require.Equal(t, []string{bmc.PXE, ""}, restart("On"))
	require.Equal(t, []string{bmc.Disk, ""}, restart("ForceRestart"))
	set("Cd", "Continuous")
	require.Equal(t, []string{bmc.Disk, ""}, restart("ForceRestart"), "the drive is empty")
	require.Equal(t, http.StatusNoContent, b.do(http.MethodPost, "/redfish/v1/Managers/iDRAC.Embedded.1/VirtualMedia/CD/Actions/VirtualMedia.InsertMedia", in{"Image": "http://127.0.0.1:9/a.iso"}).status)
	require.Equal(t, []string{bmc.CD, "http://127.0.0.1:9/a.iso"}, restart("ForceRestart"))
	set("None", "Disabled")
	require.Equal(t, http.StatusOK, b.do(http.MethodPatch, system, in{"Boot": in{"BootOrder": []string{"Boot0002", "Boot0001", "Boot0003"}}}).status)
	require.Equal(t, []string{bmc.PXE, ""}, restart("ForceRestart"))
}
