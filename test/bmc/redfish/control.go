package redfish

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/yunshu/yunshu/test/bmc"
)

// Seen is a machine as the control endpoint shows it.
type Seen struct {
	Index       int               `json:"index"`
	Name        string            `json:"name"`
	URL         string            `json:"url"`
	Fingerprint string            `json:"fingerprint"`
	Serial      string            `json:"serial"`
	UUID        string            `json:"uuid"`
	Vendor      string            `json:"vendor"`
	Model       string            `json:"model"`
	MACs        []string          `json:"macs"`
	Power       string            `json:"power"`
	Lit         bool              `json:"lit"`
	Media       map[string]string `json:"media"`
	Sessions    int               `json:"sessions"`
	Faults      []Fault           `json:"faults"`
	Events      []Event           `json:"events"`
}

// See returns what there is to know of a machine from outside its BMC.
func (m *Machine) See() Seen {
	h := m.Hardware()
	s := Seen{
		Index: m.Index, Name: m.Name, URL: m.URL(), Fingerprint: m.Fingerprint(), Serial: h.Serial, UUID: h.UUID, Vendor: h.Vendor, Model: h.Model, MACs: []string{},
		Power: m.Power(), Lit: m.Lit(), Media: m.Media(), Sessions: m.Sessions(), Faults: m.Faults(), Events: m.Events(),
	}
	for _, n := range h.NICs {
		s.MACs = append(s.MACs, n.MAC)
	}
	return s
}

// Change is what the control endpoint does to a machine; what is empty stays as it is.
type Change struct {
	Health         string             `json:"health,omitempty"`
	Parts          map[string]string  `json:"parts,omitempty"`    // health by serial
	Sensors        map[string]float64 `json:"sensors,omitempty"`  // reading by name
	Firmware       map[string]string  `json:"firmware,omitempty"` // version by name
	Serial         string             `json:"serial,omitempty"`
	UUID           string             `json:"uuid,omitempty"`
	SwapDisk       string             `json:"swap_disk,omitempty"` // name of the disk that another one takes the place of
	AddDIMM        string             `json:"add_dimm,omitempty"`  // slot of a module like the first
	Latency        string             `json:"latency,omitempty"`   // such as 100ms
	IgnoreShutdown *bool              `json:"ignore_shutdown,omitempty"`
	CutPower       bool               `json:"cut_power,omitempty"`
	Certificate    bool               `json:"certificate,omitempty"` // a new one
}

// Do carries a change out.
func (m *Machine) Do(c Change) error {
	for _, health := range append([]string{c.Health}, values(c.Parts)...) {
		if _, ok := severity[health]; !ok && health != "" {
			return fmt.Errorf("%q is no health: take OK, Warning or Critical", health)
		}
	}
	if c.Latency != "" {
		d, err := time.ParseDuration(c.Latency)
		if err != nil {
			return err
		}
		m.SetLatency(d)
	}
	if c.Health != "" {
		m.SetHealth(c.Health)
	}
	for serial, health := range c.Parts {
		m.SetPartHealth(serial, health)
	}
	for name, value := range c.Sensors {
		m.SetSensor(name, value)
	}
	if c.IgnoreShutdown != nil {
		m.IgnoreShutdown(*c.IgnoreShutdown)
	}
	if c.Certificate {
		m.RotateCertificate()
	}
	if c.CutPower {
		m.CutPower()
	}
	return m.doHardware(c)
}

func (m *Machine) doHardware(c Change) error {
	for name, version := range c.Firmware {
		m.SetFirmware(name, version)
	}
	if c.SwapDisk != "" && m.SwapDisk(c.SwapDisk) == "" {
		return fmt.Errorf("%s has no disk %s", m.Name, c.SwapDisk)
	}
	if c.AddDIMM != "" {
		m.AddDIMM(c.AddDIMM)
	}
	if c.Serial == "" && c.UUID == "" {
		return nil
	}
	m.Change(func(h *bmc.Hardware) {
		if c.Serial != "" {
			h.Serial = c.Serial
		}
		if c.UUID != "" {
			h.UUID = c.UUID
		}
	})
	return nil
}

func values(m map[string]string) []string {
	out := []string{}
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

// Control serves what tests and people do behind the BMCs' backs:
//
//	GET    /machines               all, as Seen
//	GET    /machines/{ref}         one
//	PATCH  /machines/{ref}         a Change
//	POST   /machines/{ref}/faults  a Fault
//	DELETE /machines/{ref}/faults  mends all
//	GET    /machines/{ref}/calls   how often each method and path was called
//
// A ref is a name, a serial, a UUID, an address or a number; the word all is every machine.
func (f *Fleet) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /machines", func(w http.ResponseWriter, r *http.Request) { f.show(w, f.Machines) })
	mux.HandleFunc("GET /machines/{ref}", f.on(func(w http.ResponseWriter, _ *http.Request, m []*Machine) { f.show(w, m) }))
	mux.HandleFunc("PATCH /machines/{ref}", f.on(func(w http.ResponseWriter, r *http.Request, on []*Machine) {
		each(w, r, on, func(m *Machine, c Change) error { return m.Do(c) })
	}))
	mux.HandleFunc("POST /machines/{ref}/faults", f.on(func(w http.ResponseWriter, r *http.Request, on []*Machine) {
		each(w, r, on, func(m *Machine, fault Fault) error { return m.Fail(fault) })
	}))
	mux.HandleFunc("DELETE /machines/{ref}/faults", f.on(func(w http.ResponseWriter, _ *http.Request, on []*Machine) {
		var all error
		for _, m := range on {
			all = errors.Join(all, m.Mend())
		}
		finish(w, all)
	}))
	mux.HandleFunc("GET /machines/{ref}/calls", f.on(func(w http.ResponseWriter, _ *http.Request, on []*Machine) {
		all := map[string]int{}
		for _, m := range on {
			for k, n := range m.Calls() {
				all[k] += n
			}
		}
		write(w, all)
	}))
	return mux
}

func (f *Fleet) on(next func(w http.ResponseWriter, r *http.Request, on []*Machine)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ref := r.PathValue("ref")
		if ref == "all" {
			next(w, r, f.Machines)
			return
		}
		m := f.Machine(ref)
		if m == nil {
			http.Error(w, "There is no machine "+ref+" here.", http.StatusNotFound)
			return
		}
		next(w, r, []*Machine{m})
	}
}

func each[T any](w http.ResponseWriter, r *http.Request, on []*Machine, do func(*Machine, T) error) {
	var in T
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, m := range on {
		if err := do(m, in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func finish(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (f *Fleet) show(w http.ResponseWriter, machines []*Machine) {
	out := []Seen{}
	for _, m := range machines {
		out = append(out, m.See())
	}
	write(w, out)
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}
