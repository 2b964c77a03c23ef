package models

import "slices"

// VMState is the state of a virtual machine.
type VMState string

// States of a virtual machine. A VM that is gone has no row any more; operations and audit keep its history.
const (
	VMProvisioning VMState = "provisioning"
	VMRunning      VMState = "running"
	VMStopped      VMState = "stopped"
	VMUpdating     VMState = "updating"
	VMDeleting     VMState = "deleting"
	VMFailed       VMState = "failed"
	VMGone         VMState = "gone"
)

// BaremetalState is the state of a physical server.
type BaremetalState string

// States of a physical server.
const (
	BaremetalEnrolling   BaremetalState = "enrolling"
	BaremetalAvailable   BaremetalState = "available"
	BaremetalInUse       BaremetalState = "in_use"
	BaremetalMaintenance BaremetalState = "maintenance"
	BaremetalFailed      BaremetalState = "failed"
	BaremetalRetiring    BaremetalState = "retiring"
	BaremetalGone        BaremetalState = "gone"
)

// OperationState is the state of an accepted intent.
type OperationState string

// States of an operation.
const (
	OperationAccepted   OperationState = "accepted"
	OperationRunning    OperationState = "running"
	OperationBlocked    OperationState = "blocked"
	OperationCancelling OperationState = "cancelling"
	OperationSucceeded  OperationState = "succeeded"
	OperationFailed     OperationState = "failed"
	OperationCancelled  OperationState = "cancelled"
)

// Ended reports whether nothing more will happen to an operation in this state.
func (s OperationState) Ended() bool {
	return s == OperationSucceeded || s == OperationFailed || s == OperationCancelled
}

// ActiveOperation lists the states of an operation that has not ended.
var ActiveOperation = []OperationState{OperationAccepted, OperationRunning, OperationBlocked, OperationCancelling}

// StepState is the state of one step of an operation.
type StepState string

// States of a step.
const (
	StepPending   StepState = "pending"
	StepRunning   StepState = "running"
	StepSucceeded StepState = "succeeded"
	StepFailed    StepState = "failed"
	StepSkipped   StepState = "skipped" // by a person, with a reason
	StepUndoing   StepState = "undoing"
	StepUndone    StepState = "undone"
)

// Transitions is a table of allowed state changes: from → the states that may follow.
// Staying in a state is always allowed.
type Transitions[S ~string] map[S][]S

// Allows reports whether to may follow from.
func (t Transitions[S]) Allows(from, to S) bool {
	return from == to || slices.Contains(t[from], to)
}

// From lists the states that to may follow, itself included.
func (t Transitions[S]) From(to S) []S {
	out := []S{to}
	for from, next := range t {
		if from != to && slices.Contains(next, to) {
			out = append(out, from)
		}
	}
	slices.Sort(out)
	return out
}

// The tables. They are checked in accept (what a person wants) and in store.Report (what happened), nowhere else.
var (
	VMTransitions = Transitions[VMState]{
		VMProvisioning: {VMRunning, VMFailed, VMDeleting, VMGone},
		VMRunning:      {VMStopped, VMUpdating, VMDeleting, VMFailed},
		VMStopped:      {VMRunning, VMUpdating, VMDeleting, VMFailed},
		VMUpdating:     {VMRunning, VMStopped, VMFailed},
		VMFailed:       {VMRunning, VMStopped, VMUpdating, VMDeleting, VMGone},
		VMDeleting:     {VMGone, VMFailed, VMRunning, VMStopped}, // back, if it is cancelled in time
	}
	BaremetalTransitions = Transitions[BaremetalState]{
		BaremetalEnrolling:   {BaremetalAvailable, BaremetalInUse, BaremetalFailed, BaremetalGone},
		BaremetalAvailable:   {BaremetalInUse, BaremetalMaintenance, BaremetalFailed, BaremetalRetiring},
		BaremetalInUse:       {BaremetalAvailable, BaremetalMaintenance, BaremetalFailed},
		BaremetalMaintenance: {BaremetalAvailable, BaremetalInUse, BaremetalFailed, BaremetalRetiring},
		BaremetalFailed:      {BaremetalAvailable, BaremetalInUse, BaremetalMaintenance, BaremetalRetiring},
		BaremetalRetiring:    {BaremetalGone, BaremetalAvailable, BaremetalMaintenance, BaremetalFailed}, // back, if it is cancelled in time
	}
	OperationTransitions = Transitions[OperationState]{
		OperationAccepted:   {OperationRunning, OperationCancelling, OperationSucceeded, OperationFailed, OperationCancelled},
		OperationRunning:    {OperationSucceeded, OperationFailed, OperationCancelled, OperationBlocked, OperationCancelling},
		OperationBlocked:    {OperationRunning, OperationCancelling, OperationFailed, OperationCancelled},
		OperationCancelling: {OperationCancelled, OperationFailed, OperationBlocked, OperationSucceeded},
	}
)
