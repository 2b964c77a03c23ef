package models

// Way is what a person may do about a blocked operation.
type Way string

// Ways out of a block. Every block can be tried again and, unless it is an undo that failed, be rolled back.
const (
	WayRetry    Way = "retry"
	WaySkip     Way = "skip"    // leave out the step that failed
	WayHost     Way = "host"    // begin again on another host
	WayImage    Way = "image"   // begin again from another image
	WayAddress  Way = "address" // begin again with another address
	WayRollBack Way = "roll_back"
)

// Changes reports whether the way begins again with a changed input.
func (w Way) Changes() bool { return w == WayHost || w == WayImage || w == WayAddress }

// Mending is which changes of what is asked may mend a fault in the making of a machine.
var Mending = map[Code][]Way{
	CodeTemplateMissing: {WayImage},
	CodeHostMissing:     {WayHost},
	CodeHostUnusable:    {WayHost},
	CodeStorageFull:     {WayHost},
	CodeNetworkMissing:  {WayHost},
	CodeGuestSilent:     {WayAddress, WayImage, WayHost},
}
