package main

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

const token = "ys_bench_0000000000000000000000000000000000000000"

// world fills a database: tenants root/t-1 … with a quota each below one root with a quota, one group of hosts, one big
// subnet, an admin of the platform with a token.
func world(ctx context.Context, s *store.Store, tenants, hosts int) (authz.Actor, error) {
	admin := authz.Actor{ID: models.NewID(), Name: "bench", TokenID: models.NewID()}
	hash := sha256.Sum256([]byte(token))
	batch := &pgx.Batch{}
	q := func(sql string, args ...any) { batch.Queue(sql, args...) }
	q(`INSERT INTO users (id, name) VALUES ($1, 'bench')`, admin.ID)
	q(`INSERT INTO tokens (id, actor_id, name, prefix, hash, expires_at) VALUES ($1, $2, 'bench', 'ys_bench', $3, now() + interval '1 day')`, admin.TokenID, admin.ID, hash[:])
	q(`INSERT INTO role_bindings (id, actor_id, role) VALUES (gen_random_uuid(), $1, 'admin')`, admin.ID)
	q(`INSERT INTO tenants (id, name, full_name, path) SELECT id, 'root', 'root', ARRAY[id] FROM (SELECT gen_random_uuid() AS id) r`)
	q(`INSERT INTO tenants (id, parent_id, name, full_name, path)
		SELECT n.id, r.id, 't-' || n.n, 'root/t-' || n.n, ARRAY[r.id, n.id] FROM (SELECT id FROM tenants) r, (SELECT gen_random_uuid() AS id, n FROM generate_series(1, $1::int) n) n`, tenants)
	q(`INSERT INTO quotas (id, tenant_id, vcpu_limit, vms_limit) SELECT gen_random_uuid(), id, 1000000000, 1000000000 FROM tenants WHERE parent_id IS NOT NULL`)
	q(`INSERT INTO regions (name, capabilities) VALUES ('tw', '{vm}')`)
	q(`INSERT INTO groups (id, region, name) VALUES (gen_random_uuid(), 'tw', 'general')`)
	q(`INSERT INTO baremetals (id, region, name, role, state, hardware_uuid, provider_ref, group_id, vcpu, memory_mib, storage_gib)
		SELECT gen_random_uuid(), 'tw', 'h' || n, 'hypervisor', 'in_use', 'hw' || n, 'host-' || n, (SELECT id FROM groups), 100000, 100000000, 10000000 FROM generate_series(1, $1::int) n`, hosts)
	q(`SELECT refresh_hypervisors(array_agg(id)) FROM baremetals`)
	q(`INSERT INTO images (id, name, templates) VALUES (gen_random_uuid(), 'ubuntu', '{"tw": "ubuntu-24.04"}')`)
	q(`INSERT INTO flavors (id, name, vcpu, memory_mib, storage_gib) VALUES (gen_random_uuid(), 'small', 1, 1024, 10)`)
	q(`INSERT INTO subnets (id, region, name, cidr, network, range_start, range_end) VALUES (gen_random_uuid(), 'tw', 'lan', '10.0.0.0/8', 'vlan-100', '10.0.0.1', '10.255.255.254')`)
	q(`INSERT INTO subnets (id, region, name, cidr, network, range_start, range_end) VALUES (gen_random_uuid(), 'tw', 'small', '172.16.0.0/16', 'vlan-200', '172.16.0.1', '172.16.255.254')`)
	if err := s.Pool.SendBatch(ctx, batch).Close(); err != nil {
		return admin, fmt.Errorf("fill the database: %w", err)
	}
	// As autovacuum would: it never looks at a table that nothing was written to.
	_, err := s.Pool.Exec(ctx, `VACUUM ANALYZE users, tokens, role_bindings, tenants, quotas, regions, groups, baremetals, hypervisors, images, flavors, subnets`)
	return admin, err
}

func execute(ctx context.Context, dsn, sql string, args ...any) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql, args...)
	return err
}
