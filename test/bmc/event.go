package bmc

import "time"

// What can happen to a machine.
const (
	PowerOn  = "power-on"  // power was applied
	PowerOff = "power-off" // power was cut, by force or after the guest stopped
	Reset    = "reset"     // started again without losing power
	Shutdown = "shutdown"  // the guest was asked to stop
	NMI      = "nmi"
	BMCReset = "bmc-reset"
)

// Event is something that happened to a machine. A power cycle is a PowerOff and a PowerOn.
type Event struct {
	Kind string    `json:"kind"`
	At   time.Time `json:"at"`
}

// Count returns how many of the events are of a kind.
func Count(events []Event, kind string) int {
	n := 0
	for _, e := range events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}
