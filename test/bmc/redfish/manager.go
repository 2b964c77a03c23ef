package redfish

import (
	"net"
	"strconv"
	"strings"
	"time"
)

// managersDoc is the branch of the BMC.
func (m *Machine) managersDoc(path, rest string) doc {
	if rest == "" {
		return collection(path, "Manager", "Manager Collection", m.ids.manager)
	}
	id, rest, _ := strings.Cut(rest, "/")
	if id != m.ids.manager {
		return nil
	}
	if rest == "" {
		return m.managerDoc(path)
	}
	kind, id, deeper := strings.Cut(rest, "/")
	switch kind {
	case "EthernetInterfaces":
		return m.member(path, id, deeper, "EthernetInterface", []part{{"1", m.managerPort}})
	case "NetworkProtocol":
		if !deeper {
			return m.protocolDoc(path)
		}
	case "VirtualMedia":
		return m.member(path, id, deeper, "VirtualMedia", m.drives())
	case "LogServices":
		return m.logDocs(path, id)
	}
	return nil
}

func (m *Machine) managerDoc(path string) doc {
	return resource(path, "Manager.v1_19_0", "Manager").with(doc{
		"ManagerType": "BMC", "Model": m.ids.product, "FirmwareVersion": m.firmware("BMC"), "UUID": m.hardware.UUID, "PowerState": on, "Status": status(OK),
		"DateTime": time.Now().UTC().Format(time.RFC3339), "DateTimeLocalOffset": "+00:00",
		"EthernetInterfaces": link(path + "/EthernetInterfaces"), "NetworkProtocol": link(path + "/NetworkProtocol"), "VirtualMedia": link(path + "/VirtualMedia"), "LogServices": link(path + "/LogServices"),
		"GraphicalConsole": doc{"ServiceEnabled": true, "MaxConcurrentSessions": 2, "ConnectTypesSupported": []string{"KVMIP"}},
		"SerialConsole":    doc{"ServiceEnabled": true, "MaxConcurrentSessions": 1, "ConnectTypesSupported": []string{"SSH", "IPMI"}},
		"Links":            doc{"ManagerForServers": links(m.ids.systemPath()), "ManagerForChassis": links(m.ids.chassisPath())},
		"Actions":          doc{"#Manager.Reset": doc{"target": path + "/Actions/Manager.Reset", "ResetType@Redfish.AllowableValues": []string{"GracefulRestart", "ForceRestart"}}},
	})
}

// host and port of the BMC.
func (m *Machine) door() (string, int) {
	host, port, err := net.SplitHostPort(m.address)
	if err != nil {
		panic(err) // a listener said so
	}
	n, _ := strconv.Atoi(port) // and that it is a number
	return host, n
}

// managerPort is the BMC's own NIC: its MAC is above those of the machine.
func (m *Machine) managerPort(path string) doc {
	host, _ := m.door()
	mac := m.hardware.NICs[0].MAC
	return resource(path, "EthernetInterface.v1_12_2", "Manager Ethernet Interface").with(doc{
		"MACAddress": mac[:len(mac)-2] + "ff", "PermanentMACAddress": mac[:len(mac)-2] + "ff", "SpeedMbps": 1000, "LinkStatus": "LinkUp", "InterfaceEnabled": true, "Status": status(OK),
		"IPv4Addresses": []doc{{"Address": host, "SubnetMask": "255.0.0.0", "AddressOrigin": "Static", "Gateway": "127.0.0.1"}}, "HostName": m.Name + "-bmc", "FQDN": m.Name + "-bmc",
	})
}

func (m *Machine) protocolDoc(path string) doc {
	_, port := m.door()
	return resource(path, "ManagerNetworkProtocol.v1_10_0", "Manager Network Protocol").with(doc{
		"HostName": m.Name + "-bmc", "Status": status(OK), "HTTPS": doc{"ProtocolEnabled": true, "Port": port}, "HTTP": doc{"ProtocolEnabled": false, "Port": 80},
		"IPMI": doc{"ProtocolEnabled": false, "Port": 623}, "SSH": doc{"ProtocolEnabled": false, "Port": 22}, "VirtualMedia": doc{"ProtocolEnabled": true, "Port": port},
	})
}

// drives are the virtual ones.
func (m *Machine) drives() []part {
	var out []part
	for _, s := range m.media {
		out = append(out, part{s.ID, func(path string) doc {
			d := resource(path, "VirtualMedia.v1_6_3", "Virtual "+s.kinds[0]).with(doc{
				"MediaTypes": s.kinds, "Inserted": s.Image != "", "WriteProtected": true, "Image": nil, "ImageName": nil, "ConnectedVia": "NotConnected", "Status": status(OK),
				"Actions": doc{
					"#VirtualMedia.InsertMedia": doc{"target": path + "/Actions/VirtualMedia.InsertMedia"},
					"#VirtualMedia.EjectMedia":  doc{"target": path + "/Actions/VirtualMedia.EjectMedia"},
				},
			})
			if s.Image != "" {
				d.with(doc{"Image": s.Image, "ImageName": s.name(), "ConnectedVia": "URI"})
			}
			return d
		}})
	}
	return out
}

// logDocs are the event log and its entries, the newest first as BMCs have them.
func (m *Machine) logDocs(path, rest string) doc {
	sel := m.ids.sel
	switch rest {
	case "":
		return collection(path, "LogService", "Log Service Collection", sel)
	case sel:
		return resource(path, "LogService.v1_7_0", "System Event Log").with(doc{
			"LogEntryType": "SEL", "OverWritePolicy": "WrapsWhenFull", "MaxNumberOfRecords": room, "ServiceEnabled": true, "Status": status(OK), "Entries": link(path + "/Entries"),
			"DateTime": time.Now().UTC().Format(time.RFC3339),
			"Actions":  doc{"#LogService.ClearLog": doc{"target": path + "/Actions/LogService.ClearLog"}},
		})
	case sel + "/Entries":
		members := []doc{}
		for i := range m.log {
			members = append(members, m.entryDoc(m.log[len(m.log)-1-i]))
		}
		return collection(path, "LogEntry", "Log Entry Collection").with(doc{"Members": members, "Members@odata.count": len(members)})
	}
	for _, e := range m.log {
		if rest == sel+"/Entries/"+strconv.Itoa(e.ID) {
			return m.entryDoc(e)
		}
	}
	return nil
}
