package chaos

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/test/bmc/redfish"
)

// TestATenantHasAServerForItsOwn leases any machine of a group to a tenant, who sees it, and gives it back wiped.
func TestATenantHasAServerForItsOwn(t *testing.T) {
	t.Parallel()
	f := newFloor(t, 2)
	ids := f.enrollAll(f.fleet.Machines...)
	member := f.member()
	op := f.await(f.as(member).ask("/v1/leases", object{"tenant": "acme", "region": "tw", "group": "metal", "image": "metal-1", "hostname": "db-1"}).ID)
	require.Equal(t, "succeeded", op.State, "%+v", op.Error)
	require.Contains(t, ids, op.ResourceID)
	m := f.fleet.Machine(f.server(op.ResourceID).Serial)
	require.Equal(t, "On", m.Power())
	require.Equal(t, "provision", f.guests[m].State().Purpose)
	theirs := f.as(member).servers()
	require.Len(t, theirs, 1, "the other one is none of theirs")
	require.Equal(t, []any{op.ResourceID, "leased", "in_use", "acme", true}, []any{theirs[0].ID, theirs[0].Role, theirs[0].State, theirs[0].Tenant, theirs[0].BMC == nil})
	require.Equal(t, 1, f.leased())

	op = f.await(f.as(member).ask("/v1/baremetals/"+op.ResourceID+"/release", nil).ID)
	require.Equal(t, "succeeded", op.State, "%+v", op.Error)
	require.Equal(t, "wipe", f.guests[m].State().Purpose)
	require.Equal(t, "Off", m.Power())
	back := f.server(op.ResourceID)
	require.Equal(t, []string{"spare", "available", ""}, []string{back.Role, back.State, back.Tenant})
	require.Empty(t, f.as(member).servers())
	require.Zero(t, f.leased())
	f.requireBalance()
}

// as is the same floor, seen by somebody else.
func (f *floor) as(token string) *floor {
	other := &rig{T: f.T, dir: f.dir, url: f.url, token: token, postgres: f.postgres, namespace: f.namespace, temporal: f.temporal}
	return &floor{rig: other, fleet: f.fleet, guests: f.guests}
}

// member makes somebody of the tenant, and returns their token.
func (f *floor) member() string {
	f.Helper()
	require.Equal(f, http.StatusCreated, f.call(http.MethodPost, "/v1/users", "", object{"name": "mia"}, nil))
	require.Equal(f, http.StatusCreated, f.call(http.MethodPost, "/v1/role-bindings", "", object{"user": "mia", "role": "member", "tenant": "acme"}, nil))
	var made struct{ Token string }
	require.Equal(f, http.StatusCreated, f.call(http.MethodPost, "/v1/tokens", "", object{"user": "mia", "name": "laptop"}, &made))
	return made.Token
}

// leased is how many machines the tenant's quota counts.
func (f *floor) leased() int {
	f.Helper()
	return f.count("SELECT sum(baremetals_used) FROM quotas q JOIN tenants t ON t.id = q.tenant_id WHERE t.name = 'acme'")
}

// moment is a kind of step of a lease or a release, by the call that it makes of the BMC.
type moment struct{ name, method, path string }

var moments = []moment{
	{"connect", http.MethodGet, "*/Systems/*"},
	{"boot-once", http.MethodPatch, "*/Systems/*"},
	{"power", http.MethodPost, "*/Actions/ComputerSystem.Reset"},
}

// TestALostConnectionDuringALeaseIsMended loses the connection to a machine's BMC in each of the ways at each kind of step,
// of the lease and then of the release. Each ends well after it was mended.
func TestALostConnectionDuringALeaseIsMended(t *testing.T) {
	t.Parallel()
	ways := []string{redfish.Dead, redfish.HalfReply, redfish.ResetMidway, redfish.Unavailable}
	f := newFloor(t, len(moments)*len(ways))
	ids := f.enrollAll(f.fleet.Machines...)
	each := func(verb string, body any) {
		ops := make([]operation, len(ids))
		for i, m := range f.fleet.Machines {
			at, way := moments[i/len(ways)], ways[i%len(ways)]
			m.Before(at.method, at.path, func() { f.fail(m, way) })
			ops[i] = f.ask("/v1/baremetals/"+ids[i]+"/"+verb, body)
		}
		for i, m := range f.fleet.Machines {
			what := fmt.Sprintf("%s: %s at %s", verb, ways[i%len(ways)], moments[i/len(ways)].name)
			f.becomes(ops[i].ID, operation.stuck, what+" is noticed")
			require.NoError(t, m.Mend())
		}
		for _, op := range ops { // each tries again after a while that grew with its failures
			if f.becomes(op.ID, func(o operation) bool { return o.ended() || o.blocked() }, "what was mended goes on").blocked() {
				f.resume(op.ID)
			}
			done := f.await(op.ID)
			require.Equal(t, "succeeded", done.State, "%s of %s: %+v", verb, done.ResourceID, done.Error)
		}
	}
	each("lease", object{"tenant": "acme", "image": "metal-1"})
	require.Equal(t, len(ids), f.leased())
	for _, m := range f.fleet.Machines {
		require.Equal(t, 1, m.Happened(redfish.PowerOn), "%s was turned on once", m.Name)
	}
	each("release", nil)
	require.Zero(t, f.leased())
	for i, m := range f.fleet.Machines {
		require.Equal(t, "available Off", f.server(ids[i]).State+" "+m.Power())
	}
	f.requireBalance()
}

func (f *floor) fail(m *redfish.Machine, kind string) {
	if err := m.Fail(redfish.Fault{Kind: kind}); err != nil {
		f.Errorf("make %s %s: %v", m.Name, kind, err)
	}
}

// TestALeaseIsCancelledAtEveryStep cancels leases, and then releases, while a step of each kind cannot go on.
func TestALeaseIsCancelledAtEveryStep(t *testing.T) {
	t.Parallel()
	f := newFloor(t, len(moments)+1)
	ids := f.enrollAll(f.fleet.Machines...)
	silent := f.fleet.Machines[len(moments)] // whose report is waited for
	cancel := func(verb string, body any) (states []string) {
		f.guests[silent].Silence(true)
		ops := make([]operation, len(ids))
		for i, m := range f.fleet.Machines {
			if m != silent {
				m.Before(moments[i].method, moments[i].path, func() { f.fail(m, redfish.Unavailable) })
			}
			ops[i] = f.ask("/v1/baremetals/"+ids[i]+"/"+verb, body)
		}
		for i, m := range f.fleet.Machines {
			if m == silent {
				f.becomes(ops[i].ID, func(operation) bool {
					return f.count("SELECT count(*) FROM operation_steps WHERE operation_id = $1 AND name = 'await-report'", ops[i].ID) > 0
				}, "its report is waited for")
			} else {
				f.becomes(ops[i].ID, operation.stuck, "the step at "+moments[i].name+" cannot go on")
			}
			require.Equal(t, http.StatusAccepted, f.call(http.MethodPost, "/v1/operations/"+ops[i].ID+"/cancel", "", nil, nil))
			require.NoError(t, m.Mend())
		}
		for i, id := range ids {
			require.Equal(t, "cancelled", f.await(ops[i].ID).State)
			s := f.server(id)
			states = append(states, s.Role+" "+s.State)
		}
		f.guests[silent].Silence(false)
		return states
	}
	require.Equal(t, []string{"spare available", "spare available", "spare available", "spare available"}, cancel("lease", object{"tenant": "acme", "image": "metal-1"}))
	require.Zero(t, f.leased())
	f.requireBalance()

	f.actAll(ids, "lease", object{"tenant": "acme", "image": "metal-1"})
	// Once the wipe has begun there is nothing to give back: the lease has ended, and somebody has to see to the disks.
	require.Equal(t, []string{"leased in_use", "leased in_use", "leased in_use", "spare failed"}, cancel("release", nil))
	require.Equal(t, len(ids)-1, f.leased())
	f.actAll(ids[:len(moments)], "release", nil)
	f.act(ids[len(moments)], "return-to-service", nil)
	require.Zero(t, f.leased())
	f.requireBalance()
}
