package store

import (
	"encoding/json"
	"strconv"

	"github.com/yunshu/yunshu/api/rules"
)

// machineFact is a fact that rules may use: the columns that it takes from the database, how they become it, and the table
// that has them besides baremetals.
type machineFact struct {
	name    string
	columns []string
	set     func(m *rules.Machine, columns []string)
	join    string
}

const (
	inRack    = " LEFT JOIN racks r ON r.id = b.rack_id"
	hasTraits = " LEFT JOIN baremetal_traits t ON t.baremetal_id = b.id"
	hasRoom   = " LEFT JOIN hypervisors h ON h.baremetal_id = b.id"
)

// machineFacts are the fields of rules.Machine. A machine whose inventory nobody has read has the size that its vCenter
// told. The load is what was promised to VMs of what may be.
var machineFacts = []machineFact{
	aText("name", "b.name", "", func(m *rules.Machine) *string { return &m.Name }),
	aText("region", "b.region", "", func(m *rules.Machine) *string { return &m.Region }),
	aText("rack", "r.name", inRack, func(m *rules.Machine) *string { return &m.Rack }),
	aText("row", `r."row"`, inRack, func(m *rules.Machine) *string { return &m.Row }),
	aText("failure_domain", "r.failure_domain", inRack, func(m *rules.Machine) *string { return &m.FailureDomain }),
	aText("role", "b.role", "", func(m *rules.Machine) *string { return &m.Role }),
	aText("state", "b.state", "", func(m *rules.Machine) *string { return &m.State }),
	aText("vendor", "b.vendor", "", func(m *rules.Machine) *string { return &m.Vendor }),
	aText("model", "b.model", "", func(m *rules.Machine) *string { return &m.Model }),
	aText("serial", "b.serial", "", func(m *rules.Machine) *string { return &m.Serial }),
	aText("health", "b.health", "", func(m *rules.Machine) *string { return &m.Health }),
	aText("power", "b.power", "", func(m *rules.Machine) *string { return &m.Power }),
	aNumber("cores", "t.cores", func(m *rules.Machine) *int { return &m.Cores }),
	aNumber("threads", "coalesce(nullif(t.threads, 0), b.vcpu)", func(m *rules.Machine) *int { return &m.Threads }),
	aNumber("memory_gib", "coalesce(nullif(t.memory_mib, 0), b.memory_mib) / 1024", func(m *rules.Machine) *int { return &m.MemoryGiB }),
	aNumber("storage_gib", "coalesce(nullif(t.storage_gib, 0), b.storage_gib)", func(m *rules.Machine) *int { return &m.StorageGiB }),
	{"cpu", []string{"t.cpu_model", "t.cpu_count"}, func(m *rules.Machine, c []string) { m.CPU = rules.CPU{Model: c[0], Count: whole(c[1])} }, hasTraits},
	{"disk", []string{"t.disk_count", "array_to_json(t.disk_kinds)::text"}, func(m *rules.Machine, c []string) {
		m.Disk = rules.Disk{Count: whole(c[0]), Kinds: list(c[1])}
		if len(m.Disk.Kinds) == 1 {
			m.Disk.Kind = m.Disk.Kinds[0]
		}
	}, hasTraits},
	{"nic", []string{"t.nic_count", "t.nic_speed_mbps"}, func(m *rules.Machine, c []string) { m.NIC = rules.NIC{Count: whole(c[0]), SpeedMbps: whole(c[1])} }, hasTraits},
	{"gpu", []string{"t.gpu_model", "array_to_json(t.gpu_models)::text", "t.gpu_vendor", "coalesce(t.gpu_count, b.gpu)"}, func(m *rules.Machine, c []string) {
		m.GPU = rules.GPU{Model: c[0], Models: list(c[1]), Vendor: c[2], Count: whole(c[3])}
	}, hasTraits},
	{"labels", []string{"b.labels::text"}, func(m *rules.Machine, c []string) {
		_ = json.Unmarshal([]byte(c[0]), &m.Labels) // an object of texts: what is not one has no such label
	}, ""},
	{"load", []string{"round((h.vcpu_total - h.vcpu_free)::numeric / nullif(h.vcpu_total, 0), 2)"}, func(m *rules.Machine, c []string) {
		m.Load, _ = strconv.ParseFloat(c[0], 64) // empty: it takes no VMs
	}, hasRoom},
}

func aText(name, column, join string, field func(*rules.Machine) *string) machineFact {
	return machineFact{name, []string{column}, func(m *rules.Machine, c []string) { *field(m) = c[0] }, join}
}

func aNumber(name, column string, field func(*rules.Machine) *int) machineFact {
	return machineFact{name, []string{column}, func(m *rules.Machine, c []string) { *field(m) = whole(c[0]) }, hasTraits}
}

// whole reads a number that the database wrote; nothing is 0.
func whole(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// list reads a list of texts that the database wrote; nothing is none.
func list(text string) (out []string) {
	if text != "" && text != "[]" {
		_ = json.Unmarshal([]byte(text), &out)
	}
	return out
}
