package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/models"
)

// BMCAccess is how a BMC is reached, as people give it.
type BMCAccess struct {
	Address     string `json:"address" minLength:"1" maxLength:"300" doc:"https://HOST[:PORT] for Redfish, ipmi://HOST[:PORT] for IPMI, or HOST[:PORT] for whichever answers." example:"https://10.0.0.7"`
	Username    string `json:"username" minLength:"1" maxLength:"63" doc:"An account of the BMC that may do everything." example:"root"`
	Password    string `json:"password" minLength:"1" maxLength:"255" writeOnly:"true" format:"password" doc:"Its password. It is kept sealed, and no answer ever has it." example:"calvin-2026"`
	Fingerprint string `json:"fingerprint,omitempty" maxLength:"95" doc:"SHA-256 of the BMC's certificate in hexadecimal. Without it, the certificate that it shows first is believed from then on." example:"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
}

var fingerprint = regexp.MustCompile(`^[0-9a-f]{64}$`)

// plain is a fingerprint as it is kept: lower case, without the colons that some tools write.
func (b BMCAccess) plain() string {
	return strings.ToLower(strings.ReplaceAll(b.Fingerprint, ":", ""))
}

// wrong lists what a schema cannot find.
func (b BMCAccess) wrong(at string) []models.FieldError {
	var out []models.FieldError
	_, protocol, err := models.ParseBMCAddress(b.Address)
	if b.Address != "" && err != nil { // the schema refuses an empty one
		out = append(out, models.FieldError{Field: at + ".address", Message: err.Error()})
	}
	if protocol == models.IPMI && len(b.Password) > longestIPMIPassword {
		out = append(out, models.FieldError{Field: at + ".password", Message: fmt.Sprintf("must be at most %d bytes: IPMI knows no longer ones", longestIPMIPassword)})
	}
	if b.Fingerprint != "" && !fingerprint.MatchString(b.plain()) {
		out = append(out, models.FieldError{Field: at + ".fingerprint", Message: "must be 64 hexadecimal digits"})
	}
	return out
}

// EnrolledBMC is how the BMC of a new server is reached, and what shall happen to its password.
type EnrolledBMC struct {
	BMCAccess
	RotatePassword bool `json:"rotate_password,omitempty" doc:"Replace the password by a generated one as soon as the server is known." example:"true"`
}

// NewBaremetal is a physical server to bring in.
type NewBaremetal struct {
	Name       string            `json:"name,omitempty" maxLength:"253" pattern:"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$" patternDescription:"lower-case letters, digits, dots and dashes" doc:"Name, unique in its region. Without one it is made from the id." example:"bm-tw-12"`
	Rack       string            `json:"rack,omitempty" maxLength:"255" doc:"Rack in which it stands, by name or id." example:"r0"`
	RackUnit   int               `json:"rack_unit,omitempty" minimum:"1" maximum:"60" doc:"The lowest unit that it takes, counted from the bottom." example:"12"`
	RackHeight int               `json:"rack_height,omitempty" minimum:"1" maximum:"20" doc:"How many units it takes; 1 if absent." example:"2"`
	Group      string            `json:"group,omitempty" maxLength:"255" doc:"Group that it shall belong to, by name or id." example:"general"`
	Labels     map[string]string `json:"labels,omitempty" doc:"What people note about it, and rules ask about." example:"{\"owner\": \"storage\"}"`
	Serial     string            `json:"serial,omitempty" maxLength:"100" doc:"The maker's serial, if it is known. The server is refused if its BMC says another." example:"CN7016"`
	MAC        string            `json:"mac,omitempty" maxLength:"17" doc:"Of the interface that it boots from, for a BMC that does not list it, such as one that speaks IPMI alone." example:"b0:7b:25:00:00:01"`
	BMC        EnrolledBMC       `json:"bmc" doc:"How its BMC is reached."`
}

var label = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_./]{0,61}[A-Za-z0-9])?$`)

const (
	longestIPMIPassword = 20

	mostLabels   = 64
	longestLabel = 255
)

// wrongLabels lists labels that are not sane.
func wrongLabels(at string, labels map[string]string) []models.FieldError {
	var out []models.FieldError
	if len(labels) > mostLabels {
		out = append(out, models.FieldError{Field: at, Message: fmt.Sprintf("must be at most %d", mostLabels)})
	}
	for name, value := range labels {
		if !label.MatchString(name) || len(value) > longestLabel {
			out = append(out, models.FieldError{Field: at, Message: fmt.Sprintf("must have names of at most 63 letters, digits and -_./ between two letters or digits, and values of at most %d bytes", longestLabel)})
			break
		}
	}
	return out
}

func (b NewBaremetal) wrong(at string) []models.FieldError {
	out := append(b.BMC.wrong(at+".bmc"), wrongLabels(at+".labels", b.Labels)...)
	if b.Serial != "" && models.UsableSerial(b.Serial) == "" {
		out = append(out, models.FieldError{Field: at + ".serial", Message: "is what makers write where there is no serial"})
	}
	if _, err := net.ParseMAC(b.MAC); b.MAC != "" && (err != nil || len(b.MAC) != 17) {
		out = append(out, models.FieldError{Field: at + ".mac", Message: "must look like b0:7b:25:00:00:01"})
	}
	if b.RackUnit > 0 && b.Rack == "" {
		out = append(out, models.FieldError{Field: at + ".rack_unit", Message: "needs a rack"})
	}
	return out
}

// details are what a schema cannot find, as huma wants it.
func details(wrong []models.FieldError) []error {
	var out []error
	for _, w := range wrong {
		out = append(out, &huma.ErrorDetail{Location: w.Field, Message: w.Message})
	}
	return out
}

// newcomer is the server as package accept wants it.
func (b NewBaremetal) newcomer(at string) accept.Newcomer {
	address, protocol, _ := models.ParseBMCAddress(b.BMC.Address) // wrong has looked at it
	return accept.Newcomer{
		At: at, Name: b.Name, Rack: b.Rack, Unit: b.RackUnit, Height: max(1, b.RackHeight), Group: b.Group, Labels: b.Labels, Serial: models.UsableSerial(b.Serial), MAC: strings.ToLower(strings.ReplaceAll(b.MAC, "-", ":")),
		Address: address, Protocol: protocol, Username: b.BMC.Username, Password: b.BMC.Password, Fingerprint: b.BMC.plain(), Rotate: b.BMC.RotatePassword,
	}
}

type createBaremetalInput struct {
	Idempotent
	DryRun
	Preference
	Body struct {
		Region string `json:"region" minLength:"1" maxLength:"63" doc:"Where it stands." example:"tw"`
		NewBaremetal
	}
}

// Resolve finds what a schema cannot.
func (in *createBaremetalInput) Resolve(huma.Context) []error { return details(in.Body.wrong("body")) }

type importBaremetalsInput struct {
	Idempotent
	DryRun
	Body struct {
		Region   string         `json:"region" minLength:"1" maxLength:"63" doc:"Where they stand." example:"tw"`
		Machines []NewBaremetal `json:"machines" minItems:"1" maxItems:"10000" doc:"The servers."`
	}
}

func machineAt(i int) string { return fmt.Sprintf("body.machines[%d]", i) }

// BaremetalImport says what became of a list of servers.
type BaremetalImport struct {
	Accepted   int                 `json:"accepted" doc:"How many servers come in; of a dry run, how many would." example:"2"`
	Operations []EnrolledBaremetal `json:"operations" doc:"What brings each in, in the order of the list; none of a dry run."`
}

// EnrolledBaremetal is a server that comes in.
type EnrolledBaremetal struct {
	ID          models.ID `json:"id" format:"uuid" doc:"Id of the operation." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Name        string    `json:"name" doc:"Name of the server." example:"bm-tw-12"`
	BaremetalID models.ID `json:"baremetal_id" format:"uuid" doc:"Id of the server." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
}

// BaremetalImportOutput answers an import.
type BaremetalImportOutput struct {
	Status int
	Body   BaremetalImport
}

func (a *API) registerEnrolment(h huma.API) {
	register(h, endpoint{ID: "create-baremetal", Method: http.MethodPost, Path: "/v1/baremetals", Action: "baremetal.enroll", Status: http.StatusAccepted, Summary: "Enrol a physical server",
		Description: "Brings a server in by its BMC: it is reached, recognised, read, and then available. With dry_run it answers 200 with the server as it would be recorded, and changes nothing."}, a.createBaremetal)
	register(h, endpoint{ID: "import-baremetals", Method: http.MethodPost, Path: "/v1/baremetal-imports", Action: "baremetal.enroll", Status: http.StatusAccepted, Summary: "Enrol many physical servers",
		Description: "Brings up to 10,000 servers into one region, all or none: the whole list is checked before anything starts, and everything that is wrong with it is answered at once. The body may have 8 MiB."}, a.importBaremetals)
	register(h, endpoint{ID: "set-bmc", Method: http.MethodPut, Path: "/v1/baremetals/{id}/bmc", Action: "baremetal.update", Summary: "Say how a server's BMC is reached",
		Description: "Gives a server its BMC, or replaces how that is reached: also of a hypervisor that was imported, and while an operation on the server is blocked, which then goes on by resume."}, a.setBMC)
}

// CreateBaremetalOutput is an operation, or the server of a dry run.
type CreateBaremetalOutput struct {
	Status            int
	Location          string `header:"Location" doc:"Path of the operation."`
	PreferenceApplied string `header:"Preference-Applied" doc:"The preference that was honoured."`
	ETag              string `header:"ETag" doc:"Version of the operation."`
	Body              any    `doc:"An Operation, or with dry_run a Baremetal."`
}

func (a *API) createBaremetal(ctx context.Context, in *createBaremetalInput) (*CreateBaremetalOutput, error) {
	e := accept.Enrolment{Request: intent(ctx), Region: in.Body.Region, Keys: a.store.Keys, Machines: []accept.Newcomer{in.Body.newcomer("body")}}
	if in.DryRun.DryRun {
		rows, err := a.accept.CheckBaremetals(ctx, e)
		if err != nil {
			return nil, err
		}
		rows[0].CreatedAt = time.Now().Truncate(time.Microsecond)
		rows[0].UpdatedAt, rows[0].Version = rows[0].CreatedAt, 1
		return &CreateBaremetalOutput{Status: http.StatusOK, Body: baremetal(rows[0])}, nil
	}
	done, err := a.accept.EnrollBaremetal(ctx, e)
	out, err := a.accepted(ctx, done, err, in.Preference)
	if err != nil {
		return nil, err
	}
	return &CreateBaremetalOutput{Status: out.Status, Location: out.Location, PreferenceApplied: out.PreferenceApplied, ETag: out.ETag, Body: out.Body}, nil
}

func (a *API) importBaremetals(ctx context.Context, in *importBaremetalsInput) (*BaremetalImportOutput, error) {
	e := accept.Enrolment{Request: intent(ctx), Region: in.Body.Region, Keys: a.store.Keys, Machines: make([]accept.Newcomer, len(in.Body.Machines))}
	for i, m := range in.Body.Machines {
		// What is wrong in itself is said together with what does not fit what is there, so that a list is corrected once.
		e.Wrong = append(e.Wrong, m.wrong(machineAt(i))...)
		e.Machines[i] = m.newcomer(machineAt(i))
	}
	if in.DryRun.DryRun {
		rows, err := a.accept.CheckBaremetals(ctx, e)
		return &BaremetalImportOutput{Status: http.StatusOK, Body: BaremetalImport{Accepted: len(rows), Operations: []EnrolledBaremetal{}}}, err
	}
	done, err := a.accept.ImportBaremetals(ctx, e)
	if err != nil {
		return nil, err
	}
	out := BaremetalImport{Accepted: len(done), Operations: make([]EnrolledBaremetal, len(done))}
	for i, one := range done {
		out.Operations[i] = EnrolledBaremetal(one)
	}
	return &BaremetalImportOutput{Status: http.StatusAccepted, Body: out}, nil
}
