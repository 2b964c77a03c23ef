package inventory

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// tree makes a file system of files and their contents.
func tree(files map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	for name, content := range files {
		root[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return root
}

const thread = "processor\t: %\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz\ncpu MHz\t\t: 3199.972\nphysical id\t: #\nsiblings\t: 4\ncpu cores\t: 2\n\n"

// server is a machine with something of everything. Its SMBIOS table is what a kernel on QEMU showed that was given a
// server's names.
func server(t *testing.T) fstest.MapFS {
	t.Helper()
	table, err := os.ReadFile("testdata/smbios.bin")
	require.NoError(t, err)
	var cpuinfo strings.Builder
	for i := range 8 {
		cpuinfo.WriteString(strings.NewReplacer("%", string(rune('0'+i)), "#", string(rune('0'+i/4))).Replace(thread))
	}
	return tree(map[string]string{
		"sys/firmware/dmi/tables/DMI": string(table),
		"proc/cpuinfo":                cpuinfo.String(),
		"usr/share/misc/pci.ids": "# comment\n10de  NVIDIA Corporation\n\t2330  GH100 [H100 SXM5 80GB]\n\t\t10de 16c1  H100 SXM5\n\t2331  GH100 [H100 PCIe]\n" +
			"8086  Intel Corporation\n\t1593  Ethernet Controller E810-C for SFP\nC 03  Display controller\n\t00  VGA\n",

		"sys/block/mmcblk0boot0/size":              "8192\n",
		"sys/block/mmcblk0boot0/ro":                "1\n",
		"sys/block/mmcblk0boot0/device/type":       "MMC\n",
		"sys/block/sda/size":                       "937703088\n",
		"sys/block/sda/removable":                  "0\n",
		"sys/block/sda/ro":                         "0\n",
		"sys/block/sda/queue/rotational":           "1\n",
		"sys/block/sda/device/model":               "ST480FN0021     \n",
		"sys/block/sda/device/rev":                 "SF44\n",
		"sys/block/sda/device/vpd_pg80":            "\x00\x80\x00\x08  W7K0ABCD",
		"sys/block/sdb/size":                       "7814037168\n",
		"sys/block/sdb/ro":                         "1\n",
		"sys/block/sdb/queue/rotational":           "0\n",
		"sys/block/sdb/device/model":               "MZ7L33T8\n",
		"sys/block/nvme0n1/size":                   "3750748848\n",
		"sys/block/nvme0n1/queue/rotational":       "0\n",
		"sys/block/nvme0n1/device/model":           "SAMSUNG MZQL21T9HCJR-00A07              \n",
		"sys/block/nvme0n1/device/serial":          "S64GNE0R500123      \n",
		"sys/block/nvme0n1/device/firmware_rev":    "GDC5602Q\n",
		"sys/block/nvme0c0n1/size":                 "3750748848\n",
		"sys/block/nvme0c0n1/hidden":               "1\n",
		"sys/block/nvme0c0n1/device/model":         "one of two paths\n",
		"sys/block/vda/size":                       "2097152\n",
		"sys/block/vda/serial":                     "disk-1",
		"sys/block/vda/queue/rotational":           "1\n",
		"sys/block/vda/device/uevent":              "DRIVER=virtio_blk\nMODALIAS=virtio:d00000002v00001AF4\n",
		"sys/block/sr0/size":                       "2097151\n",
		"sys/block/sr0/removable":                  "1\n",
		"sys/block/sr0/device/model":               "Virtual CDROM\n",
		"sys/block/sdc/size":                       "0\n", // a card reader without a card
		"sys/block/sdc/device/model":               "Reader\n",
		"sys/block/loop0/size":                     "2048\n",
		"sys/class/net/lo/address":                 "00:00:00:00:00:00\n",
		"sys/class/net/lo/type":                    "772\n",
		"sys/class/net/bond0/address":              "b4:96:91:00:00:01\n",
		"sys/class/net/bond0/type":                 "1\n",
		"sys/class/net/ib0/type":                   "32\n",
		"sys/class/net/ib0/device/uevent":          "DRIVER=mlx5_core\n",
		"sys/class/net/eth0/address":               "b4:96:91:00:00:01\n",
		"sys/class/net/eth0/type":                  "1\n",
		"sys/class/net/eth0/speed":                 "25000\n",
		"sys/class/net/eth0/device/uevent":         "DRIVER=ice\nPCI_CLASS=20000\nPCI_ID=8086:1593\n",
		"sys/class/net/eth1/address":               "b4:96:91:00:00:02\n",
		"sys/class/net/eth1/type":                  "1\n",
		"sys/class/net/eth1/speed":                 "-1\n",
		"sys/class/net/eth1/device/uevent":         "DRIVER=tg3\nPCI_ID=14E4:165F\n",
		"sys/bus/pci/devices/0000:17:00.0/uevent":  "DRIVER=ice\nPCI_CLASS=20000\nPCI_ID=8086:1593\n",
		"sys/bus/pci/devices/0000:19:00.0/uevent":  "PCI_CLASS=30200\nPCI_ID=10DE:2330\n",
		"sys/bus/pci/devices/0000:1a:00.0/uevent":  "PCI_CLASS=38000\nPCI_ID=1002:74A1\n",
		"sys/bus/pci/devices/0000:03:00.0/uevent":  "PCI_CLASS=30000\nPCI_ID=102B:0536\n", // the BMC's
		"sys/bus/pci/devices/0000:00:00.0/uevent":  "PCI_CLASS=60000\nPCI_ID=8086:09A2\n",
		"sys/bus/pci/devices/0000:ff:00.0/unknown": "",
	})
}

func TestAServerIsReadAsWhole(t *testing.T) {
	t.Parallel()
	inv, err := Read(server(t))
	require.NoError(t, err)
	cpu := CPU{Model: "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz", Cores: 2, Threads: 4, MHz: 2000}
	require.Equal(t, Inventory{
		UUID: "4c4c4544-0043-4d10-8048-b4c04f4c3331", Serial: "BLD5LC3", Vendor: "Dell Inc.", Model: "PowerEdge R750", BIOS: "Dell Inc. 2.19.1",
		CPUs: []CPU{cpu, cpu},
		Memory: []Memory{
			{Slot: "A 0", SizeMiB: 16 << 10, Type: "RAM", MHz: 3200, Serial: "8A2B91C4"},
			{Slot: "A 1", SizeMiB: 4 << 10, Type: "RAM", MHz: 3200, Serial: "8A2B91C4"},
		},
		Disks: []Disk{
			{Name: "nvme0n1", Model: "SAMSUNG MZQL21T9HCJR-00A07", Serial: "S64GNE0R500123", SizeGiB: 1788, Kind: "nvme"},
			{Name: "sda", Model: "ST480FN0021", Serial: "W7K0ABCD", SizeGiB: 447, Kind: "hdd"},
			{Name: "sdb", Model: "MZ7L33T8", SizeGiB: 3726, Kind: "ssd", ReadOnly: true},
			{Name: "vda", Model: "virtio_blk", Serial: "disk-1", SizeGiB: 1, Kind: "hdd"},
		},
		NICs: []NIC{
			{Name: "eth0", MAC: "b4:96:91:00:00:01", SpeedMbps: 25000, Model: "Ethernet Controller E810-C for SFP"},
			{Name: "eth1", MAC: "b4:96:91:00:00:02", Model: "14e4:165f"},
		},
		GPUs:     []GPU{{Vendor: "NVIDIA", Model: "GH100 [H100 SXM5 80GB]"}, {Vendor: "AMD", Model: "1002:74a1"}},
		Firmware: []Firmware{{Name: "BIOS", Version: "2.19.1"}, {Name: "disk nvme0n1", Version: "GDC5602Q"}, {Name: "disk sda", Version: "SF44"}},
	}, inv)
	require.Equal(t, []string{"b4:96:91:00:00:01", "b4:96:91:00:00:02"}, inv.MACs())
}

func TestAMachineWithoutAnIdentityIsReadAndSaysSo(t *testing.T) {
	t.Parallel()
	nothing := Inventory{CPUs: []CPU{}, Memory: []Memory{}, Disks: []Disk{}, NICs: []NIC{}, GPUs: []GPU{}, Firmware: []Firmware{}}
	inv, err := Read(tree(nil))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.Equal(t, nothing, inv)
	inv, err = Read(tree(map[string]string{"sys/firmware/dmi/tables/DMI": "\x7f\x04\x00\x00\x00\x00"}))
	require.ErrorContains(t, err, "no UUID")
	require.Equal(t, nothing, inv)
}

// Tables of real machines are cut off, too long or wrong; none of them may stop a machine from being found.
func TestATableThatIsCutOffIsReadAsFarAsItGoes(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile("testdata/smbios.bin")
	require.NoError(t, err)
	for end := range table {
		var inv Inventory
		inv.smbios(table[:end])
		require.LessOrEqual(t, len(inv.Memory), 2)
	}
}

func TestMemoryModulesComeInAllSizes(t *testing.T) {
	t.Parallel()
	device := func(size uint16, extended uint32) structure {
		data := make([]byte, 0x22)
		data[0x0c], data[0x0d] = byte(size), byte(size>>8)
		data[0x1c], data[0x1d], data[0x1e], data[0x1f] = byte(extended), byte(extended>>8), byte(extended>>16), byte(extended>>24)
		data[0x10], data[0x11], data[0x12], data[0x18] = 1, 2, 0x22, 3
		return structure{kind: 17, data: data, strings: []string{"None", "P0 CHANNEL A", "Unknown"}}
	}
	require.Equal(t, Memory{Slot: "P0 CHANNEL A", SizeMiB: 16384, Type: "DDR5"}, module(device(16384, 0)), "a slot without a name has its bank's")
	require.EqualValues(t, 131072, module(device(0x7fff, 131072)).SizeMiB)
	require.EqualValues(t, 2, module(device(0x8000|2048, 0)).SizeMiB)
	require.Zero(t, module(device(0, 0)).SizeMiB)
	require.Zero(t, module(device(0xffff, 0)).SizeMiB)
}

func TestAUUIDThatIsNotSetIsNone(t *testing.T) {
	t.Parallel()
	for _, fill := range []byte{0, 0xff} {
		data := make([]byte, 0x1b)
		for i := 0x08; i < 0x18; i++ {
			data[i] = fill
		}
		require.Empty(t, systemUUID(structure{kind: 1, data: data}))
	}
	require.Empty(t, systemUUID(structure{kind: 1, data: make([]byte, 8)}), "SMBIOS 2.0 had none")
}
