package main

import (
	"context"
	"time"
)

const (
	sealEvery = 5 * time.Second // how long an event waits for its seal
	keepEvery = time.Hour       // how often partitions are made and removed
	headEvery = time.Hour       // how often the end of the chain is logged, so that it is kept elsewhere too
)

// sealAudit chains what was written to the audit log, away from those who write it. Several gateways may do it at once:
// one seals, the others look again later.
func (g *gatewayProcess) sealAudit(ctx context.Context) {
	var logged time.Time
	failing := false
	for {
		sealed, more, err := g.store.Seal(ctx)
		switch {
		case err != nil && ctx.Err() == nil && !failing:
			g.log.ErrorContext(ctx, "audit log not sealed", "error", err)
		case sealed.Number > 0 && time.Since(logged) > headEvery:
			g.log.InfoContext(ctx, "audit log sealed", "number", sealed.Number, "hash", sealed.Hash.String())
			logged = time.Now()
		}
		failing = err != nil
		if more && err == nil {
			continue
		}
		if !rest(ctx, sealEvery) {
			return
		}
	}
}

// keepAudit makes the audit log's coming partitions and removes those that the owner does not want to keep.
func (g *gatewayProcess) keepAudit(ctx context.Context) {
	for {
		removed, err := g.store.KeepAudit(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			g.log.ErrorContext(ctx, "partitions of the audit log not kept", "error", err)
		case removed > 0:
			g.log.InfoContext(ctx, "old audit events removed", "events", removed)
		}
		if !rest(ctx, keepEvery) {
			return
		}
	}
}

// rest waits; it returns false when ctx ends.
func rest(ctx context.Context, pause time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}
