package seal

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Finding is one sign of tampering.
type Finding struct {
	Kind    string    `json:"kind" enum:"event_changed,event_missing,event_added,seal_changed,seal_missing,chain_broken,anchor_missing" doc:"What is wrong." example:"event_changed"`
	Seal    int64     `json:"seal,omitempty" doc:"Number of the seal." example:"42"`
	EventID uuid.UUID `json:"event_id,omitzero" format:"uuid" doc:"The event." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Message string    `json:"message" doc:"What is wrong, as a sentence." example:"The event 0199… says something else than when it was sealed."`
}

// Kinds of findings.
const (
	EventChanged  = "event_changed"
	EventMissing  = "event_missing"
	EventAdded    = "event_added"
	SealChanged   = "seal_changed"
	SealMissing   = "seal_missing"
	ChainBroken   = "chain_broken"
	AnchorMissing = "anchor_missing"
)

// mostFindings bounds the list; a log with more is not to be trusted either.
const mostFindings = 1000

// Verifier walks a chain of seals in their order.
type Verifier struct {
	RemovedBefore time.Time // retention removed the events before it; zero: none
	Anchor        *Hash     // a hash of the chain that was kept elsewhere; nil: none
	Anchored      bool      // it was met

	Head     Hash  // of the last seal
	Number   int64 // of the last seal
	Events   int64 // that are as they were sealed
	Removed  int64 // that retention has removed
	Findings []Finding
}

// Seal checks the next seal against the hashes of the events that there are of it. Partial says that only some of them
// were asked for: what is missing is then no finding.
func (v *Verifier) Seal(s Seal, events map[uuid.UUID]Hash, partial bool) {
	v.link(s)
	entries, err := ReadEntries(s.Entries)
	if err != nil {
		v.find(Finding{Kind: SealChanged, Seal: s.Number, Message: fmt.Sprintf("Seal %d cannot be read: %v.", s.Number, err)})
		return
	}
	sealed := make(map[uuid.UUID]bool, len(entries))
	for _, entry := range entries {
		sealed[entry.ID] = true
		hash, there := events[entry.ID]
		v.compare(s.Number, entry, hash, there, partial)
	}
	for _, id := range sortedBeside(events, sealed) {
		v.find(Finding{Kind: EventAdded, Seal: s.Number, EventID: id, Message: fmt.Sprintf("The event %s was not there when seal %d was made, but pretends to be that old.", id, s.Number)})
	}
}

// sortedBeside lists the events that are not sealed, in the order of their ids.
func sortedBeside(events map[uuid.UUID]Hash, sealed map[uuid.UUID]bool) []uuid.UUID {
	var out []uuid.UUID
	for id := range events {
		if !sealed[id] {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return out
}

// link checks that the seal is whole and follows the one before.
func (v *Verifier) link(s Seal) {
	if s.Sum() != s.Hash {
		v.find(Finding{Kind: SealChanged, Seal: s.Number, Message: fmt.Sprintf("Seal %d was changed: its hash is not that of what it says.", s.Number)})
	}
	switch {
	case s.Number != v.Number+1:
		v.find(Finding{Kind: SealMissing, Seal: v.Number + 1, Message: fmt.Sprintf("Seal %d follows seal %d: what was between them is missing.", s.Number, v.Number)})
	case s.Previous != v.Head:
		v.find(Finding{Kind: ChainBroken, Seal: s.Number, Message: fmt.Sprintf("Seal %d does not follow seal %d as that is now.", s.Number, v.Number)})
	}
	v.Number, v.Head = s.Number, s.Hash
	v.Anchored = v.Anchored || v.Anchor != nil && *v.Anchor == s.Hash
}

func (v *Verifier) compare(number int64, entry Entry, hash Hash, there, partial bool) {
	switch {
	case there && hash == entry.Hash:
		v.Events++
	case there:
		v.find(Finding{Kind: EventChanged, Seal: number, EventID: entry.ID, Message: fmt.Sprintf("The event %s says something else than when seal %d was made.", entry.ID, number)})
	case entry.At.Before(v.RemovedBefore):
		v.Removed++
	case !partial:
		v.find(Finding{Kind: EventMissing, Seal: number, EventID: entry.ID, Message: fmt.Sprintf("The event %s of %s is in seal %d, but no longer in the log.", entry.ID, entry.At.Format(time.RFC3339), number)})
	}
}

// End checks the end of the chain. Number and head are what the log itself says of its end; a number below zero: it
// says nothing.
func (v *Verifier) End(number int64, head Hash) {
	if number >= 0 && (number != v.Number || head != v.Head) {
		v.find(Finding{Kind: SealMissing, Seal: number, Message: fmt.Sprintf("The log's last seal is number %d with hash %s, but the chain ends at number %d.", number, head, v.Number)})
	}
	if v.Anchor != nil && !v.Anchored {
		v.find(Finding{Kind: AnchorMissing, Message: fmt.Sprintf("No seal has the hash %s that was kept: the chain was cut off or written anew.", v.Anchor)})
	}
}

func (v *Verifier) find(f Finding) {
	if len(v.Findings) < mostFindings {
		v.Findings = append(v.Findings, f)
	}
}
