package chaos

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/test/bmc/redfish"
)

// TestWhatHappensBehindTheBackBecomesDrifts changes machines without asking anybody, and has the region looked at.
func TestWhatHappensBehindTheBackBecomesDrifts(t *testing.T) {
	t.Parallel()
	f := newFloor(t, 7)
	ids := f.enrollAll(f.fleet.Machines...)
	cut, swapped, flashed, ill, other, dead, well := f.fleet.Machines[0], f.fleet.Machines[1], f.fleet.Machines[2], f.fleet.Machines[3], f.fleet.Machines[4], f.fleet.Machines[5], f.fleet.Machines[6]
	f.actAll([]string{ids[0], ids[1], ids[2]}, "power-on", nil)
	f.watch()
	require.Empty(t, f.drifts(), "what was read is what is there")

	bios, known, disk := flashed.Hardware().BIOS, other.Hardware().UUID, swapped.Hardware().Disks[0]
	cut.CutPower()
	serial := swapped.SwapDisk(disk.Name)
	flashed.SetFirmware("BIOS", "9.9.9")
	ill.SetHealth(redfish.Critical)
	other.SetUUID("11111111-2222-4333-8444-555555555555")
	require.NoError(t, dead.Fail(redfish.Fault{Kind: redfish.Dead}))
	f.watch()
	f.watch() // who does not answer once is no news
	all := f.drifts()
	require.NotContains(t, all, well.Name)
	require.Equal(t, []drifted{{"power", "power", "closed", `"on"`, `"off"`, 1}}, all[cut.Name])
	require.Equal(t, []drifted{{"firmware", "bios", "closed", `"` + bios + `"`, `"9.9.9"`, 1}}, all[flashed.Name])
	require.Equal(t, []drifted{{"health", "health", "open", `"ok"`, `"critical"`, 2}}, all[ill.Name])
	require.Equal(t, []drifted{{"identity", "uuid", "open", `"` + known + `"`, `"11111111-2222-4333-8444-555555555555"`, 2}}, all[other.Name])
	require.Equal(t, []drifted{{"unreachable", "", "open", `"reachable"`, `"unreachable"`, 1}}, all[dead.Name])
	require.NotEmpty(t, all[swapped.Name])
	var text strings.Builder
	for _, d := range all[swapped.Name] {
		require.Equal(t, "hardware closed", d.Kind+" "+d.State)
		text.WriteString(d.Expected + d.Found)
	}
	require.Contains(t, text.String(), disk.Serial)
	require.Contains(t, text.String(), serial)

	require.Equal(t, "off", f.server(ids[0]).Power)
	require.Equal(t, known, f.server(ids[4]).HardwareUUID, "another machine is not taken over")
	sick := f.server(ids[3])
	require.Equal(t, []any{"critical", true}, []any{sick.Health, sick.Unfit})
	require.Equal(t, http.StatusConflict, f.call(http.MethodPost, "/v1/baremetals/"+ids[3]+"/lease", "", object{"tenant": "acme", "image": "metal-1"}, nil), "nobody gets it")

	ill.SetHealth(redfish.OK)
	other.SetUUID(known)
	require.NoError(t, dead.Mend())
	f.watch()
	require.Zero(t, f.count("SELECT count(*) FROM drifts WHERE state = 'open'"), "what is well again has ended")
	require.False(t, f.server(ids[3]).Unfit)
	f.act(ids[3], "lease", object{"tenant": "acme", "image": "metal-1"})
}

// watch has the region looked at now, as its schedule does every few minutes.
func (f *floor) watch() {
	f.Helper()
	c, err := client.Dial(client.Options{HostPort: f.temporal, Namespace: f.namespace})
	require.NoError(f, err)
	defer c.Close()
	run, err := c.ExecuteWorkflow(f.Context(), client.StartWorkflowOptions{TaskQueue: contract.Gateway}, contract.BaremetalWatch.Name, contract.BaremetalWatchInput{Region: "tw"})
	require.NoError(f, err)
	require.NoError(f, run.Get(f.Context(), nil))
}

// drifted is a difference as the API tells it.
type drifted struct {
	Kind, Field, State, Expected, Found string
	Seen                                int
}

// drifts are all that there are, by the machine's name.
func (f *floor) drifts() map[string][]drifted {
	f.Helper()
	var page struct {
		Items []struct {
			Kind, Field, State string
			Name               string `json:"resource_name"`
			Expected, Found    json.RawMessage
			Seen               int
		}
	}
	require.Equal(f, http.StatusOK, f.call(http.MethodGet, "/v1/drifts?limit=200", "", nil, &page))
	out := map[string][]drifted{}
	for _, d := range page.Items {
		out[d.Name] = append(out[d.Name], drifted{d.Kind, d.Field, d.State, string(d.Expected), string(d.Found), d.Seen})
	}
	return out
}
