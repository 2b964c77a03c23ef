package store

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/postgres"
)

// crowd is a database in which tenant small has 100 machines, its sibling none, and big 20,000.
func crowd(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), postgres.New(t, "gateway", func(ctx context.Context, dsn string) error {
		_, err := Migrate(ctx, dsn)
		return err
	}))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	for _, sql := range []string{
		"INSERT INTO regions (name) VALUES ('tw')",
		"INSERT INTO groups (id, region, name) VALUES (gen_random_uuid(), 'tw', 'g')",
		"INSERT INTO baremetals (id, region, name, role, state, hardware_uuid) SELECT gen_random_uuid(), 'tw', 'h' || n, 'hypervisor', 'in_use', 'h' || n FROM generate_series(1, 100) n",
		"INSERT INTO images (id, name) VALUES (gen_random_uuid(), 'i')",
		"INSERT INTO subnets (id, region, name, cidr, network, range_start, range_end) VALUES (gen_random_uuid(), 'tw', 's', '10.0.0.0/8', 'n', '10.0.0.1', '10.255.255.254')",
		`WITH t AS (SELECT gen_random_uuid() AS id, n AS name FROM unnest('{top,small,sibling,big}'::text[]) n)
			INSERT INTO tenants (id, name, full_name, path) SELECT id, name, name, ARRAY[id] FROM t`,
		`UPDATE tenants SET path = ARRAY[(SELECT id FROM tenants WHERE name = 'top'), id] WHERE name IN ('small', 'sibling')`,
		// The ids of different tenants are mixed, as they are when all create machines all the time.
		`INSERT INTO vms (id, tenant_id, name, region, group_id, baremetal_id, image_id, subnet_id, address, state, vcpu, memory_mib, storage_gib, created_by)
			SELECT gen_random_uuid(), t.id, 'vm' || n, 'tw', (SELECT id FROM groups), (SELECT id FROM baremetals WHERE name = 'h' || (1 + n % 100)), (SELECT id FROM images), (SELECT id FROM subnets),
				'10.0.0.1', 'running', 1, 1, 1, 'x'
			FROM tenants t, generate_series(1, 20000) n WHERE t.name = 'big' OR t.name = 'small' AND n <= 100`,
		"VACUUM ANALYZE",
	} {
		_, err := s.Pool.Exec(t.Context(), sql)
		require.NoError(t, err, sql)
	}
	return s
}

// pages is how many pages of the database a query touches.
func (s *Store) pages(t *testing.T, sql string, args []any) int {
	t.Helper()
	var raw []byte
	require.NoError(t, s.Pool.QueryRow(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+dollars(sql), args...).Scan(&raw))
	var plan []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	require.NoError(t, json.Unmarshal(raw, &plan))
	return plan[0].Plan.Hit + plan[0].Plan.Read
}

// TestListsDoNotGrowWithWhatOthersHave looks at how Postgres reads a page: the table alone has over 400 pages.
func TestListsDoNotGrowWithWhatOthersHave(t *testing.T) {
	t.Parallel()
	s := crowd(t)
	tenant := func(name string) *models.ID {
		var id models.ID
		require.NoError(t, s.Pool.QueryRow(t.Context(), "SELECT id FROM tenants WHERE name = $1", name).Scan(&id))
		return &id
	}
	hosts, err := s.BaremetalsNamed(t.Context(), "h7", "tw")
	require.NoError(t, err)
	page := IDPage{Limit: 51}
	middle := IDPage{After: models.ID{0x80}, Limit: 51}
	for name, c := range map[string]struct {
		filter VMFilter
		rows   int
	}{
		"everything":            {VMFilter{IDPage: page}, 51},
		"from the middle":       {VMFilter{IDPage: middle}, 51},
		"of a small tenant":     {VMFilter{Tenant: tenant("small"), IDPage: page}, 51},
		"of an empty tenant":    {VMFilter{Tenant: tenant("sibling"), IDPage: page}, 0},
		"of a large tenant":     {VMFilter{Tenant: tenant("big"), IDPage: middle}, 51},
		"below a tenant":        {VMFilter{Within: []models.ID{*tenant("top")}, IDPage: page}, 51},
		"of two tenants":        {VMFilter{Within: []models.ID{*tenant("sibling"), *tenant("big")}, IDPage: page}, 51},
		"of a region":           {VMFilter{Region: "tw", IDPage: page}, 51},
		"in a state":            {VMFilter{Tenant: tenant("big"), State: "running", IDPage: page}, 51},
		"on a host":             {VMFilter{Baremetals: hosts, IDPage: page}, 51},
		"by name":               {VMFilter{Name: "vm7", IDPage: page}, 2},
		"by name in one tenant": {VMFilter{Name: "vm7", Tenant: tenant("big"), IDPage: page}, 1},
		"of nobody":             {VMFilter{Within: []models.ID{}, IDPage: page}, 0},
	} {
		vms, err := s.VMs(t.Context(), c.filter)
		require.NoError(t, err, name)
		require.Len(t, vms, c.rows, name)
		sql, args := c.filter.sql()
		t.Logf("%s: %d pages", name, s.pages(t, sql, args))
		require.Less(t, s.pages(t, sql, args), 300, name)
	}
}
