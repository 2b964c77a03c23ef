package rules

// Machine is what a rule may ask of a machine. Its methods would be functions of the language, so it has none.
type Machine struct {
	Name          string            `expr:"name" json:"name"`
	Region        string            `expr:"region" json:"region"`
	Rack          string            `expr:"rack" json:"rack"`
	Row           string            `expr:"row" json:"row"`
	FailureDomain string            `expr:"failure_domain" json:"failure_domain"`
	Role          string            `expr:"role" json:"role"`
	State         string            `expr:"state" json:"state"`
	Vendor        string            `expr:"vendor" json:"vendor"`
	Model         string            `expr:"model" json:"model"`
	Serial        string            `expr:"serial" json:"serial"`
	CPU           CPU               `expr:"cpu" json:"cpu"`
	Cores         int               `expr:"cores" json:"cores"`
	Threads       int               `expr:"threads" json:"threads"`
	MemoryGiB     int               `expr:"memory_gib" json:"memory_gib"`
	Disk          Disk              `expr:"disk" json:"disk"`
	StorageGiB    int               `expr:"storage_gib" json:"storage_gib"`
	NIC           NIC               `expr:"nic" json:"nic"`
	GPU           GPU               `expr:"gpu" json:"gpu"`
	Labels        map[string]string `expr:"labels" json:"labels"`
	Health        string            `expr:"health" json:"health"`
	Power         string            `expr:"power" json:"power"`
	Load          float64           `expr:"load" json:"load"`
}

// CPU is a machine's processors.
type CPU struct {
	Model string `expr:"model" json:"model"`
	Count int    `expr:"count" json:"count"`
}

// Disk is a machine's drives.
type Disk struct {
	Count int      `expr:"count" json:"count"`
	Kind  string   `expr:"kind" json:"kind"`   // hdd, ssd or nvme; empty if they are of several kinds
	Kinds []string `expr:"kinds" json:"kinds"` // each once, in alphabetical order
}

// NIC is a machine's network interfaces.
type NIC struct {
	Count     int `expr:"count" json:"count"`
	SpeedMbps int `expr:"speed_mbps" json:"speed_mbps"` // of the fastest
}

// GPU is a machine's accelerators. Where they differ, model and vendor are those of the first.
type GPU struct {
	Model  string   `expr:"model" json:"model"`
	Models []string `expr:"models" json:"models"` // each once, in alphabetical order
	Vendor string   `expr:"vendor" json:"vendor"`
	Count  int      `expr:"count" json:"count"`
}
