package bmclib

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/yunshu/yunshu/models"
)

// fields reads lines of the form "name : value"; of a name that comes again, the first counts.
func fields(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, found := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if _, taken := out[name]; found && !taken {
			out[name] = value
		}
	}
	return out
}

// parseFRU reads who a machine is from what its board's memory says: the product, or the board where there is none.
func parseFRU(text string) models.HardwareIdentity {
	f := fields(text)
	return models.HardwareIdentity{
		Serial: cmp.Or(f["Product Serial"], f["Chassis Serial"], f["Board Serial"]),
		Vendor: cmp.Or(f["Product Manufacturer"], f["Board Mfg"]),
		Model:  cmp.Or(f["Product Name"], f["Board Product"]),
	}
}

// parseGUID reads the UUID; empty if there is none.
func parseGUID(text string) string {
	id, err := uuid.Parse(fields(text)["System GUID"])
	if err != nil || id == uuid.Nil {
		return ""
	}
	return id.String()
}

// units of sensors in ipmitool's words and in ours.
var units = map[string]string{"degrees C": "Cel", "RPM": "RPM", "Watts": "W", "Volts": "V"}

// parseSensors reads lines such as "Inlet Temp,23,degrees C,ok". What gives no reading is left out.
func parseSensors(text string) []models.Sensor {
	var out []models.Sensor
	lines := csv.NewReader(strings.NewReader(text))
	lines.FieldsPerRecord, lines.LazyQuotes = -1, true
	for {
		f, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil || len(f) < 4 {
			continue // a line of another kind
		}
		value, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			continue // no number: no reading
		}
		out = append(out, models.Sensor{Name: f[0], Value: value, Unit: units[f[2]], Health: sensorHealth(f[3])})
	}
}

// sensorHealth is the health in ipmitool's words: non-critical, critical and non-recoverable, from below or above.
func sensorHealth(word string) models.HealthStatus {
	switch strings.TrimLeft(strings.TrimSpace(word), "lu") {
	case "ok":
		return models.HealthOK
	case "nc":
		return models.HealthWarning
	case "cr", "nr":
		return models.HealthCritical
	}
	return models.HealthUnknown
}

// worst is how a machine is by its sensors. Without one nobody knows.
func worst(sensors []models.Sensor) models.HealthStatus {
	order := []models.HealthStatus{models.HealthUnknown, models.HealthOK, models.HealthWarning, models.HealthCritical}
	out := 0
	for _, s := range sensors {
		out = max(out, slices.Index(order, s.Health))
	}
	return order[out]
}

// parseLog reads the lines that bmclib made of ipmitool's: number, time, what, and what of it. They are the oldest first.
func parseLog(lines [][]string) []models.LogEntry {
	var out []models.LogEntry
	for _, l := range slices.Backward(lines) {
		if len(out) == logLines {
			break
		}
		if len(l) < 4 {
			continue
		}
		message := strings.TrimSuffix(strings.TrimSpace(l[2]+": "+l[3]), " : Asserted")
		out = append(out, models.LogEntry{ID: l[0], At: logTime(l[1]), Message: shorten(message)})
	}
	return out
}

// logTime reads the time of a line. A BMC whose clock was never set says none.
func logTime(text string) time.Time {
	text = strings.TrimSuffix(strings.TrimSpace(text), " UTC")
	for _, layout := range []string{"01/02/2006 15:04:05", "01/02/06 15:04:05"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at
		}
	}
	return time.Time{}
}

// parseUser finds a user's number in a list such as "2   admin   true   false   true   ADMINISTRATOR".
func parseUser(list, name string) string {
	lines := bufio.NewScanner(strings.NewReader(list))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) >= 2 && f[1] == name {
			if _, err := strconv.Atoi(f[0]); err == nil {
				return f[0]
			}
		}
	}
	return ""
}
