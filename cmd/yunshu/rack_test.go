package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

// stand puts a machine into a rack.
func (s *shell) stand(name, rack string, unit, height int, columns, values string) {
	s.Helper()
	_, err := s.store.Pool.Exec(s.Context(), fmt.Sprintf(`INSERT INTO baremetals (id, region, name, hardware_uuid, rack_id, rack_unit, rack_height, %s)
		SELECT $1, 'tw', $2, $2, id, $4, $5, %s FROM racks WHERE name = $3`, columns, values), models.NewID(), name, rack, unit, height)
	require.NoError(s, err)
}

func TestARackIsDrawn(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.must("region", "create", "tw", "--capability", "bm")
	s.must("rack", "create", "tw-r01", "--region", "tw", "--height", "12", "--failure-domain", "hall-1")
	golden(t, "rack-empty", s.must("rack", "show", "tw-r01"))
	s.stand("esx-01", "tw-r01", 10, 2, "role, state, power, health", "'hypervisor', 'in_use', 'on', 'ok'")
	s.stand("esx-02", "tw-r01", 8, 2, "role, state, power, health, maintenance", "'hypervisor', 'in_use', 'on', 'warning', true")
	s.stand("gpu-server-7", "tw-r01", 2, 4, "role, state, power, health", "'spare', 'failed', 'off', 'critical'")
	s.stand("new-1", "tw-r01", 1, 1, "role, state", "'spare', 'enrolling'")
	s.stand("lost-1", "tw-r01", 0, 1, "role, state", "'spare', 'available'")
	golden(t, "rack", s.must("rack", "show", "tw-r01", "--region", "tw"))
	require.Contains(t, s.must("rack", "show", "tw-r01", "-o", "json"), `"unplaced"`)
	status, _, errs := s.try("rack", "update", "tw-r01", "--height", "9")
	require.Equal(t, exitRefused, status)
	require.Contains(t, errs, "The rack tw-r01 cannot have 9 units: the machine esx-01 stands up to unit 11. Move it first.")
	s.must("rack", "update", "tw-r01", "--height", "11")
}

func TestRulesAndDriftsOnTheCommandLine(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.must("region", "create", "tw", "--capability", "bm")
	s.must("rack", "create", "tw-r01", "--region", "tw")
	s.must("group", "create", "big", "--region", "tw")
	s.stand("esx-01", "tw-r01", 1, 2, "role, state", "'hypervisor', 'in_use'")
	require.Contains(t, s.must("group", "update", "big", "--rule", `rack = "tw-r01"`, "--dry-run"), `"joined":{"count":1,"names":["esx-01"]}`)
	require.NotContains(t, s.must("baremetal", "list"), "big")
	s.must("group", "update", "big", "--rule", `rack = "tw-r01"`)
	require.Contains(t, s.must("baremetal", "list"), "big")
	status, _, errs := s.try("group", "update", "big", "--rule", `rack = tw-r01`)
	require.Equal(t, exitRefused, status)
	require.Contains(t, errs, "line 1, column 8: there is no fact or function named tw")

	id := models.NewID()
	_, err := s.store.Pool.Exec(t.Context(), `INSERT INTO drifts (id, region, kind, resource_kind, resource_id, resource_name, field, message, policy)
		SELECT $1, 'tw', 'health', 'baremetal', id, name, 'health', 'The health of esx-01 is critical.', 'report' FROM baremetals`, id)
	require.NoError(t, err)
	s.must("drift", "ignore", id.String(), "--reason", "The disk is on order.")
	require.NotContains(t, s.must("drift", "list", "--state", "open"), "esx-01")
	require.Contains(t, s.must("drift", "get", id.String()), "The disk is on order.")
	s.must("drift", "reopen", id.String())
	require.Contains(t, s.must("drift", "list", "--state", "open"), "The health of esx-01 is critical.")
	require.NotContains(t, s.must("drift", "list", "--maintainer", "me"), "esx-01")
}
