package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/yunshu/yunshu/api/rules"
	"github.com/yunshu/yunshu/models"
)

// alike are machines that no rule can tell apart, and that are in one group.
type alike struct {
	ids   []models.ID
	group *models.ID
}

// Rules decide about machines that are in no group, or came into theirs by a rule. Machines that the rules cannot tell
// apart are asked about once.
const alikeMachines = `
SELECT coalesce(group_id::text, ''), string_agg(uuid_send(id), ''::bytea)%s FROM (
	SELECT b.id, b.group_id%s FROM baremetals b%s
	WHERE b.region = $1 AND (b.group_by_rule OR b.group_id IS NULL)%s) m
GROUP BY group_id%s`

// roomToGather lets a whole region be gathered in memory: with rules that tell all of its machines apart, the usual
// room would be sorted on disk.
const roomToGather = `SET LOCAL work_mem = '256MB'`

// some narrows a statement to machines, where it is about some of them; their ids are its last argument.
func some(ids []models.ID, args ...any) (condition string, _ []any) {
	if ids == nil {
		return "", args
	}
	return fmt.Sprintf(" AND b.id = ANY ($%d::text::uuid[])", len(args)+1), append(args, idsText(ids))
}

// batch is some sets of machines, each with what it is made of, and what was decided about it.
type batch struct {
	machines  []rules.Machine
	sets      []alike
	decisions []rules.Decision
}

const batchSize = 2000

// readAlike reads the machines, and decides about a batch of them while the next one is read.
func readAlike(ctx context.Context, on session, groups []ruled, region string, ids []models.ID) (batches []*batch, err error) {
	if ids == nil {
		if err := on.exec(ctx, roomToGather); err != nil {
			return nil, fmt.Errorf("take memory for a whole region: %w", err)
		}
	}
	facts := factsOf(groups)
	condition, args := some(ids, region)
	sql, width := alikeQuery(facts, condition)
	columns := make([]string, width)
	var group string
	var members []byte
	into := []any{&group, &members}
	for i := range columns {
		into = append(into, &columns[i])
	}
	asked := make([]*rules.Rule, len(groups))
	for i, g := range groups {
		asked[i] = g.rule
	}
	var all sync.WaitGroup
	defer all.Wait()
	var b *batch
	decide := func() {
		if b != nil {
			done := b
			all.Go(func() { done.decisions = rules.Decide(asked, done.machines) })
		}
	}
	err = on.query(ctx, sql, args, func(scan func(...any) error) error {
		if err := scan(into...); err != nil {
			return err
		}
		if b == nil || len(b.sets) == batchSize {
			decide()
			b = &batch{}
			batches = append(batches, b)
		}
		b.machines = append(b.machines, machineOf(facts, columns))
		b.sets = append(b.sets, alikeIn(group, members))
		return nil
	})
	decide()
	return batches, err
}

// machineOf is the machine of a row, as far as rules ask.
func machineOf(facts []machineFact, columns []string) (m rules.Machine) {
	for _, f := range facts {
		f.set(&m, columns)
		columns = columns[len(f.columns):]
	}
	return m
}

// alikeIn reads the machines of a set, and the group that they are in.
func alikeIn(group string, members []byte) alike {
	set := alike{ids: make([]models.ID, len(members)/len(models.ID{}))}
	for i := range set.ids {
		copy(set.ids[i][:], members[i*len(models.ID{}):])
	}
	if id, ok := parseID(group); ok {
		set.group = &id
	}
	return set
}

// factsOf are the facts that the rules of these groups look at.
func factsOf(groups []ruled) (facts []machineFact) {
	for _, f := range machineFacts {
		if slices.ContainsFunc(groups, func(g ruled) bool { return slices.Contains(g.rule.Uses(), f.name) }) {
			facts = append(facts, f)
		}
	}
	return facts
}

// idsText is a uuid[] as text.
func idsText(ids []models.ID) any {
	text, _ := IDs(ids).Value() // writes text, and cannot fail
	return text
}

// alikeQuery reads what rules look at, and nothing else.
func alikeQuery(facts []machineFact, condition string) (sql string, width int) {
	var outer, inner, names strings.Builder
	joins := ""
	for _, f := range facts {
		for _, column := range f.columns {
			fmt.Fprintf(&inner, ", %s AS c%d", column, width)
			fmt.Fprintf(&outer, ", coalesce(c%d::text, '')", width)
			fmt.Fprintf(&names, ", c%d", width)
			width++
		}
		if !strings.Contains(joins, f.join) {
			joins += f.join
		}
	}
	return fmt.Sprintf(alikeMachines, outer.String(), inner.String(), joins, condition, names.String()), width
}
