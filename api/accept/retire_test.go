package accept_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/models"
)

func (w *world) retire(host string) error {
	_, err := w.RetireBaremetal(w.Context(), accept.Request{Actor: w.admin, RequestID: "r-retire", Hash: []byte(host)}, w.host(host), nil)
	return err
}

// Nothing comes to a host that goes.
func TestARetiringHostTakesNoMachines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{hosts: 1, vcpu: 100})
	w.exec("UPDATE baremetals SET state = 'available'")
	w.exec("SELECT refresh_hypervisors(array_agg(id)) FROM baremetals")
	require.NoError(t, w.retire("h1"))
	_, err := w.CreateVM(t.Context(), w.create("web"))
	require.True(t, models.IsCode(err, models.CodeCapacityExhausted), "%v", err)
}

// Whichever comes first, a machine is never on a host that is retired.
func TestCreatesAndARetirementMeet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{hosts: 1, vcpu: 100})
	w.exec("UPDATE baremetals SET state = 'available'")
	w.exec("SELECT refresh_hypervisors(array_agg(id)) FROM baremetals")
	var retired error
	var all sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		all.Go(func() { _, _ = w.CreateVM(w.Context(), w.create(name)) })
	}
	all.Go(func() { retired = w.retire("h1") })
	all.Wait()
	if retired == nil {
		require.Zero(t, w.count("SELECT count(*) FROM vms"))
		return
	}
	require.True(t, models.IsCode(retired, models.CodeInUse), "%v", retired)
}

func TestAHostThatAMachineIsOnItsWayToDoesNotRetire(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{hosts: 2, vcpu: 100})
	w.exec("UPDATE hypervisors SET placeable = false WHERE baremetal_id <> $1", w.host("h1"))
	vm := w.running("web")
	w.exec("UPDATE baremetals SET state = 'available'")
	w.exec("SELECT refresh_hypervisors(array_agg(id)) FROM baremetals")
	_, err := w.MigrateVM(t.Context(), accept.Request{Actor: w.admin, RequestID: "r-move", Hash: []byte("x")}, vm, accept.VMMove{}, nil)
	require.NoError(t, err)
	err = w.retire("h2")
	require.True(t, models.IsCode(err, models.CodeInUse), "%v", err)
	require.ErrorContains(t, err, "on their way")
}
