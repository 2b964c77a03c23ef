package accept_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/postgres"
)

func TestMain(m *testing.M) { postgres.Main(m) }

func migrate(ctx context.Context, dsn string) error {
	_, err := store.Migrate(ctx, dsn)
	return err
}

// world is a database with one region, one group of hosts, one subnet, a tenant tree and its admin.
type world struct {
	*testing.T
	*store.Store
	*accept.Accepter
	admin authz.Actor
	group models.ID
}

type shape struct {
	hosts       int
	vcpu        int64 // of each host
	racks       int
	cidr        string
	first, last string
	quota       int64 // vcpu of tenant acme; 0: none
}

func newWorld(t *testing.T, s shape) *world {
	t.Helper()
	st, err := store.Open(t.Context(), postgres.New(t, "store", migrate))
	require.NoError(t, err)
	t.Cleanup(st.Close)
	auth, err := authz.New()
	require.NoError(t, err)
	w := &world{T: t, Store: st, group: models.NewID(), admin: authz.Actor{ID: models.NewID(), Name: "ann", TokenID: models.NewID()}}
	if s.cidr == "" {
		s.cidr, s.first, s.last = "10.1.0.0/16", "10.1.0.2", "10.1.255.254"
	}
	acme, dev := models.NewID(), models.NewID()
	w.exec(`INSERT INTO users (id, name) VALUES ($1, 'ann')`, w.admin.ID)
	w.exec(`INSERT INTO tokens (id, actor_id, name, prefix, hash, expires_at) VALUES ($1, $2, 't', 'p', $3, now() + interval '1 day')`, w.admin.TokenID, w.admin.ID, w.admin.TokenID[:])
	w.exec(`INSERT INTO role_bindings (id, actor_id, role) VALUES ($1, $2, 'admin')`, models.NewID(), w.admin.ID)
	w.exec(`INSERT INTO tenants (id, name, full_name, path) VALUES ($1, 'acme', 'acme', ARRAY[$1::uuid])`, acme)
	w.exec(`INSERT INTO tenants (id, parent_id, name, full_name, path) VALUES ($2, $1, 'dev', 'acme/dev', ARRAY[$1, $2]::uuid[])`, acme, dev)
	if s.quota > 0 {
		w.exec(`INSERT INTO quotas (id, tenant_id, vcpu_limit) VALUES ($1, $2, $3)`, models.NewID(), acme, s.quota)
	}
	w.exec(`INSERT INTO regions (name, capabilities) VALUES ('tw', '{vm}'), ('jp', '{vm}')`)
	w.exec(`INSERT INTO groups (id, region, name) VALUES ($1, 'tw', 'general')`, w.group)
	for r := range s.racks {
		w.exec(`INSERT INTO racks (id, region, name) VALUES ($1, 'tw', $2)`, models.NewID(), fmt.Sprintf("r%d", r))
	}
	w.exec(`INSERT INTO baremetals (id, region, name, role, state, hardware_uuid, provider_ref, group_id, rack_id, vcpu, memory_mib, storage_gib)
		SELECT gen_random_uuid(), 'tw', 'h' || n, 'hypervisor', 'in_use', 'hw' || n, 'host-' || n, $1,
			(SELECT id FROM racks WHERE name = 'r' || (n % greatest($4, 1))), $3, 1048576, 1048576
		FROM generate_series(1, $2::int) n`, w.group, s.hosts, s.vcpu, s.racks)
	w.exec(`SELECT refresh_hypervisors(array_agg(id)) FROM baremetals`)
	w.exec(`INSERT INTO images (id, name, templates) VALUES ($1, 'ubuntu', '{"tw": "ubuntu-24.04"}')`, models.NewID())
	w.exec(`INSERT INTO flavors (id, name, vcpu, memory_mib, storage_gib) VALUES ($1, 'small', 1, 1024, 10)`, models.NewID())
	w.exec(`INSERT INTO subnets (id, region, name, cidr, gateway, network, range_start, range_end) VALUES ($1, 'tw', 'lan', $2::text::cidr, NULL, 'vlan-100', $3::text::inet, $4::text::inet)`,
		models.NewID(), s.cidr, s.first, s.last)
	w.Accepter = accept.New(t.Context(), accept.Options{Store: st, Authz: auth})
	return w
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	_, err := w.Pool.Exec(context.Background(), sql, args...)
	require.NoError(w, err, "%s", sql)
}

func (w *world) count(sql string, args ...any) (n int64) {
	w.Helper()
	require.NoError(w, w.Pool.QueryRow(context.Background(), sql, args...).Scan(&n), "%s", sql)
	return n
}

func (w *world) create(name string) accept.VMCreate {
	return accept.VMCreate{
		Request: accept.Request{Actor: w.admin, RequestID: "r-" + name, Hash: []byte(name)},
		Name:    name, Tenant: "acme/dev", Region: "tw", Group: "general", Image: "ubuntu", Flavor: "small", Subnet: "lan",
	}
}

// requireSums proves that every counter is the sum of the ledger, and that the ledger has exactly the live machines.
func (w *world) requireSums() {
	w.Helper()
	wrong := []string{}
	for what, sql := range map[string]string{
		"quota":      `SELECT count(*) FROM quotas q WHERE (vcpu_used, vms_used, ip_addresses_used) <> (SELECT coalesce(sum(a.vcpu), 0), coalesce(sum(a.vms), 0), coalesce(sum(a.ip_addresses), 0) FROM allocations a JOIN tenants t ON t.id = a.tenant_id WHERE q.tenant_id = ANY (t.path) AND (q.group_id IS NULL OR q.group_id = a.group_id))`,
		"host":       `SELECT count(*) FROM hypervisors h WHERE (vcpu_total - vcpu_free, memory_mib_total - memory_mib_free) <> (SELECT coalesce(sum(vcpu), 0), coalesce(sum(memory_mib), 0) FROM (SELECT baremetal_id, vcpu, memory_mib FROM allocations UNION ALL SELECT baremetal_id, vcpu, memory_mib FROM moves) a WHERE a.baremetal_id = h.baremetal_id)`,
		"allocation": `SELECT count(*) FROM vms v FULL JOIN allocations a ON a.resource_id = v.id WHERE a.resource_id IS NULL OR v.id IS NULL OR (a.vcpu, a.baremetal_id) IS DISTINCT FROM (v.vcpu, v.baremetal_id) AND v.state <> 'updating'`,
		"address":    `SELECT count(*) FROM vms v FULL JOIN ip_addresses i ON i.vm_id = v.id WHERE i.address IS DISTINCT FROM v.address`,
	} {
		if n := w.count(sql); n != 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s rows", n, what))
		}
	}
	require.Empty(w, strings.Join(wrong, ", "))
}
