package workflows_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	servers "github.com/yunshu/yunshu/activities/baremetal/memory"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// settle puts an operation right whose workflow was lost.
func (r *rack) settle(kind string) string {
	r.Helper()
	r.env.ExecuteWorkflow("operation.settle", contract.Lost{Operation: r.of(kind), Seq: 2})
	require.NoError(r, r.env.GetWorkflowError())
	require.Equal(r, int64(1002), r.last().Seq)
	return r.ending()
}

// booting is how a workflow that was lost in the middle of a boot leaves the machine.
func (r *rack) booting() {
	r.servers.Change(bmcAddress, func(m *servers.Machine) {
		m.Power, m.Boot, m.Persistent, m.Media = models.PowerOn, models.BootCD, false, iso
	})
	r.db.expected = true
}

func TestALostOperationOnAServerIsPutRight(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind string
		left func(r *rack)
		want string
	}{
		"an enrolment":                   {"baremetal.enroll", func(*rack) {}, "failed bm:gone fault:workflow_lost@ | off disk"},
		"an enrolment of a dead machine": {"baremetal.enroll", func(r *rack) { r.servers.SetFault(bmcAddress, servers.Gone) }, "failed bm:gone fault:workflow_lost@ | off disk"},
		"an enrolment whose BMC has the staged password": {"baremetal.enroll", func(r *rack) {
			r.db.staged = "generated-7"
			r.servers.Change(bmcAddress, func(m *servers.Machine) { m.Password = "generated-7" })
		}, "failed bm:gone fault:workflow_lost@ | off disk"},
		"an enrolment that had replaced the password": {"baremetal.enroll", func(r *rack) {
			r.db.replaced = true
			r.db.Mend(bmcAddress, "generated-7")
			r.servers.Change(bmcAddress, func(m *servers.Machine) { m.Password = "generated-7" })
		}, "failed bm:unusable fault:workflow_lost@ | off disk"},
		"an enrolment whose machine is gone already": {"baremetal.enroll", func(r *rack) {
			gone := models.Faultf(models.CodeNoBMC, "There is no BMC.")
			r.db.Fail("bmc.access", gone, gone)
		}, "failed bm:gone fault:workflow_lost@ | off disk"},
		"a rotation that staged a password": {"baremetal.rotate", func(r *rack) { r.db.staged = "generated-7" }, "failed fault:workflow_lost@ | off disk"},
		"a rotation that set it": {"baremetal.rotate", func(r *rack) {
			r.db.staged = "generated-7"
			r.servers.Change(bmcAddress, func(m *servers.Machine) { m.Password = "generated-7" })
		}, "failed fault:workflow_lost@ | off disk"},
		"a reset":                   {"baremetal.power", func(*rack) {}, "failed bm:off fault:workflow_lost@ | off disk"},
		"a reset of a dead machine": {"baremetal.power", func(r *rack) { r.servers.SetFault(bmcAddress, servers.Gone) }, "failed fault:workflow_lost@ | off disk"},
		"a boot device":             {"baremetal.boot", func(*rack) {}, "failed bm:off fault:workflow_lost@ | off disk"},
		"media":                     {"baremetal.media", func(*rack) {}, "failed bm:off fault:workflow_lost@ | off disk"},
		"a light":                   {"baremetal.locate", func(*rack) {}, "failed bm:off fault:workflow_lost@ | off disk"},
		"an inspection":             {"baremetal.inspect", func(*rack) {}, "failed bm:off fault:workflow_lost@ | off disk"},
		"a lease":                   {"baremetal.lease", (*rack).booting, "failed bm:available,spare,off fault:workflow_lost@ | off disk"},
		"a lease of a machine that died": {"baremetal.lease", func(r *rack) {
			r.booting()
			r.servers.SetFault(bmcAddress, servers.Gone)
		}, "failed bm:failed,spare,unusable fault:workflow_lost@ | on cd media"},
		"a release":                 {"baremetal.release", (*rack).booting, "failed bm:failed,spare,unusable fault:workflow_lost@ | on cd media"},
		"a discovery":               {"baremetal.discover", (*rack).booting, "failed bm:failed,unusable fault:workflow_lost@ | on cd media"},
		"a retirement":              {"baremetal.retire", func(*rack) {}, "failed bm:failed,unusable fault:workflow_lost@ | off disk"},
		"a join of an unknown host": {"baremetal.join", func(*rack) {}, "failed fault:workflow_lost@ | off disk"},
		"a join of a host that came": {"baremetal.join", func(r *rack) {
			r.stage.world.SetHost("host-9", contract.Hypervisor{Ref: "host-9", UUID: r.machine().Inventory.UUID})
		}, "succeeded bm:in_use,hypervisor,linked | off disk"},
		"a drain": {"baremetal.drain", func(*rack) {}, "failed fault:workflow_lost@ | off disk"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRack(t)
			c.left(r)
			require.Equal(t, c.want, r.settle(c.kind))
			require.NotContains(t, r.machine().Events, "on", "nobody asks for that any more")
		})
	}
}

// TestAPasswordThatIsInDoubtKeepsAnOperationUnsettled has a BMC that is away with one of two passwords: the next sweep tries
// again.
func TestAPasswordThatIsInDoubtKeepsAnOperationUnsettled(t *testing.T) {
	t.Parallel()
	r := newRack(t)
	r.db.staged = "generated-7"
	r.servers.SetFault(bmcAddress, servers.Gone)
	r.env.ExecuteWorkflow("operation.settle", contract.Lost{Operation: r.of("baremetal.enroll"), Seq: 2})
	require.Error(t, r.env.GetWorkflowError())
	require.Empty(t, r.gate.reports)
	require.Equal(t, [2]string{bmcPassword, "generated-7"}, r.db.Passwords(), "both are kept")
}
