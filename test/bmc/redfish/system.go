package redfish

import (
	"fmt"
	"strings"

	"github.com/yunshu/yunshu/test/bmc"
)

// systemsDoc is the branch of the machine itself.
func (m *Machine) systemsDoc(path, rest string) doc {
	if rest == "" {
		return collection(path, "ComputerSystem", "Computer System Collection", m.ids.system)
	}
	id, rest, _ := strings.Cut(rest, "/")
	if id != m.ids.system {
		return nil
	}
	if rest == "" {
		return m.systemDoc(path)
	}
	kind, id, deeper := strings.Cut(rest, "/")
	switch kind {
	case "Processors":
		return m.member(path, id, deeper, "Processor", m.processors())
	case "Memory":
		return m.member(path, id, deeper, "Memory", m.dimms())
	case "Storage":
		return m.storageDoc(path, id)
	case "SimpleStorage":
		return m.member(path, id, deeper, "SimpleStorage", []part{{"1", m.simpleStorage}})
	case "EthernetInterfaces":
		return m.member(path, id, deeper, "EthernetInterface", m.ports())
	case "NetworkInterfaces":
		return m.member(path, id, deeper, "NetworkInterface", m.interfaces())
	case "PCIeDevices":
		return m.member(path, id, deeper, "PCIeDevice", m.pcie())
	case "BootOptions":
		return m.member(path, id, deeper, "BootOption", bootParts())
	case "Bios":
		if !deeper {
			return resource(path, "Bios.v1_2_1", "BIOS Configuration").with(doc{"Attributes": doc{"BootMode": "Uefi"}})
		}
	}
	return nil
}

// part is a member of a collection.
type part struct {
	id  string
	doc func(path string) doc
}

// member returns a collection of parts or one of them.
func (m *Machine) member(path, id string, one bool, kind string, parts []part) doc {
	ids := []string{}
	for _, p := range parts {
		if one && p.id == id {
			return p.doc(path)
		}
		ids = append(ids, p.id)
	}
	if one {
		return nil
	}
	return collection(path, kind, kind+" Collection", ids...)
}

func (m *Machine) systemDoc(path string) doc {
	h, led := m.hardware, "Off"
	if m.lit {
		led = "Lit"
	}
	memory, pcie := 0, []string{}
	for _, d := range h.Memory {
		memory += d.SizeMiB
	}
	for _, p := range m.pcie() {
		pcie = append(pcie, path+"/PCIeDevices/"+p.id)
	}
	health := status(m.rollup())
	d := resource(path, "ComputerSystem.v1_22_0", "System").with(doc{
		"SystemType": "Physical", "Manufacturer": h.Vendor, "Model": h.Model, "SerialNumber": h.Serial, "SKU": h.Serial, "UUID": h.UUID, "BiosVersion": h.BIOS,
		"AssetTag": m.assetTag, "HostName": m.hostname, "PowerState": m.host.power, "IndicatorLED": led, "LocationIndicatorActive": m.lit, "Status": health,
		"ProcessorSummary": doc{"Count": len(h.CPUs), "Model": cpuModel(h), "Status": status(OK)},
		"MemorySummary":    doc{"TotalSystemMemoryGiB": memory >> 10, "Status": status(OK)},
		"TrustedModules":   []doc{{"FirmwareVersion": "7.2.2.0", "InterfaceType": "TPM2_0", "Status": status(OK)}},
		"PCIeDevices":      links(pcie...), "PCIeDevices@odata.count": len(pcie),
		"Links": doc{"Chassis": links(m.ids.chassisPath()), "ManagedBy": links(m.ids.managerPath())},
		"Boot": doc{
			"BootSourceOverrideEnabled": m.boot.Enabled, "BootSourceOverrideTarget": m.boot.Target, "BootSourceOverrideMode": m.boot.Mode,
			"BootSourceOverrideTarget@Redfish.AllowableValues": []string{"None", "Pxe", "Hdd", "Cd", "Usb", "BiosSetup"},
			"BootOrder": m.boot.Order, "BootOptions": link(path + "/BootOptions"),
		},
		"Actions": doc{"#ComputerSystem.Reset": doc{"target": path + "/Actions/ComputerSystem.Reset", "ResetType@Redfish.AllowableValues": resetTypes}},
	})
	for _, branch := range []string{"Processors", "Memory", "Storage", "SimpleStorage", "EthernetInterfaces", "NetworkInterfaces", "Bios"} {
		d[branch] = link(path + "/" + branch)
	}
	return d.with(doc{"LogServices": link(m.ids.managerPath() + "/LogServices"), "VirtualMedia": link(m.ids.managerPath() + "/VirtualMedia")})
}

func cpuModel(h bmc.Hardware) string {
	if len(h.CPUs) == 0 {
		return ""
	}
	return h.CPUs[0].Model
}

func bootParts() []part {
	var out []part
	for _, o := range bootOptions {
		out = append(out, part{o.id, func(path string) doc {
			return resource(path, "BootOption.v1_0_6", o.name).with(doc{"BootOptionReference": o.id, "DisplayName": o.name, "BootOptionEnabled": true})
		}})
	}
	return out
}

// processors are the CPUs and, as newer BMCs show them, the GPUs.
func (m *Machine) processors() []part {
	var out []part
	for i, c := range m.hardware.CPUs {
		out = append(out, part{"CPU." + number(i), func(path string) doc {
			return resource(path, "Processor.v1_20_0", "Processor "+number(i)).with(doc{
				"ProcessorType": "CPU", "Socket": "CPU." + number(i), "Manufacturer": maker(c.Model), "Model": c.Model, "ProcessorArchitecture": "x86", "InstructionSet": "x86-64",
				"TotalCores": c.Cores, "TotalThreads": c.Threads, "MaxSpeedMHz": c.MHz, "OperatingSpeedMHz": c.MHz, "Status": status(OK),
			})
		}})
	}
	for i, g := range m.hardware.GPUs {
		out = append(out, part{"GPU." + number(i), func(path string) doc {
			return resource(path, "Processor.v1_20_0", "GPU "+number(i)).with(doc{
				"ProcessorType": "GPU", "Socket": "PCIe." + number(i), "Manufacturer": gpuVendor(g), "Model": g.Model, "SerialNumber": g.Serial,
				"MemorySummary": doc{"TotalMemorySizeMiB": g.MemoryMiB}, "Status": status(m.health.part(g.Serial)),
				"Links": doc{"PCIeDevice": link(m.ids.systemPath() + "/PCIeDevices/GPU." + number(i))},
			})
		}})
	}
	return out
}

func maker(model string) string {
	name, _, _ := strings.Cut(strings.ReplaceAll(model, "(R)", ""), " ")
	return strings.TrimSpace(name)
}

func (m *Machine) dimms() []part {
	var out []part
	for _, d := range m.hardware.Memory {
		out = append(out, part{"DIMM." + d.Slot, func(path string) doc {
			return resource(path, "Memory.v1_20_0", "DIMM "+d.Slot).with(doc{
				"MemoryType": "DRAM", "MemoryDeviceType": d.Type, "CapacityMiB": d.SizeMiB, "VolatileSizeMiB": d.SizeMiB, "OperatingSpeedMhz": d.MHz, "DeviceLocator": d.Slot,
				"SerialNumber": d.Serial, "PartNumber": fmt.Sprintf("M-%s-%dG", d.Type, d.SizeMiB>>10), "Manufacturer": "Samsung", "ErrorCorrection": "MultiBitECC",
				"BaseModuleType": "RDIMM", "Status": status(m.health.part(d.Serial)),
			})
		}})
	}
	return out
}

// pcie are the devices in slots: adapters and GPUs.
func (m *Machine) pcie() []part {
	var out []part
	for i, g := range m.hardware.GPUs {
		out = append(out, part{"GPU." + number(i), func(path string) doc {
			return resource(path, "PCIeDevice.v1_14_0", g.Model).with(doc{
				"Manufacturer": gpuVendor(g), "Model": g.Model, "SerialNumber": g.Serial, "DeviceType": "SingleFunction", "FirmwareVersion": m.firmware("GPU"), "Status": status(m.health.part(g.Serial)),
			})
		}})
	}
	for i, n := range m.hardware.NICs {
		out = append(out, part{"NIC.Slot." + number(i), func(path string) doc {
			return resource(path, "PCIeDevice.v1_14_0", n.Model).with(doc{
				"Manufacturer": maker(n.Model), "Model": n.Model, "SerialNumber": strings.ReplaceAll(n.MAC, ":", ""), "DeviceType": "SingleFunction", "FirmwareVersion": m.firmware("NIC"), "Status": status(OK),
			})
		}})
	}
	return out
}
