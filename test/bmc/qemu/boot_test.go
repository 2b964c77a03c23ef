//go:build boot

package qemu_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/cmd/agent/boot"
	"github.com/yunshu/yunshu/cmd/agent/inventory"
	"github.com/yunshu/yunshu/cmd/agent/wipe"
	"github.com/yunshu/yunshu/test/bmc"
	"github.com/yunshu/yunshu/test/bmc/image"
	"github.com/yunshu/yunshu/test/bmc/qemu"
)

const (
	bootFor = 3 * time.Minute // emulated, and on a busy machine
	mac     = "52:54:00:12:34:56"
	token   = "for-one-boot-only"
)

// gateway plays the gateway's boot service for one machine.
type gateway struct {
	url     string
	image   image.Image
	iso     string // the virtual medium, if there is one
	known   bool   // the boot script carries the token; otherwise the machine has to claim it
	purpose string
	claims  chan string
	reports chan boot.Report
}

func newGateway(t *testing.T, made image.Image, purpose string, known bool) *gateway {
	t.Helper()
	g := &gateway{image: made, purpose: purpose, known: known, claims: make(chan string, 1), reports: make(chan boot.Report, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /boot/ipxe/{mac}", g.script)
	mux.HandleFunc("GET /boot/kernel", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, made.Kernel) })
	mux.HandleFunc("GET /boot/initrd", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, made.Initrd) })
	mux.HandleFunc("GET /boot/discovery.iso", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, g.iso) })
	mux.HandleFunc("POST /boot/claim", g.claim)
	mux.HandleFunc("POST /boot/report", g.report)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

func (g *gateway) script(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("mac") != mac {
		http.NotFound(w, r)
		return
	}
	orders := ""
	if g.known {
		orders = " yunshu.token=" + token + " yunshu.purpose=" + g.purpose
	}
	fmt.Fprintf(w, "#!ipxe\nkernel http://%[1]s/boot/kernel initrd=initrd console=ttyS0 quiet yunshu.url=http://%[1]s%[2]s\ninitrd http://%[1]s/boot/initrd\nboot\n", r.Host, orders)
}

func (g *gateway) claim(w http.ResponseWriter, r *http.Request) {
	var who struct {
		UUID string
		MACs []string
	}
	if err := json.NewDecoder(r.Body).Decode(&who); err != nil || len(who.MACs) != 1 || who.MACs[0] != mac {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	g.claims <- who.UUID
	_ = json.NewEncoder(w).Encode(map[string]string{"token": token, "purpose": g.purpose}) // the machine asks again
}

func (g *gateway) report(w http.ResponseWriter, r *http.Request) {
	var report boot.Report
	if r.Header.Get("Authorization") != "Bearer "+token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if err := json.NewDecoder(r.Body).Decode(&report); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	g.reports <- report
	w.WriteHeader(http.StatusNoContent)
}

// machine makes one that is off, and tells what it wrote on its console when the test fails.
func machine(t *testing.T, g *gateway, serial string) *qemu.Machine {
	t.Helper()
	m, err := qemu.New(t.Context(), qemu.Options{Dir: t.TempDir(), BootURL: g.url, Serial: serial, Vendor: "Yunshu, Inc.", CPUs: 2, MemoryMiB: 768})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, m.Stop())
		console, err := os.ReadFile(m.Console())
		require.NoError(t, err)
		require.NotContains(t, string(console), token)
		if t.Failed() {
			t.Logf("the machine's console:\n%s", console)
		}
	})
	return m
}

// build builds the image once; it is kept where make discovery-image keeps it.
var build = sync.OnceValues(func() (image.Image, error) {
	return image.Build(context.Background(), "../../../.dev/discovery")
})

func discovery(t *testing.T) image.Image {
	t.Helper()
	made, err := build()
	require.NoError(t, err)
	return made
}

func next[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootFor)
	defer cancel()
	select {
	case v := <-from:
		return v
	case <-ctx.Done():
		require.FailNow(t, "the machine was waited for too long", what)
		panic("unreachable")
	}
}

func TestAMachineTellsWhatItIsMadeOfAndTurnsItselfOff(t *testing.T) {
	t.Parallel()
	g := newGateway(t, discovery(t), boot.Discovery, false)
	m := machine(t, g, "SN-0001")
	id, stopped := uuid.NewString(), make(chan struct{})
	require.NoError(t, m.Start(bmc.Boot{Device: bmc.PXE, MAC: mac, UUID: id, Stopped: func() { close(stopped) }}))

	require.Equal(t, id, next(t, g.claims, "claim"))
	report := next(t, g.reports, "report")
	require.Len(t, report.Inventory.CPUs, 1)
	require.NotEmpty(t, report.Inventory.CPUs[0].Model)
	report.Inventory.CPUs[0].Model, report.Inventory.CPUs[0].MHz = "", 0 // QEMU's choice
	require.NotEmpty(t, report.Inventory.BIOS)
	report.Inventory.BIOS, report.Inventory.Firmware = "", nil // SeaBIOS of any version
	require.Equal(t, boot.Report{
		Purpose: boot.Discovery,
		Wiped:   []wipe.Result{},
		Inventory: inventory.Inventory{
			UUID: id, Serial: "SN-0001", Vendor: "Yunshu, Inc.", Model: "Simulated",
			CPUs:   []inventory.CPU{{Cores: 2, Threads: 2}},
			Memory: []inventory.Memory{{Slot: "DIMM 0", SizeMiB: 768, Type: "RAM"}},
			Disks:  []inventory.Disk{{Name: "vda", Model: "virtio_blk", Serial: "SN-0001-disk", SizeGiB: 1, Kind: "hdd"}},
			NICs:   []inventory.NIC{{Name: "eth0", MAC: mac, Model: "virtio_net"}},
			GPUs:   []inventory.GPU{},
		},
	}, report)

	require.NoError(t, m.Shutdown())
	next(t, stopped, "power off")
}

func TestAMachineForgetsWhatWasOnItsDisk(t *testing.T) {
	t.Parallel()
	g := newGateway(t, discovery(t), boot.Wipe, true)
	m := machine(t, g, "SN-0002")
	secret := bytes.Repeat([]byte("a tenant's secret "), 1<<12)
	disk, err := os.OpenFile(m.Disk(), os.O_RDWR, 0)
	require.NoError(t, err)
	defer disk.Close()
	places := []int64{0, 512<<20 + 511, 1<<30 - int64(len(secret))}
	for _, at := range places {
		_, err := disk.WriteAt(secret, at)
		require.NoError(t, err)
	}
	require.NoError(t, m.Start(bmc.Boot{Device: bmc.PXE, MAC: mac, UUID: uuid.NewString(), Stopped: func() {}}))

	report := next(t, g.reports, "report")
	require.Empty(t, report.Error)
	require.Equal(t, boot.Wipe, report.Purpose)
	require.Equal(t, []wipe.Result{{Name: "vda", Serial: "SN-0002-disk", SizeGiB: 1, Method: wipe.Discarded, Verified: true}}, report.Wiped)
	for _, at := range places {
		read := make([]byte, len(secret))
		_, err := disk.ReadAt(read, at)
		require.NoError(t, err)
		require.Equal(t, make([]byte, len(secret)), read)
	}
}

func TestAMachineWithNothingToBootStaysOn(t *testing.T) {
	t.Parallel()
	m, err := qemu.New(t.Context(), qemu.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	stopped := make(chan struct{})
	require.NoError(t, m.Start(bmc.Boot{Device: bmc.Disk, MAC: mac, UUID: uuid.NewString(), Stopped: func() { close(stopped) }}))
	require.Error(t, m.Start(bmc.Boot{Device: bmc.Disk, MAC: mac, UUID: uuid.NewString()}), "it is on")
	require.NoError(t, m.Shutdown(), "there is nobody to hear it")
	require.NoError(t, m.Stop())
	require.NoError(t, m.Stop(), "it is off")
	select {
	case <-stopped:
		require.Fail(t, "who cuts the power is not told of it")
	default:
	}
}

func TestAMachineBootsFromAVirtualMedium(t *testing.T) {
	t.Parallel()
	made := discovery(t)
	g := newGateway(t, made, boot.Discovery, false)
	inside, err := qemu.Inside(g.url)
	require.NoError(t, err)
	g.iso = filepath.Join(t.TempDir(), "discovery.iso")
	require.NoError(t, made.ISO(t.Context(), g.iso, "quiet console=ttyS0 yunshu.url="+inside, os.Stderr))
	m := machine(t, g, "SN-0003")
	id := uuid.NewString()
	require.NoError(t, m.Start(bmc.Boot{Device: bmc.CD, Media: g.url + "/boot/discovery.iso", MAC: mac, UUID: id, Stopped: func() {}}))

	require.Equal(t, id, next(t, g.claims, "claim"))
	report := next(t, g.reports, "report")
	require.Equal(t, id, report.Inventory.UUID)
	require.Len(t, report.Inventory.Disks, 1, "the medium is none of the machine's disks")
}
