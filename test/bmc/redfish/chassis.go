package redfish

import "strings"

// chassisDocs is the branch of the box: what it is, what it measures and what it draws.
func (m *Machine) chassisDocs(path, rest string) doc {
	if rest == "" {
		return collection(path, "Chassis", "Chassis Collection", m.ids.chassis)
	}
	id, rest, _ := strings.Cut(rest, "/")
	if id != m.ids.chassis {
		return nil
	}
	kind, rest, _ := strings.Cut(rest, "/")
	switch {
	case kind == "":
		return m.chassisDoc(path)
	case kind == "Thermal" && rest == "":
		return m.thermalDoc(path)
	case kind == "Power" && rest == "":
		return m.powerDoc(path)
	case kind == "NetworkAdapters":
		return m.adapters(path, rest)
	}
	return nil
}

func (m *Machine) chassisDoc(path string) doc {
	led := "Off"
	if m.lit {
		led = "Lit"
	}
	return resource(path, "Chassis.v1_25_0", "Computer System Chassis").with(doc{
		"ChassisType": "RackMount", "Manufacturer": m.hardware.Vendor, "Model": m.hardware.Model, "SerialNumber": m.hardware.Serial, "PowerState": m.host.power,
		"IndicatorLED": led, "LocationIndicatorActive": m.lit, "Status": status(m.rollup()), "HeightMm": 86.8,
		"Thermal": link(path + "/Thermal"), "Power": link(path + "/Power"), "NetworkAdapters": link(path + "/NetworkAdapters"), "LogServices": link(m.ids.managerPath() + "/LogServices"),
		"Links": doc{"ComputerSystems": links(m.ids.systemPath()), "ManagedBy": links(m.ids.managerPath())},
	})
}

// member is a reading's place in a document that holds many.
func (s sensor) member(path, list string, i int) doc {
	state := doc{"State": "Enabled", "Health": s.health()}
	d := doc{"@odata.id": path + "#/" + list + "/" + number(i-1), "MemberId": number(i - 1), "Name": s.name, "PhysicalContext": s.context, "Status": state}
	side := "Upper"
	if s.below {
		side = "Lower"
	}
	if s.caution >= 0 {
		d[side+"ThresholdNonCritical"], d[side+"ThresholdCritical"] = s.caution, s.critical
	}
	return d
}

func (m *Machine) thermalDoc(path string) doc {
	temperatures, fans := []doc{}, []doc{}
	for _, s := range m.sensors() {
		switch s.kind {
		case "temperature":
			temperatures = append(temperatures, s.member(path, "Temperatures", len(temperatures)).with(doc{"ReadingCelsius": s.value}))
		case "fan":
			fans = append(fans, s.member(path, "Fans", len(fans)).with(doc{"Reading": int(s.value), "ReadingUnits": "RPM"}))
		}
	}
	return resource(path, "Thermal.v1_7_3", "Thermal").with(doc{"Temperatures": temperatures, "Fans": fans, "Status": status(OK)})
}

func (m *Machine) powerDoc(path string) doc {
	voltages, supplies := []doc{}, []doc{}
	for _, s := range m.sensors() {
		if s.kind == "voltage" {
			voltages = append(voltages, s.member(path, "Voltages", len(voltages)).with(doc{"ReadingVolts": s.value}))
		}
	}
	watts := m.watts()
	for i := range 2 {
		supplies = append(supplies, doc{
			"@odata.id": path + "#/PowerSupplies/" + number(i-1), "MemberId": number(i - 1), "Name": "PSU" + number(i), "Model": "PWR SPLY,1400W", "Manufacturer": m.hardware.Vendor,
			"SerialNumber": m.hardware.Serial + "P" + number(i), "FirmwareVersion": "00.17.28", "PowerCapacityWatts": 1400, "LastPowerOutputWatts": watts / 2, "LineInputVoltage": 230, "Status": status(OK),
		})
	}
	return resource(path, "Power.v1_7_3", "Power").with(doc{
		"PowerControl": []doc{{"@odata.id": path + "#/PowerControl/0", "MemberId": "0", "Name": "System Power Control", "PowerConsumedWatts": watts, "PowerCapacityWatts": 2800, "Status": status(OK)}},
		"Voltages":     voltages, "PowerSupplies": supplies,
	})
}
