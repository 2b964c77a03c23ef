package redfish

import (
	"strings"

	"github.com/yunshu/yunshu/test/bmc"
)

// Each port is on an adapter of its own. The ids nest as bmclib expects: NIC.Slot.1, NIC.Slot.1-1, NIC.Slot.1-1-1.
func slotID(i int) string { return "NIC.Slot." + number(i) }

// ports are the interfaces that an operating system will see.
func (m *Machine) ports() []part {
	var out []part
	for i, n := range m.hardware.NICs {
		out = append(out, part{slotID(i) + "-1-1", func(path string) doc {
			return resource(path, "EthernetInterface.v1_12_2", n.Name).with(doc{
				"Description": n.Model, "MACAddress": n.MAC, "PermanentMACAddress": n.MAC, "SpeedMbps": n.SpeedMbps, "LinkStatus": "LinkUp", "InterfaceEnabled": true, "AutoNeg": true, "FullDuplex": true,
				"MTUSize": 1500, "Status": status(OK),
			})
		}})
	}
	return out
}

func (m *Machine) interfaces() []part {
	var out []part
	for i := range m.hardware.NICs {
		out = append(out, part{slotID(i), func(path string) doc {
			return resource(path, "NetworkInterface.v1_2_2", "Network Interface "+number(i)).with(doc{
				"Status": status(OK), "Links": doc{"NetworkAdapter": link(m.ids.chassisPath() + "/NetworkAdapters/" + slotID(i))},
			})
		}})
	}
	return out
}

// adapters is the branch of the cards below the chassis.
func (m *Machine) adapters(path, rest string) doc {
	ids := []string{}
	for i, n := range m.hardware.NICs {
		id := slotID(i)
		ids = append(ids, id)
		switch rest {
		case id:
			return m.adapterDoc(path, n)
		case id + "/NetworkPorts":
			return collection(path, "NetworkPort", "Network Port Collection", id+"-1")
		case id + "/NetworkPorts/" + id + "-1":
			return resource(path, "NetworkPort.v1_4_2", "Port 1").with(doc{
				"PhysicalPortNumber": "1", "ActiveLinkTechnology": "Ethernet", "LinkStatus": "Up", "CurrentLinkSpeedMbps": n.SpeedMbps, "AssociatedNetworkAddresses": []string{n.MAC}, "Status": status(OK),
			})
		}
	}
	if rest != "" {
		return nil
	}
	return collection(path, "NetworkAdapter", "Network Adapter Collection", ids...)
}

func (m *Machine) adapterDoc(path string, n bmc.NIC) doc {
	return resource(path, "NetworkAdapter.v1_11_0", n.Model).with(doc{
		"Manufacturer": maker(n.Model), "Model": n.Model, "SerialNumber": strings.ReplaceAll(n.MAC, ":", ""), "Status": status(OK), "NetworkPorts": link(path + "/NetworkPorts"),
		"Controllers": []doc{{"FirmwarePackageVersion": m.firmware("NIC"), "ControllerCapabilities": doc{"NetworkPortCount": 1}}},
	})
}
