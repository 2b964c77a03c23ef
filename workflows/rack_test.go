package workflows_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"

	"github.com/yunshu/yunshu/activities/baremetal"
	servers "github.com/yunshu/yunshu/activities/baremetal/memory"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/vault"
)

const (
	bmcAddress  = "https://10.0.0.5"
	bmcPassword = "calvin-1"
)

// bmcFake keeps how the BMC of one machine is reached, as the gateway's database would, and plays the image that the
// machine boots.
type bmcFake struct {
	mu    sync.Mutex
	keys  vault.Keys
	world *servers.Provider

	address, password, staged string
	replaced                  bool // the password, by the operation
	protocol                  models.BMCProtocol
	fingerprint               string
	claimed                   models.HardwareIdentity
	accesses                  int
	over                      bool               // the operation has ended
	faults                    map[string][]error // by activity

	expected bool
	boots    int                 // that were expected so far
	silent   int                 // how many of them do not report
	reports  contract.BootReport // of the others
	late     bool                // the image reports although it was silent
	begun    bool                // they had asked what to boot

	machines []contract.BMC // of a round over the region
	asked    []contract.AccessPageInput
	seen     []contract.Observation
}

func newBMCFake(t *testing.T, world *servers.Provider) *bmcFake {
	t.Helper()
	keys, err := vault.Parse("test=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	require.NoError(t, err)
	return &bmcFake{keys: keys, world: world, address: bmcAddress, password: bmcPassword, faults: map[string][]error{}}
}

// Fail makes the next calls of an activity fail.
func (f *bmcFake) Fail(activity string, errs ...error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[activity] = append(f.faults[activity], errs...)
}

// Mend changes how the BMC is reached, as a person would.
func (f *bmcFake) Mend(address, password string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.address, f.password = address, password
}

// Passwords are the present and the staged one.
func (f *bmcFake) Passwords() [2]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return [2]string{f.password, f.staged}
}

// Register binds the gateway's activities on physical servers.
func (f *bmcFake) Register(r worker.ActivityRegistry) {
	register(r, f, contract.BMCAccess, f.access)
	register(r, f, contract.BMCAccessPage, f.page)
	register(r, f, contract.BMCStagePassword, f.stage)
	register(r, f, contract.BMCCommitPassword, func(contract.AccessInput) (contract.None, error) {
		if f.staged != "" {
			f.password, f.staged, f.replaced = f.staged, "", true
		}
		return contract.None{}, nil
	})
	register(r, f, contract.BMCDropPassword, func(contract.AccessInput) (contract.None, error) {
		f.staged = ""
		return contract.None{}, nil
	})
	register(r, f, contract.BaremetalClaim, f.claim)
	register(r, f, contract.BaremetalObserved, func(in contract.RecordObservationsInput) (contract.ObservationsRecorded, error) {
		f.seen = append(f.seen, in.Observations...)
		return contract.ObservationsRecorded{Changed: len(in.Observations)}, nil
	})
	register(r, f, contract.BootExpect, func(contract.BootExpectInput) (contract.None, error) {
		f.expected = true
		f.boots++
		return contract.None{}, nil
	})
	register(r, f, contract.BootAwait, f.await)
	register(r, f, contract.BootClose, func(contract.BootRef) (contract.None, error) {
		f.expected = false
		return contract.None{}, nil
	})
}

// register binds one activity that has the database to itself, and fails when told to. It takes the place of what the gateway
// of the fixture has under this name.
func register[I, O any](r worker.ActivityRegistry, f *bmcFake, a contract.Activity[I, O], do func(I) (O, error)) {
	r.RegisterActivityWithOptions(func(_ context.Context, in I) (out O, err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if queue := f.faults[a.Name]; len(queue) > 0 {
			f.faults[a.Name] = queue[1:]
			return out, contract.Error(queue[0])
		}
		out, err = do(in)
		return out, contract.Error(err)
	}, activity.RegisterOptions{Name: a.Name, DisableAlreadyRegisteredCheck: true})
}

func (f *bmcFake) access(in contract.AccessInput) (contract.BMC, error) {
	f.accesses++
	if f.over {
		return contract.BMC{}, models.Faultf(models.CodeWrongState, "The operation has ended, so it may not speak to the BMC of bm-1 any more.")
	}
	sealed, err := f.keys.Seal(f.password, contract.SealedFor(in.BaremetalID))
	return contract.BMC{ID: in.BaremetalID, Name: "bm-1", Address: f.address, Protocol: f.protocol, Fingerprint: f.fingerprint, Username: "root", Password: sealed}, err
}

func (f *bmcFake) stage(in contract.AccessInput) (out contract.Staged, err error) {
	if f.staged == "" {
		if f.staged, err = vault.Generate(); err != nil {
			return out, err
		}
		out.Fresh = true
	}
	out.Replaced = f.replaced
	out.Password, err = f.keys.Seal(f.staged, contract.SealedFor(in.BaremetalID))
	return out, err
}

func (f *bmcFake) claim(in contract.ClaimInput) (contract.None, error) {
	is := in.Probed.Identity
	if f.claimed.Serial != "" && f.claimed.Serial != is.Serial {
		return contract.None{}, models.Faultf(models.CodeIdentityChanged, "The server bm-1 should have the serial %s, and has %s.", f.claimed.Serial, is.Serial)
	}
	f.claimed, f.protocol, f.fingerprint = is, in.Probed.Protocol, in.Probed.Fingerprint
	return contract.None{}, nil
}

// await is what the image reports, if the machine runs it.
func (f *bmcFake) await(contract.BootRef) (contract.BootReport, error) {
	m, there := f.world.Machine(bmcAddress)
	if !there || !f.expected || m.Power != models.PowerOn || m.Boot == models.BootDisk || f.boots <= f.silent && !f.late {
		return contract.BootReport{Begun: f.begun}, nil
	}
	out := f.reports
	out.Reported = true
	return out, nil
}

func (f *bmcFake) page(in contract.AccessPageInput) (contract.AccessPage, error) {
	f.asked = append(f.asked, in)
	n := 0
	if in.After != models.NoID {
		n = 1 + slices.IndexFunc(f.machines, func(b contract.BMC) bool { return b.ID == in.After })
	}
	out := contract.AccessPage{BMCs: f.machines[n:min(n+in.Limit, len(f.machines))]}
	if n+in.Limit < len(f.machines) {
		out.Next = out.BMCs[len(out.BMCs)-1].ID
	}
	return out, nil
}

// rack is a stage with one physical server, which has run for a tenant or not at all.
type rack struct {
	*stage
	servers *servers.Provider
	bmcs    *baremetal.Activities
	db      *bmcFake
	op      contract.Operation
}

func newRack(t *testing.T) *rack {
	t.Helper()
	r := &rack{stage: newStage(t), servers: servers.New(servers.Options{})}
	r.servers.Add(servers.Machine{Address: bmcAddress, Username: "root", Password: bmcPassword, Boot: models.BootDisk, Persistent: true})
	r.db = newBMCFake(t, r.servers)
	r.op = contract.Operation{ID: models.NewID(), Region: "tw", ResourceKind: "baremetal", ResourceID: models.NewID(), ResourceName: "bm-1", Actor: "ann"}
	r.db.Register(r.env)
	r.bmcs = baremetal.New(baremetal.Options{Provider: r.servers, Keys: r.db.keys, Poll: time.Millisecond, PowerTimeout: 200 * time.Millisecond, ShutdownTimeout: 50 * time.Millisecond})
	baremetal.Register(r.env, r.bmcs)
	m := r.machine()
	inventory := m.Inventory
	r.db.reports = contract.BootReport{
		Inventory: &models.Inventory{HardwareIdentity: inventory.HardwareIdentity, GPUs: []models.GPU{{Model: "H200", Vendor: "NVIDIA", Serial: "G-1", MemoryMiB: 144 << 10}}},
		Wiped:     []models.Wiped{{Name: "nvme0n1", Serial: "D-1", SizeGiB: 1788, Method: "discard", Verified: true}},
	}
	return r
}

// of is an operation of a kind on the machine.
func (r *rack) of(kind string) contract.Operation {
	op := r.op
	op.Kind = kind
	return op
}

// machine is what there is to see of the machine.
func (r *rack) machine() servers.Machine {
	r.Helper()
	m, there := r.servers.Machine(bmcAddress)
	require.True(r, there)
	return m
}

// world is what must be as before after everything was taken back, in a line: the machine's power, what it boots from, what
// is in its drive, and whether its password is the one that the database knows.
func (r *rack) world() string {
	r.Helper()
	m, passwords := r.machine(), r.db.Passwords()
	parts := []string{string(m.Power), string(m.Boot)}
	if m.Media != "" {
		parts = append(parts, "media")
	}
	if m.Password != passwords[0] {
		parts = append(parts, "locked out")
	}
	if passwords[1] != "" {
		parts = append(parts, "staged")
	}
	if m.Sessions != 0 {
		parts = append(parts, "logged in")
	}
	r.db.mu.Lock()
	defer r.db.mu.Unlock()
	if r.db.expected {
		parts = append(parts, "expected")
	}
	return strings.Join(parts, " ")
}

// bmFacts is what a report says of the machine, in a word.
func bmFacts(f *contract.BaremetalFacts) []string {
	if f == nil {
		return nil
	}
	said := []string{string(f.State), f.Role, string(f.Power)}
	for _, fact := range []struct {
		what string
		is   bool
	}{{"inspected", f.Inspected != nil}, {"probed", f.Probed != nil}, {"linked", f.Host != nil}, {"unusable", f.EndService != ""}, {"serviceable", f.Serviceable}} {
		if fact.is {
			said = append(said, fact.what)
		}
	}
	said = slices.DeleteFunc(said, func(s string) bool { return s == "" })
	return []string{"bm:" + strings.Join(said, ",")}
}
