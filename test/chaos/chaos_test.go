package chaos

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
)

// TestKillsAtRandomLoseNothing creates 100 machines and deletes them again while gateway and worker are killed at
// random moments. Every operation ends, and database and vCenter agree.
func TestKillsAtRandomLoseNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	done, killer := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(killer)
		dice := rand.New(rand.NewPCG(2026, 11))
		for kills := 0; kills < 8; kills++ {
			select {
			case <-done:
				return
			case <-time.After(time.Duration(500+dice.IntN(2000)) * time.Millisecond):
			}
			if dice.IntN(2) == 0 {
				r.kill(&r.gateway)
				r.startGateway()
			} else {
				r.kill(&r.worker)
				r.startWorker()
			}
		}
	}()
	const machines, clients = 100, 8
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := c; i < machines; i += clients {
				name := fmt.Sprintf("vm-%d", i)
				created := r.create(name)
				if !r.await(created.ID).ended() {
					return
				}
				var op operation
				status := r.call(http.MethodDelete, "/v1/vms/"+created.ResourceID, "", nil, &op)
				// A delete whose answer got lost is in progress, or done, when it is asked for again.
				if status == http.StatusAccepted {
					r.await(op.ID)
				}
			}
		})
	}
	wg.Wait()
	close(done)
	<-killer
	require.Eventually(t, func() bool {
		var page struct {
			Items []operation `json:"items"`
		}
		r.call(http.MethodGet, "/v1/operations?limit=200&state=active", "", nil, &page)
		return len(page.Items) == 0
	}, 3*time.Minute, 200*time.Millisecond, "every operation ends")
	require.Zero(t, r.vms())
	r.requireNoLeaks()
}

func TestAWorkerThatIsDownIsWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.kill(&r.worker)
	op := r.create("web")
	require.Eventually(t, func() bool {
		var now operation
		r.call(http.MethodGet, "/v1/operations/"+op.ID, "", nil, &now)
		return now.WaitingFor == "region tw" && now.Waiting != ""
	}, 30*time.Second, 100*time.Millisecond, "the operation says what it waits for")
	r.startWorker()
	require.Equal(t, "succeeded", r.await(op.ID).State)
}

func TestAPostgresThatRestartsLosesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ops := make([]operation, 10)
	for i := range ops {
		ops[i] = r.create(fmt.Sprintf("vm-%d", i))
	}
	port := r.postgres.Port
	r.postgres.Stop()
	status, _, err := r.once(http.MethodGet, "/v1/vms", "", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, status, "and it says so")
	r.startPostgres(port)
	for _, op := range ops {
		require.Equal(t, "succeeded", r.await(op.ID).State)
	}
	require.Equal(t, len(ops), r.vms())
	r.requireNoLeaks()
}

// TestTemporalsOwnCancelUnwinds cancels where an operator may: in Temporal itself.
func TestTemporalsOwnCancelUnwinds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c, err := client.Dial(client.Options{HostPort: r.temporal, Namespace: r.namespace})
	require.NoError(t, err)
	defer c.Close()
	cancel := map[string]func(op operation){
		"temporal": func(op operation) { require.NoError(t, c.CancelWorkflow(t.Context(), op.ID, "")) },
		"api": func(op operation) {
			require.Equal(t, http.StatusAccepted, r.call(http.MethodPost, "/v1/operations/"+op.ID+"/cancel", "", nil, nil))
		},
	}
	r.kill(&r.worker) // so that the cancellation meets it under way
	for name, how := range cancel {
		op := r.create("web-" + name)
		require.Eventually(t, func() bool {
			var now operation
			r.call(http.MethodGet, "/v1/operations/"+op.ID, "", nil, &now)
			return now.State == "running"
		}, 30*time.Second, 50*time.Millisecond, "it runs")
		how(op)
		r.startWorker()
		require.Equal(t, "cancelled", r.await(op.ID).State, name)
		r.kill(&r.worker)
	}
	r.startWorker()
	require.Zero(t, r.vms())
	r.requireNoLeaks()
}
