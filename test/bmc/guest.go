// Package bmc simulates the management controllers of servers.
package bmc

// Guest is what runs on a simulated machine while it is powered on.
type Guest interface {
	Start(b Boot) error // power is applied; boots from a device
	Shutdown() error    // asks the guest to stop; it calls b.Stopped when it has
	Stop() error        // power is cut
}

// Boot says how a machine boots.
type Boot struct {
	Device  string // pxe, cd or disk
	Media   string // the URL of the virtual medium
	MAC     string
	UUID    string
	Stopped func() // is called when the guest has turned itself off
}
