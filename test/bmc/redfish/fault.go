package redfish

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// What can be wrong with a BMC.
const (
	WrongPassword = "wrong-password" // no login is good; sessions that are there already go on
	Unavailable   = "unavailable"    // 503
	Hang          = "hang"           // the call is accepted and never answered
	HalfReply     = "half-reply"     // the answer declares more than it holds, and ends
	ResetMidway   = "reset"          // the connection is reset before the answer
	Dead          = "dead"           // nobody listens
	Refuse        = "refuse"         // 400, as for an action that the BMC does not know
)

var kinds = []string{WrongPassword, Unavailable, Hang, HalfReply, ResetMidway, Dead, Refuse}

// Fault is something wrong with a BMC. A zero field asks for no more than the others do; of a Dead one only For counts.
type Fault struct {
	Kind string `json:"kind"`
	// Method and Path choose the calls, such as POST and */Actions/ComputerSystem.Reset: a * stands for anything.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	// Action chooses the calls of an action: its name, such as ComputerSystem.Reset, or the way of a reset, such as ForceOff.
	Action string `json:"action,omitempty"`
	Skip   int    `json:"skip,omitempty"`  // how many such calls are let through first
	Times  int    `json:"times,omitempty"` // how many calls meet it; 0: all
	// After makes the call take effect and only the answer be lost; of Hang, Unavailable and ResetMidway.
	After bool          `json:"after,omitempty"`
	For   time.Duration `json:"for,omitempty"` // how long; 0: until Mend
}

// MarshalJSON writes the duration as people do: 5s.
func (f Fault) MarshalJSON() ([]byte, error) {
	type plain Fault
	d := ""
	if f.For > 0 {
		d = f.For.String()
	}
	return json.Marshal(struct {
		plain
		For string `json:"for,omitempty"`
	}{plain(f), d})
}

// UnmarshalJSON reads it, and knows no other field.
func (f *Fault) UnmarshalJSON(raw []byte) error {
	type plain Fault
	in := struct {
		plain
		For string `json:"for"`
	}{}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return err
	}
	*f = Fault(in.plain)
	if in.For == "" {
		return nil
	}
	var err error
	f.For, err = time.ParseDuration(in.For)
	return err
}

type faults struct {
	mu       sync.Mutex
	all      []*Fault
	triggers []trigger
	mend     chan struct{} // closed when what hangs shall end
}

// trigger is something to do when a call comes.
type trigger struct {
	method, pattern string
	do              func()
}

// Before does something once, when the next call of a method to a path that a pattern fits has come and is not answered
// yet: tell another serial number, pull a cable, kill whoever asks. A * stands for anything.
func (m *Machine) Before(method, pattern string, do func()) {
	m.faults.mu.Lock()
	defer m.faults.mu.Unlock()
	m.faults.triggers = append(m.faults.triggers, trigger{method, pattern, do})
}

// fire does what was to be done before this call.
func (fs *faults) fire(r *http.Request) {
	fs.mu.Lock()
	var now []trigger
	fs.triggers = slices.DeleteFunc(fs.triggers, func(t trigger) bool {
		fits := t.method == r.Method && glob(t.pattern, r.URL.Path)
		if fits {
			now = append(now, t)
		}
		return fits
	})
	fs.mu.Unlock()
	for _, t := range now {
		t.do()
	}
}

// Fail switches a fault on.
func (m *Machine) Fail(f Fault) error {
	if !slices.Contains(kinds, f.Kind) {
		return fmt.Errorf("%q is no fault: take one of %s", f.Kind, strings.Join(kinds, ", "))
	}
	added := &f
	m.faults.mu.Lock()
	m.faults.all = append(m.faults.all, added)
	m.faults.mu.Unlock()
	if f.Kind == Dead {
		m.unplug()
	}
	if f.For > 0 {
		time.AfterFunc(f.For, func() { _ = m.forget(func(g *Fault) bool { return g == added }) }) // the address was ours
	}
	return nil
}

// Mend makes the BMC well: no faults, and nothing hangs.
func (m *Machine) Mend() error {
	m.faults.mu.Lock()
	if m.faults.mend != nil {
		close(m.faults.mend)
		m.faults.mend = nil
	}
	m.faults.mu.Unlock()
	return m.forget(func(*Fault) bool { return true })
}

func (m *Machine) forget(which func(*Fault) bool) error {
	m.faults.mu.Lock()
	m.faults.all = slices.DeleteFunc(m.faults.all, which)
	dead := slices.ContainsFunc(m.faults.all, func(f *Fault) bool { return f.Kind == Dead })
	m.faults.mu.Unlock()
	if dead {
		return nil
	}
	return m.plug()
}

// Faults returns what is wrong now.
func (m *Machine) Faults() []Fault {
	m.faults.mu.Lock()
	defer m.faults.mu.Unlock()
	out := []Fault{}
	for _, f := range m.faults.all {
		out = append(out, *f)
	}
	return out
}

// meet returns the fault that a call meets, and uses it up.
func (fs *faults) meet(r *http.Request, body []byte) *Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for i, f := range fs.all {
		if !f.matches(r, body) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times == 1 {
			fs.all = slices.Delete(fs.all, i, i+1)
		}
		f.Times = max(f.Times-1, 0)
		met := *f
		return &met
	}
	return nil
}

func (f *Fault) matches(r *http.Request, body []byte) bool {
	if f.Method != "" && !strings.EqualFold(f.Method, r.Method) {
		return false
	}
	if f.Path != "" && !glob(f.Path, r.URL.Path) {
		return false
	}
	if f.Action != "" && !f.isAction(r, body) {
		return false
	}
	return f.Kind != WrongPassword || logsIn(r)
}

func (f *Fault) isAction(r *http.Request, body []byte) bool {
	_, name, ok := strings.Cut(r.URL.Path, "/Actions/")
	if !ok {
		return false
	}
	var in struct{ ResetType string }
	return name == f.Action || json.Unmarshal(body, &in) == nil && in.ResetType == f.Action
}

// logsIn tells the calls that bring a password with them.
func logsIn(r *http.Request) bool {
	_, _, basic := r.BasicAuth()
	return basic || r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, sessionsPath)
}

// glob is path.Match with a * that also stands for slashes.
func glob(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	rest, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// mended is closed when everything that hangs shall end.
func (fs *faults) mended() <-chan struct{} {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.mend == nil {
		fs.mend = make(chan struct{})
	}
	return fs.mend
}
