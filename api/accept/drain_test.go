package accept_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/models"
)

// host is the id of a host.
func (w *world) host(name string) (id models.ID) {
	w.Helper()
	require.NoError(w, w.Pool.QueryRow(w.Context(), `SELECT id FROM baremetals WHERE name = $1`, name).Scan(&id))
	return id
}

// crowded is a world whose machines are all on h1; the other hosts are as large as vcpu says.
func crowded(t *testing.T, machines, hosts int, vcpu int64) (*world, []models.ID) {
	w := newWorld(t, shape{hosts: hosts, vcpu: 100})
	w.exec(`UPDATE hypervisors SET placeable = false WHERE baremetal_id <> $1`, w.host("h1"))
	ids := make([]models.ID, machines)
	for i := range ids {
		ids[i] = w.running(fmt.Sprintf("web-%d", i))
	}
	w.exec(`UPDATE baremetals SET vcpu = $2 WHERE id <> $1`, w.host("h1"), vcpu)
	w.exec(`SELECT refresh_hypervisors(array_agg(id)) FROM baremetals`)
	return w, ids
}

func (w *world) drain(host string) accept.Drain {
	return accept.Drain{Request: accept.Request{Actor: w.admin, RequestID: "r-drain", Hash: []byte(host)}, Baremetal: w.host(host), Reason: "A fan fails."}
}

// under are the operations that a drain has under way, by the machine.
func (w *world) under() map[models.ID]models.Operation {
	w.Helper()
	rows, err := w.Pool.Query(w.Context(), `SELECT id, kind, resource_id, input FROM operations WHERE state = 'accepted' AND kind <> 'baremetal.drain'`)
	require.NoError(w, err)
	defer rows.Close()
	out := map[models.ID]models.Operation{}
	for rows.Next() {
		var o models.Operation
		require.NoError(w, rows.Scan(&o.ID, &o.Kind, &o.ResourceID, &o.Input))
		out[o.ResourceID] = o
	}
	require.NoError(w, rows.Err())
	return out
}

// goal is the name of the host that a move goes to.
func goal(t *testing.T, o models.Operation) string {
	t.Helper()
	var in contract.VMMigrateInput
	require.NoError(t, json.Unmarshal(o.Input, &in))
	return in.To.Name
}

func (w *world) look(drain models.Operation, attempts int) contract.Drained {
	w.Helper()
	var in contract.BaremetalDrainInput
	require.NoError(w, json.Unmarshal(drain.Input, &in))
	out, err := w.ContinueDrain(w.Context(), contract.DrainInput{OperationID: drain.ID, BaremetalID: drain.ResourceID, Stop: in.Stop, Attempts: attempts})
	require.NoError(w, err)
	return out
}

func TestAPreviewSaysWhatADrainDoes(t *testing.T) {
	t.Parallel()
	w, ids := crowded(t, 5, 4, 3)
	until := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	d := w.drain("h1")
	d.Until = &until
	plan, err := w.PlanDrain(t.Context(), d)
	require.NoError(t, err)
	require.Zero(t, w.count(`SELECT count(*) FROM moves`)+w.count(`SELECT count(*) FROM baremetals WHERE maintenance`))
	require.Len(t, plan.VMs, 5)

	got, err := w.DrainBaremetal(t.Context(), d)
	require.NoError(t, err)
	moves := w.under()
	for i, v := range plan.VMs {
		require.Equal(t, accept.DrainedVM{ID: ids[i], Name: fmt.Sprintf("web-%d", i), TenantID: v.TenantID, Tenant: "acme/dev", State: models.VMRunning, Fate: accept.FateMove, ToID: v.ToID, To: goal(t, moves[v.ID])}, v)
	}
	require.Equal(t, int64(5), w.count(`SELECT count(*) FROM moves`))
	require.Equal(t, int64(5), w.count(`SELECT count(*) FROM audit_events WHERE action = 'vm.migrate' AND actor = 'ann' AND tenant_id IS NOT NULL`))
	require.Equal(t, int64(1), w.count(`SELECT count(*) FROM baremetals b JOIN hypervisors h ON h.baremetal_id = b.id
		WHERE b.maintenance AND NOT h.placeable AND maintenance_reason = 'A fan fails.' AND maintenance_by = 'ann' AND maintenance_until = $1`, until))
	w.requireBalance()

	for id, o := range moves {
		w.ends(o, models.OperationSucceeded, goal(t, o))
		require.NotEqual(t, "h1", w.where(id))
	}
	require.Equal(t, contract.Drained{Marked: true}, w.look(got.Operation, 3))
	require.Equal(t, int64(100), w.free("h1"))
	w.requireBalance()
}

func TestTheSameDrainIsAcceptedOnce(t *testing.T) {
	t.Parallel()
	w, _ := crowded(t, 3, 3, 8)
	d := w.drain("h1")
	d.Key = "k"
	got := make([]accept.Accepted, 8)
	for _, err := range race(len(got), func(i int) (err error) { got[i], err = w.DrainBaremetal(t.Context(), d); return err }) {
		require.NoError(t, err)
	}
	for _, g := range got {
		require.Equal(t, got[0].Operation.ID, g.Operation.ID)
	}
	d.Key = ""
	_, err := w.DrainBaremetal(t.Context(), d)
	require.True(t, models.IsCode(err, models.CodeOperationInProgress), "%v", err)
	require.Equal(t, got[0].Operation.ID, *models.AsFault(err).Operation)
	require.Equal(t, int64(3), w.count(`SELECT count(*) FROM moves`))
	w.requireBalance()
}

func TestADrainThatCannotEmptyTheHostChangesNothing(t *testing.T) {
	t.Parallel()
	w, ids := crowded(t, 4, 2, 2)
	w.exec(`UPDATE vms SET state = 'stopped' WHERE id = $1`, ids[3])
	plan, err := w.PlanDrain(t.Context(), w.drain("h1"))
	require.NoError(t, err, "a preview says why")
	fates := func(p accept.DrainPlan) (out []accept.Fate) {
		for _, v := range p.VMs {
			out = append(out, v.Fate)
		}
		return out
	}
	require.Equal(t, []accept.Fate{"move", "move", "stuck", "stuck"}, fates(plan))
	_, err = w.DrainBaremetal(t.Context(), w.drain("h1"))
	f := models.AsFault(err)
	require.NotNil(t, f, "%v", err)
	require.Equal(t, models.CodeCapacityExhausted, f.Code)
	require.Equal(t, "The host h1 cannot be emptied, so nothing was changed. 2 of its 4 machines can neither be moved nor be stopped: "+
		"acme/dev/web-2 (no other host of group general has room for 1 vcpu, 1024 MiB memory and 10 GiB storage); acme/dev/web-3 (no other host of group general has room for 1 vcpu, 1024 MiB memory and 10 GiB storage). "+
		"Make room on other hosts of the group, or allow machines to be stopped.", f.Message)
	require.Zero(t, w.count(`SELECT count(*) FROM moves`)+w.count(`SELECT count(*) FROM baremetals WHERE maintenance`)+w.count(`SELECT count(*) FROM operations WHERE state = 'accepted'`))

	d := w.drain("h1")
	d.Stop = true
	plan, err = w.PlanDrain(t.Context(), d)
	require.NoError(t, err)
	require.Equal(t, []accept.Fate{"move", "move", "stop", "stay"}, fates(plan))
	got, err := w.DrainBaremetal(t.Context(), d)
	require.NoError(t, err)
	works := w.under()
	require.Equal(t, "vm.power", works[ids[2]].Kind)
	w.ends(works[ids[0]], models.OperationSucceeded, "h2")
	w.ends(works[ids[1]], models.OperationSucceeded, "h2")
	w.finish(works[ids[2]], 1, contract.VMFacts{State: models.VMStopped})
	require.Equal(t, contract.Drained{Left: 2, Stopped: 2, Marked: true}, w.look(got.Operation, 3))
	w.requireBalance()
}

func TestADrainComesBackForWhatWasBusyOrFailed(t *testing.T) {
	t.Parallel()
	w, ids := crowded(t, 2, 3, 8)
	busy, err := w.PowerVM(t.Context(), accept.Request{Actor: w.admin}, ids[0], contract.Reboot, nil)
	require.NoError(t, err)
	late, err := w.MigrateVM(t.Context(), accept.Request{Actor: w.admin}, w.onAnother("h2", "late"), accept.VMMove{To: "h1"}, nil)
	require.NoError(t, err)
	got, err := w.DrainBaremetal(t.Context(), w.drain("h1"))
	require.NoError(t, err)
	drain := got.Operation
	first := w.under()[ids[1]]
	require.Equal(t, contract.Drained{Left: 3, Moving: 3, Marked: true}, w.look(drain, 3), "one is rebooted, one is on its way here")
	w.exec(`UPDATE operations SET state = 'blocked' WHERE id = $1`, busy.Operation.ID)
	require.Equal(t, []contract.Stuck{{Name: "acme/dev/web-0", Reason: "operation " + busy.Operation.ID.String() + " waits for a person's decision"}}, w.look(drain, 3).Waiting)

	// Each gets a move as soon as it is free, and another one elsewhere when that failed.
	w.exec(`UPDATE operations SET state = 'running' WHERE id = $1`, busy.Operation.ID)
	w.finish(busy.Operation, 1, contract.VMFacts{State: models.VMRunning})
	w.ends(late.Operation, models.OperationSucceeded, "h1")
	w.ends(first, models.OperationFailed, "h1")
	require.Equal(t, contract.Drained{Left: 3, Moving: 3, Marked: true}, w.look(drain, 3))
	second := w.under()
	require.Len(t, second, 3)
	require.NotEqual(t, goal(t, first), goal(t, second[ids[1]]), "where it failed it is tried last")
	for id, o := range second {
		if id != ids[1] {
			w.ends(o, models.OperationSucceeded, goal(t, o))
		}
	}
	w.ends(second[ids[1]], models.OperationFailed, "h1")
	left := w.look(drain, 2)
	require.Equal(t, contract.Drained{Left: 1, Stuck: []contract.Stuck{{Name: "acme/dev/web-1", Reason: "it was tried 2 times: vCenter failed the task."}}, Marked: true}, left)
	require.Empty(t, w.under())
	require.Equal(t, 1, w.look(drain, 4).Moving, "a person gives it more attempts")
	w.requireBalance()
}

// onAnother makes a machine on a certain host.
func (w *world) onAnother(host, name string) models.ID {
	w.Helper()
	w.exec(`UPDATE hypervisors SET placeable = baremetal_id = $1`, w.host(host))
	id := w.running(name)
	w.exec(`SELECT refresh_hypervisors(array_agg(id)) FROM baremetals`)
	return id
}

func TestADrainThatShallEndBeginsNothing(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*world, models.Operation){
		"cancelled": func(w *world, o models.Operation) {
			_, err := w.Cancel(w.Context(), accept.Request{Actor: w.admin}, o.ID)
			require.NoError(w, err)
		},
		"ended": func(w *world, o models.Operation) {
			w.exec(`UPDATE operations SET state = 'failed' WHERE id = $1`, o.ID)
		},
		"not marked": func(w *world, o models.Operation) { w.exec(`UPDATE baremetals SET maintenance = false`) },
	} {
		w, ids := crowded(t, 1, 2, 8)
		busy, err := w.PowerVM(t.Context(), accept.Request{Actor: w.admin}, ids[0], contract.Reboot, nil)
		require.NoError(t, err)
		got, err := w.DrainBaremetal(t.Context(), w.drain("h1"))
		require.NoError(t, err)
		w.finish(busy.Operation, 1, contract.VMFacts{State: models.VMRunning})
		end(w, got.Operation)
		require.Equal(t, contract.Drained{Left: 1, Moving: 1, Marked: name != "not marked"}, w.look(got.Operation, 3))
		require.Empty(t, w.under(), name)
	}
}

// TestADrainAmongCreates drains two hosts while machines are made, moved and looked after: no host promises more than it
// has, nothing comes to a host that is drained, and in the end both are empty.
func TestADrainAmongCreates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{hosts: 5, vcpu: 12})
	for i := range 20 {
		w.running(fmt.Sprintf("old-%d", i))
	}
	drains := make([]accept.Accepted, 2)
	for _, err := range race(26, func(i int) (err error) {
		if i < 2 {
			drains[i], err = w.DrainBaremetal(t.Context(), w.drain(fmt.Sprintf("h%d", i+1)))
			return err
		}
		_, err = w.CreateVM(t.Context(), w.create(fmt.Sprintf("new-%d", i)))
		if models.IsCode(err, models.CodeCapacityExhausted) {
			return nil
		}
		return err
	}) {
		if !models.IsCode(err, models.CodeCapacityExhausted) {
			require.NoError(t, err)
		}
	}
	require.Zero(t, w.count(`SELECT count(*) FROM hypervisors WHERE vcpu_free < 0`))
	w.requireBalance()
	for _, d := range drains {
		if d.Operation.ID == models.NoID {
			continue // its machines had no room left: the creates were faster
		}
		w.settleAll(d.Operation)
		require.Zero(t, w.count(`SELECT count(*) FROM vms WHERE baremetal_id = $1`, d.Operation.ResourceID))
	}
	require.Zero(t, w.count(`SELECT count(*) FROM hypervisors WHERE vcpu_free < 0`))
	w.requireBalance()
}

// settleAll plays the region until a drain has nothing left, or is stuck for lack of room.
func (w *world) settleAll(drain models.Operation) {
	w.Helper()
	for range 20 {
		rows, err := w.Pool.Query(context.Background(), `SELECT id, kind, resource_id, input FROM operations WHERE state = 'accepted' AND kind <> 'baremetal.drain'`)
		require.NoError(w, err)
		var all []models.Operation
		for rows.Next() {
			var o models.Operation
			require.NoError(w, rows.Scan(&o.ID, &o.Kind, &o.ResourceID, &o.Input))
			all = append(all, o)
		}
		require.NoError(w, rows.Err())
		for _, o := range all {
			switch o.Kind {
			case "vm.migrate":
				w.ends(o, models.OperationSucceeded, goal(w.T, o))
			default:
				w.finish(o, 1, contract.VMFacts{State: models.VMRunning})
			}
		}
		left := w.look(drain, 3)
		if left.Left == 0 {
			return
		}
		if len(left.Stuck) > 0 { // make room, as a person would
			w.exec(`UPDATE baremetals SET vcpu = vcpu + 10 WHERE NOT maintenance`)
			w.exec(`SELECT refresh_hypervisors(array_agg(id)) FROM baremetals`)
		}
	}
	require.Fail(w, "the host is not empty")
}

func TestOnlyHypervisorsAreDrainedAndOnlyByOperators(t *testing.T) {
	t.Parallel()
	w, _ := crowded(t, 1, 2, 8)
	d := w.drain("h1")
	d.Baremetal = models.NewID()
	_, err := w.DrainBaremetal(t.Context(), d)
	require.True(t, models.IsCode(err, models.CodeNotFound), "%v", err)
	w.exec(`UPDATE baremetals SET role = 'spare' WHERE name = 'h2'`)
	_, err = w.DrainBaremetal(t.Context(), w.drain("h2"))
	require.True(t, models.IsCode(err, models.CodeWrongState), "%v", err)
	w.exec(`UPDATE role_bindings SET role = 'auditor'`)
	for _, id := range []models.ID{w.host("h1"), models.NewID()} {
		d.Baremetal = id
		_, err = w.DrainBaremetal(t.Context(), d)
		require.True(t, models.IsCode(err, models.CodeForbidden), "%v", err)
	}
}
