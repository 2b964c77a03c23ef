package redfish_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/test/bmc/redfish"
)

const resetAction = system + "/Actions/ComputerSystem.Reset"

func TestFaultsDoWhatTheySay(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{Count: 1})
	m := f.Machines[0]
	b := browse(t, f, m)
	get := func() (reply, error) { return b.try(http.MethodGet, system, nil) }
	ok := func() {
		t.Helper()
		got, err := get()
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, got.status)
	}
	fail := func(fault redfish.Fault) {
		t.Helper()
		require.NoError(t, m.Fail(fault))
	}

	fail(redfish.Fault{Kind: redfish.WrongPassword, Times: 1})
	got, err := get()
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, got.status)
	ok()

	fail(redfish.Fault{Kind: redfish.Unavailable, Method: "GET", Path: "*/Systems/*", Times: 2})
	require.Equal(t, http.StatusOK, b.do(http.MethodGet, "/redfish/v1/Chassis", nil).status)
	for range 2 {
		got := b.do(http.MethodGet, system, nil)
		require.Equal(t, []any{http.StatusServiceUnavailable, "1"}, []any{got.status, got.header.Get("Retry-After")})
	}
	ok()

	fail(redfish.Fault{Kind: redfish.HalfReply, Times: 1})
	_, err = get()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	ok()

	// A client repeats by itself what it finds a used connection closed under, so there is none.
	b.client.CloseIdleConnections()
	fail(redfish.Fault{Kind: redfish.ResetMidway, Times: 1})
	_, err = get()
	require.True(t, errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF), "%v", err)
	ok()

	fail(redfish.Fault{Kind: redfish.Refuse, Action: "ForceOff"})
	require.Equal(t, http.StatusNoContent, b.do(http.MethodPost, resetAction, in{"ResetType": "On"}).status)
	becomes(t, m, "On")
	require.Equal(t, http.StatusBadRequest, b.do(http.MethodPost, resetAction, in{"ResetType": "ForceOff"}).status)
	require.NoError(t, m.Mend())

	fail(redfish.Fault{Kind: redfish.Hang, Method: "GET"})
	b.client.Timeout = 50 * time.Millisecond
	_, err = get()
	require.ErrorContains(t, err, "Client.Timeout exceeded")
	b.client.Timeout = 5 * time.Second
	require.NoError(t, m.Mend())
	ok()

	fail(redfish.Fault{Kind: redfish.Dead})
	b.client.CloseIdleConnections()
	_, err = get()
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.NoError(t, m.Mend())
	ok()

	fail(redfish.Fault{Kind: redfish.Dead, For: 50 * time.Millisecond})
	// Nobody tells that it lives again.
	require.Eventually(t, func() bool { _, err := get(); return err == nil }, 5*time.Second, 10*time.Millisecond)

	require.Error(t, m.Fail(redfish.Fault{Kind: "on-fire"}))
	require.Empty(t, m.Faults())
}

// A session from before is still good when logins are refused.
func TestAWrongPasswordDoesNotEndSessions(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{})
	m := f.Machines[0]
	c := opened(t, f, m)
	require.NoError(t, m.Fail(redfish.Fault{Kind: redfish.WrongPassword}))
	_, err := c.GetPowerState(t.Context())
	require.NoError(t, err)
	_, err = open(t, f, m, "root", password)
	require.Error(t, err)
}

// The call takes effect and its answer is lost: a client that then looks does not do it again.
func TestAnAnswerMayBeLostAfterTheCallTookEffect(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{})
	m := f.Machines[0]
	b := browse(t, f, m)
	require.NoError(t, m.Fail(redfish.Fault{Kind: redfish.ResetMidway, Action: "On", Times: 1, After: true}))
	_, err := b.try(http.MethodPost, resetAction, in{"ResetType": "On"})
	require.Error(t, err)
	becomes(t, m, "On")
	require.Equal(t, 1, m.Happened(redfish.PowerOn))
	require.Equal(t, 1, m.Called(http.MethodPost, "*/ComputerSystem.Reset"))
}

// A fault may be put at every call of something long, one after the other.
func TestAFaultMayComeLater(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{})
	m := f.Machines[0]
	b := browse(t, f, m)
	require.NoError(t, m.Fail(redfish.Fault{Kind: redfish.Unavailable, Path: "*/Systems*", Skip: 2, Times: 1}))
	var got []int
	for range 4 {
		got = append(got, b.do(http.MethodGet, system, nil).status)
	}
	require.Equal(t, []int{200, 200, 503, 200}, got)
}

func TestAMachineMayLieFromACallOn(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{})
	m := f.Machines[0]
	b := browse(t, f, m)
	m.Before(http.MethodGet, "*/Processors", func() { m.SetSerial("ANOTHER") })
	require.Equal(t, "TWD0001", b.do(http.MethodGet, system, nil).body["SerialNumber"])
	require.Equal(t, http.StatusOK, b.do(http.MethodGet, system+"/Processors", nil).status)
	require.Equal(t, "ANOTHER", b.do(http.MethodGet, system, nil).body["SerialNumber"])
}

func TestTheControlEndpointSwitchesFaults(t *testing.T) {
	t.Parallel()
	f := start(t, redfish.Options{Count: 3})
	control := httptest.NewServer(f.Control())
	defer control.Close()
	send := func(method, path, body string) int {
		r, err := http.NewRequestWithContext(t.Context(), method, control.URL+path, strings.NewReader(body))
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer res.Body.Close()
		return res.StatusCode
	}
	require.Equal(t, http.StatusNoContent, send("POST", "/machines/all/faults", `{"kind":"hang","path":"*/Managers*","for":"1h"}`))
	require.Equal(t, []redfish.Fault{{Kind: redfish.Hang, Path: "*/Managers*", For: time.Hour}}, f.Machines[2].Faults())
	require.Equal(t, http.StatusNoContent, send("DELETE", "/machines/all/faults", ""))
	require.Empty(t, f.Machines[2].Faults())
	require.Equal(t, http.StatusBadRequest, send("POST", "/machines/0/faults", `{"kind":"on-fire"}`))
	require.Equal(t, http.StatusBadRequest, send("POST", "/machines/0/faults", `{"kind":"hang","often":1}`))
	require.Equal(t, http.StatusNotFound, send("DELETE", "/machines/nobody/faults", ""))
	require.Equal(t, http.StatusNoContent, send("PATCH", "/machines/"+f.Machines[1].Name, `{"health":"Warning","serial":"LIE","latency":"1ms","swap_disk":"nvme0n1"}`))
	require.Equal(t, "LIE", f.Machines[1].Hardware().Serial)
	require.Equal(t, http.StatusOK, send("GET", "/machines/tw-a-01/calls", ""))
	res, err := http.Get(control.URL + "/machines")
	require.NoError(t, err)
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Contains(t, string(all), f.Machines[2].Fingerprint())
	require.NotContains(t, string(all), password)
}
