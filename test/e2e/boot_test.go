//go:build boot

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/cmd/agent/boot"
	"github.com/yunshu/yunshu/cmd/agent/inventory"
	"github.com/yunshu/yunshu/cmd/agent/wipe"
	"github.com/yunshu/yunshu/test/bmc"
	"github.com/yunshu/yunshu/test/bmc/image"
	"github.com/yunshu/yunshu/test/bmc/qemu"
	"github.com/yunshu/yunshu/test/bmc/redfish"
)

const bmcPassword = "of-one-bmc-only"

// server is a machine that really boots, behind a BMC that knows all of it but its disk.
type server struct {
	*redfish.Machine
	qemu *qemu.Machine
}

func newServer(t *testing.T, bootURL string) server {
	t.Helper()
	var s server
	fleet, err := redfish.Start(redfish.Options{Region: "lab", Username: "root", Password: bmcPassword, TLSDir: t.TempDir(), Guest: func(m *redfish.Machine) bmc.Guest {
		h := m.Hardware()
		made, err := qemu.New(t.Context(), qemu.Options{Dir: t.TempDir(), BootURL: bootURL, Serial: h.Serial, Vendor: h.Vendor, Model: h.Model, CPUs: 2, MemoryMiB: 768})
		require.NoError(t, err)
		s.qemu = made
		return made
	}})
	require.NoError(t, err)
	s.Machine = fleet.Machines[0]
	s.Change(func(h *bmc.Hardware) {
		h.CPUs = []bmc.CPU{{Model: "QEMU Virtual CPU", Cores: 2, Threads: 2, MHz: 2000}}
		h.Memory = []bmc.DIMM{{Slot: "DIMM 0", SizeMiB: 768, Type: "DDR5", MHz: 4800, Serial: "0001"}}
		h.NICs, h.Disks, h.GPUs = h.NICs[:1], nil, nil
	})
	t.Cleanup(func() {
		fleet.Stop()
		console, err := os.ReadFile(s.qemu.Console())
		require.NoError(t, err)
		require.NotContains(t, string(console), "yunshu.token")
		if t.Failed() {
			t.Logf("the machine's console, of its last boot:\n%s", console)
		}
	})
	return s
}

// told is a JSON answer of the command line.
func told[T any](s *stack, args ...string) T {
	s.Helper()
	var out T
	raw := s.must(append(args, "-o", "json")...)
	require.NoError(s, json.Unmarshal([]byte(raw), &out), raw)
	return out
}

// machine is what matters of a physical server here.
type machine struct {
	Role   string `json:"role"`
	State  string `json:"state"`
	Tenant string `json:"tenant"`
	Power  string `json:"power"`
}

func (s *stack) requireMachine(name, state string) {
	s.Helper()
	m := told[machine](s, "baremetal", "get", name)
	require.Equal(s, state, strings.Join([]string{m.Role, m.State, m.Tenant, m.Power}, " "), name)
}

// prepare gives the region an image that boots for every purpose. Those that are there from the beginning do not; of several,
// machines boot the one whose name comes last.
func (s *stack) prepare(w *wire) {
	s.Helper()
	kernel, initrd := w.images()
	for _, purpose := range []string{boot.Discovery, boot.Wipe, boot.Provision} {
		s.must("image", "create", "yunshu-"+purpose, "--purpose", purpose, "--kernel", "tw="+kernel, "--initrd", "tw="+initrd, "--args", "tw=initrd=initrd quiet console=ttyS0")
	}
	s.must("tenant", "create", "acme", "--quota", "baremetals=1")
}

// use is what a tenant uses.
type use struct {
	Used struct {
		Baremetals int `json:"baremetals"`
	} `json:"used"`
}

func (s *stack) requireUsed(machines int) {
	s.Helper()
	require.Equal(s, machines, told[use](s, "tenant", "usage", "acme").Used.Baremetals)
}

// event is what matters of an audit event here.
type event struct {
	Actor        string `json:"actor"`
	ResourceName string `json:"resource_name"`
}

// onlyZeros refuses everything but zeros.
type onlyZeros struct{}

func (onlyZeros) Write(p []byte) (int, error) {
	if left := bytes.TrimLeft(p, "\x00"); len(left) > 0 {
		return len(p) - len(left), errors.New("something is left on the disk")
	}
	return len(p), nil
}

func TestAServersWholeLife(t *testing.T) {
	made, err := image.Build(t.Context(), "../../.dev/discovery")
	require.NoError(t, err)
	s := start(t, newRoot(t))
	t.Cleanup(func() { require.NoError(t, s.end(syscall.SIGINT)) })
	w := newWire(t, s.env["YUNSHU_URL"], made)
	m := newServer(t, w.url)
	s.prepare(w)

	out, status := s.feed(bmcPassword+"\n", "yunshu", "baremetal", "enroll", "--region", "tw", "--rack", "r1", "--position", "12", "--name", "metal-1",
		"--bmc", m.URL(), "--user", "root", "--fingerprint", m.Fingerprint(), "--password-stdin", "--wait")
	require.Zero(t, status, out)
	require.NotContains(t, out, bmcPassword)
	s.requireMachine("metal-1", "spare available  off")
	s.must("baremetal", "enroll", "--region", "tw", "--name", "metal-2", "--bmc", s.env["YUNSHU_BMC_TW_URL"], "--user", s.env["YUNSHU_BMC_TW_USERNAME"],
		"--password-file", s.env["YUNSHU_BMC_TW_PASSWORD_FILE"], "--wait")
	require.Empty(t, told[inventory.Inventory](s, "baremetal", "inventory", "metal-1").Disks, "its BMC does not see them")

	s.discovered(w, m)
	s.leased(w)
	s.released(w, m)

	require.Empty(t, s.must("leak-check"))
	require.Empty(t, s.must("ledger-check"))
	var who []string
	for _, e := range told[[]event](s, "audit-event", "list", "--action", "boot.report") {
		who = append(who, e.Actor+" "+e.ResourceName)
	}
	require.Equal(t, slices.Repeat([]string{"machine/metal-1 metal-1"}, 3), who)
	require.NotEmpty(t, s.filesWith(m.Fingerprint()), "what is kept is looked at")
	for _, secret := range append(w.tokens(), bmcPassword) {
		require.Empty(t, s.filesWith(secret))
	}
}

// filesWith looks for a text in everything that the stack keeps: logs, workflow histories, the database and its log.
func (s *stack) filesWith(text string) []string {
	s.Helper()
	found := []string{}
	err := filepath.WalkDir(filepath.Join(s.root, ".dev"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return ifThere(err)
		}
		raw, err := os.ReadFile(path)
		if bytes.Contains(raw, []byte(text)) {
			found = append(found, path)
		}
		return ifThere(err)
	})
	require.NoError(s, err)
	return found
}

// ifThere drops the error of a file that its owner has removed meanwhile.
func ifThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// discovered boots the discovery image: what it finds is what QEMU has, and is recorded beside what the BMC says.
func (s *stack) discovered(w *wire, m server) {
	s.Helper()
	s.must("baremetal", "discover", "metal-1", "--wait")
	h, got := m.Hardware(), w.last(1)
	require.Equal(s, boot.Discovery, got.Purpose)
	require.Empty(s, got.Error)
	disks := []inventory.Disk{{Name: "vda", Model: "virtio_blk", Serial: h.Serial + "-disk", SizeGiB: 1, Kind: "hdd"}}
	inside := got.Inventory
	require.Equal(s, []string{h.UUID, h.Serial, h.Vendor, h.Model}, []string{inside.UUID, inside.Serial, inside.Vendor, inside.Model})
	require.Equal(s, disks, inside.Disks)
	require.Equal(s, []int{2, 768}, []int{inside.CPUs[0].Cores, int(inside.Memory[0].SizeMiB)})

	recorded := told[inventory.Inventory](s, "baremetal", "inventory", "metal-1")
	require.Equal(s, disks, recorded.Disks)
	require.Equal(s, []string{h.UUID, h.Serial, h.NICs[0].MAC}, []string{recorded.UUID, recorded.Serial, recorded.NICs[0].MAC})
	s.requireMachine("metal-1", "spare available  off")
	require.Equal(s, http.StatusUnauthorized, w.again(got), "a token is good for one report")
}

// leased gives the machine to a tenant, whose quota ends with it.
func (s *stack) leased(w *wire) {
	s.Helper()
	s.must("baremetal", "lease", "metal-1", "--tenant", "acme", "--image", "yunshu-provision", "--hostname", "db-1", "--wait")
	got := w.last(2)
	require.Equal(s, boot.Provision, got.Purpose)
	require.Empty(s, got.Error)
	s.requireMachine("metal-1", "leased in_use acme on")
	s.requireUsed(1)
	refused, status := s.yunshu("baremetal", "lease", "metal-2", "--tenant", "acme", "--image", "yunshu-provision", "--wait")
	require.Equal(s, 4, status)
	require.Contains(s, refused, "baremetals of tenant acme: 1 asked, 0 free")
}

// released takes the machine back, and nothing that the tenant wrote is on its disk any more.
func (s *stack) released(w *wire, m server) {
	s.Helper()
	disk, err := os.OpenFile(m.qemu.Disk(), os.O_RDWR, 0)
	require.NoError(s, err)
	defer disk.Close()
	secret := bytes.Repeat([]byte("a tenant's secret "), 1<<12)
	for _, at := range []int64{0, 512<<20 + 511, 1<<30 - int64(len(secret))} {
		_, err := disk.WriteAt(secret, at)
		require.NoError(s, err)
	}
	s.must("baremetal", "release", "metal-1", "--wait")
	got := w.last(3)
	require.Equal(s, boot.Wipe, got.Purpose)
	require.Empty(s, got.Error)
	require.Equal(s, []wipe.Result{{Name: "vda", Serial: m.Hardware().Serial + "-disk", SizeGiB: 1, Method: wipe.Discarded, Verified: true}}, got.Wiped)
	_, err = disk.Seek(0, io.SeekStart)
	require.NoError(s, err)
	left, err := io.Copy(onlyZeros{}, disk)
	require.NoError(s, err, "of %d bytes", left)
	require.EqualValues(s, 1<<30, left)
	s.requireMachine("metal-1", "spare available  off")
	s.requireUsed(0)
	require.Equal(s, http.StatusUnauthorized, w.again(got), "a token is good for one report")
}
