package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestADrainIsPreviewedAsATable drains one of two hosts, which carries a machine.
func TestADrainIsPreviewedAsATable(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.must("tenant", "create", "acme")
	s.must("region", "create", "tw", "--capability", "vm")
	s.must("group", "create", "general", "--region", "tw")
	s.must("image", "create", "ubuntu", "--template", "tw=ubuntu-24.04")
	s.must("flavor", "create", "small", "--vcpu", "1", "--memory-mib", "1024", "--storage-gib", "10")
	s.must("subnet", "create", "lan", "--region", "tw", "--cidr", "10.1.0.0/24", "--network", "vlan-100")
	for _, name := range []string{"esx-01", "esx-02"} {
		_, err := s.store.Pool.Exec(t.Context(), `INSERT INTO baremetals (id, region, name, role, state, hardware_uuid, vcpu, memory_mib, storage_gib)
			VALUES (gen_random_uuid(), 'tw', $1, 'hypervisor', 'in_use', $1, 8, 16384, 100)`, name)
		require.NoError(t, err)
	}
	s.must("baremetal", "update", "esx-01", "--group", "general")
	s.must("vm", "create", "web", "--tenant", "acme", "--region", "tw", "--group", "general", "--image", "ubuntu", "--flavor", "small", "--subnet", "lan")
	_, err := s.store.Pool.Exec(t.Context(), `WITH o AS (UPDATE operations SET state = 'succeeded') UPDATE vms SET state = 'running'`)
	require.NoError(t, err)

	status, _, errs := s.try("baremetal", "drain", "esx-01", "--reason", "A fan fails.")
	require.Equal(t, exitRefused, status)
	require.Contains(t, errs, "acme/web")
	s.must("baremetal", "update", "esx-02", "--group", "general")
	golden(t, "drain.table", s.must("baremetal", "drain", "esx-01", "--reason", "A fan fails.", "--dry-run"))
	require.Contains(t, s.must("baremetal", "maintenance", "esx-01", "--reason", "A fan fails.", "--until", "2999-01-31T12:00:00Z"), "A fan fails.")
	require.Contains(t, s.must("baremetal", "drain", "esx-01", "--reason", "A fan fails."), "baremetal.drain")
	require.Contains(t, s.must("operation", "list", "--kind", "vm.migrate"), "web")
	status, _, errs = s.try("vm", "migrate", "web", "--baremetal", "esx-02")
	require.Equal(t, exitRefused, status)
	require.Contains(t, errs, "operation in progress")
}
