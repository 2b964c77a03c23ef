package workflows

import (
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// onBMC carries out one activity on the machine's BMC as a step. Every try first asks the gateway how the BMC is reached, so
// that an address or a password counts that a person mended while the operation was blocked.
func onBMC[I, O any](ctx workflow.Context, r *run, name string, a contract.Activity[I, O], in func(contract.BMC) I) (O, error) {
	out, _, err := onBMCOr(ctx, r, name, a, in, nil)
	return out, err
}

// onBMCOr is onBMC with other ways out than trying it again.
func onBMCOr[I, O any](ctx workflow.Context, r *run, name string, a contract.Activity[I, O], in func(contract.BMC) I, others otherWays) (O, *decision, error) {
	return attempt(ctx, r, name, func(ctx workflow.Context) (O, error) {
		return callBMC(ctx, r, fmt.Sprintf("%s %s", name, r.op.ResourceName), a, in)
	}, others)
}

// callBMC runs one activity on the machine's BMC, and makes its input of how that is reached now.
func callBMC[I, O any](ctx workflow.Context, r *run, summary string, a contract.Activity[I, O], in func(contract.BMC) I) (out O, err error) {
	bmc, err := r.access(ctx)
	if err != nil {
		return out, err
	}
	return a.Do(ctx, contract.BMQueue(r.op.Region), summary, in(bmc))
}

// undoOnBMC pushes an undo that is one activity on the BMC.
func undoOnBMC[I, O any](r *run, name string, a contract.Activity[I, O], in func(contract.BMC) I) {
	r.undo(name, func(ctx workflow.Context) error {
		_, err := callBMC(ctx, r, r.summary(name+" on"), a, in)
		return unlessIdle(err)
	})
}

// access asks the gateway how the BMC is reached: from right here, or through the task queue where the database does not
// answer.
func (r *run) access(ctx workflow.Context) (contract.BMC, error) {
	in, summary := r.accessInput(), "ask how the BMC of "+r.op.ResourceName+" is reached"
	if bmc, err := contract.BMCAccess.DoHere(ctx, summary, in); err == nil {
		return bmc, nil
	}
	return contract.BMCAccess.Do(ctx, contract.Gateway, summary, in)
}

func (r *run) accessInput() contract.AccessInput {
	return contract.AccessInput{OperationID: r.op.ID, BaremetalID: r.op.ResourceID}
}

func itself(b contract.BMC) contract.BMC { return b }

func powered(on bool) func(contract.BMC) contract.BMPowerInput {
	return func(b contract.BMC) contract.BMPowerInput { return contract.BMPowerInput{BMC: b, On: on} }
}

func bootsFrom(device models.BootDevice, persistent bool) func(contract.BMC) contract.BMBootInput {
	return func(b contract.BMC) contract.BMBootInput {
		return contract.BMBootInput{BMC: b, Device: device, Persistent: persistent}
	}
}

func media(url string) func(contract.BMC) contract.BMMediaInput {
	return func(b contract.BMC) contract.BMMediaInput { return contract.BMMediaInput{BMC: b, URL: url} }
}

// unlessIdle drops the faults of an undo that has nothing to do: what a BMC cannot do was not done either, and an operation
// that ended without this run of its workflow has left the machine, which may be somebody else's by now.
func unlessIdle(err error) error {
	if models.IsCode(contract.FaultOf(err), models.CodeNotSupported, models.CodeWrongState) {
		return nil
	}
	return err
}

// identify reaches the BMC, and makes sure that it stands for the machine that is known, or for one that nobody knows yet.
func (r *run) identify(ctx workflow.Context) (contract.Probed, error) {
	probed, err := onBMC(ctx, r, "connect", contract.BMProbe, itself)
	if err != nil {
		return probed, err
	}
	_, err = step(ctx, r, "identify", contract.BaremetalClaim, contract.Gateway,
		contract.ClaimInput{OperationID: r.op.ID, BaremetalID: r.op.ResourceID, Probed: probed})
	return probed, err
}

// inspect reads everything of the machine that was met.
func (r *run) inspect(ctx workflow.Context, met models.HardwareIdentity) (contract.Inspected, error) {
	seen, _, err := attempt(ctx, r, "inventory", func(ctx workflow.Context) (contract.Inspected, error) {
		return r.look(ctx, "inspect", met)
	}, nil)
	return seen, err
}

// look reads everything of the machine, once.
func (r *run) look(ctx workflow.Context, summary string, met models.HardwareIdentity) (contract.Inspected, error) {
	seen, err := callBMC(ctx, r, summary+" "+r.op.ResourceName, contract.BMInspect, itself)
	if err == nil {
		err = sameMachine(r.op.ResourceName, met, seen.Inventory.HardwareIdentity)
	}
	return seen, err
}

// checkHealth stops at a critical fault until a person has repaired the machine, or takes it as it is. Every further try
// looks again.
func (r *run) checkHealth(ctx workflow.Context, met models.HardwareIdentity, seen *contract.Inspected) error {
	first := true
	_, _, err := attempt(ctx, r, "check-health", func(ctx workflow.Context) (contract.None, error) {
		if !first {
			again, err := r.look(ctx, "check-health", met)
			if err != nil {
				return contract.None{}, err
			}
			*seen = again
		}
		first = false
		return contract.None{}, healthy(r.op.ResourceName, seen.Health)
	}, asItIs)
	return err
}

// asItIs lets a person take an unhealthy machine as it is.
func asItIs(f *models.Fault) []models.Way {
	if f.Code == models.CodeUnhealthy {
		return []models.Way{models.WaySkip}
	}
	return nil
}

// know keeps what the power is for the last report.
func (r *run) know(power models.Power) {
	if r.baremetal == nil {
		r.baremetal = &contract.BaremetalFacts{}
	}
	r.baremetal.Power = power
}

// waive marks a step that failed as one that the machine does without.
func (r *run) waive(ctx workflow.Context, name string, why error) {
	n := slices.IndexFunc(r.steps, func(s contract.Step) bool { return s.Name == name })
	r.end(ctx, n, models.StepSkipped, "The machine goes without it: "+contract.FaultOf(why).Message)
}

// sameMachine compares what hardware says that it is with what it said before. What either does not say cannot differ.
func sameMachine(name string, was, is models.HardwareIdentity) error {
	differ := func(a, b string) bool { return a != "" && b != "" && !strings.EqualFold(a, b) }
	if differ(was.Serial, is.Serial) || differ(was.UUID, is.UUID) && !sameUUID(was.UUID, is.UUID) {
		return models.Faultf(models.CodeIdentityChanged, "The hardware of %s was first serial %q, UUID %q, and then serial %q, UUID %q. Nothing was recorded. Find out which machine answers at this address.",
			name, was.Serial, was.UUID, is.Serial, is.UUID)
	}
	return nil
}

// healthy is a fault where the BMC calls the machine critical, and names what it is about.
func healthy(name string, h models.Health) error {
	if h.Status != models.HealthCritical {
		return nil
	}
	var about []string
	for _, s := range h.Sensors {
		if s.Health == models.HealthCritical {
			about = append(about, s.Name)
		}
	}
	if n := slices.IndexFunc(h.Log, func(e models.LogEntry) bool { return e.Health == models.HealthCritical }); n >= 0 {
		about = append(about, fmt.Sprintf("%q in its event log", h.Log[n].Message))
	}
	why := ""
	if about != nil {
		why = ", about " + strings.Join(about, ", ")
	}
	return models.Faultf(models.CodeUnhealthy, "The BMC of %s reports a critical fault%s. Repair the machine and resume, or skip the check with a reason to take it as it is.", name, why)
}

// noMachine reports whether the database knows no BMC of the machine, or no such machine, any more.
func noMachine(err error) bool {
	return models.IsCode(contract.FaultOf(err), models.CodeNoBMC, models.CodeNotFound)
}
