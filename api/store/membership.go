package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/rules"
	"github.com/yunshu/yunshu/models"
)

// Memberships is what the rules of a region's groups decided about machines. Who was put into a group by a person is not
// asked about.
type Memberships struct {
	groups  []ruled
	Moves   []Move     // that were made
	Staying []Move     // that the rules want, and that are not made because the machine is in use
	Matched []Conflict // machines that several rules match
}

// Move is a machine that goes from one group to another. Without a group: none.
type Move struct {
	Machine  models.ID
	From, To *models.ID
}

// Conflict is a machine that the rules of several groups match. It belongs to the first of them by name.
type Conflict struct {
	Machine models.ID
	Groups  []string
}

// ruled is a group with a rule.
type ruled struct {
	id   models.ID
	name string
	rule *rules.Rule
}

// Groups of a region with rules, those with the smallest name first: they win.
const ruledGroups = `SELECT id::text, name, rule FROM groups WHERE region = $1 AND rule <> '' ORDER BY name COLLATE "C"`

func readRules(ctx context.Context, on session, region string) (out []ruled, err error) {
	err = on.query(ctx, ruledGroups, []any{region}, func(scan func(...any) error) error {
		var id, source string
		var g ruled
		if err := scan(&id, &g.name, &source); err != nil {
			return err
		}
		if g.rule, err = rules.Compile(source); err != nil {
			return fmt.Errorf("understand the rule of group %s: %w", g.name, err)
		}
		g.id = uuid.MustParse(id) // the database wrote it
		out = append(out, g)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the rules of region %s: %w", region, err)
	}
	return out, nil
}

// decideMemberships asks the rules of a region about its machines, or about some of them.
func decideMemberships(ctx context.Context, on session, region string, ids []models.ID) (Memberships, error) {
	groups, err := readRules(ctx, on, region)
	if err != nil {
		return Memberships{}, err
	}
	batches, err := readAlike(ctx, on, groups, region, ids)
	if err != nil {
		return Memberships{}, fmt.Errorf("read the machines of region %s: %w", region, err)
	}
	out := Memberships{groups: groups}
	for _, b := range batches {
		for i, d := range b.decisions {
			out.note(b.sets[i], d)
		}
	}
	return out, nil
}

// note writes down what was decided about machines.
func (m *Memberships) note(set alike, d rules.Decision) {
	var to *models.ID
	if d.First >= 0 {
		to = &m.groups[d.First].id
	}
	if d.More != nil {
		names := []string{m.groups[d.First].name}
		for _, g := range d.More {
			names = append(names, m.groups[g].name)
		}
		for _, id := range set.ids {
			m.Matched = append(m.Matched, Conflict{id, names})
		}
	}
	if same(set.group, to) {
		return
	}
	for _, id := range set.ids {
		m.Moves = append(m.Moves, Move{id, set.group, to})
	}
}

// write moves machines, except those that are in use: these wait. The caller holds the structure.
func (m *Memberships) write(ctx context.Context, on session, region string, ids []models.ID) error {
	moved := map[models.ID]Move{}
	machines, groups := make(IDs, len(m.Moves)), make([]string, len(m.Moves))
	for i, move := range m.Moves {
		machines[i], groups[i] = move.Machine, "NULL"
		if move.To != nil {
			groups[i] = move.To.String()
		}
		moved[move.Machine] = move
	}
	condition, args := some(ids, idsText(machines), "{"+strings.Join(groups, ",")+"}", region)
	err := on.query(ctx, fmt.Sprintf(makeMoves, condition), args, func(scan func(...any) error) error {
		var id string
		if err := scan(&id); err != nil {
			return err
		}
		stays := moved[uuid.MustParse(id)]
		m.Staying = append(m.Staying, stays)
		delete(moved, stays.Machine)
		return nil
	})
	if err != nil {
		return fmt.Errorf("move machines between groups: %w", err)
	}
	if len(m.Staying) > 0 {
		made := m.Moves[:0]
		for _, move := range m.Moves {
			if _, yes := moved[move.Machine]; yes {
				made = append(made, move)
			}
		}
		m.Moves = made
	}
	return nil
}

// A machine that carries VMs, or is leased, belongs where it is: quotas and placement count on it. One that carries VMs may
// join a group, but not leave one; one that is leased counts where it was when it was leased, even if that is nowhere.
const makeMoves = `
WITH wanted AS (SELECT * FROM unnest($1::text::uuid[], $2::text::uuid[]) w (id, group_id)),
busy AS (
	SELECT w.* FROM wanted w JOIN baremetals b ON b.id = w.id
	WHERE b.tenant_id IS NOT NULL OR b.group_id IS NOT NULL AND EXISTS (SELECT FROM vms v WHERE v.baremetal_id = b.id)),
moved AS (
	UPDATE baremetals b SET group_id = w.group_id, group_by_rule = w.group_id IS NOT NULL, version = b.version + 1, updated_at = now(),
		unfit = b.health = 'critical' AND coalesce(w.health_policy, 'stop') = 'stop'
	FROM (SELECT wanted.*, g.health_policy FROM wanted LEFT JOIN groups g ON g.id = wanted.group_id) w WHERE b.id = w.id AND w.id NOT IN (SELECT id FROM busy)),
arrived AS (
	DELETE FROM group_waits g USING baremetals b
	WHERE b.id = g.baremetal_id AND b.region = $3%s AND b.id NOT IN (SELECT id FROM busy)),
waits AS (
	INSERT INTO group_waits SELECT id, group_id FROM busy
	ON CONFLICT (baremetal_id) DO UPDATE SET group_id = excluded.group_id)
SELECT id::text FROM busy`

// What placement has to know of machines: of those that moved, where they are; of those whose facts changed, also whether
// they are fit for it.
const (
	settleMoved   = `SELECT refresh_hypervisors($1::text::uuid[])`
	settleChanged = `SELECT refresh_hypervisors($1::text::uuid[]) FROM (SELECT count(*) FROM refresh_fitness($1::text::uuid[])) f`
)

// joinByRule decides, writes and tells placement.
func joinByRule(ctx context.Context, on session, region string, ids []models.ID) (Memberships, error) {
	m, err := decideMemberships(ctx, on, region, ids)
	if err != nil {
		return m, err
	}
	if err := m.write(ctx, on, region, ids); err != nil {
		return m, err
	}
	settle, changed := settleMoved, make([]models.ID, len(m.Moves))
	for i, move := range m.Moves {
		changed[i] = move.Machine
	}
	if len(ids) > 0 {
		settle, changed = settleChanged, ids
	}
	if len(changed) == 0 {
		return m, nil
	}
	if err := on.exec(ctx, settle, idsText(changed)); err != nil {
		return m, fmt.Errorf("tell placement of moved machines: %w", err)
	}
	return m, nil
}

// JoinRegionByRule asks the rules of a region about all of its machines, and moves them. The caller holds the structure.
func JoinRegionByRule(tx *gorm.DB, region string) (Memberships, error) {
	return joinByRule(tx.Statement.Context, gormSession{tx}, region, nil)
}

// JoinByRule asks the rules about machines whose facts have changed, moves them, and settles whether their health keeps
// them from new work. The caller holds the structure.
func JoinByRule(tx *gorm.DB, machines ...models.ID) error {
	return joinEach(tx.Statement.Context, gormSession{tx}, machines)
}

// JoinByRuleIn is JoinByRule within a transaction of pgx.
func JoinByRuleIn(ctx context.Context, tx pgx.Tx, machines ...models.ID) error {
	return joinEach(ctx, pgxSession{tx}, machines)
}

// settleMember tells placement of a machine that a person has changed. Whoever they put into a group stays there, whatever
// the rules say; whoever they took out of one is the rules' to decide about. The caller holds the structure.
func settleMember(tx *gorm.DB, was Baremetal, group *models.ID) error {
	byRule := was.GroupByRule && same(was.GroupID, group)
	if err := tx.Exec("UPDATE baremetals SET group_by_rule = ? WHERE id = ? AND group_by_rule <> ?", byRule, was.ID, byRule).Error; err != nil {
		return err
	}
	if err := settleMembers(tx, "id", was.ID); err != nil {
		return err
	}
	return JoinByRule(tx, was.ID)
}

// JoinByRule does it in a transaction of its own, which holds the structure.
func (s *Store) JoinByRule(ctx context.Context, machines ...models.ID) error {
	return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, holdStructure); err != nil {
			return fmt.Errorf("take the structure lock: %w", err)
		}
		return JoinByRuleIn(ctx, tx, machines...)
	})
}

func joinEach(ctx context.Context, on session, machines []models.ID) error {
	if len(machines) == 0 {
		return nil
	}
	var regions []string
	err := on.query(ctx, "SELECT DISTINCT region FROM baremetals WHERE id = ANY ($1::text::uuid[])", []any{idsText(machines)}, func(scan func(...any) error) error {
		regions = append(regions, "")
		return scan(&regions[len(regions)-1])
	})
	if err != nil {
		return fmt.Errorf("find the regions of machines: %w", err)
	}
	for _, region := range regions {
		_, failed := joinByRule(ctx, on, region, machines)
		err = errors.Join(err, failed)
	}
	return err
}
