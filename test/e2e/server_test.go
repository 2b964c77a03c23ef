//go:build e2e

package e2e

import (
	"strings"

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

// aHostComesBackByItsBMC takes a hypervisor out, brings it in again by its BMC, and makes it a hypervisor anew: the vCenter's
// host is found by the hardware's UUID.
func (s *stack) aHostComesBackByItsBMC() {
	s.Helper()
	s.must("baremetal", "mark-failed", "tw-b-24", "--reason", "its board was replaced")
	s.must("baremetal", "retire", "tw-b-24", "--wait")
	first := s.env["YUNSHU_BMC_TW_HOST_URL"] // that of tw-a-01; the others follow it
	require.True(s, strings.HasSuffix(first, ".1:8443"), first)
	s.must("baremetal", "enroll", "--name", "back-again", "--region", "tw", "--rack", "r1", "--group", "compute", "--bmc", strings.TrimSuffix(first, ".1:8443")+".48:8443",
		"--user", s.env["YUNSHU_BMC_TW_USERNAME"], "--password-file", s.env["YUNSHU_BMC_TW_PASSWORD_FILE"], "--wait")
	require.Equal(s, "spare", field(s.T, s.must("baremetal", "get", "back-again", "-o", "json"), "role"))
	s.must("baremetal", "join", "back-again", "--wait")
	s.must("region", "import", "tw", "--wait") // an import keeps what people call it
	host := s.must("baremetal", "get", "back-again", "-o", "json")
	require.Equal(s, "hypervisor", field(s.T, host, "role"))
	require.Regexp(s, `^host-\d+$`, field(s.T, host, "provider_ref"))
	require.Contains(s, host, `"placeable": true`)
}
