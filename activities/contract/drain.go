package contract

import "github.com/yunshu/yunshu/models"

// BaremetalDrain empties a hypervisor: it begins moves of its machines until none is left.
var BaremetalDrain = Workflow[BaremetalDrainInput]{"baremetal.drain"}

// BaremetalDrainInput is frozen when the drain is accepted. The first moves were accepted with it.
type BaremetalDrainInput struct {
	Operation
	Machines int  `json:"machines"`       // that were there
	Stop     bool `json:"stop,omitempty"` // turn off those that cannot be moved
}

// DrainInput asks what is left on a host, and to begin what can be begun.
type DrainInput struct {
	OperationID models.ID `json:"operation_id"`
	BaremetalID models.ID `json:"baremetal_id"`
	Stop        bool      `json:"stop,omitempty"`
	Attempts    int       `json:"attempts"` // that each machine has in this drain; one that has used them is stuck
}

// Drained says what is left on a host. What is neither moving nor stuck was turned off and stays.
type Drained struct {
	Left    int     `json:"left"`              // machines that are still there or on their way to it
	Moving  int     `json:"moving"`            // of these, that have an operation under way
	Stopped int     `json:"stopped,omitempty"` // of these, that stay, turned off, as was allowed
	Stuck   []Stuck `json:"stuck,omitempty"`   // of these, that can neither be moved nor be stopped
	Waiting []Stuck `json:"waiting,omitempty"` // of those that move, whose operation waits for a person
	Marked  bool    `json:"marked"`            // the host is still marked for maintenance
}

// Stuck is a machine that keeps a host from being empty, for now.
type Stuck struct {
	Name   string `json:"name"`   // with its tenant, such as acme/dev/web-1
	Reason string `json:"reason"` // why, as a part of a sentence
}

// Drain is the activity of BaremetalDrain. It is the gateway's: to begin a move is to write rows.
var Drain = Activity[DrainInput, Drained]{"baremetal.drain", report}
