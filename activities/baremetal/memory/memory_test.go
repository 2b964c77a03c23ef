package memory_test

import (
	"testing"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/activities/baremetal/bmctest"
	"github.com/yunshu/yunshu/activities/baremetal/memory"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

const address = "https://10.0.0.7"

func TestMemory(t *testing.T) {
	t.Parallel()
	bmctest.Exercise(t, func(t *testing.T) bmctest.Fixture { return fixture(models.Redfish) })
}

func TestMemoryWithIPMI(t *testing.T) {
	t.Parallel()
	bmctest.Exercise(t, func(t *testing.T) bmctest.Fixture {
		f := fixture(models.IPMI)
		f.Media, f.Bare = nil, nil
		return f
	})
}

func fixture(protocol models.BMCProtocol) bmctest.Fixture {
	p := memory.New(memory.Options{})
	p.Add(memory.Machine{Address: address, Protocol: protocol, Username: "admin", Password: "correct-horse-7"})
	now := func() memory.Machine {
		m, _ := p.Machine(address)
		return m
	}
	count := func(event string) func() int {
		return func() (n int) {
			for _, e := range now().Events {
				if e == event {
					n++
				}
			}
			return n
		}
	}
	have := now()
	return bmctest.Fixture{
		Provider:  p,
		Target:    baremetal.Target{ID: models.NewID(), Name: "tw-r01-07", Address: address, Username: "admin", Password: "correct-horse-7"},
		Want:      contract.Probed{Protocol: protocol, Fingerprint: have.Fingerprint, Identity: have.Inventory.HardwareIdentity, Console: have.Console},
		Inventory: have.Inventory,

		PowerOns:   count("on"),
		PowerOffs:  count("off"),
		Boot:       func() (models.BootDevice, bool) { return now().Boot, now().Persistent },
		Media:      func() string { return now().Media },
		Lit:        func() bool { return now().Lit },
		PasswordIs: func(password string) bool { return now().Password == password },
		Sessions:   func() int { return now().Sessions },

		Deaf: func() { p.SetFault(address, memory.Deaf) },
		Log: func(line string) {
			p.Change(address, func(m *memory.Machine) {
				m.Health.Log = append([]models.LogEntry{{ID: "2", At: m.Health.Log[0].At, Message: line}}, m.Health.Log...)
			})
		},
		Hang: func() { p.SetFault(address, memory.Dead) },
		Busy: func() { p.SetFault(address, memory.Busy) },
		Gone: func() { p.SetFault(address, memory.Gone) },
		Bare: func() { p.SetFault(address, memory.Bare) },
	}
}
