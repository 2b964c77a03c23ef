package chaos

import (
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/test/bmc"
	"github.com/yunshu/yunshu/test/bmc/guest"
	"github.com/yunshu/yunshu/test/bmc/ipmi"
	"github.com/yunshu/yunshu/test/bmc/redfish"
)

// TestServersComeInAreOperatedAndGo does all of a server's life through the API, on the BMCs of three makers.
func TestServersComeInAreOperatedAndGo(t *testing.T) {
	t.Parallel()
	f := newFloor(t, 3)
	ids := f.enrollAll(f.fleet.Machines...)
	each := func(check func(m *redfish.Machine, id string)) {
		for i, m := range f.fleet.Machines {
			check(m, ids[i])
		}
	}
	each(func(m *redfish.Machine, id string) {
		h, got := m.Hardware(), f.server(id)
		require.NotNil(t, got.BMC)
		require.Equal(t, []string{"available", "spare", "off", "ok", h.Serial, h.Vendor, h.UUID, "redfish", m.URL(), m.Fingerprint()},
			[]string{got.State, got.Role, got.Power, got.Health, got.Serial, got.Vendor, got.HardwareUUID, got.BMC.Protocol, got.BMC.Address, got.BMC.Fingerprint})
		var made struct{ CPUs, Memory, Disks, NICs, GPUs []object }
		require.Equal(t, http.StatusOK, f.call(http.MethodGet, "/v1/baremetals/"+id+"/inventory", "", nil, &made))
		require.Equal(t, []int{len(h.CPUs), len(h.Memory), len(h.Disks), len(h.NICs), len(h.GPUs)},
			[]int{len(made.CPUs), len(made.Memory), len(made.Disks), len(made.NICs), len(made.GPUs)}, h.Model)
	})
	f.actAll(ids, "power-on", nil)
	f.actAll(ids, "power-on", nil)
	each(func(m *redfish.Machine, _ string) { require.Equal(t, "On", m.Power()) })
	f.actAll(ids, "reset", nil)
	each(func(m *redfish.Machine, _ string) {
		require.Equal(t, []int{2, 1}, []int{m.Happened(redfish.PowerOn), m.Happened(redfish.PowerOff)}, "on was on; a reset is off and on")
	})
	f.actAll(ids, "boot-device", object{"device": "pxe", "persistent": true})
	const image = "http://images.test/rescue.iso"
	f.actAll(ids, "insert-media", object{"url": image})
	each(func(m *redfish.Machine, _ string) { require.Contains(t, slices.Collect(maps.Values(m.Media())), image) })
	f.actAll(ids, "eject-media", nil)
	each(func(m *redfish.Machine, _ string) {
		require.NotContains(t, slices.Collect(maps.Values(m.Media())), image)
	})
	f.actAll(ids, "locate", object{"on": true})
	each(func(m *redfish.Machine, _ string) { require.True(t, m.Lit()) })
	f.actAll(ids, "rotate-password", nil)
	each(func(m *redfish.Machine, _ string) {
		require.False(t, m.PasswordIs("root", original), "the old one is refused")
	})
	f.actAll(ids, "power-off", nil) // with the new one
	f.actAll(ids, "health-check", nil)
	each(func(m *redfish.Machine, id string) { require.Equal(t, "Off off", m.Power()+" "+f.server(id).Power) })
	f.requireRetired(ids...)
	f.requireBalance()
}

// requireRetired takes servers out, and sees that their history alone stays.
func (f *floor) requireRetired(ids ...string) {
	f.Helper()
	f.actAll(ids, "retire", nil)
	require.Zero(f, f.count("SELECT count(*) FROM baremetals WHERE id = ANY ($1)", ids)+f.count("SELECT count(*) FROM bmcs WHERE baremetal_id = ANY ($1)", ids))
	require.Equal(f, len(ids), f.count("SELECT count(*) FROM operations WHERE resource_id = ANY ($1) AND kind = 'baremetal.enroll'", ids))
	require.Positive(f, f.count("SELECT count(*) FROM audit_events WHERE resource_id = ANY ($1) AND action = 'baremetal.retire'", ids))
}

func TestAServerWithoutRedfishComesInIsOperatedAndGoes(t *testing.T) {
	t.Parallel()
	f := newFloor(t, 1)
	// An IPMI password has 20 bytes at most.
	const password = "0riginal+IPMI"
	m, err := ipmi.Start(t.Context(), ipmi.Options{Dir: filepath.Join(f.dir, "ipmi"), Password: password, Hardware: bmc.Machine("tw", 40), Guest: func(m *ipmi.Machine) bmc.Guest {
		return guest.New(guest.Options{Base: func() string { return f.url }, Inventory: m.Hardware})
	}})
	require.NoError(t, err)
	t.Cleanup(m.Stop)
	op := f.await(f.ask("/v1/baremetals", object{"region": "tw", "name": "old-1", "mac": m.Hardware().NICs[0].MAC, "bmc": object{"address": "ipmi://" + m.Address(), "username": "root", "password": password}}).ID)
	require.Equal(t, "succeeded", op.State, "%+v", op.Error)
	id, h := op.ResourceID, m.Hardware()
	got := f.server(id)
	require.Equal(t, []string{"available", "off", "ok", h.Serial, h.UUID, "ipmi"}, []string{got.State, got.Power, got.Health, got.Serial, got.HardwareUUID, got.BMC.Protocol})
	f.act(id, "power-on", nil)
	require.True(t, m.Power())
	f.act(id, "reset", nil)
	f.act(id, "boot-device", object{"device": "pxe"})
	require.Equal(t, "pxe", m.BootDevice())
	f.act(id, "locate", object{"on": true})
	require.True(t, m.Lit())
	f.act(id, "health-check", nil)
	f.act(id, "rotate-password", nil)
	f.act(id, "power-off", nil) // with the new one
	require.False(t, m.Power())
	require.Equal(t, 2, m.Happened(bmc.PowerOn))
	// IPMI tells nothing of what the machine is made of; the machine itself does.
	require.Zero(t, f.count("SELECT coalesce(jsonb_array_length(inventory -> 'disks'), 0) FROM baremetal_facts WHERE baremetal_id = $1", id))
	f.act(id, "discover", nil)
	require.Equal(t, len(h.Disks), f.count("SELECT jsonb_array_length(inventory -> 'disks') FROM baremetal_facts WHERE baremetal_id = $1", id))
	f.requireRetired(id)
}

// TestWhatIsWrongWithANewServerIsSaidAndMended has one machine for each thing that may be wrong, all at once.
func TestWhatIsWrongWithANewServerIsSaidAndMended(t *testing.T) {
	t.Parallel()
	f := newFloor(t, 6)
	locked, dead, pinned, first, twin, liar := f.fleet.Machines[0], f.fleet.Machines[1], f.fleet.Machines[2], f.fleet.Machines[3], f.fleet.Machines[4], f.fleet.Machines[5]
	twin.SetSerial(first.Hardware().Serial)
	twin.SetUUID(first.Hardware().UUID)
	require.NoError(t, dead.Fail(redfish.Fault{Kind: redfish.Dead}))
	f.enrollAll(first)

	wrong := newcomer("locked", locked)
	wrong["bmc"].(object)["password"] = "not+this-0ne"
	lockedOut := f.ask("/v1/baremetals", wrong)
	away := f.ask("/v1/baremetals", newcomer("dead", dead))
	stranger := newcomer("pinned", pinned)
	stranger["bmc"].(object)["fingerprint"] = first.Fingerprint()
	mismatch := f.ask("/v1/baremetals", stranger)
	twice := f.ask("/v1/baremetals", newcomer("twin", twin))
	// It changes its UUID between the step that recognises it and the one that reads it.
	known, changed := liar.Hardware().UUID, "11111111-2222-4333-8444-555555555555"
	f.lieOnceKnown(liar, known, changed)
	lie := f.ask("/v1/baremetals", newcomer("liar", liar))

	op := f.becomes(lockedOut.ID, operation.blocked, "it waits for the right password")
	require.Equal(t, "login_refused", op.Error.Code)
	require.Equal(t, http.StatusOK, f.call(http.MethodPut, "/v1/baremetals/"+op.ResourceID+"/bmc", "", object{"address": locked.URL(), "username": "root", "password": original}, nil))
	f.resume(op.ID)
	require.Equal(t, "succeeded", f.await(op.ID).State)
	require.Equal(t, "available", f.server(op.ResourceID).State)

	f.becomes(away.ID, operation.stuck, "its BMC does not answer")
	require.NoError(t, dead.Mend())
	if f.becomes(away.ID, func(o operation) bool { return o.ended() || o.blocked() }, "it goes on").blocked() {
		f.resume(away.ID)
	}
	require.Equal(t, "succeeded", f.await(away.ID).State)

	for id, code := range map[string]string{mismatch.ID: "certificate_mismatch", twice.ID: "duplicate_machine", lie.ID: "identity_changed"} {
		op := f.becomes(id, func(o operation) bool { return o.ended() || o.blocked() }, code)
		require.NotNil(t, op.Error, code)
		require.Equal(t, code, op.Error.Code, op.Error.Message)
		if code == "duplicate_machine" {
			require.Contains(t, op.Error.Message, first.Name)
		}
		if op.blocked() {
			require.Equal(t, http.StatusAccepted, f.call(http.MethodPost, "/v1/operations/"+id+"/abort", "", nil, nil))
			op = f.await(id)
		}
		require.Equal(t, "failed", op.State, code)
		require.Zero(t, f.count("SELECT count(*) FROM baremetals WHERE id = $1", op.ResourceID)+f.count("SELECT count(*) FROM bmcs WHERE baremetal_id = $1", op.ResourceID)+
			f.count("SELECT count(*) FROM baremetal_facts WHERE baremetal_id = $1", op.ResourceID), code)
	}
	require.Zero(t, pinned.Called(http.MethodPost, "*/Sessions"), "no password was sent to a stranger")
	require.Len(t, f.servers(), 3)
	f.requireBalance()
}

// lieOnceKnown makes a machine another one as soon as the step that recognises it is over.
func (f *floor) lieOnceKnown(m *redfish.Machine, known, changed string) {
	var again func()
	begun := time.Now()
	again = func() {
		if f.count("SELECT count(*) FROM baremetals WHERE hardware_uuid = $1", known) > 0 || time.Since(begun) > time.Minute {
			m.SetUUID(changed)
			return
		}
		m.Before(http.MethodGet, "*/Systems/*", again)
	}
	m.Before(http.MethodGet, "*/Systems/*", again)
}
