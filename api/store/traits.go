package store

// machineFact is a fact that rules may use: the columns that it takes from the database, the JSON that package rules reads
// it from, and the table that has it besides baremetals.
type machineFact struct {
	name    string
	columns []string
	json    string // over the columns name_0, name_1 …
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
	{"name", []string{"b.name"}, "name_0", ""},
	{"region", []string{"b.region"}, "region_0", ""},
	{"rack", []string{"coalesce(r.name, '')"}, "rack_0", inRack},
	{"row", []string{`coalesce(r."row", '')`}, "row_0", inRack},
	{"failure_domain", []string{"coalesce(r.failure_domain, '')"}, "failure_domain_0", inRack},
	{"role", []string{"b.role"}, "role_0", ""},
	{"state", []string{"b.state"}, "state_0", ""},
	{"vendor", []string{"b.vendor"}, "vendor_0", ""},
	{"model", []string{"b.model"}, "model_0", ""},
	{"serial", []string{"b.serial"}, "serial_0", ""},
	{"cpu", []string{"coalesce(t.cpu_model, '')", "coalesce(t.cpu_count, 0)"}, "jsonb_build_object('model', cpu_0, 'count', cpu_1)", hasTraits},
	{"cores", []string{"coalesce(t.cores, 0)"}, "cores_0", hasTraits},
	{"threads", []string{"coalesce(nullif(t.threads, 0), b.vcpu)"}, "threads_0", hasTraits},
	{"memory_gib", []string{"coalesce(nullif(t.memory_mib, 0), b.memory_mib) / 1024"}, "memory_gib_0", hasTraits},
	{"disk", []string{"coalesce(t.disk_count, 0)", "coalesce(t.disk_kinds, '{}')"},
		"jsonb_build_object('count', disk_0, 'kinds', disk_1, 'kind', CASE WHEN cardinality(disk_1) = 1 THEN disk_1[1] ELSE '' END)", hasTraits},
	{"storage_gib", []string{"coalesce(nullif(t.storage_gib, 0), b.storage_gib)"}, "storage_gib_0", hasTraits},
	{"nic", []string{"coalesce(t.nic_count, 0)", "coalesce(t.nic_speed_mbps, 0)"}, "jsonb_build_object('count', nic_0, 'speed_mbps', nic_1)", hasTraits},
	{"gpu", []string{"coalesce(t.gpu_model, '')", "coalesce(t.gpu_models, '{}')", "coalesce(t.gpu_vendor, '')", "coalesce(t.gpu_count, b.gpu)"},
		"jsonb_build_object('model', gpu_0, 'models', gpu_1, 'vendor', gpu_2, 'count', gpu_3)", hasTraits},
	{"labels", []string{"b.labels"}, "labels_0", ""},
	{"health", []string{"b.health"}, "health_0", ""},
	{"power", []string{"b.power"}, "power_0", ""},
	{"load", []string{"coalesce(round((h.vcpu_total - h.vcpu_free)::numeric / nullif(h.vcpu_total, 0), 2), 0)"}, "load_0", hasRoom},
}
