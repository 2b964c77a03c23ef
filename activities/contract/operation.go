package contract

import (
	"encoding/json"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/yunshu/yunshu/models"
)

// Operation is what every workflow knows of the intent that it carries out. It is the start of every input, and all
// that the outbox needs to start the workflow.
type Operation struct {
	ID           models.ID `json:"operation_id"`
	Kind         string    `json:"kind"`
	TenantID     models.ID `json:"tenant_id,omitzero"`
	Tenant       string    `json:"tenant,omitempty"` // full name, such as acme/dev
	Region       string    `json:"region,omitempty"`
	ResourceKind string    `json:"resource_kind"`
	ResourceID   models.ID `json:"resource_id"`
	ResourceName string    `json:"resource_name"`
	Actor        string    `json:"actor"`
	Trace        string    `json:"trace,omitempty"` // place in the trace of the request, as W3C's traceparent
}

// Search attributes of every workflow, so that the Temporal Web UI and CLI can filter.
var (
	AttrTenant       = temporal.NewSearchAttributeKeyKeyword("Tenant")
	AttrRegion       = temporal.NewSearchAttributeKeyKeyword("Region")
	AttrResourceKind = temporal.NewSearchAttributeKeyKeyword("ResourceKind")
	AttrResourceID   = temporal.NewSearchAttributeKeyKeyword("ResourceID")
	AttrActor        = temporal.NewSearchAttributeKeyKeyword("Actor")
)

// Names of the workflow updates by which a person steers a blocked operation.
const (
	UpdateResume = "resume"
	UpdateAbort  = "abort"
)

// Intent is the input of resume and abort: who wants it, and which way. Its id is the update's id.
type Intent struct {
	ID     models.ID  `json:"id"`
	Actor  string     `json:"actor"`
	Way    models.Way `json:"way,omitempty"`    // of a resume; empty is retry
	Reason string     `json:"reason,omitempty"` // why a step is skipped
	VM     *VM        `json:"vm,omitempty"`     // the machine as it shall be made now, where the way changes it
}

// Report is what a workflow tells the gateway. Seq counts up from 1 within an operation; the database ignores a
// report that is not newer than the last one it applied.
type Report struct {
	OperationID models.ID             `json:"operation_id"`
	Seq         int64                 `json:"seq"`
	State       models.OperationState `json:"state"`
	Steps       []Step                `json:"steps,omitempty"` // those that changed
	VM          *VMFacts              `json:"vm,omitempty"`
	Baremetal   *BaremetalFacts       `json:"baremetal,omitempty"`
	Fault       *models.Fault         `json:"fault,omitempty"`  // why it failed, was cancelled or is blocked
	Result      json.RawMessage       `json:"result,omitempty"` // what an operation without a resource of its own found
	RunID       string                `json:"run_id,omitempty"` // of the workflow that reports; the gateway's activity fills it in
}

// Step is one line of an operation's story.
type Step struct {
	Number  int              `json:"number"` // position, from 1
	Name    string           `json:"name"`
	State   models.StepState `json:"state"`
	Started time.Time        `json:"started_at,omitzero"`
	Ended   time.Time        `json:"ended_at,omitzero"`
	Message string           `json:"message,omitempty"` // why it failed or waits, as a sentence
}

// VMFacts is what a workflow knows of its VM. A nil or empty field leaves the database's value alone.
type VMFacts struct {
	State     models.VMState `json:"state,omitempty"` // gone releases everything and removes the row
	Ref       string         `json:"ref,omitempty"`   // the provider's own name, such as vm-42
	Hostname  string         `json:"hostname,omitempty"`
	Addresses []string       `json:"addresses,omitempty"` // as the guest reported them
	Size      *models.Size   `json:"size,omitempty"`      // what the machine really has; the allocation follows
	HostRef   string         `json:"host_ref,omitempty"`  // the provider's name of the host it is on; a move is settled by it
}

// Reported says what became of a report.
type Reported struct {
	Applied bool `json:"applied"` // false if a newer one was there first
	// Ended says that the operation has ended without this run of its workflow, which therefore has to take back what
	// it does.
	Ended bool `json:"ended,omitempty"`
	// Home is then the host that the database has the operation's machine on, for a run that moves it.
	Home  *Host  `json:"home,omitempty"`
	RunID string `json:"-"` // of the workflow that the database listens to
}

// OperationReport applies a report to the database, in one transaction.
var OperationReport = Activity[Report, Reported]{"operation.report", report}
