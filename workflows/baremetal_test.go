package workflows_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	servers "github.com/yunshu/yunshu/activities/baremetal/memory"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// task is one workflow on a physical server as the unwind test sees it: how to run it, what it calls of BMCs and the
// gateway, and what must be so after any of these failed for good.
type task struct {
	on     bool // the machine runs when it begins
	run    func(r *rack)
	happy  string
	failed map[string]string // call → the story, and the world after it
}

const iso = "http://10.0.0.1/image.iso"

func tasks() map[string]task {
	boot := func(purpose models.BootPurpose, media string) contract.Boot {
		return contract.Boot{Purpose: purpose, Image: "image", Media: media}
	}
	return map[string]task{
		"enroll": {
			run: func(r *rack) {
				r.env.ExecuteWorkflow("baremetal.enroll", contract.BaremetalEnrollInput{Operation: r.of("baremetal.enroll"), Rotate: true})
			},
			happy: "succeeded connect identify inventory check-health boot-order stage-password set-password verify-password commit-password bm:available,off,inspected,probed | off disk",
			failed: map[string]string{
				servers.Probe:         "failed connect:failed bm:gone fault:task_failed@connect | off disk",
				"baremetal.claim":     "failed connect identify:failed bm:gone fault:task_failed@identify | off disk",
				servers.Inspect:       "failed connect identify inventory:failed bm:gone fault:task_failed@inventory | off disk",
				servers.SetBoot:       "failed connect identify inventory check-health boot-order:failed bm:gone fault:task_failed@boot-order | off disk",
				"bmc.stage-password":  "failed connect identify inventory check-health boot-order stage-password:undone bm:gone fault:task_failed@stage-password | off disk",
				servers.SetPassword:   "failed connect identify inventory check-health boot-order stage-password:undone set-password:failed bm:gone fault:task_failed@set-password | off disk",
				"bmc.commit-password": "failed connect identify inventory check-health boot-order stage-password:undone set-password verify-password commit-password:failed bm:gone fault:task_failed@commit-password | off disk",
			},
		},
		"reset": {
			on: true,
			run: func(r *rack) {
				r.env.ExecuteWorkflow("baremetal.power", contract.BaremetalPowerInput{Operation: r.of("baremetal.power"), Action: contract.BMReset})
			},
			happy: "succeeded power-off power-on bm:on | on disk",
			failed: map[string]string{
				servers.SetPower: "failed power-off:undone bm:on fault:task_failed@power-off | on disk",
			},
		},
		"media": {
			run: func(r *rack) {
				r.env.ExecuteWorkflow("baremetal.media", contract.BaremetalMediaInput{Operation: r.of("baremetal.media"), URL: iso})
			},
			happy: "succeeded insert-media | off disk media",
			failed: map[string]string{
				servers.SetMedia: "failed insert-media:undone fault:task_failed@insert-media | off disk",
			},
		},
		"boot": {
			run: func(r *rack) {
				r.env.ExecuteWorkflow("baremetal.boot", contract.BaremetalBootInput{Operation: r.of("baremetal.boot"), Device: models.BootPXE})
			},
			happy: "succeeded set-boot | off pxe",
			failed: map[string]string{
				servers.SetBoot: "failed set-boot:failed fault:task_failed@set-boot | off disk",
			},
		},
		"locate": {
			run: func(r *rack) {
				r.env.ExecuteWorkflow("baremetal.locate", contract.BaremetalLocateInput{Operation: r.of("baremetal.locate"), On: true})
			},
			happy: "succeeded locate | off disk",
			failed: map[string]string{
				servers.Locate: "failed locate:failed fault:task_failed@locate | off disk",
			},
		},
		"return": {
			on: true,
			run: func(r *rack) {
				r.env.ExecuteWorkflow("baremetal.inspect", contract.BaremetalInspectInput{Operation: r.of("baremetal.inspect"), Return: true})
			},
			happy: "succeeded connect identify inventory check-health bm:on,inspected,serviceable | on disk",
			failed: map[string]string{
				servers.Probe:     "failed connect:failed fault:task_failed@connect | on disk",
				"baremetal.claim": "failed connect identify:failed fault:task_failed@identify | on disk",
				servers.Inspect:   "failed connect identify inventory:failed fault:task_failed@inventory | on disk",
			},
		},
		"rotate": {
			on: true,
			run: func(r *rack) {
				r.env.ExecuteWorkflow("baremetal.rotate", contract.BaremetalRotateInput{Operation: r.of("baremetal.rotate")})
			},
			happy: "succeeded connect identify stage-password set-password verify-password commit-password | on disk",
			failed: map[string]string{
				servers.Probe:         "failed connect:failed fault:task_failed@connect | on disk",
				"bmc.stage-password":  "failed connect identify stage-password:undone fault:task_failed@stage-password | on disk",
				servers.SetPassword:   "failed connect identify stage-password:undone set-password:failed fault:task_failed@set-password | on disk",
				"bmc.commit-password": "failed connect identify stage-password:undone set-password verify-password commit-password:failed fault:task_failed@commit-password | on disk",
			},
		},
		"retire": {
			on: true,
			run: func(r *rack) {
				r.env.ExecuteWorkflow("baremetal.retire", contract.BaremetalRetireInput{Operation: r.of("baremetal.retire"), From: models.BaremetalMaintenance, BMC: true})
			},
			happy:  "succeeded power-off bm:gone | off disk",
			failed: map[string]string{},
		},
		"discover": {
			run: func(r *rack) {
				r.env.ExecuteWorkflow("baremetal.discover", contract.BaremetalDiscoverInput{Operation: r.of("baremetal.discover"), Boot: boot(models.BootDiscovery, "")})
			},
			happy: "succeeded connect identify inventory expect-report boot-once power-off power-on await-report close-boot turn-off bm:off,inspected | off pxe",
			failed: map[string]string{
				servers.Probe:    "failed connect:failed fault:task_failed@connect | off disk",
				servers.Inspect:  "failed connect identify inventory:failed fault:task_failed@inventory | off disk",
				"boot.expect":    "failed connect identify inventory expect-report:undone fault:task_failed@expect-report | off disk",
				servers.SetBoot:  "failed connect identify inventory expect-report:undone boot-once:undone fault:task_failed@boot-once | off disk",
				servers.SetPower: "failed connect identify inventory expect-report:undone boot-once:undone power-off:undone power-on:failed bm:off fault:task_failed@power-on | off disk",
				"boot.await":     "failed connect identify inventory expect-report:undone boot-once:undone power-off:undone power-on await-report:failed bm:off fault:aborted@await-report | off disk",
				"boot.close":     "failed connect identify inventory expect-report:undone boot-once:undone power-off:undone power-on await-report close-boot:failed bm:off fault:task_failed@close-boot | off disk",
			},
		},
		"lease": {
			run: func(r *rack) {
				r.env.ExecuteWorkflow("baremetal.lease", contract.BaremetalLeaseInput{Operation: r.of("baremetal.lease"), Boot: boot(models.BootProvision, iso)})
			},
			happy: "succeeded connect identify expect-report insert-media boot-once power-off power-on await-report close-boot bm:in_use,leased,on | on cd media",
			failed: map[string]string{
				servers.Probe:     "failed connect:failed bm:available,spare fault:task_failed@connect | off disk",
				"baremetal.claim": "failed connect identify:failed bm:available,spare fault:task_failed@identify | off disk",
				"boot.expect":     "failed connect identify expect-report:undone bm:available,spare fault:task_failed@expect-report | off disk",
				servers.SetMedia:  "failed connect identify expect-report:undone insert-media:undone bm:available,spare fault:task_failed@insert-media | off disk",
				servers.SetBoot:   "failed connect identify expect-report:undone insert-media:undone boot-once:undone bm:available,spare fault:task_failed@boot-once | off disk",
				servers.SetPower:  "failed connect identify expect-report:undone insert-media:undone boot-once:undone power-off:undone power-on:failed bm:available,spare,off fault:task_failed@power-on | off disk",
				"boot.await":      "failed connect identify expect-report:undone insert-media:undone boot-once:undone power-off:undone power-on await-report:failed bm:available,spare,off fault:aborted@await-report | off disk",
				"boot.close":      "failed connect identify expect-report:undone insert-media:undone boot-once:undone power-off:undone power-on await-report close-boot:failed bm:available,spare,off fault:task_failed@close-boot | off disk",
			},
		},
		"release": {
			on: true,
			run: func(r *rack) {
				r.env.ExecuteWorkflow("baremetal.release", contract.BaremetalReleaseInput{Operation: r.of("baremetal.release"), Boot: boot(models.BootWipe, iso)})
			},
			happy: "succeeded power-off connect identify expect-report insert-media boot-once power-on await-report eject-media close-boot turn-off bm:available,spare,off | off cd",
			failed: map[string]string{
				servers.SetPower: "failed power-off:failed fault:task_failed@power-off | on disk",
				servers.Probe:    "failed power-off connect:failed bm:off fault:task_failed@connect | off disk",
				"boot.expect":    "failed power-off connect identify expect-report:undone bm:off fault:task_failed@expect-report | off disk",
				servers.SetMedia: "failed power-off connect identify expect-report:undone insert-media:undone bm:off fault:task_failed@insert-media | off disk",
				servers.SetBoot:  "failed power-off connect identify expect-report:undone insert-media:undone boot-once:undone bm:off fault:task_failed@boot-once | off disk",
				"boot.await":     "failed power-off connect identify expect-report:undone insert-media:undone boot-once:undone power-on:undone await-report:failed bm:failed,spare,off,unusable fault:task_failed@await-report | off disk",
				"boot.close":     "failed power-off connect identify expect-report:undone insert-media:undone boot-once:undone power-on:undone await-report eject-media close-boot:failed bm:failed,spare,off,unusable fault:task_failed@close-boot | off disk",
			},
		},
	}
}

// perform runs a task on a machine in its initial state, and tells how it ended.
func (j task) perform(r *rack) string {
	if j.on {
		r.servers.Change(bmcAddress, func(m *servers.Machine) { m.Power = models.PowerOn })
	}
	j.run(r)
	return r.ending()
}

// ending is the story, in which a step that says no more has succeeded, and the world after it.
func (r *rack) ending() string {
	r.Helper()
	return strings.ReplaceAll(r.story(), ":succeeded", "") + " | " + r.world()
}

func TestEveryWorkflowOnServersSucceeds(t *testing.T) {
	t.Parallel()
	for name, j := range tasks() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRack(t)
			require.Equal(t, j.happy, j.perform(r))
			require.NoError(t, r.env.GetWorkflowError())
		})
	}
}

func TestEveryCallOfAServerThatFailsForGoodIsUndone(t *testing.T) {
	t.Parallel()
	for name, j := range tasks() {
		for call, want := range j.failed {
			t.Run(name+"/"+call, func(t *testing.T) {
				t.Parallel()
				r := newRack(t)
				r.servers.Fail(call, final)
				r.db.Fail(call, final)
				require.Equal(t, want, j.perform(r))
				var app *temporal.ApplicationError
				require.ErrorAs(t, r.env.GetWorkflowError(), &app)
				require.Contains(t, want, "fault:"+app.Type()+"@", "the original error")
			})
		}
	}
}

func TestCancellationDuringEveryCallOfAServerIsUndone(t *testing.T) {
	t.Parallel()
	for name, j := range tasks() {
		for call, want := range j.failed {
			t.Run(name+"/"+call, func(t *testing.T) {
				t.Parallel()
				r := newRack(t)
				// The call never gets through, so that the cancellation meets it; the undo does. The gateway's are tried again sooner.
				r.servers.Fail(call, many(mending)[:3]...)
				r.db.Fail(call, many(mending)[:6]...)
				r.env.RegisterDelayedCallback(r.env.CancelWorkflow, 2*time.Second)
				ending := j.perform(r)
				require.Equal(t, models.OperationCancelled, r.last().State, ending)
				require.Equal(t, left(want), left(ending), "as if it had failed there")
				var cancelled *temporal.CanceledError
				require.ErrorAs(t, r.env.GetWorkflowError(), &cancelled)
			})
		}
	}
}

// left is what of an ending is told of the machine, and the world.
func left(ending string) string {
	facts, _, _ := strings.Cut(ending[max(strings.Index(ending, "bm:"), 0):], " ")
	_, world, _ := strings.Cut(ending, " | ")
	if !strings.HasPrefix(facts, "bm:") {
		facts = ""
	}
	return facts + " | " + world
}
