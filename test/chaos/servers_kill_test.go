package chaos

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/test/bmc/redfish"
)

// TestAWorkerKilledWithOrdersOnTheWayRepeatsNone kills the worker at the moment when it has told three BMCs to do what must
// not be done twice: turn on, take another password, and boot for a tenant. Each BMC does so, and its answer meets nobody.
func TestAWorkerKilledWithOrdersOnTheWayRepeatsNone(t *testing.T) {
	t.Parallel()
	f := newFloor(t, 3)
	ids := f.enrollAll(f.fleet.Machines...)
	powered, rotated, leased := f.fleet.Machines[0], f.fleet.Machines[1], f.fleet.Machines[2]
	ordered := &meeting{all: 3, complete: make(chan struct{}), apart: make(chan struct{})}
	powered.Before(http.MethodPost, "*/Actions/ComputerSystem.Reset", ordered.join)
	rotated.Before(http.MethodPatch, "*/Accounts/*", ordered.join)
	leased.Before(http.MethodPost, "*/Actions/ComputerSystem.Reset", ordered.join)
	ops := []operation{
		f.ask("/v1/baremetals/"+ids[2]+"/lease", object{"tenant": "acme", "image": "metal-1"}),
		f.ask("/v1/baremetals/"+ids[0]+"/power-on", nil),
		f.ask("/v1/baremetals/"+ids[1]+"/rotate-password", nil),
	}
	select {
	case <-ordered.complete:
	case <-time.After(30 * time.Second):
		t.Fatal("the orders did not all come")
	}
	f.kill(&f.worker)
	close(ordered.apart)
	f.startWorker()
	for _, op := range ops {
		done := f.await(op.ID)
		require.Equal(t, "succeeded", done.State, "%+v", done.Error)
	}
	for _, m := range []*redfish.Machine{powered, leased} {
		require.Equal(t, []int{1, 0, 0}, []int{m.Happened(redfish.PowerOn), m.Happened(redfish.PowerOff), m.Happened(redfish.Reset)}, m.Name)
	}
	password := f.password(ids[1])
	require.NotEqual(t, original, password)
	require.True(t, rotated.PasswordIs("root", password), "what is known is what the BMC takes")
	require.Zero(t, f.count("SELECT count(*) FROM bmcs WHERE staged IS NOT NULL"))
	require.Equal(t, "leased", f.server(ids[2]).Role)
	f.requireBalance()
}

// meeting holds its members until all are there and it is ended.
type meeting struct {
	mu              sync.Mutex
	all             int
	complete, apart chan struct{}
}

func (m *meeting) join() {
	m.mu.Lock()
	if m.all--; m.all == 0 {
		close(m.complete)
	}
	m.mu.Unlock()
	select {
	case <-m.apart:
	case <-time.After(30 * time.Second): // the test has failed
	}
}

// TestAGatewayKilledDuringAnImportBringsEachServerInOnce kills the gateway several times while 50 machines come in.
func TestAGatewayKilledDuringAnImportBringsEachServerInOnce(t *testing.T) {
	t.Parallel()
	const machines = 50
	f := newFloor(t, machines)
	list := make([]object, machines)
	for i, m := range f.fleet.Machines {
		list[i] = newcomer(m.Name, m)
		delete(list[i], "region")
	}
	in := object{"region": "tw", "machines": list}
	imported := f.imports(in)
	for _, in := range []int{1, 15, 30} {
		require.Eventually(t, func() bool {
			return f.count("SELECT count(*) FROM operations WHERE kind = 'baremetal.enroll' AND state = 'succeeded'") >= in
		},
			2*time.Minute, 20*time.Millisecond, "machines come in")
		f.kill(&f.gateway)
		f.startGateway()
	}
	require.Equal(t, imported, f.imports(in), "who asks again with the same key hears the same")
	for _, id := range imported {
		done := f.await(id)
		require.Equal(t, "succeeded", done.State, "%+v", done.Error)
	}
	serials := map[string]bool{}
	for _, s := range f.servers() {
		require.Equal(t, "available", s.State, s.Name)
		serials[s.Serial] = true
	}
	require.Len(t, serials, machines)
	require.Equal(t, machines, f.count("SELECT count(*) FROM baremetals"))
	require.Equal(t, machines, f.count("SELECT count(*) FROM bmcs"))
	f.requireBalance()
}

// imports sends a list of servers, and returns the ids of their operations.
func (f *floor) imports(in object) []string {
	f.Helper()
	var out struct{ Operations []struct{ ID string } }
	require.Equal(f, http.StatusAccepted, f.call(http.MethodPost, "/v1/baremetal-imports", "the-import", in, &out))
	ids := make([]string, len(out.Operations))
	for i, op := range out.Operations {
		ids[i] = op.ID
	}
	require.Len(f, ids, len(f.fleet.Machines), fmt.Sprint(out))
	return ids
}
