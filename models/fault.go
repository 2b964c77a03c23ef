package models

import (
	"errors"
	"fmt"
	"slices"
)

// Code names a fault. One vocabulary: the problem's code, the Temporal error type and operations.error_code.
type Code string

// Codes of requests that were refused.
const (
	CodeMalformed           Code = "malformed"
	CodeInvalid             Code = "invalid"
	CodeBodyTooLarge        Code = "body_too_large"
	CodeUnsupportedMedia    Code = "unsupported_media_type"
	CodeUnauthenticated     Code = "unauthenticated"
	CodeForbidden           Code = "forbidden"
	CodeNotFound            Code = "not_found"
	CodeSignInDisabled      Code = "sign_in_disabled"
	CodeMethodNotAllowed    Code = "method_not_allowed"
	CodeNameTaken           Code = "name_taken"
	CodeInUse               Code = "in_use"
	CodeSuspended           Code = "tenant_suspended"
	CodeWrongState          Code = "wrong_state"
	CodeOperationInProgress Code = "operation_in_progress"
	CodeQuotaExceeded       Code = "quota_exceeded"
	CodeCapacityExhausted   Code = "capacity_exhausted"
	CodeAddressesExhausted  Code = "addresses_exhausted"
	CodeRegionNotReady      Code = "region_not_ready"
	CodeDuplicateMachine    Code = "duplicate_machine"
	CodeAddressTaken        Code = "address_taken"
	CodePositionTaken       Code = "position_taken"
	CodeNoBMC               Code = "no_bmc"
	CodeKeyReused           Code = "idempotency_key_reused"
	CodePreconditionFailed  Code = "precondition_failed"
	CodeTooManyRequests     Code = "too_many_requests"
	CodeInternal            Code = "internal"
	CodeUnavailable         Code = "unavailable"
)

// Codes of steps that failed in a region.
const (
	CodeUnreachable     Code = "unreachable"
	CodeLoginRefused    Code = "login_refused"
	CodeBusy            Code = "busy"
	CodeTaskFailed      Code = "task_failed"
	CodeInvalidSpec     Code = "invalid_spec"
	CodeTemplateMissing Code = "template_missing"
	CodeHostMissing     Code = "host_missing"
	CodeHostUnusable    Code = "host_unusable"
	CodeNetworkMissing  Code = "network_missing"
	CodeStorageFull     Code = "storage_full"
	CodeMachineMissing  Code = "machine_missing"
	CodeNotOurs         Code = "not_ours"
	CodeNeedsPowerOff   Code = "needs_power_off"
	CodeGuestSilent     Code = "guest_silent"
	CodeNotSupported    Code = "not_supported"

	CodeCertificateMismatch Code = "certificate_mismatch"
	CodeIdentityChanged     Code = "identity_changed"
	CodeInventoryEmpty      Code = "inventory_empty"
	CodePowerStuck          Code = "power_stuck"
	CodeBootSilent          Code = "boot_silent"
	CodeWipeFailed          Code = "wipe_failed"
	CodeUnhealthy           Code = "unhealthy"

	CodeCancelled    Code = "cancelled"
	CodeAborted      Code = "aborted"
	CodeUndoFailed   Code = "undo_failed"
	CodeWorkflowLost Code = "workflow_lost"
)

// CodeInfo says what a code means wherever it shows up.
type CodeInfo struct {
	Code      Code
	Status    int    // HTTP status of a problem with this code; 0 if it only ever ends an operation.
	Title     string // a short constant sentence
	Retryable bool   // a later attempt may succeed without any change to the request
	Meaning   string // what happened, for the documentation
	Remedy    string // what to do, for the documentation
}

// Codes is the whole vocabulary in the order in which docs/errors.md prints it.
var Codes = []CodeInfo{
	{CodeMalformed, 400, "The request cannot be read", false, "The body is not JSON, or not UTF-8.", "Send well-formed JSON; errors says where reading stopped."},
	{CodeInvalid, 422, "The request is not valid", false, "One or more fields are unknown, missing or out of range. Every one is listed under errors.", "Correct each listed field."},
	{CodeBodyTooLarge, 413, "The request body is too large", false, "Bodies are limited to 1 MiB, and those of imports of servers to 8 MiB.", "Send less."},
	{CodeUnsupportedMedia, 415, "The content type is not supported", false, "Only application/json is read.", "Set Content-Type: application/json."},
	{CodeUnauthenticated, 401, "No valid token", false, "The bearer token is missing, unknown, revoked or expired.", "Send Authorization: Bearer with a valid token."},
	{CodeForbidden, 403, "Not allowed", false, "You can see the resource, but none of your roles allows this action on it.", "Ask an admin of the tenant for a role."},
	{CodeNotFound, 404, "Not found", false, "Nothing with this id or name is visible to you.", "Check the id, and which tenant you look at."},
	{CodeSignInDisabled, 404, "Nobody signs in here", false, "The gateway knows no OpenID provider.", "Use a token, or set YUNSHU_OIDC_ISSUER."},
	{CodeMethodNotAllowed, 405, "Method not allowed", false, "The path exists, but not with this method.", "See /docs."},
	{CodeNameTaken, 409, "The name is taken", false, "Another resource of the same kind has this name in the same place.", "Choose another name."},
	{CodeInUse, 409, "Still in use", false, "Something else depends on the resource.", "Remove what the detail names first."},
	{CodeSuspended, 409, "The tenant is suspended", false, "The tenant, or one above it, is suspended: what it has can be read, and nothing can be changed.", "Ask an admin of what is above the tenant to resume it."},
	{CodeWrongState, 409, "Not possible in this state", false, "The state of the resource does not allow the action.", "Wait for, or bring about, a state that does; the detail names them."},
	{CodeOperationInProgress, 409, "Another operation is in progress", true, "A resource has one active operation at a time.", "Wait for the named operation, or cancel it."},
	{CodeQuotaExceeded, 409, "Quota exceeded", true, "The tenant or one of its ancestors has too little quota left. Each shortage says what was asked, what is free, and where.", "Free something, ask for less, or ask for a larger quota."},
	{CodeCapacityExhausted, 409, "No host has room", true, "No hypervisor of the group can take the machine. The reasons are counted.", "Ask for less, use another group, or add hosts."},
	{CodeAddressesExhausted, 409, "No free address", true, "The subnet has no free address left.", "Use another subnet, or release addresses."},
	{CodeRegionNotReady, 409, "The region takes no new work", true, "The region is cordoned, or lacks the capability.", "Use another region, or wait."},
	{CodeDuplicateMachine, 409, "The machine is here already", false, "Another physical server has this serial or hardware UUID; the detail names it and says where it is.", "Operate that one, give it the new address of its BMC, or retire it first."},
	{CodeAddressTaken, 409, "The BMC's address is taken", false, "Another physical server of the region has a BMC at this address.", "Correct the address, or change that server's."},
	{CodePositionTaken, 409, "The position is taken", false, "Another physical server stands in one of these rack units.", "Correct the rack, the unit or the height; or move that server first."},
	{CodeNoBMC, 409, "The server has no BMC", false, "Nobody has said yet how the BMC of this server is reached.", "Give it: PUT /v1/baremetals/{id}/bmc, or yunshu baremetal set-bmc."},
	{CodeKeyReused, 422, "Idempotency key used for another request", false, "The same Idempotency-Key came with a different body or path.", "Use a new key for a new request."},
	{CodePreconditionFailed, 412, "The resource has changed", false, "If-Match does not name the current version.", "Read the resource again and repeat the change."},
	{CodeTooManyRequests, 429, "Too many requests", true, "You sent more than your share.", "Wait as long as Retry-After says."},
	{CodeInternal, 500, "Internal error", true, "We made a mistake. The request id leads to it in the log.", "Report the request id."},
	{CodeUnavailable, 503, "Temporarily unavailable", true, "The database cannot be reached, or the gateway is stopping.", "Try again with the same Idempotency-Key."},

	{CodeUnreachable, 0, "The provider cannot be reached", true, "The vCenter or BMC did not answer.", "Bring it back; the step is tried again by itself, later by resume."},
	{CodeLoginRefused, 0, "The provider refused our login", true, "The worker's credentials were not accepted.", "Correct the worker's credentials, then resume."},
	{CodeBusy, 0, "The provider is busy", true, "Another task holds the machine, or the provider asks to come back later.", "Nothing; the step is tried again."},
	{CodeTaskFailed, 0, "The provider's task failed", false, "The provider accepted the task and then failed it.", "Read the message; the operation was undone."},
	{CodeInvalidSpec, 0, "The provider refused the specification", false, "The provider says that this machine cannot be made.", "Change the request."},
	{CodeTemplateMissing, 0, "The template does not exist", false, "The image has no such template in the region.", "Correct the image."},
	{CodeHostMissing, 0, "The host does not exist", false, "The chosen hypervisor is not in the provider's inventory.", "Import the region again."},
	{CodeHostUnusable, 0, "The host cannot take machines", false, "The hypervisor is disconnected or in maintenance.", "Put it in maintenance here as well, or bring it back."},
	{CodeNetworkMissing, 0, "The network does not exist", false, "The subnet's network is not in the provider's inventory.", "Correct the subnet."},
	{CodeStorageFull, 0, "No datastore has room", false, "No datastore of the host has enough free space.", "Free or add storage."},
	{CodeMachineMissing, 0, "The machine does not exist", false, "The machine was removed behind our back.", "Delete it here, or restore it there."},
	{CodeNotOurs, 0, "The machine is not ours", false, "A machine with the same name or id exists that does not carry our mark.", "Rename or remove the foreign machine."},
	{CodeNeedsPowerOff, 0, "The machine must be off for this", false, "The machine does not allow this change while it runs.", "Power it off first, or allow a restart."},
	{CodeCertificateMismatch, 0, "The certificate is not the pinned one", false, "The BMC shows another certificate than the one that it is known by: it was replaced, or somebody stands in between.", "Find out why; if it was replaced, give its new fingerprint and begin again."},
	{CodeIdentityChanged, 0, "The hardware is another one", false, "The serial or UUID is not what this machine had before, so nothing was recorded.", "Find out which machine answers at this address."},
	{CodeInventoryEmpty, 0, "The BMC shows no hardware", true, "The BMC answered, but named no processors or memory. Some do so while the machine starts.", "Wait until the machine has started, then resume."},
	{CodePowerStuck, 0, "The power did not change", true, "The BMC took the order, but the machine's power did not become what was wanted in time.", "Look at the machine; resume tries again."},
	{CodeBootSilent, 0, "The machine did not report", true, "It was booted into an image that reports to the gateway, and did not in time.", "Look at its console; resume boots it again."},
	{CodeWipeFailed, 0, "A disk could not be wiped", true, "The wipe image reported that a disk is not empty.", "Replace the disk, or resume to wipe again."},
	{CodeUnhealthy, 0, "The hardware is not healthy", true, "The BMC reports a critical fault of the machine.", "Repair it, then resume."},
	{CodeGuestSilent, 0, "The guest did not report its address", false, "The machine runs, but its guest did not report the expected address in time.", "Check the image and its guest tools."},
	{CodeNotSupported, 0, "Not supported by this provider", false, "The provider cannot do this.", "Use another provider."},
	{CodeCancelled, 0, "Cancelled", false, "Someone cancelled the operation; what it had done was undone.", "Nothing."},
	{CodeAborted, 0, "Aborted", false, "Someone gave up on the blocked operation; what it had done was undone.", "Nothing."},
	{CodeUndoFailed, 0, "The undo failed", false, "Something could not be taken back. The operation is blocked until it is.", "Mend what the message names, then resume."},
	{CodeWorkflowLost, 0, "The workflow was lost", false, "The workflow was terminated or timed out; the sweep put things right.", "Start the operation again."},
}

// Info returns what is known of the code; an unknown code is like CodeInternal.
func (c Code) Info() CodeInfo {
	if i := slices.IndexFunc(Codes, func(i CodeInfo) bool { return i.Code == c }); i >= 0 {
		return Codes[i]
	}
	return CodeInternal.Info()
}

// FieldError is one thing that is wrong with a request.
type FieldError struct {
	Field   string `json:"field" doc:"Where: a path from body, query, path or header on." example:"body.placement.policy"`
	Message string `json:"message" doc:"What is wrong there." example:"expected value to be one of \"spread, pack\""`
}

// Shortage says what was asked, what is free, and where.
type Shortage struct {
	Resource string `json:"resource" doc:"What is short." example:"vcpu"` // as in Resources
	Where    string `json:"where" doc:"Where it is short." example:"tenant acme/dev"`
	Limit    *int64 `json:"limit,omitempty" doc:"The limit, of a quota." example:"16"`
	Asked    int64  `json:"asked" doc:"What was asked." example:"8"`
	Free     int64  `json:"free" doc:"What is free." example:"4"`
}

// Reason counts the hosts that could not take a machine for one cause.
type Reason struct {
	Cause string `json:"cause" doc:"Why they could not." example:"too little memory_mib free"`
	Hosts int64  `json:"hosts" doc:"How many hosts." example:"12"`
}

// Fault is an error made for people: a code and a sentence that says what happened, to what, why and what to do.
type Fault struct {
	Code      Code         `json:"code"`
	Message   string       `json:"message"`
	Step      string       `json:"step,omitempty"` // the step of an operation that failed
	Fields    []FieldError `json:"fields,omitempty"`
	Shortages []Shortage   `json:"shortages,omitempty"`
	Reasons   []Reason     `json:"reasons,omitempty"`
	Operation *ID          `json:"operation_id,omitempty"` // the operation in the way
	Missing   string       `json:"missing,omitempty"`      // the right that the actor lacks
	Ways      []Way        `json:"ways,omitempty"`         // what a person may do about a blocked operation

	cause error
}

// Faultf returns a fault with a formatted sentence. An error given to %w is kept as its cause.
func Faultf(code Code, format string, args ...any) *Fault {
	err := fmt.Errorf(format, args...)
	return &Fault{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
}

// Error returns the sentence.
func (f *Fault) Error() string { return f.Message }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.cause }

// Because keeps err as the cause without showing it.
func (f *Fault) Because(err error) *Fault {
	f.cause = err
	return f
}

// AsFault returns the fault in err's chain, or nil.
func AsFault(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return nil
}

// IsCode reports whether err is a fault of one of the codes.
func IsCode(err error, codes ...Code) bool {
	f := AsFault(err)
	return f != nil && slices.Contains(codes, f.Code)
}
