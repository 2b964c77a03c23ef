package redfish

import (
	"strconv"
	"time"
)

// room is how many entries the event log holds; then the oldest make room.
const room = 256

// entry is one line of the system event log.
type entry struct {
	ID       int       `json:"id"`
	At       time.Time `json:"at"`
	Severity string    `json:"severity"` // OK, Warning or Critical
	Message  string    `json:"message"`
}

// record writes to the event log, under the lock.
func (m *Machine) record(severity, message string) {
	m.logged++
	m.log = append(m.log, entry{ID: m.logged, At: time.Now().UTC().Truncate(time.Second), Severity: severity, Message: message})
	if len(m.log) > room {
		m.log = append([]entry{}, m.log[len(m.log)-room:]...)
	}
}

// Log writes an entry to the machine's system event log; the severity is OK, Warning or Critical.
func (m *Machine) Log(severity, message string) {
	m.mu.Lock()
	m.record(severity, message)
	m.mu.Unlock()
	m.changed()
}

func (m *Machine) selPath() string { return m.ids.managerPath() + "/LogServices/" + m.ids.sel }

func (m *Machine) entryDoc(e entry) doc {
	id := strconv.Itoa(e.ID)
	return doc{
		"@odata.id": m.selPath() + "/Entries/" + id, "@odata.type": "#LogEntry.v1_16_0.LogEntry", "Id": id, "Name": "Log Entry " + id, "Description": "System event log entry",
		"EntryType": "SEL", "Severity": e.Severity, "Created": e.At.Format(time.RFC3339), "Message": e.Message, "MessageId": "SEL.1.0.Event", "SensorType": "System Event",
	}
}
