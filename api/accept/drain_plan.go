package accept

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/yunshu/yunshu/models"
)

// Fate is what becomes of a machine of a host that is drained.
type Fate string

// Fates of machines.
const (
	FateMove  Fate = "move"  // to another host
	FateStop  Fate = "stop"  // it cannot be moved, and is turned off
	FateStay  Fate = "stay"  // it cannot be moved, and is off
	FateLater Fate = "later" // an operation is under way; it is looked at again when that has ended
	FateStuck Fate = "stuck" // it can neither be moved nor be stopped
)

// resident is a machine of a host that is drained, or one that is on its way there.
type resident struct {
	models.VM
	tenant   string
	busy     *models.ID // the operation under way
	waits    bool       // that operation waits for a person
	arriving bool
	tries    int         // operations of this drain that did not help
	tried    []models.ID // hosts to which it could not be moved
	failure  string      // of the last of them

	fate Fate
	to   *host
	why  string // a part of a sentence
}

// name is the machine's for people.
func (r *resident) name() string { return r.tenant + "/" + r.Name }

// drainRules are what a plan goes by.
type drainRules struct {
	group    string
	policy   models.Policy
	stop     bool // machines that cannot be moved are turned off
	attempts int  // of each machine; 0: any number
}

// planDrain decides what becomes of every machine, the largest first, since those find a place with most difficulty. What
// one takes of the hosts is not there for the next.
func planDrain(residents []*resident, hosts []*host, rules drainRules) {
	order := slices.Clone(residents)
	slices.SortFunc(order, func(x, y *resident) int {
		return cmp.Or(cmp.Compare(y.MemoryMiB, x.MemoryMiB), cmp.Compare(y.VCPU, x.VCPU), cmp.Compare(y.StorageGiB, x.StorageGiB), cmp.Compare(y.GPU, x.GPU), slices.Compare(x.ID[:], y.ID[:]))
	})
	for _, r := range order {
		r.decide(hosts, rules)
		if r.to != nil {
			r.to.Free = r.to.Free.Sub(r.Size)
		}
	}
}

func (r *resident) decide(hosts []*host, rules drainRules) {
	movable := r.State == models.VMRunning || r.State == models.VMStopped
	switch {
	case r.arriving:
		r.fate, r.why = FateLater, "it is on its way to this host"
	case r.busy != nil:
		r.fate, r.why = FateLater, fmt.Sprintf("operation %s is under way", *r.busy)
	case rules.attempts > 0 && r.tries >= rules.attempts:
		r.fate, r.why = FateStuck, fmt.Sprintf("it was tried %d times: %s", r.tries, r.failure)
	case movable && r.find(hosts, rules.policy):
		r.fate = FateMove
	case rules.stop && r.State == models.VMStopped:
		r.fate, r.why = FateStay, r.noRoom(rules.group)
	case rules.stop && (r.State == models.VMRunning || r.State == models.VMFailed):
		r.fate, r.why = FateStop, r.noRoom(rules.group)
	case movable:
		r.fate, r.why = FateStuck, r.noRoom(rules.group)
	default:
		r.fate, r.why = FateStuck, fmt.Sprintf("it is %s", r.State)
	}
}

// find chooses a host; one to which it could not be moved before only if there is no other.
func (r *resident) find(hosts []*host, policy models.Policy) bool {
	if r.to = place(hosts, policy, r.Size, away{hosts: r.tried}); r.to == nil {
		r.to = place(hosts, policy, r.Size, away{})
	}
	return r.to != nil
}

func (r *resident) noRoom(group string) string {
	if r.State == models.VMFailed {
		return "it is failed"
	}
	return fmt.Sprintf("no other host of group %s has room for %d vcpu, %d MiB memory and %d GiB storage", group, r.VCPU, r.MemoryMiB, r.StorageGiB)
}

// having returns those that have the fate.
func having(residents []*resident, fates ...Fate) []*resident {
	return filter(residents, func(r *resident) bool { return slices.Contains(fates, r.fate) })
}
