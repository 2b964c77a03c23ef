package bmc

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// Vendors of the simulated machines, as their firmware spells them.
const (
	Dell       = "Dell Inc."
	HPE        = "HPE"
	Supermicro = "Supermicro"
)

// The first machines of a region are the hosts of the region's simulated vCenter: the same names, so the same UUIDs.
const (
	hostsOfCluster = 24
	hosts          = 2 * hostsOfCluster
)

// model is what all machines of one model share.
type model struct {
	vendor, name, bios, bmc string
	serial                  string // pattern, with the region and the number
	cpu                     CPU
	cpus                    int
	dimm                    DIMM
	dimms                   int
	disks                   []Drive
	nics                    []NIC
	gpu                     GPU
	gpus                    int
}

// Every fourth machine is of the same model, so three of four vendors' machines lie side by side in any rack.
var models = []model{
	{
		vendor: Dell, name: "PowerEdge R760", bios: "2.1.5", bmc: "7.10.30.00", serial: "%sD%04d",
		cpu: CPU{Model: "Intel(R) Xeon(R) Gold 6430", Cores: 32, Threads: 64, MHz: 2100}, cpus: 2,
		dimm: DIMM{SizeMiB: 32 << 10, Type: "DDR5", MHz: 4800}, dimms: 16,
		disks: []Drive{
			{Name: "sda", Model: "SAMSUNG MZ7L3480HCHQ", SizeGiB: 447, Kind: "ssd"}, {Name: "sdb", Model: "SAMSUNG MZ7L3480HCHQ", SizeGiB: 447, Kind: "ssd"},
			{Name: "nvme0n1", Model: "Dell Ent NVMe P5600", SizeGiB: 2980, Kind: "nvme"}, {Name: "nvme1n1", Model: "Dell Ent NVMe P5600", SizeGiB: 2980, Kind: "nvme"},
		},
		nics: []NIC{
			{Name: "eno1", SpeedMbps: 25000, Model: "Broadcom BCM57414"}, {Name: "eno2", SpeedMbps: 25000, Model: "Broadcom BCM57414"},
			{Name: "ens1f0", SpeedMbps: 1000, Model: "Broadcom BCM5720"}, {Name: "ens1f1", SpeedMbps: 1000, Model: "Broadcom BCM5720"},
		},
	},
	{
		vendor: HPE, name: "ProLiant DL365 Gen11", bios: "A58 v2.20", bmc: "iLO 6 v1.58", serial: "CZ%s%05d",
		cpu: CPU{Model: "AMD EPYC 9354 32-Core Processor", Cores: 32, Threads: 64, MHz: 3250}, cpus: 2,
		dimm: DIMM{SizeMiB: 64 << 10, Type: "DDR5", MHz: 4800}, dimms: 12,
		disks: []Drive{
			{Name: "nvme0n1", Model: "KIOXIA KCD81VUG3T20", SizeGiB: 2980, Kind: "nvme"}, {Name: "nvme1n1", Model: "KIOXIA KCD81VUG3T20", SizeGiB: 2980, Kind: "nvme"},
		},
		nics: []NIC{
			{Name: "ens1f0", SpeedMbps: 100000, Model: "Mellanox ConnectX-6 Dx"}, {Name: "ens1f1", SpeedMbps: 100000, Model: "Mellanox ConnectX-6 Dx"},
		},
	},
	{
		vendor: Supermicro, name: "SYS-421GE-TNRT", bios: "1.9a", bmc: "01.03.09", serial: "S%s51%05d",
		cpu: CPU{Model: "Intel(R) Xeon(R) Platinum 8480+", Cores: 56, Threads: 112, MHz: 2000}, cpus: 2,
		dimm: DIMM{SizeMiB: 64 << 10, Type: "DDR5", MHz: 4800}, dimms: 16,
		disks: []Drive{
			{Name: "nvme0n1", Model: "Micron 7450 MTFDKBA960TFR", SizeGiB: 894, Kind: "nvme"}, {Name: "nvme1n1", Model: "SAMSUNG MZQL23T8HCLS", SizeGiB: 3576, Kind: "nvme"},
			{Name: "nvme2n1", Model: "SAMSUNG MZQL23T8HCLS", SizeGiB: 3576, Kind: "nvme"},
		},
		nics: []NIC{
			{Name: "ens2f0np0", SpeedMbps: 100000, Model: "Mellanox ConnectX-7"}, {Name: "ens2f1np1", SpeedMbps: 100000, Model: "Mellanox ConnectX-7"},
			{Name: "eno1", SpeedMbps: 10000, Model: "Intel X550-T2"},
		},
		gpu: GPU{Model: "NVIDIA H100 80GB HBM3", Vendor: "NVIDIA", MemoryMiB: 80 << 10}, gpus: 4,
	},
	{
		vendor: Dell, name: "PowerEdge R7625", bios: "1.8.3", bmc: "7.00.60.00", serial: "%sE%04d",
		cpu: CPU{Model: "AMD EPYC 9124 16-Core Processor", Cores: 16, Threads: 32, MHz: 3000}, cpus: 2,
		dimm: DIMM{SizeMiB: 32 << 10, Type: "DDR5", MHz: 4800}, dimms: 12,
		disks: []Drive{
			{Name: "sda", Model: "SAMSUNG MZ7L3480HCHQ", SizeGiB: 447, Kind: "ssd"},
			{Name: "sdb", Model: "SEAGATE ST16000NM004J", SizeGiB: 14901, Kind: "hdd"}, {Name: "sdc", Model: "SEAGATE ST16000NM004J", SizeGiB: 14901, Kind: "hdd"},
			{Name: "sdd", Model: "SEAGATE ST16000NM004J", SizeGiB: 14901, Kind: "hdd"}, {Name: "sde", Model: "SEAGATE ST16000NM004J", SizeGiB: 14901, Kind: "hdd"},
		},
		nics: []NIC{
			{Name: "eno1", SpeedMbps: 10000, Model: "Intel X710"}, {Name: "eno2", SpeedMbps: 10000, Model: "Intel X710"},
		},
		gpu: GPU{Model: "NVIDIA L4", Vendor: "NVIDIA", MemoryMiB: 24 << 10}, gpus: 1,
	},
}

// Name returns the name of a region's machine: tw-a-01 for the first, as the vCenter calls its first host.
func Name(region string, index int) string {
	if index < hosts {
		return fmt.Sprintf("%s-%c-%02d", region, 'a'+index/hostsOfCluster, index%hostsOfCluster+1)
	}
	return fmt.Sprintf("%s-m%04d", region, index+1)
}

// Machine returns the hardware of a region's machine, the same each time; the first is of index 0.
func Machine(region string, index int) Hardware {
	m := models[index%len(models)]
	short := strings.ToUpper(region)
	h := Hardware{
		UUID: uuid.NewSHA1(uuid.NameSpaceDNS, []byte(Name(region, index))).String(), Serial: fmt.Sprintf(m.serial, short, index+1),
		Vendor: m.vendor, Model: m.name, BIOS: m.bios, GPUs: []GPU{},
	}
	for range m.cpus {
		h.CPUs = append(h.CPUs, m.cpu)
	}
	for i := range m.dimms {
		d := m.dimm
		d.Slot, d.Serial = fmt.Sprintf("%c%d", 'A'+i%2, i/2+1), part(region, index, "dimm", i)
		h.Memory = append(h.Memory, d)
	}
	for i, d := range m.disks {
		d.Serial = part(region, index, "disk", i)
		h.Disks = append(h.Disks, d)
	}
	for i, n := range m.nics {
		n.MAC = mac(region, index, i)
		h.NICs = append(h.NICs, n)
	}
	for i := range m.gpus {
		g := m.gpu
		g.Serial = part(region, index, "gpu", i)
		h.GPUs = append(h.GPUs, g)
	}
	h.Firmware = []Firmware{{Name: "BIOS", Version: m.bios}, {Name: "BMC", Version: m.bmc}, {Name: "NIC", Version: "22.31.6"}}
	if m.gpus > 0 {
		h.Firmware = append(h.Firmware, Firmware{Name: "GPU", Version: "96.00.74.00.01"})
	}
	return h
}

// part makes a serial number up, the same each time.
func part(region string, index int, kind string, i int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%s/%d", region, index, kind, i))
	return strings.ToUpper(fmt.Sprintf("%x", sum[:6]))
}

// mac makes an address that no other machine of the region has: it is locally administered and holds the number.
func mac(region string, index, i int) string {
	sum := sha256.Sum256([]byte(region))
	var number [4]byte
	binary.BigEndian.PutUint32(number[:], uint32(index))
	return fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", sum[0], number[1], number[2], number[3], i)
}
