package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/seal"
)

// verifiedAtOnce bounds how many events one call looks at; the caller goes on where it ended.
const verifiedAtOnce = 50_000

// Verification is what the chain of seals says of the audit log.
type Verification struct {
	Seals         int64
	Events        int64     // that are as they were sealed
	Removed       int64     // that retention has removed
	RemovedBefore time.Time // zero: nothing was
	Unsealed      int64     // that are too young to be sealed
	Number        int64     // of the last seal looked at
	Head          seal.Hash // its hash: keep it elsewhere
	Complete      bool      // this was the end of the chain
	Findings      []seal.Finding
}

const (
	sealedEvents = `SELECT ` + auditColumns + ` FROM audit_events WHERE txid >= $1 AND txid < $2`

	chainEnd = `SELECT c.number, c.hash, (SELECT count(*) FROM audit_events WHERE txid >= c.txid), (SELECT max(before) FROM audit_removals),
	EXISTS (SELECT FROM audit_seals WHERE hash = $1) FROM audit_chain c`
)

// Verify compares the log with its seals, from the one after a number on. Anchor is a hash of the chain that was kept
// elsewhere; nil: none.
func (s *Store) Verify(ctx context.Context, after int64, anchor *seal.Hash) (Verification, error) {
	var out Verification
	one := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, s.Pool, one, func(tx pgx.Tx) error {
		var err error
		out, err = verify(ctx, tx, after, anchor)
		return err
	})
	if err != nil {
		return Verification{}, fmt.Errorf("verify the audit log: %w", err)
	}
	return out, nil
}

func verify(ctx context.Context, tx pgx.Tx, after int64, anchor *seal.Hash) (Verification, error) {
	var out Verification
	v := seal.Verifier{Number: after, Anchor: anchor}
	last, head, err := out.readEnd(ctx, tx, &v)
	if err != nil {
		return out, err
	}
	if after > 0 {
		before, err := sealsAfter(ctx, tx, after-1, after, 1)
		if err != nil {
			return out, err
		}
		if len(before) == 0 {
			return out, models.Faultf(models.CodeNotFound, "There is no seal %d to begin after.", after)
		}
		v.Head = before[0].Hash
	}
	looked := int64(0)
	for looked < verifiedAtOnce {
		next, err := sealsAfter(ctx, tx, v.Number, math.MaxInt64, 16)
		if err != nil {
			return out, err
		}
		for _, s := range next {
			hashes, err := eventHashes(ctx, tx, s.FromTxID, s.ToTxID)
			if err != nil {
				return out, err
			}
			v.Seal(s.Seal, hashes, false)
			out.Seals++
			looked += s.Events
		}
		if out.Complete = len(next) < 16; out.Complete {
			v.End(last, head)
			break
		}
	}
	out.Events, out.Removed, out.Number, out.Head, out.Findings = v.Events, v.Removed, v.Number, v.Head, v.Findings
	return out, nil
}

// readEnd reads what the log says of its own end, and of what was removed from its beginning.
func (out *Verification) readEnd(ctx context.Context, tx pgx.Tx, v *seal.Verifier) (last int64, head seal.Hash, err error) {
	var hash, anchor []byte
	var removed *time.Time
	if v.Anchor != nil {
		anchor = v.Anchor[:]
	}
	err = tx.QueryRow(ctx, chainEnd, anchor).Scan(&last, &hash, &out.Unsealed, &removed, &v.Anchored)
	if errors.Is(err, pgx.ErrNoRows) {
		last, err = 0, nil // somebody removed even that; the chain ends somewhere else, then
	}
	if err != nil {
		return 0, head, fmt.Errorf("read the end of the chain: %w", err)
	}
	if removed != nil {
		v.RemovedBefore, out.RemovedBefore = removed.UTC(), removed.UTC()
	}
	copy(head[:], hash)
	return last, head, nil
}

// eventHashes hashes the events of a stretch of transactions.
func eventHashes(ctx context.Context, tx pgx.Tx, from, to int64) (map[models.ID]seal.Hash, error) {
	events, err := auditRows[models.AuditEvent](ctx, tx, sealedEvents, from, to)
	if err != nil {
		return nil, err
	}
	out := make(map[models.ID]seal.Hash, len(events))
	for _, e := range events {
		if out[e.ID], err = Sealable(e).Hash(); err != nil {
			return nil, err
		}
	}
	return out, nil
}
