// Package seal says how audit events are chained by hash, so that the gateway, and anyone with an export of the log,
// compute the same. It is a leaf: it knows neither the database nor HTTP.
//
// A seal lists its events, each with the SHA-256 of everything that it says, and carries the hash of the seal before.
// Whoever changes, removes, adds or swaps an event, or a seal, breaks a hash; only who rewrites every seal up to the
// last one does not, and against that helps a hash of the chain's end that is kept elsewhere.
package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Hash is a SHA-256. As text it is in hexadecimal.
type Hash [sha256.Size]byte

// String is the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes the hash in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads a hash in hexadecimal.
func (h *Hash) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err != nil || len(raw) != len(h) {
		return errors.New("a hash is 64 hexadecimal digits")
	}
	copy(h[:], raw)
	return nil
}

// Event is everything of an audit event that its hash covers. Its JSON is that of an event in the API.
type Event struct {
	ID            uuid.UUID       `json:"id"`
	At            time.Time       `json:"at"`
	ActorID       *uuid.UUID      `json:"actor_id,omitempty"`
	Actor         string          `json:"actor"`
	OnBehalfOf    string          `json:"on_behalf_of,omitempty"`
	RemoteAddress string          `json:"remote_address,omitempty"`
	UserAgent     string          `json:"user_agent,omitempty"`
	RequestID     string          `json:"request_id,omitempty"`
	TraceID       string          `json:"trace_id,omitempty"`
	Action        string          `json:"action"`
	ResourceKind  string          `json:"resource_kind"`
	ResourceID    string          `json:"resource_id,omitempty"`
	ResourceName  string          `json:"resource_name,omitempty"`
	TenantID      *uuid.UUID      `json:"tenant_id,omitempty"`
	OperationID   *uuid.UUID      `json:"operation_id,omitempty"`
	Outcome       string          `json:"outcome"`
	Code          string          `json:"code,omitempty"`
	Before        json.RawMessage `json:"before,omitempty"`
	After         json.RawMessage `json:"after,omitempty"`
}

// Hash is the SHA-256 of the event in its one canonical form: a JSON list of all its fields in the order above, the
// time in microseconds, and objects with their keys sorted. The trace's id, which older events do not have, is last.
func (e Event) Hash() (Hash, error) {
	before, err := canonical(e.Before)
	if err != nil {
		return Hash{}, fmt.Errorf("read what was before event %s: %w", e.ID, err)
	}
	after, err := canonical(e.After)
	if err != nil {
		return Hash{}, fmt.Errorf("read what was after event %s: %w", e.ID, err)
	}
	fields := []any{
		"yunshu-audit-1", e.ID, e.At.UnixMicro(), e.ActorID, e.Actor, e.OnBehalfOf, e.RemoteAddress, e.UserAgent, e.RequestID, e.Action,
		e.ResourceKind, e.ResourceID, e.ResourceName, e.TenantID, e.OperationID, e.Outcome, e.Code, before, after,
	}
	if e.TraceID != "" {
		fields = append(fields, e.TraceID)
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return Hash{}, fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	return sha256.Sum256(raw), nil
}

// canonical decodes JSON so that encoding it again gives one form, whatever the order of keys and the white space were.
func canonical(raw json.RawMessage) (any, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var out any
	return out, d.Decode(&out)
}

// Entry is one event in a seal.
type Entry struct {
	ID   uuid.UUID
	At   time.Time
	Hash Hash
}

// entrySize is the length of an encoded entry: id, microseconds, hash.
const entrySize = 16 + 8 + sha256.Size

// Entries writes entries one behind the other.
func Entries(entries []Entry) []byte {
	out := make([]byte, 0, len(entries)*entrySize)
	for _, e := range entries {
		out = append(out, e.ID[:]...)
		out = binary.BigEndian.AppendUint64(out, uint64(e.At.UnixMicro()))
		out = append(out, e.Hash[:]...)
	}
	return out
}

// ReadEntries reads what Entries wrote.
func ReadEntries(raw []byte) ([]Entry, error) {
	if len(raw)%entrySize != 0 {
		return nil, fmt.Errorf("the entries of a seal are %d bytes long, which is no multiple of %d", len(raw), entrySize)
	}
	out := make([]Entry, 0, len(raw)/entrySize)
	for ; len(raw) > 0; raw = raw[entrySize:] {
		e := Entry{ID: uuid.UUID(raw[:16]), At: time.UnixMicro(int64(binary.BigEndian.Uint64(raw[16:24]))).UTC()}
		copy(e.Hash[:], raw[24:])
		out = append(out, e)
	}
	return out, nil
}

// Seal closes a stretch of the log.
type Seal struct {
	Number   int64     `json:"number"`
	At       time.Time `json:"at"`
	FromTxID int64     `json:"from_txid"` // every event of a transaction from this one on
	ToTxID   int64     `json:"to_txid"`   // and before this one is in the seal
	Entries  []byte    `json:"entries"`
	Previous Hash      `json:"previous"`
	Hash     Hash      `json:"hash"`
}

// Sum is the hash that the seal must have.
func (s Seal) Sum() Hash {
	entries := sha256.Sum256(s.Entries)
	h := sha256.New()
	fmt.Fprintf(h, "yunshu-seal-1 %d %d %d %d\n", s.Number, s.At.UnixMicro(), s.FromTxID, s.ToTxID)
	h.Write(entries[:])
	h.Write(s.Previous[:])
	return Hash(h.Sum(nil))
}
