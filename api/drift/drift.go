// Package drift compares what is known of a physical server with what was seen of it. It does no I/O.
package drift

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// What happens with a difference.
const (
	Adopt  = "adopt"  // what was seen is what is known from now on
	Report = "report" // a person has to look at it
)

// missesUntilAway is how many looks in a row fail before a machine counts as unreachable: a BMC that is away for a moment
// is no news.
const missesUntilAway = 2

// Known is what is known of a machine.
type Known struct {
	Name      string
	UUID      string
	Serial    string
	Power     models.Power
	Health    models.HealthStatus
	Inventory models.Inventory
	Missed    int  // looks in a row that failed
	Busy      bool // an operation is at work on it, which knows better
}

// Difference is one fact that is not as it was known, or not as it should be.
type Difference struct {
	Kind     models.DriftKind
	Field    string
	Expected any // nil: there was none
	Found    any // nil: there is none
	Message  string
	Policy   string
	Lasts    bool // it is open until it ends; otherwise it is history at once
}

// Verdict is what follows from an observation.
type Verdict struct {
	Differences []Difference
	Judged      []models.DriftKind  // open differences of these kinds that are not among Differences have ended
	Seen        bool                // it answered
	Missed      int                 // looks in a row that failed, this one included
	Power       models.Power        // unknown: as before
	Health      models.HealthStatus // unknown: as before
	Inventory   *models.Inventory   // nil: as before
	Report      *models.Health      // what the BMC said of its health; nil: nothing
	Fault       string              // why nothing was seen
}

// Compare judges an observation.
func Compare(k Known, o contract.Observation) Verdict {
	switch {
	case k.Busy:
		return Verdict{Seen: o.Inspected != nil, Missed: k.Missed}
	case o.Fault != nil:
		return away(k, o.Fault)
	case o.Inspected == nil:
		return Verdict{Missed: k.Missed}
	}
	v := Verdict{Seen: true, Judged: []models.DriftKind{models.DriftUnreachable, models.DriftIdentity}}
	if v.identity(k, o.Inspected.Inventory.HardwareIdentity); v.Differences != nil {
		return v // whatever else it says may be of another machine
	}
	v.Judged = append(v.Judged, models.DriftHealth, models.DriftSensor)
	v.power(k, o.Inspected.Power)
	v.health(k, o.Inspected.Health)
	v.inventory(k, *o.Inspected)
	return v
}

func away(k Known, f *models.Fault) Verdict {
	v := Verdict{Missed: k.Missed + 1, Fault: f.Message}
	if v.Missed >= missesUntilAway {
		v.Differences = []Difference{{Kind: models.DriftUnreachable, Expected: "reachable", Found: f.Code, Policy: Report, Lasts: true,
			Message: fmt.Sprintf("The BMC of %s could not be looked at: %s", k.Name, f.Message)}}
	}
	return v
}

// identity notes that another machine answers. What it did not say, or nobody knew, is no difference, nor is what makers
// write instead of a serial, or a UUID that is known in the spelling of the vCenter.
func (v *Verdict) identity(k Known, found models.HardwareIdentity) {
	uuid := models.UsableUUID(found.UUID)
	if strings.EqualFold(models.SwappedUUID(uuid), k.UUID) {
		uuid = k.UUID
	}
	for _, part := range []struct{ field, known, found string }{{"uuid", k.UUID, uuid}, {"serial", k.Serial, models.UsableSerial(found.Serial)}} {
		if part.known == "" || part.found == "" || strings.EqualFold(part.known, part.found) {
			continue
		}
		v.Differences = append(v.Differences, Difference{Kind: models.DriftIdentity, Field: part.field, Expected: part.known, Found: part.found, Policy: Report, Lasts: true,
			Message: fmt.Sprintf("The BMC of %s says that its machine has the %s %q instead of %q. Nothing else that it said was taken over. Find out whether the machine was exchanged; if so, retire it and enroll the new one.", k.Name, part.field, part.found, part.known)})
	}
}

func (v *Verdict) power(k Known, found models.Power) {
	v.Power = found
	if found == models.PowerUnknown || k.Power == models.PowerUnknown || found == k.Power {
		return
	}
	v.adopt(models.DriftPower, "power", k.Power, found, fmt.Sprintf("%s is %s; it was %s.", k.Name, found, k.Power))
}

// health notes what is not as it should be, as long as it is so.
func (v *Verdict) health(k Known, found models.Health) {
	v.Health, v.Report = found.Status, &found
	if ill(found.Status) {
		v.Differences = append(v.Differences, Difference{Kind: models.DriftHealth, Field: "health", Expected: cmp.Or(k.Health, models.HealthOK), Found: found.Status, Policy: Report, Lasts: true,
			Message: fmt.Sprintf("The health of %s is %s.", k.Name, found.Status)})
	}
	names := numbering{}
	for _, s := range found.Sensors {
		field := names.of("sensors", s.Name, 0)
		if ill(s.Health) {
			v.Differences = append(v.Differences, Difference{Kind: models.DriftSensor, Field: field, Expected: models.HealthOK, Found: s, Policy: Report, Lasts: true,
				Message: strings.TrimSpace(fmt.Sprintf("The sensor %s of %s is %s, at %g %s", s.Name, k.Name, s.Health, s.Value, s.Unit)) + "."})
		}
	}
}

func ill(h models.HealthStatus) bool {
	return h == models.HealthWarning || h == models.HealthCritical
}

func (v *Verdict) adopt(kind models.DriftKind, field string, expected, found any, message string) {
	v.Differences = append(v.Differences, Difference{Kind: kind, Field: field, Expected: expected, Found: found, Policy: Adopt, Message: message})
}
