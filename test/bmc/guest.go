package bmc

// Guest is what runs on a simulated machine while it is powered on.
type Guest interface {
	Start(b Boot) error // power is applied; boots from a device
	Shutdown() error    // asks the guest to stop; it calls b.Stopped when it has
	Stop() error        // power is cut
}

// What a machine can boot from.
const (
	Disk = "disk"
	PXE  = "pxe"
	CD   = "cd"
	USB  = "usb"
)

// Boot says how a machine begins.
type Boot struct {
	Device  string // Disk, PXE, CD or USB
	Media   string // URL of the inserted media, if Device is CD or USB
	MAC     string // of the first NIC
	UUID    string
	Stopped func() // the guest has shut down by itself
}
