package region_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/config"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/temporal"
	"github.com/yunshu/yunshu/test/vcenter"
	"github.com/yunshu/yunshu/vault"
	"github.com/yunshu/yunshu/workers"
	"github.com/yunshu/yunshu/workers/region"
)

const keys = "test=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

func memoryRegion() config.Region {
	return config.Region{VM: &config.VM{Provider: config.ProviderMemory, MaxConcurrent: 4}, BM: &config.BM{Provider: config.ProviderMemory, MaxConcurrent: 4}}
}

func prepare(t *testing.T, address, namespace string, regions map[string]config.Region) *region.Worker {
	t.Helper()
	w, err := region.New(t.Context(), config.Worker{Temporal: config.Temporal{Address: address, Namespace: namespace}, PayloadKeys: keys, Regions: regions}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return w
}

// TestTwoWorkersServeTwoRegions runs two workers side by side, each for both regions, and asks for more than one of
// them does at a time.
func TestTwoWorkersServeTwoRegions(t *testing.T) {
	t.Parallel()
	address, namespace := temporal.Namespace(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for range 2 {
		w := prepare(t, address, namespace, map[string]config.Region{"tw": memoryRegion(), "jp": memoryRegion()})
		go func() { ended <- w.Run(ctx) }()
	}
	c, err := workers.Dial(t.Context(), workers.Options{Address: address, Namespace: namespace, Keys: keys, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	asker := worker.New(c, "asker", worker.Options{})
	asker.RegisterWorkflowWithOptions(func(ctx workflow.Context, queue string) (contract.HypervisorPage, error) {
		return contract.VMHypervisors.Do(ctx, queue, "list", contract.Page{Limit: 3})
	}, workflow.RegisterOptions{Name: "ask"})
	asker.RegisterWorkflowWithOptions(func(ctx workflow.Context, queue string, bmc contract.BMC) (contract.BMPowered, error) {
		return contract.BMSetPower.Do(ctx, queue, "power on", contract.BMPowerInput{BMC: bmc, On: true})
	}, workflow.RegisterOptions{Name: "power"})
	require.NoError(t, asker.Start())
	t.Cleanup(asker.Stop)
	secrets, err := vault.Parse(keys)
	require.NoError(t, err)
	for _, name := range []string{"tw", "jp"} {
		runs := make([]client.WorkflowRun, 8)
		for i := range runs {
			runs[i], err = c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: models.NewID().String(), TaskQueue: "asker"}, "ask", contract.VMQueue(name))
			require.NoError(t, err)
		}
		for _, run := range runs {
			var page contract.HypervisorPage
			require.NoError(t, run.Get(t.Context(), &page))
			require.Len(t, page.Hypervisors, 3)
			require.Equal(t, name+"-a-01", page.Hypervisors[0].Name, "each region has its own provider")
		}
		id := models.NewID()
		sealed, err := secrets.Seal("calvin", contract.SealedFor(id))
		require.NoError(t, err)
		run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: models.NewID().String(), TaskQueue: "asker"}, "power", contract.BMQueue(name),
			contract.BMC{ID: id, Name: name + "-r01-07", Address: "https://10.0.0.7", Username: "admin", Password: sealed})
		require.NoError(t, err)
		var powered contract.BMPowered
		require.NoError(t, run.Get(t.Context(), &powered))
		require.Equal(t, models.PowerOn, powered.Power, "and its own physical servers")
	}
	stop()
	for range 2 {
		require.NoError(t, <-ended)
	}
}

func TestCheckSaysWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	address, namespace := temporal.Namespace(t)
	server, err := vcenter.Start(t.Context(), vcenter.Options{Password: "secret", TLSDir: t.TempDir(), Hosts: 1})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		return name
	}
	right := config.VSphere{URL: server.URL.String(), Username: server.User.Username(), PasswordFile: file("secret"), CAFile: server.CAFile}
	with := func(change func(*config.VSphere)) config.Region {
		v := right
		change(&v)
		return config.Region{VM: &config.VM{Provider: config.ProviderVSphere, MaxConcurrent: 4, VSphere: v}}
	}
	got := prepare(t, address, namespace, map[string]config.Region{
		"a": with(func(*config.VSphere) {}),
		"b": with(func(v *config.VSphere) { v.PasswordFile = file("wrong") }),
		"c": with(func(v *config.VSphere) { v.CAFile = "" }),
		"d": with(func(v *config.VSphere) { v.URL = "https://127.0.0.1:1/sdk" }),
		"e": with(func(v *config.VSphere) { v.PasswordFile = "/nonexistent" }),
		"f": {BM: &config.BM{Provider: config.ProviderMemory, MaxConcurrent: 4}},
		"g": {BM: &config.BM{Provider: config.ProviderBmclib, MaxConcurrent: 4, Ipmitool: "/nonexistent"}},
	}).Check(t.Context())
	require.Len(t, got, 8)
	require.Equal(t, []region.Finding{
		{OK: true, Sentence: "Region f: physical servers are kept in memory."},
		{OK: true, Sentence: "Region g: BMCs are spoken to over Redfish. Those that speak only IPMI cannot be: install ipmitool, if there are any."},
	}, got[6:])
	require.Equal(t, region.Finding{OK: true, Sentence: "Temporal answers."}, got[0])
	require.Equal(t, region.Finding{OK: true, Sentence: "Region a: the provider answers and takes our login."}, got[1])
	for i, want := range []string{`refused the name or the password`, `certificate`, `reach|connect`, `password`} {
		require.False(t, got[2+i].OK)
		require.Regexp(t, fmt.Sprintf(`^Region %c: .*(?i:%s).*\.$`, 'b'+i, want), got[2+i].Sentence)
		require.NotContains(t, got[2+i].Sentence, "secret")
	}
}

func TestCheckSaysThatTemporalIsDown(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got := prepare(t, "127.0.0.1:1", "default", map[string]config.Region{"tw": memoryRegion()}).Check(ctx)
	require.False(t, got[0].OK)
	require.Regexp(t, `^Temporal does not answer: .* Start it, or correct temporal.address\.$`, got[0].Sentence)
}
