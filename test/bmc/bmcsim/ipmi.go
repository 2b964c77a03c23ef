package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"

	"github.com/yunshu/yunshu/test/bmc"
	"github.com/yunshu/yunshu/test/bmc/ipmi"
)

// firstIPMI is the number of the first machine with an IPMI BMC, far from those of any fleet.
const firstIPMI = 9000

type ipmiMachines []*ipmi.Machine

func (all ipmiMachines) stop() {
	for _, m := range all {
		m.Stop()
	}
}

// startIPMI also returns those that were started before one could not be.
func startIPMI(ctx context.Context, s settings, runs func(name string, inventory func() bmc.Hardware) bmc.Guest) (ipmiMachines, error) {
	if s.ipmi == 0 {
		return nil, nil
	}
	if s.ipmiDir == "" {
		return nil, errors.New("--ipmi needs --ipmi-dir, a directory that keeps the machines")
	}
	at, err := netip.ParseAddrPort(s.ipmiAt)
	if err != nil {
		return nil, fmt.Errorf("--ipmi-listen must look like 127.21.0.1:9623: %w", err)
	}
	var all ipmiMachines
	for i := range s.ipmi {
		name := bmc.Name(s.Region, firstIPMI+i)
		m, err := ipmi.Start(ctx, ipmi.Options{
			Dir: filepath.Join(s.ipmiDir, name), Name: name, Listen: at.String(), Username: s.Username, Password: s.Password, Hardware: bmc.Machine(s.Region, firstIPMI+i),
			Guest: func(m *ipmi.Machine) bmc.Guest { return runs(m.Name, m.Hardware) },
		})
		if err != nil {
			return all, fmt.Errorf("the IPMI BMC of %s: %w", name, err)
		}
		all = append(all, m)
		if at.Port() != 0 {
			at = netip.AddrPortFrom(at.Addr().Next(), at.Port())
		}
	}
	return all, nil
}

// seen is such a machine as the control endpoint shows it.
type seen struct {
	Name    string      `json:"name"`
	Address string      `json:"address"`
	Serial  string      `json:"serial"`
	UUID    string      `json:"uuid"`
	Vendor  string      `json:"vendor"`
	Model   string      `json:"model"`
	Power   string      `json:"power"`
	Events  []bmc.Event `json:"events"`
}

func (all ipmiMachines) show(w http.ResponseWriter, _ *http.Request) {
	out := []seen{}
	for _, m := range all {
		h, power := m.Hardware(), "Off"
		if m.Power() {
			power = "On"
		}
		out = append(out, seen{Name: m.Name, Address: m.Address(), Serial: h.Serial, UUID: h.UUID, Vendor: h.Vendor, Model: h.Model, Power: power, Events: m.Events()})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // the client may have gone
}
