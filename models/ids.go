// Package models says what exists in a private cloud and what may happen to it:
// resources, their ids, their states with the allowed transitions, and faults.
// It is a leaf: it imports nothing of the project.
package models

import (
	"encoding/binary"
	"regexp"
	"time"

	"github.com/google/uuid"
)

// ID identifies any resource. It is a UUIDv7, so ids sort by the time they were made.
type ID = uuid.UUID

// NoID is the zero ID, "none".
var NoID = uuid.Nil

// NewID returns a fresh UUIDv7. It panics only if the system has no randomness left.
func NewID() ID { return uuid.Must(uuid.NewV7()) }

// IDAt is the lowest id that NewID may make at this time, to ask for what is older or younger by its id.
func IDAt(t time.Time) ID {
	var id ID
	binary.BigEndian.PutUint64(id[:8], uint64(max(0, t.UnixMilli()))<<16)
	id[6], id[8] = 0x70, 0x80 // version 7, variant of RFC 9562
	return id
}

// NamePattern is what a name looks like: a DNS label of at most 63 characters.
const NamePattern = `^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`

var nameRE = regexp.MustCompile(NamePattern)

// ValidName reports whether s is a DNS label.
func ValidName(s string) bool { return nameRE.MatchString(s) }
