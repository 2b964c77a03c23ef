// Package bmc is what the simulated BMCs of all kinds have in common: the hardware of a machine, which follows from its
// region and number, and what runs on it while it is powered on.
package bmc

// Hardware is all of a machine, as its firmware tells it and as an operating system on it reads it.
type Hardware struct {
	UUID     string     `json:"uuid"`
	Serial   string     `json:"serial"`
	Vendor   string     `json:"vendor"`
	Model    string     `json:"model"`
	BIOS     string     `json:"bios"`
	CPUs     []CPU      `json:"cpus"`
	Memory   []DIMM     `json:"memory"`
	Disks    []Drive    `json:"disks"`
	NICs     []NIC      `json:"nics"`
	GPUs     []GPU      `json:"gpus"`
	Firmware []Firmware `json:"firmware"`
}

// CPU is one processor package.
type CPU struct {
	Model   string `json:"model"`
	Cores   int    `json:"cores"`
	Threads int    `json:"threads"`
	MHz     int    `json:"mhz"`
}

// DIMM is one memory module.
type DIMM struct {
	Slot    string `json:"slot"`
	SizeMiB int    `json:"size_mib"`
	Type    string `json:"type"`
	MHz     int    `json:"mhz"`
	Serial  string `json:"serial"`
}

// Drive is one disk; its kind is hdd, ssd or nvme.
type Drive struct {
	Name    string `json:"name"`
	Model   string `json:"model"`
	Serial  string `json:"serial"`
	SizeGiB int    `json:"size_gib"`
	Kind    string `json:"kind"`
}

// NIC is one network port.
type NIC struct {
	Name      string `json:"name"`
	MAC       string `json:"mac"`
	SpeedMbps int    `json:"speed_mbps"`
	Model     string `json:"model"`
}

// GPU is one accelerator.
type GPU struct {
	Model     string `json:"model"`
	Vendor    string `json:"vendor"`
	Serial    string `json:"serial"`
	MemoryMiB int    `json:"memory_mib"`
}

// Firmware is one installed firmware, such as BIOS or BMC.
type Firmware struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Clone returns a copy that shares nothing.
func (h Hardware) Clone() Hardware {
	h.CPUs = append([]CPU{}, h.CPUs...)
	h.Memory = append([]DIMM{}, h.Memory...)
	h.Disks = append([]Drive{}, h.Disks...)
	h.NICs = append([]NIC{}, h.NICs...)
	h.GPUs = append([]GPU{}, h.GPUs...)
	h.Firmware = append([]Firmware{}, h.Firmware...)
	return h
}

// FirmwareVersion returns the version of a firmware, and nothing where there is none of that name.
func (h Hardware) FirmwareVersion(name string) string {
	for _, f := range h.Firmware {
		if f.Name == name {
			return f.Version
		}
	}
	return ""
}
