package ipmi

import (
	"fmt"
	"math"
	"strings"

	"github.com/yunshu/yunshu/test/bmc"
)

// sensor is an analog one: its reading is a byte times a factor.
type sensor struct {
	name              string
	kind, unit        byte // of IPMI's tables
	m                 byte // the factor is m × 10^exponent
	exponent          int
	value             float64
	caution, critical float64
	below             bool // the thresholds are lower bounds
}

var sensors = []sensor{
	{name: "Inlet Temp", kind: 1, unit: 1, m: 1, value: 23, caution: 38, critical: 42},
	{name: "CPU1 Temp", kind: 1, unit: 1, m: 1, value: 52, caution: 88, critical: 95},
	{name: "Fan1", kind: 4, unit: 18, m: 100, value: 7200, caution: 1200, critical: 600, below: true},
	{name: "CMOS Battery", kind: 2, unit: 4, m: 2, exponent: -2, value: 3.04, caution: 2.6, critical: 2.4, below: true},
}

func (s sensor) raw(value float64) byte {
	return byte(math.Round(min(255, max(0, value/(float64(s.m)*math.Pow10(s.exponent))))))
}

// write adds the sensor and its record to the simulator's commands.
func (s sensor) write(to *strings.Builder, number int) {
	fmt.Fprintf(to, "sensor_add 0x20 0 %d %d 1\nmain_sdr_add 0x20", number, s.kind)
	for _, b := range s.record(byte(number)) {
		fmt.Fprintf(to, " 0x%02x", b)
	}
	caution, critical, which, events := s.raw(s.caution), s.raw(s.critical), "011000", "000001010000000"
	lower, upper := "0 0 0", fmt.Sprintf("0 %d %d", critical, caution)
	if s.below {
		which, events = "000011", "000000000000101"
		lower, upper = fmt.Sprintf("0 %d %d", critical, caution), "0 0 0"
	}
	fmt.Fprintf(to, "\nsensor_set_value 0x20 0 %d %d 0\nsensor_set_threshold 0x20 0 %d settable %s %s %s\n", number, s.raw(s.value), number, which, upper, lower)
	fmt.Fprintf(to, "sensor_set_event_support 0x20 0 %d enable scanning per-state %s %s %s %s\n", number, events, events, events, events)
}

// record is the sensor's full record (type 01h of the IPMI specification).
func (s sensor) record(number byte) []byte {
	caution, critical := s.raw(s.caution), s.raw(s.critical)
	mask := byte(0x18) // upper critical and upper non-critical
	upper, lower := []byte{0xff, critical, caution}, []byte{0, 0, 0}
	if s.below {
		mask, upper, lower = 0x03, []byte{0xff, 0xff, 0xff}, []byte{0, critical, caution}
	}
	body := []byte{0x20, 0, number, 0x07, 1, 0x7f, 0x68, s.kind, 0x01, 0, 0, 0, 0, mask, mask, 0, s.unit, 0, 0, s.m, 0, 0, 0, 0, byte(s.exponent<<4) & 0xf0, 0, s.raw(s.value), 0xff, 0, 0xff, 0}
	body = append(body, upper...)
	body = append(body, lower...)
	body = append(body, 1, 1, 0, 0, 0, 0xc0|byte(len(s.name)))
	body = append(body, s.name...)
	return append([]byte{0, 0, 0x51, 0x01, byte(len(body))}, body...)
}

// fru is what the machine tells about where it comes from: a board and a product.
func fru(h bmc.Hardware) []byte {
	board := area([]byte{1, 0, 0, 0, 0, 0}, h.Vendor, h.Model, h.Serial, "SIM-BOARD")
	product := area([]byte{1, 0, 0}, h.Vendor, h.Model, "SIM-1", "1.0", h.Serial, "")
	header := []byte{1, 0, 0, 1, byte(1 + len(board)/8), 0, 0, 0}
	header[7] = checksum(header)
	return append(append(header, board...), product...)
}

// area builds one of them: it is as long as a multiple of eight, and sums up to nothing.
func area(begin []byte, fields ...string) []byte {
	out := begin
	for _, f := range fields {
		f = f[:min(len(f), 63)]
		if len(f) == 1 {
			f += " " // a length of one means the end
		}
		out = append(out, 0xc0|byte(len(f)))
		out = append(out, f...)
	}
	out = append(out, 0xc1)
	for len(out)%8 != 7 {
		out = append(out, 0)
	}
	out[1] = byte((len(out) + 1) / 8)
	return append(out, checksum(out))
}

func checksum(of []byte) byte {
	var sum byte
	for _, b := range of {
		sum += b
	}
	return -sum
}
