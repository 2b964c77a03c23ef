package accept_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/models"
)

// newYard is a world with spare machines in a group of their own, and quotas of tenant acme: everywhere and in the group.
func newYard(t *testing.T, machines, everywhere, inGroup int) *world {
	t.Helper()
	w := newWorld(t, shape{hosts: 1, vcpu: 8})
	w.exec(`UPDATE regions SET capabilities = '{vm,bm}'`)
	w.exec(`INSERT INTO groups (id, region, name) VALUES (gen_random_uuid(), 'tw', 'metal')`)
	w.exec(`INSERT INTO quotas (id, tenant_id, group_id, baremetals_limit) SELECT gen_random_uuid(), id, NULL, $1::bigint FROM tenants WHERE name = 'acme'`, everywhere)
	w.exec(`INSERT INTO quotas (id, tenant_id, group_id, baremetals_limit) SELECT gen_random_uuid(), t.id, g.id, $1::bigint FROM tenants t, groups g WHERE t.name = 'dev' AND g.name = 'metal'`, inGroup)
	w.exec(`INSERT INTO baremetals (id, region, name, role, state, hardware_uuid, group_id, health)
		SELECT gen_random_uuid(), 'tw', 'm' || n, 'spare', 'available', '', (SELECT id FROM groups WHERE name = 'metal'), 'ok' FROM generate_series(1, $1::int) n`, machines)
	w.exec(`INSERT INTO bmcs (baremetal_id, region, address, protocol, username, key_id, password) SELECT id, 'tw', name, 'redfish', 'u', 'k', '\x00' FROM baremetals WHERE role = 'spare'`)
	w.exec(`INSERT INTO images (id, name, purpose, boot) SELECT gen_random_uuid(), n, n, '{"tw": {"kernel": "http://h/k"}}' FROM unnest('{provision,wipe}'::text[]) n`)
	return w
}

func (w *world) lease(key string) accept.Lease {
	return accept.Lease{Request: accept.Request{Actor: w.admin, RequestID: "r-" + key, Hash: []byte(key)}, Tenant: "acme/dev", Region: "tw", Group: "metal", Image: "provision"}
}

// many asks for many leases at once, and counts those that were accepted and the codes of the others.
func (w *world) many(n int) (machines map[models.ID]int, refused map[models.Code]int) {
	w.Helper()
	machines, refused = map[models.ID]int{}, map[models.Code]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			got, err := w.LeaseBaremetal(context.Background(), w.lease(fmt.Sprint(i)))
			mu.Lock()
			defer mu.Unlock()
			if f := models.AsFault(err); f != nil {
				refused[f.Code]++
				return
			}
			machines[got.Operation.ResourceID]++
		})
	}
	all.Wait()
	return machines, refused
}

func TestFiftyClientsGetFiftyMachines(t *testing.T) {
	t.Parallel()
	w := newYard(t, 50, 60, 60)
	machines, refused := w.many(50)
	require.Empty(t, refused)
	require.Len(t, machines, 50)
	w.requireBooks()
}

func TestOfFiftyClientsOneGetsTheLastMachine(t *testing.T) {
	t.Parallel()
	w := newYard(t, 1, 60, 60)
	machines, refused := w.many(50)
	require.Len(t, machines, 1)
	require.Equal(t, map[models.Code]int{models.CodeCapacityExhausted: 49}, refused)
	w.requireBooks()
}

func TestOfFiftyClientsSomeGetTheLastQuota(t *testing.T) {
	t.Parallel()
	w := newYard(t, 50, 60, 7)
	machines, refused := w.many(50)
	require.Len(t, machines, 7)
	require.Equal(t, map[models.Code]int{models.CodeQuotaExceeded: 43}, refused)
	w.requireBooks()
}

func TestOneKeyLeasesOneMachine(t *testing.T) {
	t.Parallel()
	w := newYard(t, 20, 60, 60)
	l := w.lease("same")
	l.Key = "same"
	var all sync.WaitGroup
	got := make([]models.ID, 10)
	for i := range got {
		all.Go(func() {
			a, err := w.LeaseBaremetal(context.Background(), l)
			if err == nil {
				got[i] = a.Operation.ID
			}
		})
	}
	all.Wait()
	for _, id := range got {
		require.Equal(t, got[0], id)
		require.NotEqual(t, models.NoID, id)
	}
	require.EqualValues(t, 1, w.count("SELECT count(*) FROM allocations"))
	w.requireBooks()
}

func (w *world) requireBooks() {
	w.Helper()
	found, err := w.CheckLedger(context.Background())
	require.NoError(w, err)
	require.Empty(w, found.Findings)
}

// yard is a world's machines as a model: a tenant leases machines, operators release them, and work on them ends well or not.
type yard struct {
	*world
	everywhere, inGroup int
	spare               int
	leased              map[models.ID]models.ID // machines, with the operation under way on each, if any
	seq                 int
}

func (y *yard) next() string { y.seq++; return fmt.Sprint("s", y.seq) }

func (y *yard) lease(t *rapid.T) {
	got, err := y.LeaseBaremetal(context.Background(), y.world.lease(y.next()))
	switch used := len(y.leased); {
	case used == y.everywhere || used == y.inGroup:
		require.True(t, models.IsCode(err, models.CodeQuotaExceeded), "%v", err)
	case y.spare == 0:
		require.True(t, models.IsCode(err, models.CodeCapacityExhausted), "%v", err)
	default:
		require.NoError(t, err)
		require.NotContains(t, y.leased, got.Operation.ResourceID)
		y.spare--
		y.leased[got.Operation.ResourceID] = got.Operation.ID
	}
}

// one draws a leased machine.
func (y *yard) one(t *rapid.T) models.ID {
	if len(y.leased) == 0 {
		t.Skip("nothing is leased")
	}
	ids := slices.SortedFunc(maps.Keys(y.leased), func(a, b models.ID) int { return bytes.Compare(a[:], b[:]) }) // so that a failure can be repeated
	return rapid.SampledFrom(ids).Draw(t, "machine")
}

func (y *yard) release(t *rapid.T) {
	id := y.one(t)
	got, err := y.ReleaseBaremetal(context.Background(), accept.Release{Request: y.world.lease(y.next()).Request, Machine: id})
	if y.leased[id] != models.NoID {
		require.True(t, models.IsCode(err, models.CodeOperationInProgress), "%v", err)
		return
	}
	require.NoError(t, err)
	y.leased[id] = got.Operation.ID
}

// end ends the operation on a machine: it is the tenant's still, or spare again.
func (y *yard) end(t *rapid.T) {
	id := y.one(t)
	op := y.leased[id]
	if op == models.NoID {
		t.Skip("nothing is under way on it")
	}
	back := rapid.Bool().Draw(t, "back")
	facts := &contract.BaremetalFacts{Role: models.RoleLeased, State: models.BaremetalInUse}
	if back {
		facts = &contract.BaremetalFacts{Role: models.RoleSpare, State: models.BaremetalAvailable}
	}
	done, err := y.Report(context.Background(), contract.Report{OperationID: op, Seq: 1, State: models.OperationSucceeded, Baremetal: facts})
	require.NoError(t, err)
	require.True(t, done.Applied)
	y.leased[id] = models.NoID
	if back {
		delete(y.leased, id)
		y.spare++
	}
}

func TestLeasesAlwaysAddUp(t *testing.T) {
	t.Parallel()
	w := newYard(t, 4, 5, 3)
	rapid.Check(t, func(t *rapid.T) {
		w.exec(`UPDATE operations SET state = 'succeeded'`)
		w.exec(`UPDATE baremetals SET role = 'spare', state = 'available', tenant_id = NULL WHERE role = 'leased'`)
		w.exec(`SELECT release(resource_id) FROM allocations`)
		y := &yard{world: w, everywhere: 5, inGroup: 3, spare: 4, leased: map[models.ID]models.ID{}}
		t.Repeat(map[string]func(*rapid.T){"lease": y.lease, "release": y.release, "end": y.end, "": func(t *rapid.T) {
			found, err := w.CheckLedger(context.Background())
			require.NoError(t, err)
			require.Empty(t, found.Findings)
			require.EqualValues(t, len(y.leased), w.count("SELECT baremetals_used FROM quotas WHERE group_id IS NULL"))
			require.EqualValues(t, len(y.leased), w.count("SELECT baremetals_used FROM quotas WHERE group_id IS NOT NULL"))
			require.EqualValues(t, len(y.leased), w.count("SELECT count(*) FROM baremetals WHERE role = 'leased' AND tenant_id IS NOT NULL AND state = 'in_use'"))
		}})
	})
}
