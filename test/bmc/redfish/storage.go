package redfish

import (
	"strings"

	"github.com/yunshu/yunshu/test/bmc"
)

// A machine's disks hang on one controller, and its NVMe drives on another.
const (
	sata = "RAID.Integrated.1"
	nvme = "NVMe.1"
)

func controllerOf(d bmc.Drive) string {
	if d.Kind == "nvme" {
		return nvme
	}
	return sata
}

// driveID is of the drive's name, so a drive that takes another's place has its id.
func driveID(d bmc.Drive) string { return "Disk." + d.Name }

func (m *Machine) drivesOf(controller string) []bmc.Drive {
	var out []bmc.Drive
	for _, d := range m.hardware.Disks {
		if controllerOf(d) == controller {
			out = append(out, d)
		}
	}
	return out
}

func (m *Machine) storageDoc(path, rest string) doc {
	if rest == "" {
		ids := []string{}
		for _, c := range []string{sata, nvme} {
			if len(m.drivesOf(c)) > 0 {
				ids = append(ids, c)
			}
		}
		return collection(path, "Storage", "Storage Collection", ids...)
	}
	controller, rest, _ := strings.Cut(rest, "/")
	drives := m.drivesOf(controller)
	if len(drives) == 0 {
		return nil
	}
	if rest == "" {
		return m.controllerDoc(path, controller, drives)
	}
	for _, d := range drives {
		if rest == "Drives/"+driveID(d) {
			return m.driveDoc(path, d)
		}
	}
	return nil
}

func (m *Machine) controllerDoc(path, controller string, drives []bmc.Drive) doc {
	paths, health := []string{}, OK
	for _, d := range drives {
		paths = append(paths, path+"/Drives/"+driveID(d))
		health = worse(health, m.health.part(d.Serial))
	}
	name := "SATA RAID Controller"
	if controller == nvme {
		name = "NVMe Controller"
	}
	return resource(path, "Storage.v1_16_0", name).with(doc{
		"Status": status(health), "Drives": links(paths...), "Drives@odata.count": len(paths),
		"StorageControllers": []doc{{
			"@odata.id": path + "#/StorageControllers/0", "MemberId": "0", "Name": name, "Manufacturer": m.hardware.Vendor, "Model": name, "FirmwareVersion": "52.26.0", "SpeedGbps": 12, "Status": status(OK),
		}},
	})
}

func (m *Machine) driveDoc(path string, d bmc.Drive) doc {
	media, protocol := "SSD", "SATA"
	if d.Kind == "hdd" {
		media = "HDD"
	}
	if d.Kind == "nvme" {
		protocol = "NVMe"
	}
	health := m.health.part(d.Serial)
	return resource(path, "Drive.v1_19_0", "Drive "+d.Name).with(doc{
		"Manufacturer": maker(d.Model), "Model": d.Model, "SerialNumber": d.Serial, "MediaType": media, "Protocol": protocol, "CapacityBytes": int64(d.SizeGiB) << 30, "BlockSizeBytes": 512,
		"Revision": "1.0.4", "FailurePredicted": health != OK, "PredictedMediaLifeLeftPercent": 97, "CapableSpeedGbs": 12, "NegotiatedSpeedGbs": 12, "Status": status(health),
		"Links": doc{"Chassis": link(m.ids.chassisPath())},
	})
}

// simpleStorage is the older way to show the same drives.
func (m *Machine) simpleStorage(path string) doc {
	devices := []doc{}
	for _, d := range m.hardware.Disks {
		devices = append(devices, doc{"Name": d.Name, "Model": d.Model, "Manufacturer": maker(d.Model), "CapacityBytes": int64(d.SizeGiB) << 30, "Status": status(m.health.part(d.Serial))})
	}
	return resource(path, "SimpleStorage.v1_3_2", "Simple Storage").with(doc{"Devices": devices, "Status": status(OK)})
}
