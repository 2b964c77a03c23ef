package redfish

import (
	"crypto/rand"

	"github.com/yunshu/yunshu/test/bmc"
)

// SetFirmware changes a version, such as that of BIOS or BMC.
func (m *Machine) SetFirmware(name, version string) {
	m.Change(func(h *bmc.Hardware) {
		if name == "BIOS" {
			h.BIOS = version
		}
		for i := range h.Firmware {
			if h.Firmware[i].Name == name {
				h.Firmware[i].Version = version
			}
		}
	})
}

// SwapDisk puts another disk of the same kind in a disk's place and returns its serial; nothing where there is none.
func (m *Machine) SwapDisk(name string) (serial string) {
	m.Change(func(h *bmc.Hardware) {
		for i := range h.Disks {
			if h.Disks[i].Name == name {
				serial = rand.Text()[:12]
				h.Disks[i].Serial = serial
			}
		}
	})
	return serial
}

// AddDIMM puts a memory module like the first into a slot.
func (m *Machine) AddDIMM(slot string) {
	m.Change(func(h *bmc.Hardware) {
		d := h.Memory[0]
		d.Slot, d.Serial = slot, rand.Text()[:12]
		h.Memory = append(h.Memory, d)
	})
}

// SetSerial makes the BMC tell another serial number.
func (m *Machine) SetSerial(serial string) { m.Change(func(h *bmc.Hardware) { h.Serial = serial }) }

// SetUUID makes the BMC tell another UUID.
func (m *Machine) SetUUID(uuid string) { m.Change(func(h *bmc.Hardware) { h.UUID = uuid }) }
