package redfish_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/test/bmc/redfish"
)

// browser speaks to one BMC as any HTTP client does.
type browser struct {
	t      *testing.T
	m      *redfish.Machine
	client *http.Client
	header http.Header
}

func browse(t *testing.T, f *redfish.Fleet, m *redfish.Machine) *browser {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.Pool()}}
	t.Cleanup(transport.CloseIdleConnections)
	b := &browser{t: t, m: m, client: &http.Client{Transport: transport, Timeout: 5 * time.Second}, header: http.Header{}}
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth("root", password)
	b.header.Set("Authorization", r.Header.Get("Authorization"))
	return b
}

type reply struct {
	status int
	header http.Header
	body   map[string]any
}

func (b *browser) try(method, path string, body any, header ...string) (reply, error) {
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		require.NoError(b.t, err)
		in = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.m.URL()+path, in)
	require.NoError(b.t, err)
	r.Header = b.header.Clone()
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := b.client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return reply{}, err
	}
	out := reply{status: res.StatusCode, header: res.Header}
	if len(raw) > 0 {
		require.NoError(b.t, json.Unmarshal(raw, &out.body))
	}
	return out, nil
}

func (b *browser) do(method, path string, body any, header ...string) reply {
	b.t.Helper()
	out, err := b.try(method, path, body, header...)
	require.NoError(b.t, err)
	return out
}

type in = map[string]any

const system = "/redfish/v1/Systems/System.Embedded.1"

// Everything that a document links to is there, names itself as it is linked, and has a type.
func TestEveryLinkLeadsToADocument(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{Count: 4, PoweredOn: 4})
	for _, m := range f.Machines {
		b := browse(t, f, m)
		seen, todo := map[string]bool{}, []string{"/redfish/v1"}
		for len(todo) > 0 {
			path := todo[0]
			todo = todo[1:]
			if seen[path] {
				continue
			}
			seen[path] = true
			got := b.do(http.MethodGet, path, nil)
			require.Equal(t, http.StatusOK, got.status, path)
			require.Equal(t, path, strings.TrimSuffix(got.body["@odata.id"].(string), "/"))
			require.Regexp(t, `^#[A-Z]\w+(\.v\d+_\d+_\d+)?\.[A-Z]\w+$`, got.body["@odata.type"], path)
			require.NotEmpty(t, got.body["Name"], path)
			require.NotEmpty(t, got.header.Get("ETag"), path)
			require.Equal(t, "4.0", got.header.Get("OData-Version"))
			if members, ok := got.body["Members"].([]any); ok {
				require.InDelta(t, len(members), got.body["Members@odata.count"], 0)
			}
			todo = append(todo, linked(got.body)...)
		}
		require.Greater(t, len(seen), 60)
	}
}

// linked collects the addresses that a document names, but for places inside of documents.
func linked(v any) []string {
	var out []string
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			path, _ := value.(string)
			if key == "@odata.id" && !strings.Contains(path, "#") {
				out = append(out, strings.TrimSuffix(path, "/"))
			}
			out = append(out, linked(value)...)
		}
	case []any:
		for _, value := range v {
			out = append(out, linked(value)...)
		}
	}
	return out
}

func TestNobodyIsLetInWithoutALogin(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{})
	b := browse(t, f, f.Machines[0])
	b.header = http.Header{}
	require.Equal(t, http.StatusOK, b.do(http.MethodGet, "/redfish/v1/", nil).status)
	refused := b.do(http.MethodGet, system, nil)
	require.Equal(t, http.StatusUnauthorized, refused.status)
	require.NotEmpty(t, refused.body["error"].(map[string]any)["@Message.ExtendedInfo"])
	require.Equal(t, http.StatusUnauthorized, b.do(http.MethodPost, "/redfish/v1/SessionService/Sessions", in{"UserName": "root", "Password": "guess"}).status)
	require.Equal(t, http.StatusUnauthorized, b.do(http.MethodGet, system, nil, "X-Auth-Token", "guess").status)
}

func TestSessionsAreFewAndEnd(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{Sessions: 2, SessionTimeout: 300 * time.Millisecond})
	b := browse(t, f, f.Machines[0])
	b.header = http.Header{}
	login := in{"UserName": "root", "Password": password}
	const sessions = "/redfish/v1/SessionService/Sessions"
	first, second := b.do(http.MethodPost, sessions, login), b.do(http.MethodPost, sessions, login)
	require.Equal(t, http.StatusCreated, first.status)
	require.Equal(t, http.StatusServiceUnavailable, b.do(http.MethodPost, sessions, login).status)
	token := second.header.Get("X-Auth-Token")
	require.Equal(t, http.StatusOK, b.do(http.MethodGet, system, nil, "X-Auth-Token", token).status)
	require.Equal(t, http.StatusNoContent, b.do(http.MethodDelete, first.header.Get("Location"), nil, "X-Auth-Token", token).status)
	require.Equal(t, http.StatusUnauthorized, b.do(http.MethodGet, system, nil, "X-Auth-Token", first.header.Get("X-Auth-Token")).status)
	// Time passes, and what nobody uses expires.
	require.Eventually(t, func() bool { return f.Machines[0].Sessions() == 0 }, 5*time.Second, 10*time.Millisecond)
	require.Equal(t, http.StatusUnauthorized, b.do(http.MethodGet, system, nil, "X-Auth-Token", token).status)
}

func TestAChangeOfWhatWasNotSeenIsRefused(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{})
	b := browse(t, f, f.Machines[0])
	tag := b.do(http.MethodGet, system, nil).header.Get("ETag")
	once := in{"Boot": in{"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}}
	require.Equal(t, http.StatusOK, b.do(http.MethodPatch, system, once, "If-Match", tag).status)
	require.Equal(t, http.StatusPreconditionFailed, b.do(http.MethodPatch, system, once, "If-Match", tag).status)
	require.Equal(t, http.StatusNotModified, b.do(http.MethodGet, system, nil, "If-None-Match", b.do(http.MethodGet, system, nil).header.Get("ETag")).status)
	for _, bad := range []in{
		{"Boot": in{"BootSourceOverrideTarget": "Tape"}}, {"Boot": in{"BootOrder": []string{"Boot0001"}}}, {"Boot": "Pxe"}, {"PowerState": "On"}, {"IndicatorLED": "Green"},
	} {
		require.Equal(t, http.StatusBadRequest, b.do(http.MethodPatch, system, bad).status)
	}
	require.Equal(t, http.StatusOK, b.do(http.MethodPatch, system, in{"IndicatorLED": "Blinking"}).status)
	require.True(t, f.Machines[0].Lit())
}

func TestPowerTakesItsTimeAndRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{Transition: 80 * time.Millisecond, Shutdown: 80 * time.Millisecond})
	m := f.Machines[0]
	b := browse(t, f, m)
	reset := func(kind string) int {
		return b.do(http.MethodPost, system+"/Actions/ComputerSystem.Reset", in{"ResetType": kind}).status
	}
	require.Equal(t, http.StatusConflict, reset("ForceOff"))
	require.Equal(t, http.StatusConflict, reset("ForceRestart"))
	require.Equal(t, http.StatusBadRequest, reset("Explode"))
	require.Equal(t, http.StatusNoContent, reset("On"))
	require.Equal(t, "PoweringOn", b.do(http.MethodGet, system, nil).body["PowerState"])
	require.Equal(t, http.StatusConflict, reset("On"))
	becomes(t, m, "On")
	require.Equal(t, http.StatusNoContent, reset("ForceRestart"))
	require.Equal(t, "On", m.Power())
	require.Equal(t, http.StatusNoContent, reset("Nmi"))
	require.Equal(t, http.StatusNoContent, reset("PowerCycle"))
	// Off is only a moment.
	require.Eventually(t, func() bool { return m.Happened(redfish.PowerOn) == 2 && m.Power() == "On" }, 5*time.Second, 5*time.Millisecond)
	require.Equal(t, http.StatusNoContent, reset("GracefulRestart"))
	require.Eventually(t, func() bool { return m.Happened(redfish.Reset) == 2 }, 5*time.Second, 5*time.Millisecond) // the guest takes its time
	m.IgnoreShutdown(true)
	require.Equal(t, http.StatusNoContent, reset("GracefulShutdown"))
	require.Equal(t, "On", m.Power())
	m.IgnoreShutdown(false)
	require.Equal(t, http.StatusNoContent, reset("GracefulShutdown"))
	require.Equal(t, "On", b.do(http.MethodGet, system, nil).body["PowerState"])
	becomes(t, m, "Off")
	require.Equal(t, []int{2, 2, 2, 3, 1}, []int{
		m.Happened(redfish.PowerOn), m.Happened(redfish.PowerOff), m.Happened(redfish.Reset), m.Happened(redfish.Shutdown), m.Happened(redfish.NMI),
	})
}

func TestHealthIsThatOfTheWorstPart(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{PoweredOn: 1})
	m := f.Machines[0]
	b := browse(t, f, m)
	health := func(path string) any {
		return b.do(http.MethodGet, path, nil).body["Status"].(map[string]any)["Health"]
	}
	require.Equal(t, "OK", health(system))
	m.SetSensor("Inlet Temp", 40)
	require.Equal(t, "Warning", health(system))
	m.SetPartHealth(m.Hardware().Disks[0].Serial, redfish.Critical)
	require.Equal(t, "Critical", health(system))
	require.Equal(t, "Critical", health(system+"/Storage/RAID.Integrated.1/Drives/Disk.sda"))
	m.SwapDisk("sda")
	m.SetSensor("Inlet Temp", 22)
	require.Equal(t, "OK", health(system))
	m.SetHealth(redfish.Critical)
	require.Equal(t, "Critical", health(system))
	thermal := b.do(http.MethodGet, "/redfish/v1/Chassis/System.Embedded.1/Thermal", nil).body
	first := thermal["Temperatures"].([]any)[0].(map[string]any)
	require.Equal(t, []any{"Inlet Temp", 22.0, 38.0, 42.0}, []any{first["Name"], first["ReadingCelsius"], first["UpperThresholdNonCritical"], first["UpperThresholdCritical"]})
}

func TestHardwareChangesBehindOnesBack(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{})
	m := f.Machines[0]
	b := browse(t, f, m)
	m.SetSerial("LIE0001")
	m.SetUUID("7f6a2f38-2d1b-4c4e-9d2b-000000000001")
	m.SetFirmware("BIOS", "2.2.0")
	m.AddDIMM("A9")
	got := b.do(http.MethodGet, system, nil).body
	require.Equal(t, []any{"LIE0001", "7f6a2f38-2d1b-4c4e-9d2b-000000000001", "2.2.0"}, []any{got["SerialNumber"], got["UUID"], got["BiosVersion"]})
	require.Equal(t, http.StatusOK, b.do(http.MethodGet, system+"/Memory/DIMM.A9", nil).status)
	require.Equal(t, "2.2.0", b.do(http.MethodGet, "/redfish/v1/UpdateService/FirmwareInventory/Installed-BIOS", nil).body["Version"])
}

func TestAnAccountMayBeMadeChangedAndEmptied(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{Count: 2})
	m := f.Machines[1]
	b := browse(t, f, m)
	const accounts = "/redfish/v1/AccountService/Accounts"
	made := b.do(http.MethodPost, accounts, in{"UserName": "looker", "Password": "only-looks", "RoleId": "ReadOnly"})
	require.Equal(t, http.StatusCreated, made.status)
	require.Nil(t, made.body["Password"])
	looker := browse(t, f, m)
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth("looker", "only-looks")
	looker.header = r.Header
	require.Equal(t, http.StatusOK, looker.do(http.MethodGet, "/redfish/v1/Systems/1", nil).status)
	require.Equal(t, http.StatusForbidden, looker.do(http.MethodPost, "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset", in{"ResetType": "On"}).status)
	require.Equal(t, http.StatusForbidden, looker.do(http.MethodPatch, made.header.Get("Location"), in{"RoleId": "Administrator"}).status)
	require.Equal(t, http.StatusBadRequest, b.do(http.MethodPatch, made.header.Get("Location"), in{"UserName": "root"}).status)
	require.Equal(t, http.StatusNoContent, b.do(http.MethodDelete, made.header.Get("Location"), nil).status)
	require.Equal(t, http.StatusUnauthorized, looker.do(http.MethodGet, "/redfish/v1/Systems/1", nil).status)
	for i := range 11 {
		require.Equal(t, http.StatusCreated, b.do(http.MethodPost, accounts, in{"UserName": fmt.Sprint("user-", i), "Password": "xxxx", "RoleId": "Operator"}).status)
	}
	require.Equal(t, http.StatusBadRequest, b.do(http.MethodPost, accounts, in{"UserName": "toomany", "Password": "xxxx", "RoleId": "Operator"}).status)
}

func TestACertificateIsPinnedUntilItIsRotated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := start(t, redfish.Options{Count: 2, TLSDir: dir, StateFile: dir + "/state"})
	seen := func(m *redfish.Machine, f *redfish.Fleet) string {
		c, err := (&tls.Dialer{Config: &tls.Config{RootCAs: f.Pool()}}).DialContext(t.Context(), "tcp", m.Address())
		require.NoError(t, err)
		defer c.Close()
		sum := sha256.Sum256(c.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw)
		return hex.EncodeToString(sum[:])
	}
	m := f.Machines[0]
	before := m.Fingerprint()
	require.Equal(t, before, seen(m, f))
	require.NotEqual(t, before, f.Machines[1].Fingerprint())
	m.RotateCertificate()
	require.NotEqual(t, before, m.Fingerprint())
	require.Equal(t, m.Fingerprint(), seen(m, f))
	after := m.Fingerprint()
	f.Stop()
	again := start(t, redfish.Options{Count: 2, TLSDir: dir, StateFile: dir + "/state"})
	require.Equal(t, after, again.Machines[0].Fingerprint())
}

func TestLatencyIsThatOfTheMachine(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{Count: 2})
	f.Machines[0].SetLatency(time.Hour)
	require.Equal(t, http.StatusOK, browse(t, f, f.Machines[1]).do(http.MethodGet, "/redfish/v1", nil).status)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.Machines[0].URL()+"/redfish/v1", nil)
	require.NoError(t, err)
	_, err = browse(t, f, f.Machines[0]).client.Do(r)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
