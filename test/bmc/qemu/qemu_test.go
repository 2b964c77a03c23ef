package qemu

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/test/bmc"
)

var computer = Options{Dir: "/m", BootURL: "http://127.0.0.1:8080/", Serial: "SN,1", CPUs: 2, MemoryMiB: 1024}.defaults()

func TestEachDeviceIsTheOnlyOneThatBoots(t *testing.T) {
	t.Parallel()
	for device, wanted := range map[string][]string{
		"pxe": {
			"-netdev user,id=lan,bootfile=http://10.0.2.2:8080/boot/ipxe/52:54:00:12:34:56 -device virtio-net-pci,netdev=lan,mac=52:54:00:12:34:56,bootindex=0 ",
			"-drive if=none,id=disk,format=raw,discard=unmap,file=/m/disk.raw -device virtio-blk-pci,drive=disk,serial=SN,,1-disk ",
		},
		"disk": {
			"-netdev user,id=lan -device virtio-net-pci,netdev=lan,mac=52:54:00:12:34:56,romfile= ",
			"-device virtio-blk-pci,drive=disk,serial=SN,,1-disk,bootindex=0 ",
		},
		"cd": {
			"-netdev user,id=lan -device virtio-net-pci,netdev=lan,mac=52:54:00:12:34:56,romfile= ",
			"-device virtio-blk-pci,drive=disk,serial=SN,,1-disk ",
			"-drive if=none,id=medium,media=cdrom,readonly=on,format=raw,file=/m/media.iso -device ide-cd,drive=medium,bootindex=0",
		},
		"usb": {
			"-drive if=none,id=medium,media=cdrom,readonly=on,format=raw,file=/m/media.iso -device qemu-xhci -device usb-storage,drive=medium,bootindex=0",
		},
	} {
		t.Run(device, func(t *testing.T) {
			t.Parallel()
			args, err := arguments(computer, bmc.Boot{Device: device, MAC: "52:54:00:12:34:56", UUID: "an-id"}, "/m/disk.raw", "/m/console.log", "/m/media.iso")
			require.NoError(t, err)
			line := strings.Join(args, " ")
			for _, w := range append(wanted, "-boot strict=on ", "-uuid an-id -smbios type=1,manufacturer=Yunshu,product=Simulated,serial=SN,,1,uuid=an-id ", "-smp 2 -m 1024 ", "-serial file:/m/console.log ") {
				require.Contains(t, line, w)
			}
			require.Equal(t, 1, strings.Count(line, "bootindex="), line)
		})
	}
}

func TestAMachineDoesNotBootFromJustAnything(t *testing.T) {
	t.Parallel()
	_, err := arguments(computer, bmc.Boot{Device: "floppy", MAC: "m", UUID: "u"}, "", "", "")
	require.EqualError(t, err, `A machine boots from pxe, cd, usb or disk, not from "floppy"`)
	_, err = arguments(computer, bmc.Boot{Device: "disk"}, "", "", "")
	require.EqualError(t, err, "A machine needs a MAC address and a UUID")
	_, err = arguments(Options{}, bmc.Boot{Device: "pxe", MAC: "m", UUID: "u"}, "", "", "")
	require.EqualError(t, err, "To boot from the network, a machine needs the URL of the boot service")
}

func TestAGuestReachesThisMachinesLoopback(t *testing.T) {
	t.Parallel()
	for outside, inside := range map[string]string{
		"http://127.0.0.1:8080/":      "http://10.0.2.2:8080",
		"http://localhost/x":          "http://10.0.2.2/x",
		"https://gateway.example:443": "https://gateway.example:443",
	} {
		got, err := Inside(outside)
		require.NoError(t, err)
		require.Equal(t, inside, got)
	}
	_, err := Inside("http://\x00")
	require.Error(t, err)
}

// qmp is QEMU's side of the monitor: it answers each command in turn.
func qmp(t *testing.T, answers ...string) *monitor {
	t.Helper()
	commands, in := io.Pipe()
	out, said := io.Pipe()
	go func() {
		defer said.Close()
		heard := json.NewDecoder(commands)
		for _, answer := range answers {
			if _, err := io.WriteString(said, answer); err != nil {
				return
			}
			var command struct{ Execute string }
			if err := heard.Decode(&command); err != nil {
				return
			}
		}
	}()
	m, err := connect(in, out)
	require.NoError(t, err)
	go func() { _ = m.drain() }() // ends with the pipe
	return m
}

const (
	greeting = `{"QMP":{"version":{},"capabilities":[]}}`
	done     = `{"return":{}}`
)

func TestTheMonitorReadsOverEvents(t *testing.T) {
	t.Parallel()
	m := qmp(t, greeting, done, `{"event":"POWERDOWN"}`+done, `{"event":"RESET"}{"error":{"class":"GenericError","desc":"No."}}`, done)
	require.NoError(t, m.execute("system_powerdown"))
	require.EqualError(t, m.execute("nonsense"), "nonsense: No.")
	require.NoError(t, m.execute("quit"))
}

func TestAMonitorThatDoesNotGreetIsNoQEMU(t *testing.T) {
	t.Parallel()
	for said, wanted := range map[string]string{
		"":                                    "EOF",
		done:                                  "it did not greet",
		"Welcome":                             "invalid character 'W' looking for beginning of value",
		greeting + `{"error":{"desc":"No."}}`: "No.",
	} {
		_, err := connect(io.Discard, strings.NewReader(said))
		require.EqualError(t, err, wanted)
	}
}

func TestAVirtualMediumIsCopied(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/image.iso" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, "an ISO") // the test compares
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	file, err := fetchMedia(server.URL+"/image.iso", dir)
	require.NoError(t, err)
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "an ISO", string(content))
	require.NoError(t, os.Remove(file))

	_, err = fetchMedia(server.URL+"/other.iso", dir)
	require.ErrorContains(t, err, "/other.iso: 404 Not Found")
	_, err = fetchMedia("", dir)
	require.EqualError(t, err, "There is no virtual medium to boot from")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestAMachineThatDoesNotStartIsOff(t *testing.T) {
	t.Parallel()
	m := &Machine{options: Options{Dir: t.TempDir(), DiskGiB: 1}.defaults(), binary: "/bin/false"}
	require.NoError(t, m.makeDisk())
	disk, err := os.Stat(m.Disk())
	require.NoError(t, err)
	require.EqualValues(t, 1<<30, disk.Size())
	require.ErrorContains(t, m.Start(bmc.Boot{Device: "disk", MAC: "m", UUID: "u"}), "QEMU did not start")
	require.NoError(t, m.Shutdown())
	require.NoError(t, m.Stop())
}
