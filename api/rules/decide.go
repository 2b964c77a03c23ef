package rules

import (
	"fmt"

	"github.com/expr-lang/expr/vm"
)

// Matches reports whether a machine belongs to a group by its rule.
func (r *Rule) Matches(m *Machine) (bool, error) { return r.matches(new(vm.VM), m) }

func (r *Rule) matches(on *vm.VM, m *Machine) (bool, error) {
	out, err := on.Run(r.program, m)
	if err != nil {
		return false, fmt.Errorf("ask a rule about machine %s: %w", m.Name, err)
	}
	matches, _ := out.(bool) // the compiler has seen to it
	return matches, nil
}

// Decision is which of the rules a machine matches. They are counted from 0; none is -1.
type Decision struct {
	First int
	More  []int // the others
}

// Decide asks every rule about every machine. A rule that cannot be asked about a machine does not match it.
func Decide(rules []*Rule, machines []Machine) []Decision {
	out := make([]Decision, len(machines))
	on := new(vm.VM)
	for i := range machines {
		out[i] = decide(on, rules, &machines[i])
	}
	return out
}

func decide(on *vm.VM, rules []*Rule, m *Machine) Decision {
	d := Decision{First: -1}
	for i, r := range rules {
		if matches, err := r.matches(on, m); err != nil || !matches {
			continue
		}
		if d.First < 0 {
			d.First = i
			continue
		}
		d.More = append(d.More, i)
	}
	return d
}
