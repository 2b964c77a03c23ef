package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/activities/baremetal/bmclib"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/test/bmc/redfish"
	"github.com/yunshu/yunshu/vault"
)

const (
	bmcLatency  = 100 * time.Millisecond // of every call to a BMC
	bmcsAtOnce  = 64                     // that a region speaks to, as it is configured by default
	bmcPassword = "bench-4711"
)

// enrol measures from the import of many servers until all are available. Their BMCs are simulated, and reached over real Redfish
// and TLS.
func (b *bench) enrol(ctx context.Context) error {
	n := pick(b.short, 20, 200)
	fmt.Printf("enrolment of %d servers over Redfish, of which %d at a time are spoken to, beside what their BMCs alone take for the same calls\n", n, bmcsAtOnce)
	t, err := b.temporal(ctx)
	if t == nil {
		return err
	}
	defer t.Close()
	for _, latency := range []time.Duration{0, bmcLatency} {
		took, f, operation, err := b.enrolments(ctx, t, n, latency)
		if err != nil {
			return err
		}
		if latency == 0 {
			fmt.Printf("  %10s a call   ours %12s: what this computer takes for both ends and all between, where nobody is waited for\n", latency, ms(took))
			continue
		}
		calls, most := callsOf(f)
		ideal := max(time.Duration(calls)*latency/bmcsAtOnce, time.Duration(most)*latency)
		ratio := float64(took) / float64(ideal)
		fmt.Printf("  %10s a call   ours %12s   ideal %12s   ratio %.2f (at most 1.30: %s); %d calls, at most %d of one BMC\n",
			latency, ms(took), ms(ideal), ratio, verdict(ratio <= 1.3), calls, most)
		if err := history(ctx, t, operation, "one enrolment", 1); err != nil {
			return err
		}
	}
	return nil
}

// callsOf counts what BMCs were asked: all of them, and the one that was asked most.
func callsOf(f *redfish.Fleet) (all, most int) {
	for _, m := range f.Machines {
		n := 0
		for _, times := range m.Calls() {
			n += times
		}
		all, most = all+n, max(most, n)
	}
	return all, most
}

// enrolments brings n servers in through HTTP, and returns how long it takes until the database says that all are available, and the
// id of one of the operations.
func (b *bench) enrolments(ctx context.Context, t client.Client, n int, latency time.Duration) (took time.Duration, f *redfish.Fleet, operation string, err error) {
	f, stop, err := fleet(n, latency)
	if err != nil {
		return 0, nil, "", err
	}
	defer stop()
	s, err := b.yard(ctx)
	if err != nil {
		return 0, nil, "", err
	}
	defer s.Close()
	url, end, err := whole(ctx, s, t, physical(s.Keys.Way, bmclib.New(bmclib.Options{})))
	if err != nil {
		return 0, nil, "", err
	}
	defer end()
	body, err := importOf(f)
	if err != nil {
		return 0, nil, "", err
	}
	begin := time.Now()
	if err := post(ctx, http.DefaultClient, token, url+"/v1/baremetal-imports", "fleet", body); err != nil {
		return 0, nil, "", err
	}
	if err := await(ctx, s, n, `SELECT count(*) FROM baremetals WHERE state = 'available'`); err != nil {
		return 0, nil, "", err
	}
	took = time.Since(begin)
	err = s.Pool.QueryRow(ctx, `SELECT id::text FROM operations LIMIT 1`).Scan(&operation)
	return took, f, operation, err
}

// importOf is the request that brings a fleet in.
func importOf(f *redfish.Fleet) (string, error) {
	type access struct {
		Address  string `json:"address"`
		Username string `json:"username"`
		Password string `json:"password"`
	}
	type machine struct {
		Name string `json:"name"`
		BMC  access `json:"bmc"`
	}
	in := struct {
		Region   string    `json:"region"`
		Machines []machine `json:"machines"`
	}{Region: "tw"}
	for _, m := range f.Machines {
		in.Machines = append(in.Machines, machine{m.Name, access{m.URL(), "root", bmcPassword}})
	}
	body, err := json.Marshal(in)
	return string(body), err
}

// history prints what Temporal keeps of a workflow, divided by what there was to do.
func history(ctx context.Context, t client.Client, id, what string, of int) error {
	d, err := t.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return err
	}
	info := d.GetWorkflowExecutionInfo()
	fmt.Printf("  in Temporal, %s is %d events, %.1f KiB\n", what, info.GetHistoryLength()/int64(of), float64(info.GetHistorySizeBytes())/float64(of)/1024)
	return nil
}

// fleet starts BMCs that share an address, each at a port of its own.
func fleet(n int, latency time.Duration) (*redfish.Fleet, func(), error) {
	dir, err := os.MkdirTemp("", "yunshu-bench-bmcs-")
	if err != nil {
		return nil, nil, err
	}
	f, err := redfish.Start(redfish.Options{Count: n, Password: bmcPassword, TLSDir: dir, PoweredOn: n, Latency: latency})
	return f, func() {
		if f != nil {
			f.Stop()
		}
		_ = os.RemoveAll(dir) // the figures are printed already
	}, err
}

// yard is a database with a region of physical servers, in which there are none yet.
func (b *bench) yard(ctx context.Context) (*store.Store, error) {
	s, _, err := b.database(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := world(ctx, s, 1, 1); err != nil {
		return nil, err
	}
	_, err = s.Pool.Exec(ctx, `UPDATE regions SET capabilities = '{bm}'`)
	return s, err
}

// physical is a region's physical servers.
func physical(keys vault.Keys, p baremetal.Provider) part {
	all := baremetal.New(baremetal.Options{Provider: p, Keys: keys, MaxConcurrent: bmcsAtOnce})
	return part{queue: contract.BMQueue("tw"), options: worker.Options{DisableWorkflowWorker: true, MaxConcurrentActivityExecutionSize: 4 * bmcsAtOnce, MaxHeartbeatThrottleInterval: 3 * time.Second},
		register: func(r worker.ActivityRegistry) { baremetal.Register(r, all) }}
}
