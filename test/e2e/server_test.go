//go:build e2e

package e2e

import (
	"github.com/stretchr/testify/require"
)

// aServerComesAndGoes does what the README shows of physical servers: one comes in, a tenant has it for a while, it goes.
func (s *stack) aServerComesAndGoes() {
	s.Helper()
	out := s.must("baremetal", "enroll", "--name", "bm-1", "--region", "tw", "--rack", "r1", "--position", "12", "--bmc", s.env["YUNSHU_BMC_TW_URL"],
		"--user", s.env["YUNSHU_BMC_TW_USERNAME"], "--password-file", s.env["YUNSHU_BMC_TW_PASSWORD_FILE"], "--rotate-password", "--wait")
	require.Contains(s, out, "commit-password")
	require.Contains(s, s.must("baremetal", "inventory", "bm-1"), "PowerEdge R760")
	require.Regexp(s, `12 │ bm-1 +1 +available +off +ok +spare`, s.must("rack", "show", "r1", "--region", "tw"))
	again, status := s.yunshu("baremetal", "enroll", "--name", "bm-2", "--region", "tw", "--bmc", s.env["YUNSHU_BMC_TW_URL"],
		"--user", "x", "--password-file", s.env["YUNSHU_BMC_TW_PASSWORD_FILE"])
	require.Equal(s, 4, status)
	require.Contains(s, again, "bm-1", "its address is known")
	s.must("baremetal", "power-on", "bm-1", "--wait")
	s.must("lease", "create", "--tenant", "acme", "--region", "tw", "--group", "metal", "--image", "ubuntu-24-04-metal", "--wait")
	require.Regexp(s, `bm-1 .*leased +in_use +acme +on`, s.must("baremetal", "list", "--tenant", "acme"))
	s.must("baremetal", "release", "bm-1", "--wait")
	require.Empty(s, s.must("ledger-check"))
	s.must("baremetal", "retire", "bm-1", "--wait")
	fleet, status := s.program("yunshu-bmcsim", "ls", "--control", s.env["YUNSHU_BMC_TW_CONTROL"])
	require.Zero(s, status, fleet)
	require.Regexp(s, `tw-m0049 .*Off`, fleet)
}
