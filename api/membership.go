package api

import (
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/rules"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// GroupMachines counts the machines of a group.
type GroupMachines struct {
	Total   int64            `json:"total" doc:"How many there are." example:"30"`
	ByRole  map[string]int64 `json:"by_role" doc:"How many have a role." example:"{\"hypervisor\":24,\"spare\":6}"`
	ByState map[string]int64 `json:"by_state" doc:"How many are in a state." example:"{\"in_use\":24,\"available\":6}"`
	ByRule  int64            `json:"by_rule" doc:"How many came by its rule." example:"30"`
	Staying int64            `json:"staying" doc:"How many the rules want elsewhere, and stay only because they carry VMs or are leased." example:"1"`
	Spare   int64            `json:"spare" doc:"How many may be leased." example:"5"`
}

// Membership is who joined and left a group by a change of its rule.
type Membership struct {
	Joined    MachineNames   `json:"joined" doc:"Machines that joined."`
	Left      MachineNames   `json:"left" doc:"Machines that left."`
	Staying   MachineNames   `json:"staying" doc:"Machines that the rules want elsewhere, and stay because they carry VMs or are leased."`
	Conflicts []RuleConflict `json:"conflicts" doc:"The first machines that this group's rule matches and another's as well. They belong to the group with the smallest name."`
	Contested int64          `json:"contested" doc:"How many such machines there are." example:"0"`
}

// MachineNames are a few machines of many.
type MachineNames struct {
	Count int64    `json:"count" doc:"How many there are." example:"2"`
	Names []string `json:"names" doc:"The first of them." example:"[\"gpu-01\",\"gpu-02\"]"`
}

// RuleConflict is a machine that several rules match.
type RuleConflict struct {
	Machine string   `json:"machine" doc:"Name of the machine." example:"gpu-07"`
	Groups  []string `json:"groups" doc:"The groups whose rules match it; the first has it." example:"[\"gpu\",\"large\"]"`
}

// named is how many machines an answer names at most.
const named = 100

// understood refuses a rule that cannot be understood, with the place where that ends.
func understood(rule string) error {
	if rule == "" {
		return nil
	}
	if _, err := rules.Compile(rule); err != nil {
		return invalid("body.rule", err.Error())
	}
	return nil
}

// regrouped asks the rules of the group's region, if they have changed, and answers with the group and who moved.
func regrouped(tx *gorm.DB, g models.Group, changed bool) (out Group, err error) {
	var m store.Memberships
	if changed {
		if m, err = store.JoinRegionByRule(tx, g.Region); err != nil {
			return out, err
		}
	}
	view, err := store.GroupByID(tx, g.ID)
	if err != nil {
		return out, err
	}
	out = group(view)
	if changed {
		out.Membership, err = membership(tx, g, m)
	}
	return out, err
}

func membership(tx *gorm.DB, g models.Group, m store.Memberships) (*Membership, error) {
	var joined, left, staying, contested []models.ID
	for _, move := range m.Moves {
		switch {
		case move.To != nil && *move.To == g.ID:
			joined = append(joined, move.Machine)
		case move.From != nil && *move.From == g.ID:
			left = append(left, move.Machine)
		}
	}
	for _, move := range m.Staying {
		if move.From != nil && *move.From == g.ID { // who is leased may stay in no group
			staying = append(staying, move.Machine)
		}
	}
	out := &Membership{Conflicts: []RuleConflict{}}
	rivals := map[models.ID][]string{}
	for _, c := range m.Matched {
		for _, name := range c.Groups {
			if name == g.Name {
				out.Contested++
				contested = append(contested, c.Machine)
				rivals[c.Machine] = c.Groups
			}
		}
	}
	names, err := store.MachineNames(tx, append(append(append(first(contested), first(joined)...), first(left)...), first(staying)...))
	if err != nil {
		return nil, err
	}
	for _, id := range first(contested) {
		out.Conflicts = append(out.Conflicts, RuleConflict{names[id], rivals[id]})
	}
	out.Joined, out.Left, out.Staying = machineNames(joined, names), machineNames(left, names), machineNames(staying, names)
	return out, nil
}

// first are as many as an answer names.
func first(ids []models.ID) []models.ID {
	return ids[:min(len(ids), named):min(len(ids), named)]
}

func machineNames(ids []models.ID, names map[models.ID]string) MachineNames {
	out := MachineNames{Count: int64(len(ids)), Names: []string{}}
	for _, id := range first(ids) {
		out.Names = append(out.Names, names[id])
	}
	return out
}

func groupMachines(m store.GroupMachines) GroupMachines {
	out := GroupMachines{ByRole: map[string]int64{}, ByState: map[string]int64{}, ByRule: m.ByRule, Staying: m.Staying, Spare: m.Spare}
	for _, c := range m.Counts {
		out.Total += c.Machines
		out.ByRole[c.Role] += c.Machines
		out.ByState[string(c.State)] += c.Machines
	}
	return out
}
