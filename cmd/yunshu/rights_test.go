package main

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestResponsibilityOnTheCommandLine(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	for _, command := range [][]string{
		{"region", "create", "tw", "--capability", "vm"},
		{"rack", "create", "r1", "--region", "tw"},
		{"rack", "create", "r2", "--region", "tw"},
		{"maintainer", "create", "ada", "--email", "ada@example.com", "--display-name", "Ada Lovelace", "--user", "root"},
		{"maintainer", "create", "bob", "--email", "bob@example.com", "--phone", "+886 2 5550 0100"},
		{"maintainer-group", "create", "night-shift", "--member", "ada", "--member", "bob"},
		{"assignment", "create", "r1", "--kind", "rack", "--maintainer", "ada"},
		{"assignment", "create", "tw", "--kind", "region", "--maintainer-group", "night-shift"},
	} {
		s.must(command...)
	}
	golden(t, "responsible.table", s.must("responsible", "rack", "r1"))
	golden(t, "maintainer-groups.table", trimIDs(s.must("maintainer-group", "list")))
	golden(t, "responsibilities.table", trimIDs(s.must("me", "responsibilities")))
	require.NotContains(t, s.must("unmaintained-resource", "list", "--kind", "rack"), "r2", "the region's maintainers look after all racks")
	golden(t, "permissions.table", s.must("me", "permissions", "rack", "r1"))

	status, _, errs := s.try("responsible", "cloud", "nine")
	require.Equal(t, exitUsage, status)
	require.Contains(t, errs, `The kind must be region, rack, group, baremetal, tenant, vm; it is "cloud".`)
	status, _, errs = s.try("me", "permissions", "rack")
	require.Equal(t, exitUsage, status)
	require.Contains(t, errs, "Give the kind and the resource, or neither.")
}

// trimIDs replaces what differs each time.
func trimIDs(out string) string { return anyID.ReplaceAllString(out, "ID") }

var anyID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
