package main

// kind is how a flag's text becomes JSON.
type kind int

const (
	text kind = iota
	number
	decimal
	truth
	texts   // a repeated flag becomes a list
	pairs   // name=text, repeated, becomes an object
	amounts // name=number, repeated, becomes an object; name=none is null
	places  // name=text, repeated: each goes where the path has a star
)

// field is one flag of a command and where it goes in the body. A path with a dot goes into an object.
type field struct {
	flag, path string
	kind       kind
	help       string
	complete   string // noun whose names complete it
}

// noun is one kind of resource and what can be done to it. The commands are made from this table.
type noun struct {
	name, path, short string
	columns           []string
	filters           []field
	key               string   // query parameter that finds one by its name; empty: the name is the id
	scope             []string // filters that narrow a name: their flags are added to commands on one resource
	create, update    []field
	noList, noGet     bool
	noName            bool // what is made has no name
	delete            bool
	history           bool    // what it was is listed
	past              []field // parameters of get that show it as it was
	wait              bool    // create and delete are operations
	actions           []action
}

// action is a verb on one resource.
type action struct {
	name, short string
	fields      []field
	method      string   // default POST
	path        string   // below the resource; default: the name
	operation   bool     // answers 202
	columns     []string // of what it lists
}

var (
	maintenanceFields = []field{{"reason", "reason", text, "why", ""}, {"until", "until", text, "when it should be over, such as 2027-01-31T12:00:00Z", ""}}

	sizeFields = []field{
		{"flavor", "flavor", text, "named size", "flavor"}, {"vcpu", "vcpu", number, "processors", ""},
		{"memory-mib", "memory_mib", number, "memory in MiB", ""}, {"storage-gib", "storage_gib", number, "storage in GiB", ""}, {"gpu", "gpu", number, "GPUs", ""},
	}
	maintainerFields = []field{
		{"display-name", "display_name", text, "name for people", ""}, {"email", "email", text, "where to write to", ""}, {"phone", "phone", text, "where to call", ""},
		{"chat", "chat", text, "where to chat", ""}, {"user", "user", text, "their account, which gets rights on what they maintain", "user"},
	}
	maintainerGroupFields = []field{{"description", "description", text, "what it is for", ""}, {"member", "members", texts, "a maintainer; repeat for more", "maintainer"}}

	imageBoot = []field{{"purpose", "purpose", text, "what physical machines boot it for: provision, wipe or discovery", ""}, {"kernel", "boot.*.kernel", places, "address of the kernel that physical machines boot, such as tw=http://boot/vmlinuz; repeat for more", ""},
		{"initrd", "boot.*.initrd", places, "address of its initial RAM disk, such as tw=http://boot/initrd", ""}, {"args", "boot.*.args", places, "the kernel's parameters, such as 'tw=console=ttyS0 quiet'", ""},
		{"iso", "boot.*.iso", places, "address of an ISO for virtual drives, such as tw=http://boot/ubuntu.iso", ""}}
	leaseImage    = field{"image", "image", text, "what it boots", "image"}
	leaseHostname = field{"hostname", "hostname", text, "what it shall be called", ""}

	rackFields = []field{{"row", "row", text, "row", ""}, {"position", "position", text, "position", ""}, {"power-kw", "power_kw", decimal, "power in kW", ""},
		{"failure-domain", "failure_domain", text, "what fails together", ""}, {"height", "height", number, "units", ""}}
	ruleField   = field{"rule", "rule", text, "which machines join by themselves, such as 'gpu.model = \"H100\" and rack in [\"tw-r01\"]'; empty: none", ""}
	healthField = field{"health-policy", "health_policy", text, "stop: critical machines get no new work; report: that is only reported", ""}

	ofKind   = field{"kind", "resource_kind", text, "region, rack, group, baremetal, tenant or vm", ""}
	byRegion = field{"region", "region", text, "only of this region", "region"}
	byTenant = field{"tenant", "tenant", text, "only of this tenant, such as acme/dev", "tenant"}
	subtree  = field{"subtree", "subtree", truth, "and of all tenants below it", ""}
)

var nouns = []noun{
	{name: "tenant", path: "/v1/tenants", history: true, short: "Owners of resources, in a tree", key: "full_name", columns: []string{"full_name", "description", "created_at", "id"}, delete: true,
		filters: []field{{"parent", "parent", text, "only right below this tenant", "tenant"}, {"subtree", "subtree", text, "only this tenant and all below it", "tenant"}},
		create: []field{{"parent", "parent", text, "tenant above it", "tenant"}, {"description", "description", text, "what it is for", ""},
			{"quota", "quota", amounts, "limit everywhere, such as vcpu=16; repeat for more", ""}},
		update: []field{{"name", "name", text, "new name", ""}, {"description", "description", text, "what it is for", ""}, {"overcommit", "overcommit", truth, "those right below it may be promised more than it has", ""}},
		actions: []action{
			{name: "move", short: "Put it under another tenant", fields: []field{{"parent", "parent", text, "tenant to put it under; empty: make it a root", "tenant"}}},
			{name: "suspend", short: "Make it, and all below it, read only"},
			{name: "resume", short: "Let it work again"},
			{name: "usage-days", short: "What it used, day by day", method: "GET", path: "usage-days", fields: []field{{"from", "?from", text, "first day, such as 2027-01-01; default: 30 days ago", ""}, {"to", "?to", text, "last day; default: today", ""}, {"csv", "?csv", truth, "as a table for spreadsheets", ""}}},
			{name: "quotas", short: "List the tenant's quotas", method: "GET", path: "quotas"},
			{name: "usage", short: "What the tenant uses, and may still use", method: "GET", path: "usage"},
			{name: "set-quota", short: "Set the tenant's quota everywhere, or in the group given by --group", method: "PUT", path: "quotas/{group}",
				fields: []field{{"limit", "limits", amounts, "limit, such as vcpu=16, or vcpu=none; repeat for more", ""}, {"allow-over", "?allow_over", truth, "even below what is in use", ""}}},
		}},
	{name: "quota-event", path: "/v1/quota-events", short: "Quotas that got nearly full", noGet: true, columns: []string{"raised_at", "cleared_at", "message"},
		filters: []field{byTenant, subtree, {"open", "open", truth, "only those that are not cleared", ""}}},
	{name: "user", path: "/v1/users", history: true, short: "People, and programs that act like them", columns: []string{"name", "email", "created_at", "id"}, delete: true,
		create: []field{{"email", "email", text, "address", ""}}, update: []field{{"email", "email", text, "address", ""}},
		actions: []action{
			{name: "identities", short: "Who the user is at OpenID providers", method: "GET", path: "identities"},
			{name: "link", short: "Let whoever signs in as this subject of the provider be this user", path: "identities", fields: []field{{"issuer", "issuer", text, "the provider, exactly as it calls itself", ""}, {"subject", "subject", text, "how it calls the person", ""}}},
			{name: "unlink", short: "End such a link", method: "DELETE", path: "identities/{identity}", fields: []field{{"identity", "{identity}", text, "id of the identity", ""}}},
		}},
	{name: "service-account", path: "/v1/service-accounts", history: true, short: "Programs that belong to a tenant and act by tokens", columns: []string{"full_name", "tenant", "created_at", "id"}, delete: true,
		filters: []field{byTenant}, create: []field{{"tenant", "tenant", text, "the tenant that it belongs to", "tenant"}}},
	{name: "token", path: "/v1/tokens", short: "Bearer tokens", columns: []string{"name", "user", "prefix", "tenant", "roles", "expires_at", "last_used_at", "revoked_at", "id"}, delete: true,
		filters: []field{{"user", "user", text, "only of this user", ""}},
		create: []field{{"user", "user", text, "whose token, such as that of the service account ci@acme/dev; default: yours", ""}, {"tenant", "tenant", text, "narrow it to this tenant", "tenant"},
			{"role", "roles", texts, "narrow it to this role; repeat for more", ""}, {"expires-at", "expires_at", text, "when it ends, such as 2027-01-31T00:00:00Z", ""}}},
	{name: "role-binding", path: "/v1/role-bindings", history: true, short: "Who has which role where", columns: []string{"user", "role", "tenant", "group", "created_at", "id"}, delete: true,
		filters: []field{{"user", "user", text, "only of this user", ""}, byTenant},
		create:  []field{{"role", "role", text, "on a tenant: owner, admin, member or viewer; on the platform: admin, operator or auditor", ""}, {"tenant", "tenant", text, "on this tenant; default: on the platform", "tenant"}}},
	{name: "group-binding", path: "/v1/group-bindings", history: true, short: "Which group of the OpenID provider has which role where", columns: []string{"group", "role", "tenant", "created_at", "id"}, delete: true,
		filters: []field{byTenant},
		create:  []field{{"role", "role", text, "on a tenant: owner, admin, member or viewer; on the platform: admin, operator or auditor", ""}, {"tenant", "tenant", text, "on this tenant; default: on the platform", "tenant"}}},
	{name: "maintainer", path: "/v1/maintainers", history: true, short: "People to turn to about resources", key: "name", columns: []string{"name", "display_name", "email", "phone", "chat", "user", "id"}, delete: true,
		create: maintainerFields, update: maintainerFields},
	{name: "maintainer-group", path: "/v1/maintainer-groups", history: true, short: "Sets of maintainers", key: "name", columns: []string{"name", "members", "description", "id"}, delete: true,
		create: maintainerGroupFields, update: maintainerGroupFields},
	{name: "assignment", path: "/v1/assignments", history: true, short: "Who is responsible for which resource", columns: []string{"resource_kind", "resource_name", "maintainer", "maintainer_group", "primary", "id"}, delete: true,
		filters: []field{ofKind, {"resource-id", "resource_id", text, "only of this resource", ""}, {"maintainer", "maintainer", text, "only to this maintainer", "maintainer"}, {"maintainer-group", "maintainer_group", text, "only to this maintainer group", "maintainer-group"}},
		create:  []field{{"kind", "resource_kind", text, "region, rack, group, baremetal, tenant or vm", ""}, {"maintainer", "maintainer", text, "who shall be responsible", "maintainer"}, {"maintainer-group", "maintainer_group", text, "or which group", "maintainer-group"}, {"primary", "primary", truth, "ask them first", ""}},
		update:  []field{{"primary", "primary", truth, "ask them first", ""}}},
	{name: "unmaintained-resource", path: "/v1/unmaintained-resources", short: "Resources for which nobody is responsible", columns: []string{"resource_kind", "resource_name", "region", "resource_id"}, noGet: true,
		filters: []field{ofKind, byRegion}},
	{name: "region", path: "/v1/regions", history: true, short: "Places where machines are", columns: []string{"name", "title", "state", "workers", "hypervisors", "connected", "placeable"},
		create:  []field{{"title", "title", text, "for people", ""}, {"capability", "capabilities", texts, "vm, bm, k8s, storage or network; repeat for more", ""}},
		update:  []field{{"title", "title", text, "for people", ""}, {"state", "state", text, "ready or cordoned", ""}, {"capability", "capabilities", texts, "vm, bm, k8s, storage or network", ""}},
		actions: []action{{name: "import", short: "Read the region's hypervisors into the inventory", operation: true}}},
	{name: "rack", path: "/v1/racks", history: true, short: "Physical places of machines", key: "name", columns: []string{"name", "region", "row", "position", "failure_domain", "height", "baremetals", "id"}, delete: true,
		filters: []field{byRegion}, scope: []string{"region"},
		create: append([]field{{"region", "region", text, "region", "region"}}, rackFields...), update: rackFields},
	{name: "group", path: "/v1/groups", history: true, short: "Sets of baremetals to place machines on", key: "name", delete: true, filters: []field{byRegion}, scope: []string{"region"},
		columns: []string{"name", "region", "policy", "vcpu_ratio", "capacity.hosts", "capacity.free.vcpu", "capacity.total.vcpu", "capacity.free.memory_mib", "id"},
		create: []field{{"region", "region", text, "region", "region"}, {"description", "description", text, "what it is for", ""}, {"policy", "policy", text, "spread or pack", ""},
			{"vcpu-ratio", "vcpu_ratio", decimal, "overcommit", ""}, {"memory-ratio", "memory_ratio", decimal, "overcommit", ""}, {"storage-ratio", "storage_ratio", decimal, "overcommit", ""}, ruleField, healthField},
		update: []field{{"description", "description", text, "what it is for", ""}, {"policy", "policy", text, "spread or pack", ""},
			{"vcpu-ratio", "vcpu_ratio", decimal, "overcommit", ""}, {"memory-ratio", "memory_ratio", decimal, "overcommit", ""}, {"storage-ratio", "storage_ratio", decimal, "overcommit", ""}, ruleField, healthField,
			{"dry-run", "?dry_run", truth, "say who would join and leave, and do nothing", ""}}},
	{name: "baremetal", path: "/v1/baremetals", history: true, short: "Physical servers", key: "name", scope: []string{"region"},
		columns: []string{"name", "region", "rack", "group", "role", "state", "tenant", "power", "health", "connected", "maintenance", "hypervisor.vms", "hypervisor.free.vcpu", "hypervisor.total.vcpu", "id"},
		filters: []field{byRegion, {"group", "group", text, "only of this group", "group"}, {"rack", "rack", text, "only of this rack", "rack"}, {"role", "role", text, "only with this role: hypervisor, k8s_node, leased or spare", ""}, {"state", "state", text, "only in this state", ""}, {"tenant", "tenant", text, "only those that this tenant leases", "tenant"}, subtree},
		update: []field{{"name", "name", text, "new name", ""}, {"rack", "rack", text, "put it into this rack", "rack"}, {"position", "rack_unit", number, "the lowest rack unit that it takes", ""}, {"height", "rack_height", number, "how many rack units it takes", ""},
			{"label", "labels", pairs, "what to note about it, all of it anew; repeat for more", ""}, {"group", "group", text, "put it into this group; empty: out of its group", "group"}, {"maintenance", "maintenance", truth, "take no new machines", ""}},
		actions: baremetalActions},
	{name: "lease", path: "/v1/leases", short: "Whole machines of a group for a tenant; the machines are listed by: yunshu baremetal list --role leased", noList: true, noGet: true, noName: true, wait: true,
		create: []field{{"tenant", "tenant", text, "who gets it, such as acme/dev", "tenant"}, {"region", "region", text, "region", "region"}, {"group", "group", text, "group of machines", "group"}, leaseImage, leaseHostname,
			{"label", "labels", pairs, "that the machine has, such as gpu=a100; repeat for more", ""}}},
	{name: "drift", path: "/v1/drifts", history: true, short: "What differs from what is known", columns: []string{"created_at", "region", "resource_name", "kind", "state", "seen", "message", "id"},
		filters: []field{byRegion, {"kind", "kind", text, "only power, health, sensor, firmware, hardware, identity or unreachable", ""}, {"state", "state", text, "only open, closed or ignored", ""}, {"policy", "policy", text, "only adopt or report", ""},
			{"resource", "resource", text, "only of this resource, by its id", ""}, {"maintainer", "maintainer", text, "me: only of what you are responsible for", ""}},
		actions: []action{
			{name: "ignore", short: "Say that somebody knows", fields: []field{{"reason", "reason", text, "why nothing has to be done about it", ""}}},
			{name: "reopen", short: "Stop ignoring it"},
		}},
	{name: "image", path: "/v1/images", history: true, short: "What machines start from", key: "name", columns: []string{"name", "os", "purpose", "min_storage_gib", "templates", "id"}, delete: true, filters: []field{byRegion, {"purpose", "purpose", text, "only for this purpose: provision, wipe or discovery", ""}},
		create: append([]field{{"os", "os", text, "operating system", ""}, {"description", "description", text, "for people", ""}, {"min-storage-gib", "min_storage_gib", number, "storage it needs", ""}, {"template", "templates", pairs, "the provider's template, such as tw=ubuntu-24.04; repeat for more", ""}}, imageBoot...),
		update: append([]field{{"os", "os", text, "operating system", ""}, {"description", "description", text, "for people", ""}, {"min-storage-gib", "min_storage_gib", number, "storage it needs", ""}, {"template", "templates", pairs, "the provider's template, such as tw=ubuntu-24.04", ""}}, imageBoot...)},
	{name: "flavor", path: "/v1/flavors", history: true, short: "Named sizes", key: "name", columns: []string{"name", "vcpu", "memory_mib", "storage_gib", "gpu", "id"}, delete: true, create: sizeFields[1:]},
	{name: "subnet", path: "/v1/subnets", history: true, short: "Networks that addresses are taken from", key: "name", columns: []string{"name", "region", "cidr", "network", "used", "free", "tenant", "id"}, delete: true,
		filters: []field{byRegion, byTenant}, scope: []string{"region"},
		create: []field{{"region", "region", text, "region", "region"}, {"tenant", "tenant", text, "only for this tenant and those below it", "tenant"}, {"cidr", "cidr", text, "such as 10.1.0.0/16", ""}, {"vlan", "vlan", number, "VLAN", ""},
			{"gateway", "gateway", text, "address of the gateway", ""}, {"dns", "dns", texts, "name server; repeat for more", ""}, {"network", "network", text, "the provider's port group", ""}, {"range-start", "range_start", text, "first address to give", ""}, {"range-end", "range_end", text, "last address to give", ""}},
		update: []field{{"dns", "dns", texts, "name server; repeat for more", ""}}},
	{name: "ip-address", path: "/v1/ip-addresses", history: true, short: "Addresses that are taken", columns: []string{"address", "subnet", "region", "tenant", "vm", "description", "id"}, delete: true,
		filters: []field{byRegion, {"subnet", "subnet", text, "only of this subnet", "subnet"}, byTenant, subtree},
		create:  []field{{"region", "region", text, "region of the subnet", "region"}, {"tenant", "tenant", text, "for this tenant", "tenant"}, {"address", "address", text, "this one; default: the next", ""}, {"description", "description", text, "what for", ""}}},
	{name: "vm", path: "/v1/vms", history: true, past: []field{{"at", "at", text, "as it was at this time, such as 2027-01-31T12:00:00Z, even if it is gone", ""}},
		short: "Virtual machines", key: "name", columns: []string{"name", "tenant", "region", "group", "state", "vcpu", "memory_mib", "baremetal", "address", "id"}, delete: true, wait: true,
		filters: []field{byTenant, subtree, byRegion, {"group", "group", text, "only of this group", "group"}, {"baremetal", "baremetal", text, "only on this host", "baremetal"}, {"state", "state", text, "only in this state", ""}}, scope: []string{"tenant"},
		create: append([]field{{"tenant", "tenant", text, "owner, such as acme/dev", "tenant"}, {"region", "region", text, "region", "region"}, {"group", "group", text, "group to place it in", "group"}, {"image", "image", text, "what it starts from", "image"}, {"subnet", "subnet", text, "network", "subnet"},
			{"policy", "placement.policy", text, "spread or pack; default: the group's", ""}, {"away-from", "placement.anti_affinity.vms", texts, "vm to keep away from; repeat for more", "vm"}, {"away-scope", "placement.anti_affinity.scope", text, "host or rack", ""}}, sizeFields...),
		actions: []action{
			{name: "power-on", short: "Turn it on", operation: true}, {name: "power-off", short: "Turn it off", operation: true}, {name: "reboot", short: "Turn it off and on", operation: true},
			{name: "resize", short: "Give it another size", operation: true, fields: append([]field{{"allow-restart", "allow_restart", truth, "power it off and on where it cannot grow while it runs", ""}}, sizeFields...)},
			{name: "migrate", short: "Move it to another host of its group", operation: true, fields: []field{{"baremetal", "baremetal", text, "this host; default: the one that the group's policy chooses", "baremetal"}}},
		}},
	{name: "operation", path: "/v1/operations", short: "Accepted work", columns: []string{"id", "kind", "state", "resource_name", "tenant", "region", "actor", "created_at"},
		filters: []field{byTenant, subtree, {"state", "state", text, "only in this state", ""}, {"kind", "kind", text, "only of this kind, such as vm.provision", ""}, byRegion, {"resource-kind", "resource_kind", text, "only on this kind of resource", ""}, {"resource-id", "resource_id", text, "only of this resource", ""},
			{"older-than", "older_than", text, "only accepted longer ago than this, such as 15m", ""}, {"error-code", "error_code", text, "only with this fault, such as unreachable", ""}},
		actions: []action{
			{name: "cancel", short: "Undo it", operation: true}, {name: "resume", short: "Try the blocked step again, or go on in another way", operation: true, fields: []field{{"way", "way", text, "retry, skip, host, image, address or roll_back; get lists those that help", ""},
				{"to", "to", text, "host, image or address to begin again with; default for host and address: another one", ""}, {"reason", "reason", text, "why; needed to skip", ""}}}, {name: "abort", short: "Give up the blocked step and undo", operation: true},
		}},
	{name: "audit-event", path: "/v1/audit-events", short: "What was done, by whom", columns: []string{"at", "actor", "action", "resource_kind", "resource_name", "tenant", "outcome"}, noGet: true,
		filters: []field{{"actor", "actor", text, "only by this user, or this region, such as region/tw", ""}, {"on-behalf-of", "on_behalf_of", text, "only for this user", ""}, {"action", "action", text, "only this, such as vm.create", ""}, byTenant, {"resource-kind", "resource_kind", text, "only on this kind of resource", ""},
			{"resource-id", "resource_id", text, "only on this resource", ""}, {"operation-id", "operation_id", text, "only of this operation", ""}, {"request-id", "request_id", text, "only of this request", ""}, {"trace-id", "trace_id", text, "only of this trace", ""}, {"outcome", "outcome", text, "accepted, done or refused", ""}, {"since", "since", text, "from this time on", ""}, {"until", "until", text, "before this time", ""}}},
}
