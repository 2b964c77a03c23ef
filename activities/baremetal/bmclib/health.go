package bmclib

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// How much of the event log is told.
const (
	logLines   = 50  // the newest
	logPages   = 20  // that are looked through for them
	logMessage = 300 // characters of a message
)

type chassis struct {
	Thermal         link `json:"Thermal"`
	Power           link `json:"Power"`
	Sensors         link `json:"Sensors"`
	NetworkAdapters link `json:"NetworkAdapters"`
}

// reading is a sensor in the older documents. Where there is no value there is no reading.
type reading struct {
	Name               string   `json:"Name"`
	ReadingCelsius     *float64 `json:"ReadingCelsius"`
	Reading            *float64 `json:"Reading"`
	ReadingUnits       string   `json:"ReadingUnits"`
	ReadingVolts       *float64 `json:"ReadingVolts"`
	PowerConsumedWatts *float64 `json:"PowerConsumedWatts"`
	Status             state    `json:"Status"`
}

// sensors reads temperatures, fans, voltages and what the machine draws, of all its boxes.
func (r *redfish) sensors(ctx context.Context, s system, out *contract.Inspected) error {
	boxes, err := r.boxes(ctx, s)
	if err != nil {
		return err
	}
	for _, box := range boxes {
		if box.Thermal.Path == "" && box.Power.Path == "" {
			err = r.newSensors(ctx, box, out)
		} else {
			err = r.oldSensors(ctx, box, out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// oldSensors reads the two documents that most BMCs have.
func (r *redfish) oldSensors(ctx context.Context, box chassis, out *contract.Inspected) error {
	type readings struct {
		Temperatures []reading `json:"Temperatures"`
		Fans         []reading `json:"Fans"`
		Voltages     []reading `json:"Voltages"`
		PowerControl []reading `json:"PowerControl"`
	}
	for _, path := range []string{box.Thermal.Path, box.Power.Path} {
		if path == "" {
			continue
		}
		all, err := get[readings](ctx, r, path)
		if status(err) == 404 {
			continue
		}
		if err != nil {
			return err
		}
		for _, list := range [][]reading{all.Temperatures, all.Fans, all.Voltages, all.PowerControl} {
			for _, one := range list {
				out.Health.Sensors = one.append(out.Health.Sensors)
			}
		}
	}
	return nil
}

// append adds the reading, if there is one.
func (r reading) append(to []models.Sensor) []models.Sensor {
	if r.Status.State == "Absent" || r.Status.State == "Disabled" {
		return to
	}
	for _, of := range []struct {
		value *float64
		unit  string
	}{{r.ReadingCelsius, "Cel"}, {r.ReadingVolts, "V"}, {r.PowerConsumedWatts, "W"}, {r.Reading, r.ReadingUnits}} {
		if of.value != nil {
			return append(to, models.Sensor{Name: r.Name, Value: *of.value, Unit: strings.TrimPrefix(of.unit, "Percent"), Health: health(r.Status.Health)})
		}
	}
	return to
}

// newSensors reads the sensors one by one, as the newest BMCs have them.
func (r *redfish) newSensors(ctx context.Context, box chassis, out *contract.Inspected) error {
	all, err := members[reading](ctx, r, box.Sensors.Path)
	for _, one := range all {
		out.Health.Sensors = one.append(out.Health.Sensors)
	}
	return err
}

type entry struct {
	ID        string `json:"Id"`
	Created   string `json:"Created"`
	Severity  string `json:"Severity"`
	Message   string `json:"Message"`
	EntryType string `json:"EntryType"`
}

// log reads the newest lines of the system event log, the newest first.
func (r *redfish) log(ctx context.Context, s system, out *contract.Inspected) error {
	path, err := r.sel(ctx, s)
	if err != nil {
		return err
	}
	var all []models.LogEntry
	for range logPages {
		if path == "" {
			break
		}
		page, err := get[struct {
			Members []json.RawMessage `json:"Members"`
			Next    string            `json:"Members@odata.nextLink"`
		}](ctx, r, path)
		if err != nil {
			return err
		}
		for _, raw := range page.Members {
			var e entry
			if err := json.Unmarshal(raw, &e); err != nil {
				return err
			}
			if e.ID != "" {
				all = append(all, e.line())
			}
		}
		path = page.Next
	}
	slices.SortStableFunc(all, newestFirst)
	out.Health.Log = all[:min(len(all), logLines)]
	return nil
}

// newestFirst orders lines by time, and those of one moment by their number.
func newestFirst(a, b models.LogEntry) int {
	if order := b.At.Compare(a.At); order != 0 {
		return order
	}
	first, err1 := strconv.Atoi(a.ID)
	second, err2 := strconv.Atoi(b.ID)
	if err1 != nil || err2 != nil {
		return cmp.Compare(b.ID, a.ID)
	}
	return cmp.Compare(second, first)
}

func (e entry) line() models.LogEntry {
	at, err := time.Parse(time.RFC3339, e.Created)
	if err != nil {
		at = time.Time{} // a BMC whose clock was never set says no time
	}
	return models.LogEntry{ID: e.ID, At: at.UTC(), Health: health(e.Severity), Message: shorten(e.Message)}
}

// shorten keeps the beginning of a message.
func shorten(message string) string {
	message = strings.Join(strings.Fields(message), " ")
	if runes := []rune(message); len(runes) > logMessage {
		return string(runes[:logMessage])
	}
	return message
}

// sel finds the entries of the system event log, in the machine or in its BMC; empty if there is none.
func (r *redfish) sel(ctx context.Context, s system) (string, error) {
	type service struct {
		ID      string `json:"Id"`
		Kind    string `json:"LogEntryType"`
		Entries link   `json:"Entries"`
	}
	m, err := r.manager(ctx, s)
	if err != nil {
		return "", err
	}
	first := ""
	for _, l := range []link{s.LogServices, m.LogServices} {
		all, err := members[service](ctx, r, l.Path)
		if err != nil {
			return "", err
		}
		for _, one := range all {
			if one.Kind == "SEL" || strings.EqualFold(one.ID, "sel") {
				return one.Entries.Path, nil
			}
			first = cmp.Or(first, one.Entries.Path)
		}
	}
	return first, nil
}
