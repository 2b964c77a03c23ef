package accept_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/models"
)

func TestCreateFreezesEverythingTheRegionNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{hosts: 3, vcpu: 8, racks: 3, quota: 4})
	got, err := w.CreateVM(t.Context(), w.create("web"))
	require.NoError(t, err)
	var in contract.VMProvisionInput
	require.NoError(t, json.Unmarshal(got.Operation.Input, &in))
	require.Equal(t, contract.VMProvisionInput{
		Operation: contract.Operation{ID: got.Operation.ID, Kind: "vm.provision", TenantID: *got.Operation.TenantID, Tenant: "acme/dev", Region: "tw",
			ResourceKind: "vm", ResourceID: got.Operation.ResourceID, ResourceName: "web", Actor: "ann"},
		VM: contract.VM{ID: got.Operation.ResourceID, Name: "web", Tenant: "acme/dev", Size: models.Size{VCPU: 1, MemoryMiB: 1024, StorageGiB: 10},
			Template: "ubuntu-24.04", Host: in.VM.Host,
			Network: contract.Network{Name: "vlan-100", Address: in.VM.Network.Address, Hostname: "web"}},
	}, in)
	require.Equal(t, int64(1), w.count(`SELECT vcpu_used FROM quotas`))
	w.requireSums()
}

func TestARaceForTheLastHasTheRightNumberOfWinners(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		shape
		wins int
		code models.Code
	}{
		"quota":   {shape{hosts: 4, vcpu: 1000, quota: 7}, 7, models.CodeQuotaExceeded},
		"host":    {shape{hosts: 3, vcpu: 2}, 6, models.CodeCapacityExhausted},
		"address": {shape{hosts: 4, vcpu: 1000, cidr: "10.9.0.0/24", first: "10.9.0.10", last: "10.9.0.14"}, 5, models.CodeAddressesExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.shape)
			errs := race(50, func(i int) error {
				_, err := w.CreateVM(t.Context(), w.create(fmt.Sprintf("vm-%d", i)))
				return err
			})
			wins := 0
			for _, err := range errs {
				if err == nil {
					wins++
					continue
				}
				f := models.AsFault(err)
				require.NotNil(t, f, "%v", err)
				require.Equal(t, c.code, f.Code, f.Message)
				require.NotEmpty(t, f.Shortages, "what is short, where and how much is free")
			}
			require.Equal(t, c.wins, wins)
			require.Equal(t, int64(c.wins), w.count(`SELECT count(*) FROM vms`))
			require.Equal(t, int64(c.wins), w.count(`SELECT count(*) FROM operations`))
			w.requireSums()
		})
	}
}

func race(n int, f func(int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errs
}

func TestTheSameKeyMakesOneMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{hosts: 3, vcpu: 8})
	c := w.create("web")
	c.Key = "k1"
	ids := make([]models.ID, 20)
	for _, err := range race(20, func(i int) error {
		got, err := w.CreateVM(t.Context(), c)
		ids[i] = got.Operation.ID
		return err
	}) {
		require.NoError(t, err)
	}
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
	require.Equal(t, int64(1), w.count(`SELECT count(*) FROM vms`))
	c.Hash = []byte("another body")
	_, err := w.CreateVM(t.Context(), c)
	require.True(t, models.IsCode(err, models.CodeKeyReused), "%v", err)
	w.requireSums()
}

func TestTheSameNameTwiceIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{hosts: 3, vcpu: 80})
	wins := 0
	for _, err := range race(10, func(int) error { _, err := w.CreateVM(t.Context(), w.create("web")); return err }) {
		if err == nil {
			wins++
			continue
		}
		require.True(t, models.IsCode(err, models.CodeNameTaken), "%v", err)
	}
	require.Equal(t, 1, wins)
}

func TestMistakesAreToldAllAtOnceAndNothingIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{hosts: 1, vcpu: 8})
	c := w.create("web")
	c.Group, c.Image, c.Flavor, c.Subnet = "no", "no", "no", "no"
	c.Placement = accept.Placement{AntiAffinity: []string{"ghost"}}
	_, err := w.CreateVM(t.Context(), c)
	f := models.AsFault(err)
	require.NotNil(t, f)
	require.Equal(t, models.CodeInvalid, f.Code)
	var fields []string
	for _, e := range f.Fields {
		fields = append(fields, e.Field)
	}
	require.Equal(t, []string{"body.group", "body.subnet", "body.image", "body.flavor", "body.placement.anti_affinity.vms[0]"}, fields)
	require.Zero(t, w.count(`SELECT count(*) FROM operations`)+w.count(`SELECT count(*) FROM audit_events`))
}

func TestRevokedRightsCountAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{hosts: 1, vcpu: 8})
	w.admin.Bindings = []models.RoleBinding{{Role: models.RoleAdmin}} // what the edge still remembers
	w.exec(`DELETE FROM role_bindings`)
	_, err := w.CreateVM(t.Context(), w.create("web"))
	require.True(t, models.IsCode(err, models.CodeNotFound), "%v", err)
	w.exec(`UPDATE tokens SET revoked_at = now()`)
	_, err = w.CreateVM(t.Context(), w.create("web"))
	require.True(t, models.IsCode(err, models.CodeUnauthenticated), "%v", err)
}

func TestAntiAffinityKeepsMachinesApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{hosts: 6, vcpu: 100, racks: 3})
	names := []string{}
	for i := range 3 {
		c := w.create(fmt.Sprintf("db-%d", i))
		c.Placement = accept.Placement{AntiAffinity: names, Scope: "rack", Policy: models.Pack}
		_, err := w.CreateVM(t.Context(), c)
		require.NoError(t, err)
		names = append(names, c.Name)
	}
	require.Equal(t, int64(3), w.count(`SELECT count(DISTINCT b.rack_id) FROM vms v JOIN baremetals b ON b.id = v.baremetal_id`))
	c := w.create("db-3")
	c.Placement = accept.Placement{AntiAffinity: names, Scope: "rack"}
	_, err := w.CreateVM(t.Context(), c)
	f := models.AsFault(err)
	require.NotNil(t, f)
	require.Equal(t, models.CodeCapacityExhausted, f.Code)
	require.Equal(t, []models.Reason{{Cause: "carries a machine to keep away from", Hosts: 3}, {Cause: "is in a rack to keep away from", Hosts: 3}}, f.Reasons)
}

func TestAPlanSaysWhatACreateWouldDoAndWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{hosts: 2, vcpu: 8, quota: 4})
	w.exec(`UPDATE baremetals SET maintenance = true WHERE name = 'h1'`)
	w.exec(`SELECT refresh_hypervisors(array_agg(id)) FROM baremetals`)
	plan, err := w.PlanVM(t.Context(), w.create("web"))
	require.NoError(t, err)
	require.Equal(t, accept.Plan{
		BaremetalID: plan.BaremetalID, Baremetal: "h2", Address: plan.Address, Size: models.Size{VCPU: 1, MemoryMiB: 1024, StorageGiB: 10}, Policy: models.Spread,
		Reasons: []models.Reason{{Cause: "fits", Hosts: 1}, {Cause: "is in maintenance", Hosts: 1}},
		Quotas:  []accept.PlannedQuota{{Where: "tenant acme", Resource: "vcpu", Limit: 4, Before: 0, After: 1}},
	}, plan)
	require.Zero(t, w.count(`SELECT count(*) FROM vms`))
	require.Zero(t, w.count(`SELECT vcpu_used FROM quotas`))
}

// finish reports an operation's end as its workflow would.
func (w *world) finish(op models.Operation, seq int64, facts contract.VMFacts) {
	w.Helper()
	got, err := w.Report(w.Context(), contract.Report{OperationID: op.ID, Seq: seq, State: models.OperationSucceeded, VM: &facts,
		Steps: []contract.Step{{Number: 1, Name: "clone", State: models.StepSucceeded}}})
	require.NoError(w, err)
	require.True(w, got.Applied)
}

func TestTheLifeOfAMachineGivesBackAllItTook(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{hosts: 2, vcpu: 8, quota: 4})
	req := accept.Request{Actor: w.admin}
	created, err := w.CreateVM(t.Context(), w.create("web"))
	require.NoError(t, err)
	id := created.Operation.ResourceID
	_, err = w.DeleteVM(t.Context(), req, id, nil)
	require.True(t, models.IsCode(err, models.CodeOperationInProgress), "%v", err)
	w.finish(created.Operation, 1, contract.VMFacts{State: models.VMRunning, Ref: "vm-1", Addresses: []string{"10.1.0.9"}})

	_, err = w.ResizeVM(t.Context(), req, id, accept.VMResize{Size: models.Size{VCPU: 6}}, nil)
	require.True(t, models.IsCode(err, models.CodeQuotaExceeded), "%v", err)
	resize, err := w.ResizeVM(t.Context(), req, id, accept.VMResize{Size: models.Size{VCPU: 3}}, nil)
	require.NoError(t, err)
	require.Equal(t, int64(3), w.count(`SELECT vcpu_used FROM quotas`))
	w.finish(resize.Operation, 1, contract.VMFacts{State: models.VMRunning, Size: &models.Size{VCPU: 3, MemoryMiB: 1024, StorageGiB: 10}})
	w.requireSums()

	shrink, err := w.ResizeVM(t.Context(), req, id, accept.VMResize{Flavor: "small"}, nil)
	require.NoError(t, err)
	require.Equal(t, int64(3), w.count(`SELECT vcpu_used FROM quotas`), "what it shrinks by is given back when it has shrunk")
	w.finish(shrink.Operation, 1, contract.VMFacts{State: models.VMRunning, Size: &models.Size{VCPU: 1, MemoryMiB: 1024, StorageGiB: 10}})
	require.Equal(t, int64(1), w.count(`SELECT vcpu_used FROM quotas`))

	off, err := w.PowerVM(t.Context(), req, id, contract.PowerOff, nil)
	require.NoError(t, err)
	w.finish(off.Operation, 1, contract.VMFacts{State: models.VMStopped})
	_, err = w.PowerVM(t.Context(), req, id, contract.PowerOff, nil)
	require.True(t, models.IsCode(err, models.CodeWrongState), "%v", err)

	gone, err := w.DeleteVM(t.Context(), req, id, nil)
	require.NoError(t, err)
	w.finish(gone.Operation, 1, contract.VMFacts{State: models.VMGone})
	require.Zero(t, w.count(`SELECT count(*) FROM vms`)+w.count(`SELECT count(*) FROM allocations`)+w.count(`SELECT count(*) FROM ip_addresses`)+w.count(`SELECT vcpu_used FROM quotas`))
	w.requireSums()
}

func TestReportsApplyOnceAndInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{hosts: 2, vcpu: 8, quota: 4})
	created, err := w.CreateVM(t.Context(), w.create("web"))
	require.NoError(t, err)
	report := func(seq int64, state models.OperationState, vm models.VMState) bool {
		got, err := w.Report(t.Context(), contract.Report{OperationID: created.Operation.ID, Seq: seq, State: state, VM: &contract.VMFacts{State: vm}})
		require.NoError(t, err)
		return got.Applied
	}
	require.True(t, report(2, models.OperationRunning, ""))
	require.False(t, report(1, models.OperationRunning, ""), "an older one")
	require.False(t, report(2, models.OperationRunning, ""), "the same again")
	require.True(t, report(3, models.OperationFailed, models.VMGone))
	require.False(t, report(4, models.OperationRunning, models.VMRunning), "after the end")
	require.Zero(t, w.count(`SELECT count(*) FROM vms`))
	w.requireSums()
}
