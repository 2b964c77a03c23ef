package accept_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/models"
)

// running makes a machine and reports it as running.
func (w *world) running(name string) models.ID {
	w.Helper()
	created, err := w.CreateVM(w.Context(), w.create(name))
	require.NoError(w, err)
	w.finish(created.Operation, 1, contract.VMFacts{State: models.VMRunning, Ref: "vm-" + name})
	return created.Operation.ResourceID
}

// where is the name of the host that carries a machine, by its row; the ledger has to agree.
func (w *world) where(id models.ID) (name string) {
	w.Helper()
	require.NoError(w, w.Pool.QueryRow(w.Context(), `SELECT b.name FROM vms v JOIN allocations a ON a.resource_id = v.id AND a.baremetal_id = v.baremetal_id JOIN baremetals b ON b.id = v.baremetal_id WHERE v.id = $1`, id).Scan(&name))
	return name
}

// free is the vcpu that a host has left.
func (w *world) free(host string) int64 {
	w.Helper()
	return w.count(`SELECT vcpu_free FROM hypervisors h JOIN baremetals b ON b.id = h.baremetal_id WHERE b.name = $1`, host)
}

// requireBalance is the ledger check, and the sums.
func (w *world) requireBalance() {
	w.Helper()
	w.requireSums()
	found, err := w.CheckLedger(w.Context())
	require.NoError(w, err)
	require.Empty(w, found.Findings)
}

func (w *world) migrate(id models.ID, to string) (accept.Accepted, error) {
	return w.MigrateVM(w.Context(), accept.Request{Actor: w.admin}, id, accept.VMMove{To: to}, nil)
}

// ends reports how a move ended, with where the machine is then.
func (w *world) ends(op models.Operation, state models.OperationState, host string) {
	w.Helper()
	r := contract.Report{OperationID: op.ID, Seq: 1, State: state}
	if host != "" {
		r.VM = &contract.VMFacts{State: models.VMRunning, HostRef: "host-" + host[1:]}
	}
	if state == models.OperationFailed {
		r.Fault = models.Faultf(models.CodeTaskFailed, "vCenter failed the task.")
	}
	got, err := w.Report(w.Context(), r)
	require.NoError(w, err)
	require.True(w, got.Applied)
}

func TestAMoveTakesRoomOnBothHostsUntilItEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{hosts: 2, vcpu: 8, quota: 4})
	id := w.running("web")
	from := w.where(id)
	to := map[string]string{"h1": "h2", "h2": "h1"}[from]
	used := w.count(`SELECT vcpu_used FROM quotas`)

	for _, end := range []struct {
		state models.OperationState
		host  string
		moves bool
	}{
		{models.OperationFailed, from, false},
		{models.OperationCancelled, from, false},
		{models.OperationFailed, "", false},      // nobody knows
		{models.OperationSucceeded, "h9", false}, // somewhere that it should not be
		{models.OperationSucceeded, to, true},
	} {
		op, err := w.migrate(id, "")
		require.NoError(t, err)
		require.Equal(t, []int64{7, 7}, []int64{w.free(from), w.free(to)})
		w.requireBalance()
		w.exec(`SELECT refresh_hypervisors(array_agg(id)) FROM baremetals`)
		require.Equal(t, []int64{7, 7}, []int64{w.free(from), w.free(to)}, "computed anew")
		w.ends(op.Operation, end.state, end.host)
		if end.host == "" {
			w.exec(`UPDATE vms SET state = 'running'`)
		}
		require.Zero(t, w.count(`SELECT count(*) FROM moves`))
		if end.moves {
			from, to = to, from
		}
		require.Equal(t, from, w.where(id), "%+v", end)
		require.Equal(t, []int64{7, 8}, []int64{w.free(from), w.free(to)}, "%+v", end)
		w.requireBalance()
	}
	require.Equal(t, used, w.count(`SELECT vcpu_used FROM quotas`), "a move costs no quota")

	// What it was keeps the host that it was on.
	require.Equal(t, int64(1), w.count(`SELECT count(DISTINCT image ->> 'baremetal_id') FROM resource_versions WHERE kind = 'vm'`))
}

func TestAMoveSaysWhereTheMachineGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{hosts: 3, vcpu: 8})
	id := w.running("web")
	from := w.where(id)
	_, err := w.migrate(id, from)
	require.True(t, models.IsCode(err, models.CodeCapacityExhausted), "it is there: %v", err)
	_, err = w.migrate(id, "h9")
	require.True(t, models.IsCode(err, models.CodeCapacityExhausted), "%v", err)
	to := map[string]string{"h1": "h2", "h2": "h3", "h3": "h1"}[from]
	op, err := w.migrate(id, to)
	require.NoError(t, err)
	var in contract.VMMigrateInput
	require.NoError(t, json.Unmarshal(op.Operation.Input, &in))
	require.Equal(t, contract.VMMigrateInput{
		Operation: contract.Operation{ID: op.Operation.ID, Kind: "vm.migrate", TenantID: *op.Operation.TenantID, Tenant: "acme/dev", Region: "tw", ResourceKind: "vm", ResourceID: id, ResourceName: "web", Actor: "ann"},
		From:      contract.Host{ID: in.From.ID, Name: from, Ref: "host-" + from[1:]}, To: contract.Host{ID: in.To.ID, Name: to, Ref: "host-" + to[1:]}, State: models.VMRunning,
	}, in)
	_, err = w.migrate(id, "")
	require.True(t, models.IsCode(err, models.CodeOperationInProgress), "%v", err)
	w.ends(op.Operation, models.OperationSucceeded, to)
	w.exec(`UPDATE vms SET state = 'failed'`)
	_, err = w.migrate(id, "")
	require.True(t, models.IsCode(err, models.CodeWrongState), "%v", err)
}

func TestMovesAndCreatesNeverSpendTheSameRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{hosts: 3, vcpu: 6})
	ids := make([]models.ID, 9) // of 18 places
	for i := range ids {
		ids[i] = w.running(fmt.Sprintf("old-%d", i))
	}
	errs := race(2*len(ids), func(i int) error {
		if i%2 == 0 {
			_, err := w.migrate(ids[i/2], "")
			return err
		}
		_, err := w.CreateVM(t.Context(), w.create(fmt.Sprintf("new-%d", i)))
		return err
	})
	wins := 0
	for _, err := range errs {
		if err == nil {
			wins++
			continue
		}
		require.True(t, models.IsCode(err, models.CodeCapacityExhausted), "%v", err)
	}
	require.Equal(t, 9, wins, "there were nine places left, and a move takes one as a create does")
	require.Zero(t, w.count(`SELECT count(*) FROM hypervisors WHERE vcpu_free < 0`))
	w.requireBalance()
}

func TestARunThatIsTooLateLearnsWhereItsMachineIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{hosts: 2, vcpu: 8})
	id := w.running("web")
	op, err := w.migrate(id, "")
	require.NoError(t, err)
	to := goal(t, op.Operation)
	w.ends(op.Operation, models.OperationSucceeded, to)
	late := contract.Report{OperationID: op.Operation.ID, Seq: 1, State: models.OperationRunning, RunID: "another"}
	got, err := w.Report(t.Context(), late)
	require.NoError(t, err)
	require.Equal(t, contract.Reported{Ended: true, Home: &contract.Host{ID: w.host(to), Name: to, Ref: "host-" + to[1:]}}, got)
	w.exec(`DELETE FROM vms`)
	got, err = w.Report(t.Context(), late)
	require.NoError(t, err)
	require.Equal(t, contract.Reported{Ended: true}, got)
}
