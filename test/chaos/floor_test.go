package chaos

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/test/bmc"
	"github.com/yunshu/yunshu/test/bmc/guest"
	"github.com/yunshu/yunshu/test/bmc/redfish"
)

// original is the password that every BMC of a floor has at first.
const original = "Calvin+0riginal/2026?"

// floor is a rig whose region has physical servers.
type floor struct {
	*rig
	fleet  *redfish.Fleet
	guests map[*redfish.Machine]*guest.Guest
}

func newFloor(t *testing.T, count int) *floor {
	t.Helper()
	f := &floor{rig: newStack(t), guests: map[*redfish.Machine]*guest.Guest{}}
	var err error
	f.fleet, err = redfish.Start(redfish.Options{Region: "tw", Count: count, Password: original, TLSDir: f.dir, Guest: func(m *redfish.Machine) bmc.Guest {
		f.guests[m] = guest.New(guest.Options{Base: func() string { return f.url }, Inventory: m.Hardware})
		return f.guests[m]
	}})
	require.NoError(t, err)
	t.Cleanup(f.fleet.Stop)
	f.launchAll("bm: {provider: bmclib, round_timeout: 2s}")
	f.furnish()
	return f
}

// furnish makes what servers are put into, and what they boot.
func (f *floor) furnish() {
	f.Helper()
	for _, what := range []struct {
		path string
		body object
	}{
		{"/v1/regions", object{"name": "tw", "capabilities": []string{"bm"}}},
		{"/v1/groups", object{"region": "tw", "name": "metal"}},
		{"/v1/images", object{"name": "metal-1", "purpose": "provision", "boot": object{"tw": object{"kernel": "http://boot.test/vmlinuz"}}}},
		{"/v1/images", object{"name": "discovery-1", "purpose": "discovery", "boot": object{"tw": object{"kernel": "http://boot.test/discovery"}}}},
		{"/v1/images", object{"name": "wipe-1", "purpose": "wipe", "boot": object{"tw": object{"kernel": "http://boot.test/wipe"}}}},
		{"/v1/tenants", object{"name": "acme", "quota": object{"baremetals": 100}}},
	} {
		require.Equal(f, http.StatusCreated, f.call(http.MethodPost, what.path, "", what.body, nil), what.path)
	}
}

// server is what the API says of a physical server.
type server struct {
	ID, Name, State, Role, Power, Health, Serial, Vendor, Tenant string
	Unfit                                                        bool
	HardwareUUID                                                 string `json:"hardware_uuid"`
	BMC                                                          *struct{ Address, Protocol, Fingerprint, Username string }
}

// server shows one; an empty one where there is none.
func (f *floor) server(id string) server {
	f.Helper()
	var s server
	f.call(http.MethodGet, "/v1/baremetals/"+id, "", nil, &s)
	return s
}

func (f *floor) servers() []server {
	f.Helper()
	var page struct{ Items []server }
	f.call(http.MethodGet, "/v1/baremetals?limit=200", "", nil, &page)
	return page.Items
}

// newcomer is what a person says of a machine that comes in.
func newcomer(name string, m *redfish.Machine) object {
	return object{"region": "tw", "name": name, "group": "metal", "bmc": object{"address": m.URL(), "username": "root", "password": original}}
}

// ask sends what must be accepted as an operation.
func (f *floor) ask(path string, body any) operation {
	f.Helper()
	var op operation
	require.Equal(f, http.StatusAccepted, f.call(http.MethodPost, path, "", body, &op), path)
	return op
}

// act does something with a server and waits until it succeeded.
func (f *floor) act(id, verb string, body any) { f.Helper(); f.actAll([]string{id}, verb, body) }

// actAll does the same with servers at once.
func (f *floor) actAll(ids []string, verb string, body any) {
	f.Helper()
	ops := make([]operation, len(ids))
	for i, id := range ids {
		ops[i] = f.ask("/v1/baremetals/"+id+"/"+verb, body)
	}
	for _, op := range ops {
		done := f.await(op.ID)
		require.Equal(f, "succeeded", done.State, "%s: %+v", verb, done.Error)
	}
}

// enrollAll brings machines in at once, and returns their ids.
func (f *floor) enrollAll(machines ...*redfish.Machine) []string {
	f.Helper()
	ops := make([]operation, len(machines))
	for i, m := range machines {
		ops[i] = f.ask("/v1/baremetals", newcomer(m.Name, m))
	}
	ids := make([]string, len(machines))
	for i, op := range ops {
		done := f.await(op.ID)
		require.Equal(f, "succeeded", done.State, "%+v", done.Error)
		ids[i] = op.ResourceID
	}
	return ids
}

// becomes waits until an operation is so, and returns it.
func (f *floor) becomes(id string, so func(operation) bool, why string) operation {
	f.Helper()
	var op operation
	require.Eventually(f, func() bool {
		op = operation{}
		f.call(http.MethodGet, "/v1/operations/"+id, "", nil, &op)
		return so(op)
	}, time.Minute, 50*time.Millisecond, "operation %s: %s", id, why)
	return op
}

func (o operation) blocked() bool { return o.State == "blocked" }

// stuck says that an operation waits for a person, or is trying again and again.
func (o operation) stuck() bool { return o.blocked() || o.Attempt != nil && o.Attempt.Failure != "" }

func (f *floor) resume(id string) {
	f.Helper()
	require.Equal(f, http.StatusAccepted, f.call(http.MethodPost, "/v1/operations/"+id+"/resume", "", nil, nil))
}

// requireBalance compares everything with everything, and the books with themselves.
func (f *floor) requireBalance() {
	f.Helper()
	f.requireNoLeaks()
	var ledger struct {
		Balanced bool
		Findings []object
	}
	require.Equal(f, http.StatusOK, f.call(http.MethodGet, "/v1/ledger-check", "", nil, &ledger))
	require.True(f, ledger.Balanced, "%v", ledger.Findings)
}

// count asks the database itself.
func (r *rig) count(sql string, args ...any) int {
	r.Helper()
	conn, err := pgx.Connect(context.Background(), r.postgres.DSN("postgres"))
	require.NoError(r, err)
	defer conn.Close(context.Background()) //nolint:errcheck // it was only read from
	var n int
	require.NoError(r, conn.QueryRow(context.Background(), sql, args...).Scan(&n), sql)
	return n
}
