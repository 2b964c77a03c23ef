package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/drift"
	"github.com/yunshu/yunshu/models"
)

// errRestructures says that a page of observations moves machines between groups, or takes them from placement, so that it
// has to hold the structure alone. Most pages do not.
var errRestructures = errors.New("the observations change the structure")

// RecordObservations compares a page of what a region saw of its machines with what is known of them, and writes down the
// differences and the facts that are taken over. Pages that are recorded at once wait for one another where they are about
// the same machines.
func (s *Store) RecordObservations(ctx context.Context, in contract.RecordObservationsInput) (out contract.ObservationsRecorded, err error) {
	for _, lock := range []string{ShareStructure, holdStructure} {
		err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, lock); err != nil {
				return fmt.Errorf("take the structure lock: %w", err)
			}
			p := &observed{tx: tx, alone: lock == holdStructure, in: in}
			if err := p.record(ctx); err != nil {
				return err
			}
			out = p.out
			return nil
		})
		if !errors.Is(err, errRestructures) {
			break
		}
	}
	if err != nil {
		return contract.ObservationsRecorded{}, fmt.Errorf("record %d observations of region %s: %w", len(in.Observations), in.Region, err)
	}
	return out, nil
}

// observed is a page of observations on its way into the database.
type observed struct {
	tx     pgx.Tx
	alone  bool // it holds the structure
	in     contract.RecordObservationsInput
	out    contract.ObservationsRecorded
	ids    []models.ID // of the machines, as far as they are the region's
	known  map[models.ID]drift.Known
	open   map[models.ID][]openDrift
	drifts []newDrift
	ended  []models.ID
	facts  []newFacts
}

func (p *observed) record(ctx context.Context) error {
	if err := p.read(ctx); err != nil {
		return err
	}
	seen := map[models.ID]bool{}
	for _, o := range p.in.Observations {
		if k, ours := p.known[o.ID]; ours && !seen[o.ID] {
			seen[o.ID] = true
			p.judge(o.ID, k, drift.Compare(k, o))
		}
	}
	if err := p.write(ctx); err != nil {
		return err
	}
	if err := p.settle(ctx); err != nil {
		return err
	}
	return writeRegionAudit(ctx, p.tx, p.in.Region, contract.BaremetalObserved.Name, models.NoID, map[string]any{
		"machines": len(p.in.Observations), "changed": p.out.Changed, "drifts": p.out.Drifts, "closed": p.out.Closed})
}

const (
	lockObserved = `SELECT id FROM baremetals WHERE region = $1 AND id = ANY ($2) ORDER BY id FOR NO KEY UPDATE`

	readObserved = `
SELECT b.id, b.name, b.hardware_uuid, b.serial, b.power, b.health, coalesce(f.inventory, '{}'), coalesce(f.missed, 0),
	EXISTS (SELECT FROM operations o WHERE o.resource_id = b.id AND o.state IN ` + active + `)
FROM baremetals b LEFT JOIN baremetal_facts f ON f.baremetal_id = b.id WHERE b.id = ANY ($1)`

	readOpen = `SELECT id, resource_id, kind, field FROM drifts WHERE resource_id = ANY ($1) AND state <> 'closed'`
)

// openDrift is a difference that has not ended.
type openDrift struct {
	id    models.ID
	kind  models.DriftKind
	field string
}

// read holds the machines, always in the same order, and then reads what is known of them: whoever waited reads what the
// one before has written.
func (p *observed) read(ctx context.Context) error {
	asked := make([]models.ID, len(p.in.Observations))
	for i, o := range p.in.Observations {
		asked[i] = o.ID
	}
	rows, err := p.tx.Query(ctx, lockObserved, p.in.Region, asked)
	if err != nil {
		return fmt.Errorf("hold machines: %w", err)
	}
	if p.ids, err = pgx.CollectRows(rows, pgx.RowTo[models.ID]); err != nil {
		return fmt.Errorf("hold machines: %w", err)
	}
	p.known, p.open = map[models.ID]drift.Known{}, map[models.ID][]openDrift{}
	b := &pgx.Batch{}
	b.Queue(readObserved, p.ids).Query(func(rows pgx.Rows) error {
		var id models.ID
		var k drift.Known
		var inventory []byte
		_, err := pgx.ForEachRow(rows, []any{&id, &k.Name, &k.UUID, &k.Serial, &k.Power, &k.Health, &inventory, &k.Missed, &k.Busy}, func() error {
			k.Inventory = models.Inventory{}
			if err := json.Unmarshal(inventory, &k.Inventory); err != nil {
				return fmt.Errorf("read the inventory of %s: %w", k.Name, err)
			}
			p.known[id] = k
			return nil
		})
		return err
	})
	b.Queue(readOpen, p.ids).Query(func(rows pgx.Rows) error {
		var of models.ID
		var d openDrift
		_, err := pgx.ForEachRow(rows, []any{&d.id, &of, &d.kind, &d.field}, func() error {
			p.open[of] = append(p.open[of], d)
			return nil
		})
		return err
	})
	if err := p.tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("read what is known of machines: %w", err)
	}
	return nil
}

// judge notes what follows from a verdict.
func (p *observed) judge(id models.ID, k drift.Known, v drift.Verdict) {
	lasting := map[openDrift]bool{}
	for _, d := range v.Differences {
		p.drifts = append(p.drifts, newDriftOf(id, k.Name, d))
		lasting[openDrift{kind: d.Kind, field: d.Field}] = d.Lasts
	}
	for _, o := range p.open[id] {
		if judged(v, o.kind) && !lasting[openDrift{kind: o.kind, field: o.field}] {
			p.ended = append(p.ended, o.id)
		}
	}
	f := newFactsOf(id, k, v)
	p.facts = append(p.facts, f)
	if f.Changed {
		p.out.Changed++
	}
}

func judged(v drift.Verdict, kind models.DriftKind) bool {
	for _, k := range v.Judged {
		if k == kind {
			return true
		}
	}
	return false
}

// settle moves machines that the rules want elsewhere now, and keeps new work from those whose health forbids it.
func (p *observed) settle(ctx context.Context) error {
	if p.alone {
		return JoinByRuleIn(ctx, p.tx, p.ids...)
	}
	var unsettled bool
	if err := p.tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM baremetals b LEFT JOIN groups g ON g.id = b.group_id WHERE b.id = ANY ($1)
		AND b.unfit <> (b.health = 'critical' AND coalesce(g.health_policy, 'stop') = 'stop'))`, p.ids).Scan(&unsettled); err != nil {
		return fmt.Errorf("ask whether machines are fit: %w", err)
	}
	if unsettled {
		return errRestructures
	}
	m, err := decideMemberships(ctx, pgxSession{p.tx}, p.in.Region, p.ids)
	if err != nil {
		return err
	}
	if len(m.Moves) > 0 {
		return errRestructures
	}
	return nil
}
