package region_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
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
	"github.com/yunshu/yunshu/workers"
	"github.com/yunshu/yunshu/workers/region"
)

// keys encrypt the payloads of these tests.
const keys = "k1=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// worldOf is the configuration of a worker whose regions are in memory.
func worldOf(address, namespace string, regions ...string) config.Worker {
	c := config.Worker{Temporal: config.Temporal{Address: address, Namespace: namespace}, PayloadKeys: keys, Regions: map[string]config.Region{}}
	for _, r := range regions {
		c.Regions[r] = config.Region{VM: &config.VM{Provider: config.ProviderMemory, MaxConcurrent: 4}}
	}
	return c
}

// serve runs a worker until the test ends, or until the returned function is called, and waits until it serves.
func serve(t *testing.T, c config.Worker) (stop func()) {
	t.Helper()
	w, err := region.New(t.Context(), c, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	handler := w.Handler()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	var once bool
	stop = func() {
		if cancel(); !once {
			once = true
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(stop)
	// It reaches Temporal in its own time.
	require.Eventually(t, func() bool { return ready(handler).Code == http.StatusOK }, 30*time.Second, 20*time.Millisecond)
	return stop
}

func ready(h http.Handler) *httptest.ResponseRecorder {
	out := httptest.NewRecorder()
	h.ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	return out
}

// dial connects as the gateway does, with the same keys.
func dial(t *testing.T, address, namespace string) client.Client {
	t.Helper()
	c, err := workers.Dial(t.Context(), workers.Options{Address: address, Namespace: namespace, Keys: keys, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// caller runs a workflow that calls one activity of a region.
func caller(t *testing.T, c client.Client) func(queue, activity string, in, out any) error {
	t.Helper()
	const queue = "test"
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context, queue, activity string, in any) (any, error) {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: queue, StartToCloseTimeout: 20 * time.Second, HeartbeatTimeout: 10 * time.Second})
		var out any
		err := workflow.ExecuteActivity(ctx, activity, in).Get(ctx, &out)
		return out, err
	}, workflow.RegisterOptions{Name: "call"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	return func(to, activity string, in, out any) error {
		run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: queue}, "call", to, activity, in)
		require.NoError(t, err)
		return run.Get(t.Context(), out)
	}
}

func spec() contract.CloneInput {
	return contract.CloneInput{OperationID: models.NewID(), VM: contract.VM{
		ID: models.NewID(), Name: "web", Tenant: "acme", Size: models.Size{VCPU: 1, MemoryMiB: 1024, StorageGiB: 10}, Template: "ubuntu-24.04",
		Host: contract.Host{Name: "a-01", Ref: "host-1000"}, Network: contract.Network{Name: "vlan-100", Address: "10.1.0.7/16", Hostname: "web"},
	}}
}

// TestOneProcessServesSeveralRegions calls every activity of each region's queue; each region has machines of its own.
func TestOneProcessServesSeveralRegions(t *testing.T) {
	t.Parallel()
	address, namespace := temporal.Namespace(t)
	serve(t, worldOf(address, namespace, "tw", "jp"))
	call := caller(t, dial(t, address, namespace))
	for _, name := range []string{"tw", "jp"} {
		queue, in := contract.VMQueue(name), spec()
		ref := contract.VMRef{OperationID: in.OperationID, ID: in.VM.ID, Name: in.VM.Name}
		var status contract.VMStatus
		require.NoError(t, call(queue, "vm.clone", in, &status))
		require.Equal(t, "vm-1", status.Ref, "the first machine of region %s", name)
		require.NoError(t, call(queue, "vm.set-power", contract.PowerInput{VMRef: ref, On: true}, nil))
		require.NoError(t, call(queue, "vm.await-guest", contract.GuestInput{VMRef: ref, Address: "10.1.0.7"}, nil))
		require.NoError(t, call(queue, "vm.reconfigure", contract.ReconfigureInput{VMRef: ref, Size: models.Size{VCPU: 2, MemoryMiB: 2048, StorageGiB: 10}}, nil))
		var hosts contract.HypervisorPage
		require.NoError(t, call(queue, "vm.hypervisors", contract.Page{Limit: 1}, &hosts))
		require.Equal(t, name+"-a-01", hosts.Hypervisors[0].Name)
		var machines contract.MachinePage
		require.NoError(t, call(queue, "vm.list", contract.Page{}, &machines))
		require.Len(t, machines.Machines, 1)
		require.NoError(t, call(queue, "vm.destroy", ref, nil))
		status = contract.VMStatus{}
		require.NoError(t, call(queue, "vm.read", ref, &status))
		require.False(t, status.Found)
	}
}

// TestTwoWorkersOfARegionRunSideBySide: the work of a queue is done while both run, and when
// one stops the other goes on alone.
func TestTwoWorkersOfARegionRunSideBySide(t *testing.T) {
	t.Parallel()
	address, namespace := temporal.Namespace(t)
	call := caller(t, dial(t, address, namespace))
	stopFirst := serve(t, worldOf(address, namespace, "tw"))
	serve(t, worldOf(address, namespace, "tw"))
	queue := contract.VMQueue("tw")
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() { errs[i] = call(queue, "vm.hypervisors", contract.Page{Limit: 1}, nil) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	stopFirst()
	for range 4 {
		require.NoError(t, call(queue, "vm.hypervisors", contract.Page{Limit: 1}, nil))
	}
}

// TestAWorkerWaitsForTemporal: it starts, says for what it waits, and stops when it is told to.
func TestAWorkerWaitsForTemporal(t *testing.T) {
	t.Parallel()
	w, err := region.New(t.Context(), worldOf("127.0.0.1:1", "default", "tw", "jp"), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	handler := w.Handler()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	got := ready(handler)
	require.Equal(t, http.StatusServiceUnavailable, got.Code)
	require.JSONEq(t, `{"status": "waiting for Temporal", "regions": ["jp", "tw"]}`, got.Body.String())
	cancel()
	require.NoError(t, <-ended)
}

// TestCheckSaysWhatIsWrong tries a vCenter with a wrong password, one whose certificate nobody vouches for, one that is
// not there, and one that is well, without Temporal.
func TestCheckSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	server, err := vcenter.Start(t.Context(), vcenter.Options{Password: "s3cret-right", TLSDir: t.TempDir(), Hosts: 1})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	stranger, err := vcenter.Start(t.Context(), vcenter.Options{Password: "s3cret-right", TLSDir: t.TempDir(), Hosts: 1})
	require.NoError(t, err)
	t.Cleanup(stranger.Stop)
	at := func(url, ca, password string) config.Region {
		file := filepath.Join(t.TempDir(), "password")
		require.NoError(t, os.WriteFile(file, []byte(password), 0o600))
		return config.Region{VM: &config.VM{Provider: config.ProviderVSphere, MaxConcurrent: 1,
			VSphere: config.VSphere{URL: url, Username: server.User.Username(), PasswordFile: file, CAFile: ca}}}
	}
	c := worldOf("127.0.0.1:1", "default")
	c.Regions = map[string]config.Region{
		"away":     at("https://127.0.0.1:1/sdk", server.CAFile, "s3cret-right"),
		"password": at(server.URL.String(), server.CAFile, "s3cret-wrong"),
		"stranger": at(stranger.URL.String(), server.CAFile, "s3cret-right"),
		"well":     at(server.URL.String(), server.CAFile, "s3cret-right"),
	}
	w, err := region.New(t.Context(), c, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	found := w.Check(ctx)
	require.Len(t, found, 5)
	for i, want := range []struct {
		ok       bool
		sentence string
	}{
		{false, `^Temporal does not answer: .*\. Start it, or correct temporal\.address\.$`},
		{false, `^Region away: .*vCenter 127\.0\.0\.1:1 of region away .*\.$`},
		{false, `^Region password: .* refused the name or the password\. .*\.$`},
		{false, `^Region stranger: .*certificate.*\.$`},
		{true, `^Region well: the provider answers and takes our login\.$`},
	} {
		require.Equal(t, want.ok, found[i].OK, found[i].Sentence)
		require.Regexp(t, want.sentence, found[i].Sentence)
		require.NotContains(t, found[i].Sentence, "s3cret")
	}
}
