package guest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/test/bmc"
	"github.com/yunshu/yunshu/test/bmc/guest"
)

var hardware = bmc.Machine("tw", 2)

type told struct {
	Purpose   string
	Inventory bmc.Hardware
	Wiped     []struct{ Name, Method string }
}

// service plays the boot service for one machine.
type service struct {
	*httptest.Server
	line    string // the script's, after the URL
	failing atomic.Int32
	tells   chan told
}

func serve(t *testing.T, line string) *service {
	t.Helper()
	s := &service{line: line, tells: make(chan told, 8)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /boot/ipxe/{mac}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("mac") != hardware.NICs[0].MAC {
			http.NotFound(w, r)
			return
		}
		if s.line == "exit" {
			fmt.Fprint(w, "#!ipxe\nexit\n")
			return
		}
		fmt.Fprintf(w, "#!ipxe\nkernel %s/boot/kernel quiet yunshu.url=%s %s\ninitrd %s/boot/initrd\nboot\n", s.URL, s.URL, s.line, s.URL)
	})
	mux.HandleFunc("POST /boot/claim", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			UUID string
			MACs []string
		}
		if json.NewDecoder(r.Body).Decode(&in) != nil || in.UUID != hardware.UUID || len(in.MACs) != len(hardware.NICs) || s.failing.Add(-1) >= 0 {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, `{"token":"t0ken","purpose":"provision"}`)
	})
	mux.HandleFunc("POST /boot/report", func(w http.ResponseWriter, r *http.Request) {
		if s.failing.Add(-1) >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if r.Header.Get("Authorization") != "Bearer t0ken" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var in told
		if json.NewDecoder(r.Body).Decode(&in) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.tells <- in
		w.WriteHeader(http.StatusNoContent)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func newGuest(s *service) *guest.Guest {
	return guest.New(guest.Options{
		Base: func() string { return s.URL }, Inventory: func() bmc.Hardware { return hardware.Clone() }, BootDelay: time.Millisecond, ShutdownDelay: time.Millisecond, Pause: time.Millisecond,
	})
}

func boot(device string) bmc.Boot {
	return bmc.Boot{Device: device, MAC: hardware.NICs[0].MAC, UUID: hardware.UUID}
}

func hear(t *testing.T, s *service) told {
	t.Helper()
	select {
	case r := <-s.tells:
		return r
	case <-time.After(5 * time.Second):
		require.Fail(t, "nothing was reported")
		return told{}
	}
}

func TestAGuestReportsWhatItFinds(t *testing.T) {
	t.Parallel()
	s := serve(t, "yunshu.token=t0ken yunshu.purpose=discovery")
	s.failing.Store(3) // and asks again
	g := newGuest(s)
	require.NoError(t, g.Start(boot(bmc.PXE)))
	got := hear(t, s)
	require.Equal(t, "discovery", got.Purpose)
	require.Equal(t, hardware, got.Inventory)
	require.Empty(t, got.Wiped)
}

func TestAGuestWipesAllItsDisks(t *testing.T) {
	t.Parallel()
	s := serve(t, "yunshu.token=t0ken yunshu.purpose=wipe")
	g := newGuest(s)
	require.NoError(t, g.Start(boot(bmc.PXE)))
	got := hear(t, s)
	require.Len(t, got.Wiped, len(hardware.Disks))
	require.Equal(t, "discard", got.Wiped[0].Method)
}

func TestAGuestFromAMediumClaimsItsToken(t *testing.T) {
	t.Parallel()
	s := serve(t, "")
	s.failing.Store(2)
	g := newGuest(s)
	require.NoError(t, g.Start(boot(bmc.CD)))
	require.Equal(t, "provision", hear(t, s).Purpose)
}

func TestAGuestThatIsToldToExitBootsItsDisk(t *testing.T) {
	t.Parallel()
	s := serve(t, "exit")
	g := newGuest(s)
	require.NoError(t, g.Start(boot(bmc.PXE)))
	// The guest tells nobody that it gave the network up.
	require.Eventually(t, func() bool { return g.State().Device == bmc.Disk }, 5*time.Second, time.Millisecond)
	require.Equal(t, guest.State{Device: bmc.Disk}, g.State())
}

func TestAGuestMayLie(t *testing.T) {
	t.Parallel()
	s := serve(t, "yunshu.token=t0ken yunshu.purpose=discovery")
	g := newGuest(s)
	g.Lie(func(h bmc.Hardware) bmc.Hardware {
		h.Serial = "ANOTHER"
		return h
	})
	require.NoError(t, g.Start(boot(bmc.PXE)))
	require.Equal(t, "ANOTHER", hear(t, s).Inventory.Serial)
}

func TestAGuestWithAnOldTokenGivesUp(t *testing.T) {
	t.Parallel()
	s := serve(t, "yunshu.token=old yunshu.purpose=discovery")
	g := newGuest(s)
	require.NoError(t, g.Start(boot(bmc.PXE)))
	// What is not reported cannot be waited for: the guest has its orders, then it stops asking.
	require.Eventually(t, func() bool { return g.State().Purpose == "discovery" }, 5*time.Second, time.Millisecond)
	require.Zero(t, g.State().Reports)
}

func TestAGuestStopsWhenItIsAsked(t *testing.T) {
	t.Parallel()
	s := serve(t, "exit")
	g := newGuest(s)
	require.Error(t, g.Shutdown())
	stopped := make(chan struct{})
	b := boot(bmc.Disk)
	b.Stopped = func() { close(stopped) }
	require.NoError(t, g.Start(b))
	require.NoError(t, g.Shutdown())
	require.NoError(t, g.Shutdown())
	select {
	case <-stopped:
	case <-time.After(5 * time.Second):
		require.Fail(t, "it did not stop")
	}
}
