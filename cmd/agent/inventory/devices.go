package inventory

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// cpus reads the sockets from /proc/cpuinfo, which lists each thread. Its clock changes from moment to moment, so that
// one is the firmware's.
func cpus(cpuinfo string, mhz []int) []CPU {
	sockets := map[string]CPU{}
	var order []string
	for thread := range strings.SplitSeq(cpuinfo, "\n\n") {
		fields := map[string]string{}
		for line := range strings.Lines(thread) {
			if key, value, ok := strings.Cut(line, ":"); ok {
				fields[strings.TrimSpace(key)] = strings.TrimSpace(value)
			}
		}
		if fields["processor"] == "" {
			continue
		}
		id := fields["physical id"]
		c, known := sockets[id]
		if !known {
			order = append(order, id)
			c.Model = fields["model name"]
			c.Cores, _ = strconv.Atoi(fields["cpu cores"]) // a machine that does not say: counted below
		}
		c.Threads++
		sockets[id] = c
	}
	list := []CPU{}
	for i, id := range order {
		c := sockets[id]
		if c.Cores == 0 {
			c.Cores = c.Threads
		}
		if i < len(mhz) {
			c.MHz = mhz[i]
		}
		list = append(list, c)
	}
	return list
}

// Disks lists what stays in the machine: no removable media, nothing virtual on top of other disks, and not the small parts
// of an eMMC chip that only firmware writes to.
func Disks(root fs.FS) []Disk {
	list := []Disk{}
	for _, name := range entries(root, "sys/block") {
		dir := path.Join("sys/block", name)
		if strings.HasPrefix(name, "mmcblk") && (strings.Contains(name, "boot") || strings.Contains(name, "rpmb")) {
			continue
		}
		size := number(root, dir, "size") << 9
		if size == 0 || !exists(root, dir, "device") || number(root, dir, "removable") == 1 || number(root, dir, "hidden") == 1 {
			continue
		}
		d := Disk{Name: name, SizeGiB: size >> 30, Kind: "ssd", ReadOnly: number(root, dir, "ro") == 1}
		if number(root, dir, "queue/rotational") == 1 {
			d.Kind = "hdd"
		}
		if strings.HasPrefix(name, "nvme") {
			d.Kind = "nvme"
		}
		if d.Model = text(root, dir, "device/model"); d.Model == "" {
			d.Model = uevent(root, path.Join(dir, "device"))["DRIVER"]
		}
		d.Serial = diskSerial(root, dir)
		list = append(list, d)
	}
	return list
}

func diskSerial(root fs.FS, dir string) string {
	for _, file := range []string{"serial", "device/serial"} { // virtio, NVMe
		if serial := text(root, dir, file); serial != "" {
			return serial
		}
	}
	page, err := fs.ReadFile(root, path.Join(dir, "device/vpd_pg80")) // SCSI and SATA: four bytes of header, then the number
	if err != nil || len(page) < 4 {
		return ""
	}
	return strings.Trim(string(page[4:]), " \x00")
}

func diskFirmware(root fs.FS, disks []Disk) []Firmware {
	var list []Firmware
	for _, d := range disks {
		for _, file := range []string{"firmware_rev", "rev"} { // NVMe, SCSI
			if version := text(root, "sys/block", d.Name, "device", file); version != "" {
				list = append(list, Firmware{Name: "disk " + d.Name, Version: version})
				break
			}
		}
	}
	return list
}

// NICs lists the interfaces that are hardware.
func NICs(root fs.FS, names names) []NIC {
	list := []NIC{}
	for _, name := range entries(root, "sys/class/net") {
		dir := path.Join("sys/class/net", name)
		if !exists(root, dir, "device") || number(root, dir, "type") != 1 { // not Ethernet
			continue
		}
		device := uevent(root, path.Join(dir, "device"))
		n := NIC{Name: name, MAC: text(root, dir, "address"), SpeedMbps: int(max(number(root, dir, "speed"), 0)), Model: device["DRIVER"]}
		if id := device["PCI_ID"]; id != "" {
			n.Model = names.device(id)
		}
		list = append(list, n)
	}
	return list
}

// Who makes accelerators. The display adapters of BMCs and hypervisors are none.
var accelerators = map[string]string{"10de": "NVIDIA", "1002": "AMD", "8086": "Intel"}

func gpus(root fs.FS, names names) []GPU {
	list := []GPU{}
	for _, slot := range entries(root, "sys/bus/pci/devices") {
		device := uevent(root, path.Join("sys/bus/pci/devices", slot))
		class := device["PCI_CLASS"] // 30000: VGA, 30200: 3D, 38000: display
		vendor, _, _ := strings.Cut(strings.ToLower(device["PCI_ID"]), ":")
		if accelerators[vendor] == "" || len(class) != 5 || class[0] != '3' {
			continue
		}
		list = append(list, GPU{Vendor: accelerators[vendor], Model: names.device(device["PCI_ID"])})
	}
	return list
}

// names are those of PCI devices by vendor:device.
type names map[string]string

// device is the name of a device, or its numbers.
func (n names) device(id string) string {
	id = strings.ToLower(id)
	if name := n[id]; name != "" {
		return name
	}
	return id
}

// pciNames reads the names of the devices that are in this machine from the list of all there are.
func pciNames(root fs.FS) names {
	var present []string
	for _, slot := range entries(root, "sys/bus/pci/devices") {
		present = append(present, strings.ToLower(uevent(root, path.Join("sys/bus/pci/devices", slot))["PCI_ID"]))
	}
	found, vendor := names{}, ""
	for line := range strings.Lines(text(root, "usr/share/misc/pci.ids")) {
		id, name, ok := strings.Cut(strings.TrimRight(line, "\n"), "  ")
		switch {
		case !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "\t\t"):
		case strings.HasPrefix(line, "C "): // classes come last
			return found
		case strings.HasPrefix(line, "\t"):
			if id = vendor + ":" + id[1:]; slices.Contains(present, id) {
				found[id] = name
			}
		default:
			vendor = id
		}
	}
	return found
}
