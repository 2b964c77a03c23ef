package inventory

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// structure is one entry of the SMBIOS table (DSP0134): fixed fields by their offset, and strings counted from 1.
type structure struct {
	kind    byte
	data    []byte
	strings []string
}

func (s structure) byte(at int) byte {
	if at >= len(s.data) {
		return 0
	}
	return s.data[at]
}

func (s structure) word(at int) uint16 {
	if at+2 > len(s.data) {
		return 0
	}
	return binary.LittleEndian.Uint16(s.data[at:])
}

func (s structure) dword(at int) uint32 {
	if at+4 > len(s.data) {
		return 0
	}
	return binary.LittleEndian.Uint32(s.data[at:])
}

// text is the string that a field names; what vendors write when they have nothing to say is nothing.
func (s structure) text(at int) string {
	n := int(s.byte(at))
	if n == 0 || n > len(s.strings) {
		return ""
	}
	value := strings.TrimSpace(s.strings[n-1])
	switch strings.ToLower(strings.TrimRight(value, ".")) {
	case "not specified", "unknown", "none", "n/a", "to be filled by o.e.m", "default string", "no dimm", "not available":
		return ""
	}
	return value
}

// structures takes a table apart. It ends where the table does not go on as it should: tables of real machines are at
// times longer than what is in them.
func structures(table []byte) []structure {
	var all []structure
	for len(table) >= 4 {
		length := int(table[1])
		if length < 4 || length > len(table) {
			break
		}
		s := structure{kind: table[0], data: table[:length]}
		end := bytes.Index(table[length:], []byte{0, 0})
		if end < 0 {
			break
		}
		for _, raw := range bytes.Split(table[length:length+end], []byte{0}) {
			s.strings = append(s.strings, string(raw))
		}
		all = append(all, s)
		if s.kind == 127 { // the end of the table
			break
		}
		table = table[length+end+2:]
	}
	return all
}

// smbios fills in what only the firmware knows, and returns the clock of each populated socket.
func (inv *Inventory) smbios(table []byte) (sockets []int) {
	inv.Memory, inv.Firmware = []Memory{}, []Firmware{}
	for _, s := range structures(table) {
		switch s.kind {
		case 0:
			inv.BIOS = strings.TrimSpace(s.text(0x04) + " " + s.text(0x05))
			inv.Firmware = append(inv.Firmware, Firmware{Name: "BIOS", Version: s.text(0x05)})
		case 1:
			inv.Vendor, inv.Model, inv.Serial = s.text(0x04), s.text(0x05), s.text(0x07)
			inv.UUID = systemUUID(s)
		case 4:
			if s.byte(0x18)&0x40 != 0 { // populated
				sockets = append(sockets, int(s.word(0x16)))
			}
		case 17:
			if m := module(s); m.SizeMiB > 0 {
				inv.Memory = append(inv.Memory, m)
			}
		}
	}
	return sockets
}

// systemUUID turns the first three fields round: since SMBIOS 2.6 they are little-endian, and so do the kernel and
// Redfish print them.
func systemUUID(s structure) string {
	if len(s.data) < 0x18 {
		return ""
	}
	var id uuid.UUID
	copy(id[:], s.data[0x08:0x18])
	if bytes.Count(id[:], []byte{0}) == 16 || bytes.Count(id[:], []byte{0xff}) == 16 {
		return "" // not present, or not set
	}
	id[0], id[1], id[2], id[3] = id[3], id[2], id[1], id[0]
	id[4], id[5] = id[5], id[4]
	id[6], id[7] = id[7], id[6]
	return id.String()
}

var memoryTypes = map[byte]string{
	0x03: "DRAM", 0x07: "RAM", 0x0f: "SDRAM", 0x12: "DDR", 0x13: "DDR2", 0x18: "DDR3", 0x1a: "DDR4", 0x1b: "LPDDR",
	0x1c: "LPDDR2", 0x1d: "LPDDR3", 0x1e: "LPDDR4", 0x1f: "NVDIMM", 0x20: "HBM", 0x21: "HBM2", 0x22: "DDR5", 0x23: "LPDDR5",
	0x24: "HBM3",
}

// module reads a memory device; an empty slot has no size.
func module(s structure) Memory {
	m := Memory{Slot: s.text(0x10), Serial: s.text(0x18), MHz: int(s.word(0x20)), SizeMiB: moduleSize(s)}
	if bank := s.text(0x11); m.Slot == "" && bank != "" {
		m.Slot = bank
	}
	if m.MHz == 0 { // not configured: what it could do
		m.MHz = int(s.word(0x15))
	}
	kind := s.byte(0x12)
	if m.Type = memoryTypes[kind]; m.Type == "" && kind > 2 { // 1 and 2: other and unknown
		m.Type = fmt.Sprintf("type %d", kind)
	}
	return m
}

func moduleSize(s structure) int64 {
	size := s.word(0x0c)
	switch {
	case size == 0xffff: // unknown
		return 0
	case size == 0x7fff: // too large for this field
		return int64(s.dword(0x1c) & 0x7fffffff)
	case size&0x8000 != 0: // in KiB
		return int64(size&0x7fff) >> 10
	}
	return int64(size)
}
