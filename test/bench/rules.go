package main

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/store"
)

// ruleGroups is how many groups of the region have a rule.
const ruleGroups = 20

// rules measures how long it takes to ask every machine of a region, when all are where they belong; and from the decision to change a
// group's rule until the memberships of all machines are written.
func (b *bench) rules(ctx context.Context) error {
	machines := pick(b.short, 10_000, 100_000)
	fmt.Printf("the rules of %d groups, over %d machines: every machine is asked about, and moved where one rule has changed\n", ruleGroups, machines)
	s, _, err := b.database(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := hardware(ctx, s, machines); err != nil {
		return err
	}
	if _, err := reevaluate(ctx, s, "g00", "false"); err != nil { // the first evaluation moves nearly all
		return err
	}
	for _, m := range []struct{ name, rule string }{
		{"nothing moves", `cores > 1000`},
		{"by hardware and rack, few move", `gpu.model = "H100" and rack in ["r0001", "r0002", "r0003"]`},
		{"by name, each machine is asked alone", `name matches "^m0000[0-9]$"`},
		{"a tenth moves", `nic.speed_mbps >= 100000 or labels.lot = "7"`},
	} {
		if _, err := s.Pool.Exec(ctx, "VACUUM ANALYZE baremetals, baremetal_traits"); err != nil {
			return err
		}
		floor, moved, err := writesAlone(ctx, s, m.rule)
		if err != nil {
			return err
		}
		took, err := reevaluate(ctx, s, "g00", m.rule)
		if err != nil {
			return err
		}
		asked, err := reevaluate(ctx, s, "g00", m.rule)
		if err != nil {
			return err
		}
		fmt.Printf("  %-38s asked in %10s (less than 1 s: %s)   asked and %6d moved in %10s (writing alone takes %s)\n", m.name, ms(asked), verdict(asked < time.Second), moved, ms(took), ms(floor))
	}
	return nil
}

// writesAlone is what PostgreSQL takes for the same changes of the same rows, when it is told at once which ones. They are taken back.
func writesAlone(ctx context.Context, s *store.Store, rule string) (time.Duration, int, error) {
	var moved, took = 0, time.Duration(0)
	err := s.Restructure(ctx, func(tx *gorm.DB) error {
		if err := tx.Exec("SAVEPOINT before_it").Error; err != nil {
			return err
		}
		if err := tx.Exec("UPDATE groups SET rule = ? WHERE name = 'g00'", rule).Error; err != nil {
			return err
		}
		m, err := store.JoinRegionByRule(tx, "tw")
		if err != nil {
			return err
		}
		if err := tx.Exec("ROLLBACK TO before_it").Error; err != nil {
			return err
		}
		moved = len(m.Moves)
		ids := make(store.IDs, moved)
		for i, move := range m.Moves {
			ids[i] = move.Machine
		}
		begin := time.Now()
		err = tx.Exec("UPDATE baremetals SET group_id = (SELECT id FROM groups WHERE name = 'g00'), group_by_rule = true, version = version + 1, updated_at = now() WHERE id = ANY (?::uuid[])", ids).Error
		took = time.Since(begin)
		if err != nil {
			return err
		}
		return tx.Exec("ROLLBACK TO before_it").Error
	})
	return took, moved, err
}

// reevaluate changes a rule, and returns how long that took with its commit.
func reevaluate(ctx context.Context, s *store.Store, group, rule string) (time.Duration, error) {
	begin := time.Now()
	err := s.Restructure(ctx, func(tx *gorm.DB) error {
		if err := tx.Exec("UPDATE groups SET rule = ?, version = version + 1 WHERE name = ?", rule, group).Error; err != nil {
			return err
		}
		_, err := store.JoinRegionByRule(tx, "tw")
		return err
	})
	return time.Since(begin), err
}

// hardware fills a region with machines of ten kinds in racks of twenty, and groups with rules.
func hardware(ctx context.Context, s *store.Store, machines int) error {
	for _, sql := range []string{
		`INSERT INTO regions (name) VALUES ('tw')`,
		`INSERT INTO racks (id, region, name, failure_domain) SELECT gen_random_uuid(), 'tw', 'r' || lpad(n::text, 4, '0'), 'hall-' || n % 4 FROM generate_series(0, $1::int / 20) n`,
		`INSERT INTO baremetals (id, region, name, role, state, hardware_uuid, rack_id, vendor, model, serial, labels, vcpu, memory_mib, storage_gib, gpu, health, power)
			SELECT gen_random_uuid(), 'tw', 'm' || lpad(n::text, 5, '0'), CASE WHEN n % 3 = 0 THEN 'hypervisor' ELSE 'spare' END, 'available', 'hw-' || n, r.id, 'Dell', 'R' || 700 + n % 10, 's' || n,
				jsonb_build_object('lot', (n % 100)::text), 64, 524288, 8000, CASE WHEN n % 10 = 0 THEN 8 ELSE 0 END, 'ok', 'on'
			FROM generate_series(0, $1::int - 1) n JOIN racks r ON r.name = 'r' || lpad((n / 20)::text, 4, '0')`,
		`SELECT refresh_hypervisors(array_agg(id)) FROM baremetals WHERE $1 > 0`,
		`INSERT INTO baremetal_facts (baremetal_id, inventory) SELECT id, jsonb_build_object(
				'cpus', jsonb_build_array(jsonb_build_object('model', 'Xeon', 'cores', 16 + substr(model, 4)::int, 'threads', 32), jsonb_build_object('model', 'Xeon', 'cores', 16, 'threads', 32)),
				'memory', (SELECT jsonb_agg(jsonb_build_object('slot', 'A' || k, 'size_mib', 32768)) FROM generate_series(1, 16) k),
				'disks', (SELECT jsonb_agg(jsonb_build_object('serial', serial || k, 'size_gib', 2000, 'kind', 'nvme')) FROM generate_series(1, 4) k),
				'nics', jsonb_build_array(jsonb_build_object('mac', serial, 'speed_mbps', CASE WHEN model = 'R709' THEN 100000 ELSE 25000 END)),
				'gpus', CASE WHEN gpu > 0 THEN jsonb_build_array(jsonb_build_object('model', 'H100', 'vendor', 'NVIDIA')) ELSE '[]' END)
			FROM baremetals WHERE $1 > 0`,
		`INSERT INTO groups (id, region, name, rule) SELECT gen_random_uuid(), 'tw', 'g' || lpad(n::text, 2, '0'), 'model == "R' || 700 + n % 10 || '" and failure_domain == "hall-' || n % 4 || '"'
			FROM generate_series(0, $1::int - 1) n`,
	} {
		n := machines
		if sql[:18] == "INSERT INTO groups" {
			n = ruleGroups
		}
		args := []any{n}
		if sql[:19] == "INSERT INTO regions" {
			args = nil
		}
		if _, err := s.Pool.Exec(ctx, sql, args...); err != nil {
			return fmt.Errorf("fill the region: %w", err)
		}
	}
	_, err := s.Pool.Exec(ctx, "VACUUM ANALYZE")
	return err
}
