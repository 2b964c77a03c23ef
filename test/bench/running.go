package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/yunshu/yunshu/activities/contract"
	activities "github.com/yunshu/yunshu/activities/gateway"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/activities/vm/memory"
	"github.com/yunshu/yunshu/api"
	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/outbox"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/workers"
	"github.com/yunshu/yunshu/workers/gateway"
	"github.com/yunshu/yunshu/workflows"
)

const benchKeys = "bench=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

// running measures from the accepted create to the running machine, beside a workflow that does nothing in as many
// activities on the same Temporal; then the same with a vCenter simulator, beside what that takes alone.
func (b *bench) running(ctx context.Context) error {
	fmt.Println("from create to running, with the in-memory provider, beside a workflow of as many activities that do nothing")
	t, err := b.temporal(ctx)
	if t == nil {
		return err
	}
	defer t.Close()
	many := pick(b.short, 50, 500)
	for _, load := range []struct{ n, times int }{{1, 20}, {many, 1}} {
		floor, err := b.nothing(ctx, t, load.n, load.times)
		if err != nil {
			return fmt.Errorf("floor: %w", err)
		}
		ours, err := b.provisions(ctx, t, anyHost{memory.New(memory.Options{})}, load.n, load.times)
		if err != nil {
			return err
		}
		ratio := float64(ours) / float64(floor)
		fmt.Printf("  %3d at once   ours %12s   floor %12s   ratio %.2f (at most 1.30: %s)\n", load.n, ms(ours), ms(floor), ratio, verdict(ratio <= 1.3))
	}
	center, err := startVCenter(ctx)
	if err != nil {
		return err
	}
	defer center.stop()
	for _, n := range []int{1, many} {
		alone, err := center.alone(ctx, n)
		if err != nil {
			return fmt.Errorf("vcsim alone: %w", err)
		}
		ours, err := b.provisions(ctx, t, center, n, 1)
		if err != nil {
			return err
		}
		fmt.Printf("  %3d at once   ours %12s with vcsim, which alone takes %12s for the same\n", n, ms(ours), ms(alone))
	}
	return nil
}

// median runs f several times and returns the middle of what it measured.
func median(times int, f func() (time.Duration, error)) (time.Duration, error) {
	took := make([]time.Duration, times)
	for i := range took {
		var err error
		if took[i], err = f(); err != nil {
			return 0, err
		}
	}
	slices.Sort(took)
	return took[times/2], nil
}

// temporal connects to a namespace of the bench's own. Where there is no Temporal it says so, and returns none.
func (b *bench) temporal(ctx context.Context) (client.Client, error) {
	address := os.Getenv("YUNSHU_TEST_TEMPORAL_ADDRESS")
	if address == "" {
		fmt.Println("  left out: YUNSHU_TEST_TEMPORAL_ADDRESS names no Temporal (make bench starts one)")
		return nil, nil
	}
	namespace := fmt.Sprintf("bench-%d", time.Now().UnixNano())
	ns, err := client.NewNamespaceClient(client.Options{HostPort: address, Logger: quiet{}})
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	if err := ns.Register(ctx, &workflowservice.RegisterNamespaceRequest{Namespace: namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour)}); err != nil {
		return nil, err
	}
	t, err := workers.Dial(ctx, workers.Options{Address: address, Namespace: namespace, Keys: benchKeys, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	// A namespace is usable once the server's caches know it; there is nothing to wait on but trying.
	for range 100 {
		if err = gateway.Prepare(ctx, t, namespace); err == nil {
			return t, nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return nil, err
}

// nothing runs n workflows of as many activities as a provision has, and returns how long it took.
func (b *bench) nothing(ctx context.Context, t client.Client, n, times int) (time.Duration, error) {
	w := worker.New(t, "floor", worker.Options{MaxConcurrentActivityTaskPollers: 4, MaxConcurrentWorkflowTaskPollers: 4})
	w.RegisterWorkflow(floorWorkflow)
	w.RegisterActivity(floorActivity)
	if err := w.Start(); err != nil {
		return 0, err
	}
	defer w.Stop()
	one := func(int) error {
		run, err := t.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: "floor", ID: models.NewID().String()}, floorWorkflow)
		if err == nil {
			err = run.Get(ctx, nil)
		}
		return err
	}
	if err := one(0); err != nil { // warm
		return 0, err
	}
	return median(times, func() (time.Duration, error) {
		begin := time.Now()
		err := atOnce(n, n, one)
		return time.Since(begin), err
	})
}

// atOnce calls f n times, so many at a time, and returns what went wrong.
func atOnce(n, atATime int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	slots := make(chan struct{}, atATime)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() { errs[i] = f(i); <-slots })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// floorWorkflow has an activity for each thing a provision does: clone, turn on, wait for the guest, report beside them,
// and report the end. The provision itself makes fewer trips: it turns on and waits in one, and reports progress from
// where the workflow runs.
func floorWorkflow(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	for range 5 {
		if err := workflow.ExecuteActivity(ctx, floorActivity).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func floorActivity(context.Context) error { return nil }

// region is a provider and the hosts that it has.
type region interface {
	vm.Hypervisor
	adopt(ctx context.Context, s *store.Store) error // makes the hosts of the world the provider's
}

// provisions runs the whole gateway and a region's worker in this process, creates n machines through HTTP, and
// returns how long it takes until the database says that all are running.
func (b *bench) provisions(ctx context.Context, t client.Client, r region, n, times int) (time.Duration, error) {
	s, _, err := b.database(ctx)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	if _, err := world(ctx, s, 10, 48); err != nil {
		return 0, err
	}
	if err := r.adopt(ctx, s); err != nil {
		return 0, fmt.Errorf("adopt the hosts: %w", err)
	}
	url, stop, err := whole(ctx, s, t, virtual(r))
	if err != nil {
		return 0, err
	}
	defer stop()
	serial := 0
	create := func(n int) error {
		first := serial
		serial += n
		err := atOnce(n, 16, func(i int) error {
			name := fmt.Sprintf("vm-%d", first+i)
			return post(ctx, http.DefaultClient, token, url+"/v1/vms", name, fmt.Sprintf(`{"name":%q,"tenant":"root/t-1","region":"tw","group":"general","image":"ubuntu","flavor":"small","subnet":"lan"}`, name))
		})
		if err == nil {
			err = await(ctx, s, serial, `SELECT count(*) FROM vms WHERE state = 'running'`)
		}
		return err
	}
	if err := create(1); err != nil { // warm
		return 0, err
	}
	return median(times, func() (time.Duration, error) {
		begin := time.Now()
		err := create(n)
		return time.Since(begin), err
	})
}

// await returns when a query counts as many as are expected, and fails when an operation does.
func await(ctx context.Context, s *store.Store, n int, count string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		var done, failed int
		var why string
		if err := s.Pool.QueryRow(ctx, `SELECT (`+count+`), (SELECT count(*) FROM operations WHERE state IN ('failed', 'blocked', 'cancelled')),
			coalesce((SELECT max(error->>'message') FROM operations), '')`).Scan(&done, &failed, &why); err != nil {
			return err
		}
		if failed > 0 {
			return fmt.Errorf("%d operations failed: %s", failed, why)
		}
		if done >= n {
			return nil
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// part is what the worker of a region serves, as package region wires it.
type part struct {
	queue    string
	options  worker.Options
	register func(worker.ActivityRegistry)
}

// virtual is a region's virtual machines.
func virtual(h vm.Hypervisor) part {
	return part{queue: contract.VMQueue("tw"), options: worker.Options{MaxConcurrentActivityTaskPollers: 4, DisableWorkflowWorker: true},
		register: func(r worker.ActivityRegistry) { vm.Register(r, vm.Activities{Hypervisor: h}) }}
}

// whole is the gateway with all its parts, and a regional worker.
func whole(ctx context.Context, s *store.Store, t client.Client, p part) (string, func(), error) {
	policies, err := authz.New()
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	out := outbox.New(s, t, slog.New(slog.DiscardHandler))
	go out.Run(ctx)
	gate := gateway.New(t, activities.Activities{Store: s, Executions: t, BMCs: s}, workflows.Set{})
	if err := gate.Start(); err != nil {
		cancel()
		return "", nil, err
	}
	region := worker.New(t, p.queue, p.options)
	p.register(region)
	if err := region.Start(); err != nil {
		cancel()
		return "", nil, err
	}
	edge := api.New(api.Options{Store: s, Authz: policies, Temporal: t, Logger: slog.New(slog.DiscardHandler), Version: "bench",
		Accept: accept.New(ctx, accept.Options{Store: s, Authz: policies, Wake: out.Wake})})
	url, stop, err := listen(edge.Handler())
	return url, func() { stop(); cancel(); region.Stop(); gate.Stop() }, err
}

// quiet is a Temporal logger that says nothing.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
