package models

import (
	"slices"
	"strings"

	"github.com/google/uuid"
)

// What makers write where they forgot to write an identity. In lower case.
var (
	emptySerials = []string{
		"", "none", "n/a", "na", "null", "unknown", "not specified", "not available", "not applicable", "empty", "default string", "system serial number",
		"serial number", "chassis serial number", "to be filled by o.e.m.", "to be filled by o.e.m", "o.e.m.", "oem", "0123456789", "123456789",
		"1234567890", "0123456789abcdef", "invalid", "default",
	}
	emptyUUIDs = []string{
		"03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009", "03020100-0504-0706-0809-0a0b0c0d0e0f",
		"00010203-0405-0607-0809-0a0b0c0d0e0f", "12345678-1234-5678-90ab-cddeefaabbcc", "12345678-1234-1234-1234-123456789abc", "fefefefe-fefe-fefe-fefe-fefefefefefe",
	}
)

// UsableSerial is a maker's serial without what surrounds it, or nothing where it is what makers write instead of one.
func UsableSerial(s string) string {
	s = strings.TrimSpace(s)
	low := strings.ToLower(s)
	if slices.Contains(emptySerials, low) || strings.Trim(low, low[:1]+" -._") == "" {
		return ""
	}
	return s
}

// UsableUUID is a hardware UUID in lower case, or nothing where it is what makers write instead of one.
func UsableUUID(s string) string {
	id, err := uuid.Parse(strings.TrimSpace(s))
	if err != nil {
		return ""
	}
	text := id.String()
	if digits := strings.ReplaceAll(text, "-", ""); slices.Contains(emptyUUIDs, text) || strings.Trim(digits, digits[:1]) == "" {
		return ""
	}
	return text
}

// SwappedUUID is the other spelling of a hardware UUID: SMBIOS keeps the first three parts with their bytes the other way
// round, and not everybody who reads them turns them.
func SwappedUUID(s string) string {
	id, err := uuid.Parse(s)
	if err != nil {
		return s
	}
	slices.Reverse(id[0:4])
	slices.Reverse(id[4:6])
	slices.Reverse(id[6:8])
	return id.String()
}
