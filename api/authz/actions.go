package authz

import (
	"maps"
	"slices"
)

// groups says which actions the policies mean by each of their words.
var groups = map[string][]string{
	// browse: read what everyone chooses from.
	"browse": {"region.read", "group.read", "image.read", "flavor.read", "subnet.read"},
	// look: read what a tenant has. A subnet is in both: some are everyone's, some a tenant's.
	"look": {"tenant.read", "quota.read", "quota-event.read", "vm.read", "operation.read", "ip-address.read", "role-binding.read", "subnet.read"},
	// record: read what happened.
	"record": {"audit-event.read"},
	// use: work with a tenant's resources.
	"use": {
		"vm.create", "vm.power", "vm.resize", "vm.delete", "operation.cancel", "operation.resume", "operation.abort",
		"ip-address.reserve", "ip-address.release",
	},
	// govern: shape a tenant and give rights on it.
	"govern": {"tenant.create", "tenant.update", "tenant.delete", "tenant.move", "tenant.suspend", "quota.update", "role-binding.create", "role-binding.delete"},
	// operate: run the machines, the networks and the catalogue.
	"operate": {
		"region.create", "region.update", "region.import", "rack.read", "rack.create", "rack.update", "rack.delete",
		"group.create", "group.update", "group.delete", "baremetal.read", "baremetal.update",
		"image.create", "image.update", "image.delete", "flavor.create", "flavor.update", "flavor.delete",
		"subnet.create", "subnet.update", "subnet.delete", "leak-check.create", "ledger.read",
	},
	// freeze: what nobody does while the tenant is suspended. What is under way can still be ended, and rights be taken.
	"freeze": {
		"vm.create", "vm.power", "vm.resize", "vm.delete", "ip-address.reserve", "ip-address.release", "tenant.create", "tenant.update",
		"role-binding.create",
	},
	// people: only the platform's admin.
	"people": {"user.read", "user.create", "user.update", "user.delete"},
}

// Actions lists every action there is, in alphabetical order.
func Actions() []string {
	var out []string
	for _, actions := range groups {
		out = append(out, actions...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// groupsOf returns the words that contain the action.
func groupsOf(action string) []string {
	var out []string
	for _, word := range slices.Sorted(maps.Keys(groups)) {
		if slices.Contains(groups[word], action) {
			out = append(out, word)
		}
	}
	return out
}
