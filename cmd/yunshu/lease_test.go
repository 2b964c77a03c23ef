package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLeasesOnTheCommandLine(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.must("region", "create", "tw", "--capability", "bm")
	s.must("group", "create", "metal", "--region", "tw")
	s.must("tenant", "create", "acme", "--quota", "baremetals=2")
	s.must("image", "create", "ubuntu-metal", "--kernel", "tw=http://boot/vmlinuz", "--initrd", "tw=http://boot/initrd", "--args", "tw=console=ttyS0 quiet", "--iso", "tw=http://boot/a.iso")
	s.must("image", "create", "wipe", "--purpose", "wipe", "--kernel", "tw=http://boot/wipe")
	var image struct {
		Purpose string
		Boot    map[string]map[string]string
	}
	require.NoError(t, json.Unmarshal([]byte(s.must("image", "get", "ubuntu-metal", "-o", "json")), &image))
	require.Equal(t, "provision", image.Purpose)
	require.Equal(t, map[string]map[string]string{"tw": {"kernel": "http://boot/vmlinuz", "initrd": "http://boot/initrd", "args": "console=ttyS0 quiet", "iso": "http://boot/a.iso"}}, image.Boot)

	lease := []string{"lease", "create", "--tenant", "acme", "--region", "tw", "--group", "metal", "--image", "ubuntu-metal"}
	_, _, errs := s.try(lease...)
	require.Contains(t, errs, "No machine of group metal in tw can be leased now")
	_, err := s.store.Pool.Exec(t.Context(), `INSERT INTO baremetals (id, region, name, role, state, hardware_uuid, group_id)
		SELECT ('0199d3c8-6d2f-7a51-b9f0-00000000000' || n)::uuid, 'tw', 'm' || n, 'spare', 'available', '', g.id FROM groups g, generate_series(0, 1) n`)
	require.NoError(t, err)
	_, err = s.store.Pool.Exec(t.Context(), `INSERT INTO bmcs (baremetal_id, region, address, protocol, username, key_id, password) SELECT id, region, name, 'redfish', 'u', 'k', '\x00' FROM baremetals`)
	require.NoError(t, err)
	require.Contains(t, s.must(append(lease, "--dry-run")...), "virtual_drive")
	require.Contains(t, s.must(append(lease, "--hostname", "db-1")...), "baremetal.lease")
	require.Contains(t, s.must("baremetal", "lease", "m1", "--tenant", "acme", "--image", "ubuntu-metal"), "baremetal.lease")
	require.Contains(t, s.must("baremetal", "list", "--tenant", "acme", "--role", "leased"), "acme")
	_, _, errs = s.try("baremetal", "release", "m1")
	require.Contains(t, errs, "has an operation in progress")
	_, _, errs = s.try("baremetal", "discover", "m1")
	require.Contains(t, errs, "has an operation in progress")
}
