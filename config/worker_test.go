package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// write puts text into a file of its own.
func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "worker.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func TestReadWorker(t *testing.T) { // not parallel: it sets the environment
	password := write(t, "secret")
	file := write(t, `
temporal: {address: "10.0.0.1:7233", namespace: yunshu}
listen: 127.0.0.1:9100
regions:
  tw:
    vm:
      provider: vsphere
      vsphere: {url: "https://vcenter.tw/sdk", username: yunshu, password_file: "`+password+`", guest_timeout: 10m}
  jp:
    vm: {provider: memory, max_concurrent: 8}
    bm: {provider: bmclib, shutdown_timeout: 3m}
  de:
    bm: {provider: memory, max_concurrent: 4}
`)
	t.Setenv("YUNSHU_PAYLOAD_KEYS", "k=v")
	t.Setenv("YUNSHU_TEMPORAL_ADDRESS", "127.0.0.1:9999")

	got, err := ReadWorker(file)
	require.NoError(t, err)
	require.Equal(t, Worker{
		Temporal:    Temporal{Address: "127.0.0.1:9999", Namespace: "yunshu"},
		Listen:      "127.0.0.1:9100",
		PayloadKeys: "k=v",
		Regions: map[string]Region{
			"tw": {VM: &VM{Provider: "vsphere", MaxConcurrent: 32, VSphere: VSphere{
				URL: "https://vcenter.tw/sdk", Username: "yunshu", PasswordFile: password, GuestTimeout: 10 * 60 * 1e9,
			}}},
			"jp": {VM: &VM{Provider: "memory", MaxConcurrent: 8}, BM: &BM{Provider: "bmclib", MaxConcurrent: 64, ShutdownTimeout: 3 * 60 * 1e9}},
			"de": {BM: &BM{Provider: "memory", MaxConcurrent: 4}},
		},
	}, got)

	only, err := got.Only("jp")
	require.NoError(t, err)
	require.Equal(t, map[string]Region{"jp": got.Regions["jp"]}, only.Regions)
	_, err = got.Only("sg")
	require.EqualError(t, err, `the configuration has no region "sg"; it has de, jp, tw`)
}

func TestReadWorkerReportsEverythingAtOnce(t *testing.T) { // not parallel: it sets the environment
	file := write(t, `
temporal: {address: nowhere, namespace: ""}
listen: here
regions:
  t_w: {vm: {provider: memory}}
  de: {vm: {provider: kvm, max_concurrent: -1}, bm: {provider: ipmi, max_concurrent: -2, look_timeout: -1s}}
  jp: {vm: {provider: vsphere, vsphere: {url: "https://a:b@vcenter.jp/sdk", ca_file: /does/not/exist}}}
`)
	t.Setenv("YUNSHU_PAYLOAD_KEYS", "")
	_, err := ReadWorker(file)
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Equal(t, []string{
		"the configuration " + file + " is not usable:",
		`temporal.address: "nowhere" is not host:port`,
		`temporal.namespace: is missing`,
		`listen: "here" is not host:port`,
		`YUNSHU_PAYLOAD_KEYS: is missing in the environment; it must be the same as the gateway's`,
		`regions.de.vm.max_concurrent: -1 is not at least 1`,
		`regions.de.vm.provider: "kvm" is neither vsphere nor memory`,
		`regions.de.bm.max_concurrent: -2 is not at least 1`,
		`regions.de.bm.provider: "ipmi" is neither bmclib nor memory`,
		`regions.de.bm.look_timeout: -1s is negative`,
		`regions.jp.vm.vsphere.url: must not hold credentials; use username and password_file`,
		`regions.jp.vm.vsphere.username: is missing`,
		`regions.jp.vm.vsphere.password_file: is missing`,
		`regions.jp.vm.vsphere.ca_file: stat /does/not/exist: no such file or directory`,
		`regions.t_w: a region's name is a DNS label`,
	}, lines)
	require.ErrorContains(t, Worker{Regions: map[string]Region{"fr": {}}}.check(), "regions.fr: has neither a vm nor a bm part, so this worker would have nothing to do there")
}

func TestReadWorkerRefusesUnknownKeys(t *testing.T) { // not parallel: it sets the environment
	t.Setenv("YUNSHU_PAYLOAD_KEYS", "k=v")
	_, err := ReadWorker(write(t, "database: {dsn: postgres://x}\nregions: {jp: {vm: {provider: memory}}}\n"))
	require.ErrorContains(t, err, "database")
}

func TestSecretHides(t *testing.T) {
	t.Parallel()
	s := Secret("hunter2")
	text, err := json.Marshal(map[string]any{"s": s})
	require.NoError(t, err)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s)
	for _, shown := range []string{fmt.Sprintf("%s %v %+v %#v %q", s, s, s, s, s), string(text), log.String()} {
		require.NotContains(t, shown, "hunter2")
		require.Contains(t, shown, "[redacted]")
	}
	require.Equal(t, "hunter2", s.Reveal())
	require.Empty(t, Secret("").String())
}
