package contract

import "github.com/yunshu/yunshu/models"

// RegionImport reads a region's hypervisors and records them as baremetals.
var RegionImport = Workflow[RegionImportInput]{"region.import"}

// LeakCheck compares the database with every region and with itself.
var LeakCheck = Workflow[LeakCheckInput]{"leak.check"}

// Sweep puts operations right whose workflow was terminated or timed out. A schedule starts it.
var Sweep = Workflow[SweepInput]{"operation.sweep"}

// UsageWatch raises and clears the events of quotas, and counts what every tenant uses today. A schedule starts it.
var UsageWatch = Workflow[UsageInput]{"usage.watch"}

// UsageInput is empty: everything is in the database.
type UsageInput struct{}

// UsageWatched says what a look at the quotas found.
type UsageWatched struct {
	Raised  int64 `json:"raised"`
	Cleared int64 `json:"cleared"`
	Tenants int64 `json:"tenants"` // whose use of today was counted
}

// UsageCount is the activity of UsageWatch.
var UsageCount = Activity[None, UsageWatched]{"usage.count", report}

// Settle puts one lost operation right: it looks at the world and reports what is so.
var Settle = Workflow[Lost]{"operation.settle"}

// RegionImportInput names the region in its operation.
type RegionImportInput struct {
	Operation
}

// LeakCheckInput lists the regions to look at.
type LeakCheckInput struct {
	Operation
	Regions []string `json:"regions"`
}

// SweepInput is empty: what to sweep is read from the database.
type SweepInput struct{}

// Page asks for the next items of a list that is sorted by the provider's key.
type Page struct {
	After string `json:"after,omitempty"` // the last key already seen
	Limit int    `json:"limit"`
	// Listing is the same on all pages of one listing, so that a provider may answer them from one look at its
	// inventory. Without it every page is a look of its own.
	Listing models.ID `json:"listing,omitzero"`
}

// Hypervisor is a physical host in a provider's inventory.
type Hypervisor struct {
	Ref         string      `json:"ref"`
	UUID        string      `json:"uuid"` // of the hardware, lasting
	Name        string      `json:"name"`
	Cluster     string      `json:"cluster,omitempty"`
	Capacity    models.Size `json:"capacity"` // physical: hardware threads, memory, datastore space
	Model       string      `json:"model,omitempty"`
	Connected   bool        `json:"connected"`
	Maintenance bool        `json:"maintenance"`
}

// HypervisorPage is one page of hosts; Next is empty on the last.
type HypervisorPage struct {
	Hypervisors []Hypervisor `json:"hypervisors"`
	Next        string       `json:"next,omitempty"`
}

// Machine is a VM that carries our mark in a provider's inventory.
type Machine struct {
	ID   models.ID `json:"id"`
	Ref  string    `json:"ref"`
	Name string    `json:"name"`
}

// MachinePage is one page of machines in the order of their id; Next is empty on the last.
type MachinePage struct {
	Machines []Machine `json:"machines"`
	Next     string    `json:"next,omitempty"`
}

// Activities of a region's vm queue that read its inventory.
var (
	VMHypervisors = Activity[Page, HypervisorPage]{"vm.hypervisors", quick}
	VMList        = Activity[Page, MachinePage]{"vm.list", quick}
)

// RecordInput records one page of hypervisors. First and Last frame the whole import, so that hosts that are no
// longer there are taken out of placement at the end.
type RecordInput struct {
	OperationID models.ID    `json:"operation_id"`
	Region      string       `json:"region"`
	Hypervisors []Hypervisor `json:"hypervisors"`
	Last        bool         `json:"last"`
}

// Recorded counts what an import changed.
type Recorded struct {
	Added   int `json:"added"`
	Changed int `json:"changed"`
	Missing int `json:"missing"`
}

// CompareInput compares one page of a region's machines with the database: all VMs of the region whose id is
// after After and, unless it is the last page, not after the last machine's.
type CompareInput struct {
	OperationID models.ID `json:"operation_id"`
	Region      string    `json:"region"`
	After       string    `json:"after,omitempty"`
	Machines    []Machine `json:"machines"`
	Last        bool      `json:"last"`
}

// Finding is one difference between the database and the world, or within the database.
type Finding struct {
	Kind         string    `json:"kind"` // unknown_machine, missing_machine, quota_sum, host_sum, address, allocation, move, stuck, not_compared
	Region       string    `json:"region,omitempty"`
	ResourceKind string    `json:"resource_kind"`
	ResourceID   models.ID `json:"resource_id,omitzero"`
	Message      string    `json:"message"`
}

// Findings is what a comparison found; an empty list is what one hopes for.
type Findings struct {
	Findings []Finding `json:"findings"`
}

// Lost is an operation without a running workflow.
type Lost struct {
	Operation Operation `json:"operation"`
	Seq       int64     `json:"seq"` // the last report applied
}

// LostPage is what one sweep has to put right.
type LostPage struct {
	Lost []Lost `json:"lost"`
}

// Activities of the gateway that read and write the database besides reports.
var (
	RegionRecord = Activity[RecordInput, Recorded]{"region.record", report}
	LeakCompare  = Activity[CompareInput, Findings]{"leak.compare", report}
	LeakLedger   = Activity[None, Findings]{"leak.ledger", report}
	SweepFind    = Activity[None, LostPage]{"operation.find-lost", report}
)
