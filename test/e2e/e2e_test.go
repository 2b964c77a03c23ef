//go:build e2e

package e2e

import (
	"encoding/json"
	"net"
	"net/url"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// inVCenter is what a vCenter client sees.
func (s *stack) inVCenter() string {
	s.Helper()
	out, status := s.program("yunshu-vcsim", "ls", "--url", s.env["YUNSHU_VCENTER_TW_URL"], "--username", s.env["YUNSHU_VCENTER_TW_USERNAME"],
		"--password-file", s.env["YUNSHU_VCENTER_TW_PASSWORD_FILE"], "--ca", s.env["YUNSHU_VCENTER_TW_CA"])
	require.Zero(s, status, out)
	return out
}

// requireNothingListens proves that every part is gone.
func (s *stack) requireNothingListens() {
	s.Helper()
	for _, name := range []string{"YUNSHU_URL", "YUNSHU_DATABASE_URL", "TEMPORAL_UI_URL", "YUNSHU_VCENTER_TW_URL", "YUNSHU_VCENTER_JP_URL"} {
		u, err := url.Parse(s.env[name])
		require.NoError(s, err)
		// The kernel kills the parts one by one, so the last may take a moment.
		require.Eventually(s, func() bool {
			c, err := net.DialTimeout("tcp", u.Host, time.Second)
			if err == nil {
				_ = c.Close()
			}
			return err != nil
		}, 20*time.Second, 100*time.Millisecond, "%s still answers at %s", name, u.Host)
	}
}

func field(t *testing.T, raw, name string) string {
	t.Helper()
	var one map[string]any
	require.NoError(t, json.Unmarshal([]byte(raw), &one), raw)
	v, _ := one[name].(string)
	return v
}

func TestANewcomersFirstDay(t *testing.T) {
	root, seen := newRoot(t), collect(t)
	s := start(t, root, "OTEL_EXPORTER_OTLP_ENDPOINT="+seen.server.URL)
	require.Contains(t, s.must("region", "list"), "polling")
	require.Contains(t, s.must("group", "list"), "general")
	s.must("tenant", "create", "acme", "--quota", "vcpu=4", "--quota", "baremetals=1")
	create := []string{"vm", "create", "web-1", "--tenant", "acme", "--region", "tw", "--group", "general", "--image", "ubuntu-24-04", "--flavor", "small", "--subnet", "lan"}
	require.Contains(t, s.must(append(create, "--dry-run")...), "fits")
	out := s.must(append(create, "--wait")...)
	require.Contains(t, out, "boot")

	vm := s.must("vm", "get", "web-1", "-o", "json")
	id, address := field(t, vm, "id"), field(t, vm, "address")
	require.Equal(t, "running", field(t, vm, "state"))
	require.Regexp(t, id+`.*`+field(t, vm, "baremetal")+`.*poweredOn.*`+regexp.QuoteMeta(address), s.inVCenter(), "the very same VM")

	seen.requireOne("yunshu-gateway POST /v1/vms", "yunshu-gateway StartWorkflow:vm.provision", "yunshu-gateway RunWorkflow:vm.provision",
		"yunshu-worker RunActivity:vm.clone", "yunshu-worker vcenter CloneVM_Task", "yunshu-gateway RunActivity:operation.report")
	s.peopleComeAndGo()
	s.aServerComesAndGoes()
	s.aHostComesBackByItsBMC()
	refused, status := s.yunshu("vm", "create", "big", "--tenant", "acme", "--region", "tw", "--group", "general", "--image", "ubuntu-24-04", "--flavor", "large", "--subnet", "lan")
	require.Equal(t, 4, status)
	require.Contains(t, refused, "vcpu of tenant acme: 8 asked, 3 free")
	s.must("vm", "power-off", "web-1", "--wait")
	require.Contains(t, s.inVCenter(), "poweredOff")
	s.must("vm", "power-on", "web-1", "--wait")
	s.must("vm", "resize", "web-1", "--vcpu", "2", "--memory-mib", "4096", "--wait")
	require.Regexp(t, id+`.* 2 +4096`, s.inVCenter())

	require.NoError(t, s.end(syscall.SIGINT))
	s.requireNothingListens()

	s = start(t, root)
	require.Equal(t, "running", field(t, s.must("vm", "get", "web-1", "-o", "json"), "state"), "the data is kept")
	require.Regexp(t, id+`.*poweredOn.* 2 +4096 +`+regexp.QuoteMeta(address), s.inVCenter(), "and the vCenter's machines")
	require.Empty(t, s.must("leak-check"))
	s.must("vm", "delete", "web-1", "--wait")
	require.NotContains(t, s.inVCenter(), id)
	require.Contains(t, s.must("tenant", "usage", "acme", "-o", "json"), `"vcpu": 0`)
	require.Empty(t, s.must("leak-check"))

	require.Error(t, s.end(syscall.SIGKILL), "it was killed")
	s.requireNothingListens()
}
