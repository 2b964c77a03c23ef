// Package inventory reads what a machine is made of from what the kernel shows: SMBIOS tables, /sys and /proc. It reads
// a file system, so that a machine can also be a directory of a test. What a kernel or a machine does not show is left
// empty; nothing is guessed, because a guess that changes would look like changed hardware.
package inventory

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Inventory is everything that is reported about a machine.
type Inventory struct {
	UUID     string     `json:"uuid"`
	Serial   string     `json:"serial"`
	Vendor   string     `json:"vendor"`
	Model    string     `json:"model"`
	BIOS     string     `json:"bios"`
	CPUs     []CPU      `json:"cpus"`
	Memory   []Memory   `json:"memory"`
	Disks    []Disk     `json:"disks"`
	NICs     []NIC      `json:"nics"`
	GPUs     []GPU      `json:"gpus"`
	Firmware []Firmware `json:"firmware"`
}

// CPU is one processor in its socket.
type CPU struct {
	Model   string `json:"model"`
	Cores   int    `json:"cores"`
	Threads int    `json:"threads"`
	MHz     int    `json:"mhz"`
}

// Memory is one module in its slot.
type Memory struct {
	Slot    string `json:"slot"`
	SizeMiB int64  `json:"size_mib"`
	Type    string `json:"type"`
	MHz     int    `json:"mhz"`
	Serial  string `json:"serial"`
}

// Disk is one disk that stays in the machine.
type Disk struct {
	Name     string `json:"name"`
	Model    string `json:"model"`
	Serial   string `json:"serial"`
	SizeGiB  int64  `json:"size_gib"`
	Kind     string `json:"kind"` // hdd, ssd or nvme
	ReadOnly bool   `json:"-"`
}

// NIC is one network interface.
type NIC struct {
	Name      string `json:"name"`
	MAC       string `json:"mac"`
	SpeedMbps int    `json:"speed_mbps"` // 0 without a link
	Model     string `json:"model"`
}

// GPU is one graphics or compute accelerator. Its serial number and memory are known only to its own driver.
type GPU struct {
	Model     string `json:"model"`
	Vendor    string `json:"vendor"`
	Serial    string `json:"serial"`
	MemoryMiB int64  `json:"memory_mib"`
}

// Firmware is the version of something that has firmware.
type Firmware struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Read collects the inventory of the machine whose root directory this is. With an error, it returns what it found.
func Read(root fs.FS) (Inventory, error) {
	var inv Inventory
	table, err := fs.ReadFile(root, "sys/firmware/dmi/tables/DMI")
	if err != nil {
		err = fmt.Errorf("This machine shows no SMBIOS tables, so its identity is not known: %w", err)
	}
	sockets := inv.smbios(table)
	if err == nil && inv.UUID == "" {
		err = errors.New("The SMBIOS tables of this machine have no UUID, so its identity is not known.")
	}
	cpuinfo, _ := fs.ReadFile(root, "proc/cpuinfo") // without it there are no CPUs in the inventory
	inv.CPUs = cpus(string(cpuinfo), sockets)
	names := pciNames(root)
	inv.Disks = Disks(root)
	inv.NICs = NICs(root, names)
	inv.GPUs = gpus(root, names)
	inv.Firmware = append(inv.Firmware, diskFirmware(root, inv.Disks)...)
	return inv, err
}

// MACs lists the addresses of the interfaces, by which a gateway may know the machine.
func (inv Inventory) MACs() []string {
	macs := []string{}
	for _, n := range inv.NICs {
		macs = append(macs, n.MAC)
	}
	return macs
}

// text is the content of a small file without white space around it, or nothing.
func text(root fs.FS, elem ...string) string {
	data, err := fs.ReadFile(root, path.Join(elem...))
	if err != nil {
		return ""
	}
	return strings.Trim(string(data), " \t\r\n\x00")
}

// number is the content of a small file, or 0.
func number(root fs.FS, elem ...string) int64 {
	n, err := strconv.ParseInt(text(root, elem...), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// entries lists the names in a directory in order, or nothing.
func entries(root fs.FS, dir string) []string {
	list, err := fs.ReadDir(root, dir)
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(list))
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func exists(root fs.FS, elem ...string) bool {
	_, err := fs.Stat(root, path.Join(elem...))
	return err == nil
}

// uevent reads the properties that the kernel keeps of a device.
func uevent(root fs.FS, dir string) map[string]string {
	properties := map[string]string{}
	for line := range strings.Lines(text(root, dir, "uevent")) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			properties[key] = value
		}
	}
	return properties
}
