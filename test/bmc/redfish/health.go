package redfish

import "github.com/yunshu/yunshu/test/bmc"

// How well a part is, as Redfish says it.
const (
	OK       = "OK"
	Warning  = "Warning"
	Critical = "Critical"
)

var severity = map[string]int{OK: 0, Warning: 1, Critical: 2}

func worse(a, b string) string {
	if severity[b] > severity[a] {
		return b
	}
	return a
}

// healths are what tests made worse. A machine is as well as its worst part.
type healths struct {
	system  string
	parts   map[string]string  // by serial
	sensors map[string]float64 // by name
}

// SetHealth makes the whole machine OK, Warning or Critical, whatever its parts are.
func (m *Machine) SetHealth(health string) {
	m.mu.Lock()
	if severity[health] > severity[m.health.system] {
		m.record(health, "The health of the system is "+health)
	}
	m.health.system = health
	m.mu.Unlock()
	m.changed()
}

// SetPartHealth makes the disk, memory module or GPU of a serial OK, Warning or Critical.
func (m *Machine) SetPartHealth(serial, health string) {
	m.mu.Lock()
	m.health.parts[serial] = health
	m.record(health, "The health of the part "+serial+" is "+health)
	m.mu.Unlock()
	m.changed()
}

// SetSensor makes a sensor read a value; its thresholds say how well that is.
func (m *Machine) SetSensor(name string, value float64) {
	m.mu.Lock()
	m.health.sensors[name] = value
	m.mu.Unlock()
	m.changed()
}

func (h healths) part(serial string) string { return worse(OK, h.parts[serial]) }

// rollup is the worst of the whole, its present parts and its sensors.
func (m *Machine) rollup() string {
	all := worse(OK, m.health.system)
	for _, d := range m.hardware.Disks {
		all = worse(all, m.health.part(d.Serial))
	}
	for _, d := range m.hardware.Memory {
		all = worse(all, m.health.part(d.Serial))
	}
	for _, g := range m.hardware.GPUs {
		all = worse(all, m.health.part(g.Serial))
	}
	for _, s := range m.sensors() {
		all = worse(all, s.health())
	}
	return all
}

// sensor is one reading and what is too much or too little of it.
type sensor struct {
	name, kind, context string // the kind is temperature, fan or voltage
	value               float64
	caution, critical   float64
	below               bool // the thresholds are lower bounds
}

func (s sensor) health() string {
	past := func(limit float64) bool {
		if s.below {
			return s.value <= limit
		}
		return s.value >= limit
	}
	if past(s.critical) {
		return Critical
	}
	if past(s.caution) {
		return Warning
	}
	return OK
}

// sensors are what the machine measures now. One that is off is cool and its fans stand still, which is no fault.
func (m *Machine) sensors() []sensor {
	running := m.host.power == on
	load := func(idle, busy float64) float64 {
		if running {
			return busy
		}
		return idle
	}
	all := []sensor{
		{name: "Inlet Temp", kind: "temperature", context: "Intake", value: 22 + float64(m.Index%4), caution: 38, critical: 42},
		{name: "Exhaust Temp", kind: "temperature", context: "Exhaust", value: load(24, 38), caution: 70, critical: 75},
	}
	for i := range m.hardware.CPUs {
		all = append(all, sensor{name: "CPU" + number(i) + " Temp", kind: "temperature", context: "CPU", value: load(26, 52+float64(m.Index%7)), caution: 88, critical: 95})
	}
	for i := range m.hardware.GPUs {
		all = append(all, sensor{name: "GPU" + number(i) + " Temp", kind: "temperature", context: "GPU", value: load(26, 48), caution: 83, critical: 90})
	}
	for i := range 6 {
		fan := sensor{name: "Fan" + number(i), kind: "fan", context: "SystemBoard", value: load(0, 7200), caution: 1200, critical: 600, below: true}
		if !running {
			fan.caution, fan.critical = -1, -1
		}
		all = append(all, fan)
	}
	all = append(all, sensor{name: "CMOS Battery", kind: "voltage", context: "SystemBoard", value: 3.05, caution: 2.6, critical: 2.4, below: true})
	for i, s := range all {
		if v, ok := m.health.sensors[s.name]; ok {
			all[i].value = v
		}
	}
	return all
}

// watts is what the machine draws.
func (m *Machine) watts() int {
	if m.host.power != on {
		return 18
	}
	return 180 + 90*len(m.hardware.CPUs) + 320*len(m.hardware.GPUs) + m.Index%40
}

func gpuVendor(g bmc.GPU) string {
	if g.Vendor == "" {
		return "NVIDIA"
	}
	return g.Vendor
}
