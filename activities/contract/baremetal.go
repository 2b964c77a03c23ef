package contract

import (
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/vault"
)

// BMQueue is the task queue of a region's baremetal activities.
func BMQueue(region string) string { return "bm." + region }

// Workflows on physical servers.
var (
	// BaremetalEnroll takes a machine in by its BMC.
	BaremetalEnroll = Workflow[BaremetalEnrollInput]{"baremetal.enroll"}
	// BaremetalPower brings a machine's power to where it is wanted.
	BaremetalPower = Workflow[BaremetalPowerInput]{"baremetal.power"}
	// BaremetalBoot sets what a machine boots from.
	BaremetalBoot = Workflow[BaremetalBootInput]{"baremetal.boot"}
	// BaremetalMedia puts an image into a machine's virtual drive, or takes it out.
	BaremetalMedia = Workflow[BaremetalMediaInput]{"baremetal.media"}
	// BaremetalLocate lights a machine's identify LED, or turns it off.
	BaremetalLocate = Workflow[BaremetalLocateInput]{"baremetal.locate"}
	// BaremetalInspect reads a machine's identity, hardware and health anew. It is also how a machine returns to service.
	BaremetalInspect = Workflow[BaremetalInspectInput]{"baremetal.inspect"}
	// BaremetalDiscover boots the discovery image and records what it reports.
	BaremetalDiscover = Workflow[BaremetalDiscoverInput]{"baremetal.discover"}
	// BaremetalRotate replaces the BMC's password by a generated one.
	BaremetalRotate = Workflow[BaremetalRotateInput]{"baremetal.rotate"}
	// BaremetalJoin makes a machine a hypervisor: it is linked to its host in the region's vCenter.
	BaremetalJoin = Workflow[BaremetalJoinInput]{"baremetal.join"}
	// BaremetalLease provisions a machine for a tenant.
	BaremetalLease = Workflow[BaremetalLeaseInput]{"baremetal.lease"}
	// BaremetalRelease takes a machine back from its tenant, wiped.
	BaremetalRelease = Workflow[BaremetalReleaseInput]{"baremetal.release"}
	// BaremetalRetire takes a machine out for good.
	BaremetalRetire = Workflow[BaremetalRetireInput]{"baremetal.retire"}
	// BaremetalWatch looks at all machines of a region. A schedule starts it.
	BaremetalWatch = Workflow[BaremetalWatchInput]{"baremetal.watch"}
)

// BaremetalEnrollInput is a machine to take in. How its BMC is reached is in the database, by the machine's id.
type BaremetalEnrollInput struct {
	Operation
	Rotate bool `json:"rotate,omitempty"` // replace the BMC's password by a generated one
}

// BaremetalPowerInput is a change of a machine's power.
type BaremetalPowerInput struct {
	Operation
	Action BMPower `json:"action"`
}

// BMPower is what shall happen to a machine's power.
type BMPower string

// Changes of a machine's power. Each is a state to reach, so that it may be tried again: a reset is off, then on.
const (
	BMPowerOn  BMPower = "on"
	BMPowerOff BMPower = "off"      // at once
	BMShutdown BMPower = "shutdown" // asks the operating system, and leaves it on where that does not listen
	BMReset    BMPower = "reset"    // off at once, then on
)

// BaremetalBootInput is what a machine shall boot from.
type BaremetalBootInput struct {
	Operation
	Device     models.BootDevice `json:"device"`
	Persistent bool              `json:"persistent,omitempty"` // for good; otherwise once
}

// BaremetalMediaInput is an image for a machine's virtual drive.
type BaremetalMediaInput struct {
	Operation
	URL string `json:"url,omitempty"` // empty: take out what is in it
}

// BaremetalLocateInput is what the identify LED shall do.
type BaremetalLocateInput struct {
	Operation
	On bool `json:"on"`
}

// BaremetalInspectInput is a machine to look at.
type BaremetalInspectInput struct {
	Operation
	Return bool `json:"return,omitempty"` // to service: refused while its health is critical
}

// BaremetalDiscoverInput is a machine to boot into the discovery image.
type BaremetalDiscoverInput struct {
	Operation
	Boot Boot `json:"boot"`
}

// BaremetalRotateInput is a machine whose BMC gets another password.
type BaremetalRotateInput struct {
	Operation
}

// BaremetalJoinInput is a machine to make a hypervisor.
type BaremetalJoinInput struct {
	Operation
	UUID string `json:"uuid"` // of the hardware, as vCenter knows it too
}

// BaremetalLeaseInput is a machine to provision for a tenant.
type BaremetalLeaseInput struct {
	Operation
	Boot Boot `json:"boot"`
}

// BaremetalReleaseInput is a machine to take back.
type BaremetalReleaseInput struct {
	Operation
	Boot Boot `json:"boot,omitzero"` // the wipe image; none: the disks stay as they are
}

// BaremetalRetireInput is a machine to take out.
type BaremetalRetireInput struct {
	Operation
	From models.BaremetalState `json:"from"` // to which it returns if that is cancelled
	BMC  bool                  `json:"bmc"`  // it has one, whose power is turned off
}

// BaremetalWatchInput says where to look.
type BaremetalWatchInput struct {
	Region string    `json:"region"`
	After  models.ID `json:"after,omitzero"` // the last machine that an earlier run of the same round has looked at
}

// Boot is an image to boot a machine into.
type Boot struct {
	Purpose models.BootPurpose `json:"purpose,omitempty"`
	Image   string             `json:"image,omitempty"` // its name, for people
	Media   string             `json:"media,omitempty"` // address of an ISO for the virtual drive; empty: it boots from the network
	// Hostname is what the machine shall be called, as the image is told.
	Hostname string `json:"hostname,omitempty"`
}

// BMC is how to reach a machine's BMC.
type BMC struct {
	ID          models.ID          `json:"id"` // of the baremetal
	Name        string             `json:"name"`
	Address     string             `json:"address"`               // host, host:port or URL
	Protocol    models.BMCProtocol `json:"protocol,omitempty"`    // empty: find out
	Fingerprint string             `json:"fingerprint,omitempty"` // SHA-256 of its certificate, in hexadecimal; empty: whatever it shows
	Username    string             `json:"username"`
	Password    vault.Sealed       `json:"password"` // sealed with the payload keys for SealedFor(ID): Temporal shows no password even to who may decrypt payloads
}

// SealedFor is what a BMC's password is bound to.
func SealedFor(baremetal models.ID) string { return "bmc/" + baremetal.String() }

// Probed is what a BMC said at the first contact.
type Probed struct {
	Protocol    models.BMCProtocol      `json:"protocol"`
	Fingerprint string                  `json:"fingerprint,omitempty"`
	Identity    models.HardwareIdentity `json:"identity"`
	Console     string                  `json:"console,omitempty"` // where its console is to be had
}

// Inspected is everything that a BMC said of its machine.
type Inspected struct {
	Inventory models.Inventory `json:"inventory"`
	Power     models.Power     `json:"power"`
	Health    models.Health    `json:"health"`
	Inside    bool             `json:"inside,omitempty"` // an image that the machine booted has looked as well
}

// BMPowerInput is a state of a machine's power.
type BMPowerInput struct {
	BMC  BMC  `json:"bmc"`
	On   bool `json:"on"`
	Soft bool `json:"soft,omitempty"` // ask the operating system, and give up with power_stuck
}

// BMPowered is what the power is.
type BMPowered struct {
	Power models.Power `json:"power"`
}

// BMBootInput is what a machine shall boot from.
type BMBootInput struct {
	BMC        BMC               `json:"bmc"`
	Device     models.BootDevice `json:"device"`
	Persistent bool              `json:"persistent,omitempty"`
}

// BMMediaInput is an image for the virtual drive.
type BMMediaInput struct {
	BMC BMC    `json:"bmc"`
	URL string `json:"url,omitempty"` // empty: take it out
}

// BMLocateInput is what the identify LED shall do.
type BMLocateInput struct {
	BMC BMC  `json:"bmc"`
	On  bool `json:"on"`
}

// BMPasswordInput is another password of the BMC's account. If the BMC has it already, that is success.
type BMPasswordInput struct {
	BMC BMC          `json:"bmc"`
	New vault.Sealed `json:"new"` // sealed like the one in BMC
}

// ObserveInput is a page of machines to look at.
type ObserveInput struct {
	BMCs []BMC `json:"bmcs"`
}

// Observation is what was seen of one machine.
type Observation struct {
	ID        models.ID     `json:"id"`
	Fault     *models.Fault `json:"fault,omitempty"` // why nothing was seen
	Inspected *Inspected    `json:"inspected,omitempty"`
}

// ObservePage is what was seen of a page of machines.
type ObservePage struct {
	Observations []Observation `json:"observations"`
}

// Activities of a region's BMCs, on BMQueue.
var (
	BMProbe       = Activity[BMC, Probed]{"bm.probe", quick}
	BMInspect     = Activity[BMC, Inspected]{"bm.inspect", bmcTask}
	BMSetPower    = Activity[BMPowerInput, BMPowered]{"bm.set-power", bmcTask}
	BMSetBoot     = Activity[BMBootInput, None]{"bm.set-boot", bmcChange}
	BMMedia       = Activity[BMMediaInput, None]{"bm.media", bmcChange}
	BMLocate      = Activity[BMLocateInput, None]{"bm.locate", bmcChange}
	BMSetPassword = Activity[BMPasswordInput, None]{"bm.set-password", bmcChange}
	BMObserve     = Activity[ObserveInput, ObservePage]{"bm.observe", task}
)

// BaremetalFacts is what a workflow tells of a physical server. What is empty stays as it is.
type BaremetalFacts struct {
	State       models.BaremetalState `json:"state,omitempty"` // gone releases everything and removes the row
	Role        string                `json:"role,omitempty"`  // spare ends a lease and gives its quota back
	Probed      *Probed               `json:"probed,omitempty"`
	Inspected   *Inspected            `json:"inspected,omitempty"`
	Power       models.Power          `json:"power,omitempty"`
	Host        *Hypervisor           `json:"host,omitempty"`        // in vCenter, of a machine that became a hypervisor
	EndService  string                `json:"end_service,omitempty"` // why nobody may use it: it is failed
	Serviceable bool                  `json:"serviceable,omitempty"` // ends its maintenance and failure marks
}

// AccessInput asks for a BMC's access. It is audited.
type AccessInput struct {
	OperationID models.ID `json:"operation_id"`
	BaremetalID models.ID `json:"baremetal_id"`
}

// AccessPageInput asks for the access to a page of a region's BMCs. It is audited.
type AccessPageInput struct {
	Region string    `json:"region"`
	After  models.ID `json:"after,omitzero"`
	Limit  int       `json:"limit"`
}

// AccessPage is a page of BMCs.
type AccessPage struct {
	BMCs []BMC     `json:"bmcs"`
	Next models.ID `json:"next,omitzero"` // zero: that was the last page
}

// ClaimInput is what a machine says that it is.
type ClaimInput struct {
	OperationID models.ID `json:"operation_id"`
	BaremetalID models.ID `json:"baremetal_id"`
	Probed      Probed    `json:"probed"`
}

// Staged is a password that was generated and kept beside the present one.
type Staged struct {
	Password vault.Sealed `json:"password"`
	Fresh    bool         `json:"fresh,omitempty"` // it was generated just now, so that no BMC can have it yet
	// Replaced says that the operation has committed another one already: what the BMC has now is known here alone.
	Replaced bool `json:"replaced,omitempty"`
}

// RecordObservationsInput is what a region saw.
type RecordObservationsInput struct {
	Region       string        `json:"region"`
	Observations []Observation `json:"observations"`
}

// ObservationsRecorded says what came of it.
type ObservationsRecorded struct {
	Changed int `json:"changed"` // machines whose facts changed
	Drifts  int `json:"drifts"`  // opened
	Closed  int `json:"closed"`
}

// BootExpectInput makes the gateway ready for a report of a machine that is about to boot.
type BootExpectInput struct {
	OperationID models.ID `json:"operation_id"`
	BaremetalID models.ID `json:"baremetal_id"`
	Boot        Boot      `json:"boot"`
}

// BootRef names an expected boot.
type BootRef struct {
	OperationID models.ID `json:"operation_id"`
	BaremetalID models.ID `json:"baremetal_id"`
}

// BootReport is what a booted image reported.
type BootReport struct {
	Reported  bool              `json:"reported"`        // false: not yet
	Begun     bool              `json:"begun,omitempty"` // the machine has asked what to boot
	Inventory *models.Inventory `json:"inventory,omitempty"`
	Wiped     []models.Wiped    `json:"wiped,omitempty"`
	Error     string            `json:"error,omitempty"`
}

// Activities of the gateway about physical servers.
var (
	BMCAccess         = Activity[AccessInput, BMC]{"bmc.access", report}
	BMCAccessPage     = Activity[AccessPageInput, AccessPage]{"bmc.access-page", report}
	BMCStagePassword  = Activity[AccessInput, Staged]{"bmc.stage-password", report} // repeated, it returns the same one
	BMCCommitPassword = Activity[AccessInput, None]{"bmc.commit-password", commit}  // the staged one is the present one
	BMCDropPassword   = Activity[AccessInput, None]{"bmc.drop-password", report}    // the present one stays
	BaremetalClaim    = Activity[ClaimInput, None]{"baremetal.claim", report}       // duplicate_machine or identity_changed
	BaremetalObserved = Activity[RecordObservationsInput, ObservationsRecorded]{"baremetal.observed", report}
	BootExpect        = Activity[BootExpectInput, None]{"boot.expect", report} // makes what was reported before stale
	BootAwait         = Activity[BootRef, BootReport]{"boot.await", longPoll}  // waits a while
	BootClose         = Activity[BootRef, None]{"boot.close", report}
)
