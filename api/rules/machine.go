package rules

// Machine is what a rule may ask of a machine. Its methods would be functions of the language, so it has none.
type Machine struct {
	Name          string            `expr:"name"`
	Region        string            `expr:"region"`
	Rack          string            `expr:"rack"`
	Row           string            `expr:"row"`
	FailureDomain string            `expr:"failure_domain"`
	Role          string            `expr:"role"`
	State         string            `expr:"state"`
	Vendor        string            `expr:"vendor"`
	Model         string            `expr:"model"`
	Serial        string            `expr:"serial"`
	CPU           CPU               `expr:"cpu"`
	Cores         int               `expr:"cores"`
	Threads       int               `expr:"threads"`
	MemoryGiB     int               `expr:"memory_gib"`
	Disk          Disk              `expr:"disk"`
	StorageGiB    int               `expr:"storage_gib"`
	NIC           NIC               `expr:"nic"`
	GPU           GPU               `expr:"gpu"`
	Labels        map[string]string `expr:"labels"`
	Health        string            `expr:"health"`
	Power         string            `expr:"power"`
	Load          float64           `expr:"load"`
}

// CPU is a machine's processors.
type CPU struct {
	Model string `expr:"model"`
	Count int    `expr:"count"`
}

// Disk is a machine's drives.
type Disk struct {
	Count int      `expr:"count"`
	Kind  string   `expr:"kind"`  // hdd, ssd or nvme; empty if they are of several kinds
	Kinds []string `expr:"kinds"` // each once, in alphabetical order
}

// NIC is a machine's network interfaces.
type NIC struct {
	Count     int `expr:"count"`
	SpeedMbps int `expr:"speed_mbps"` // of the fastest
}

// GPU is a machine's accelerators. Where they differ, model and vendor are those of the first.
type GPU struct {
	Model  string   `expr:"model"`
	Models []string `expr:"models"` // each once, in alphabetical order
	Vendor string   `expr:"vendor"`
	Count  int      `expr:"count"`
}
