package authz

import (
	"maps"
	"slices"
	"strings"
)

// groups says which actions the policies mean by each of their words.
var groups = map[string][]string{
	// browse: read what everyone chooses from.
	"browse": {"region.read", "group.read", "image.read", "flavor.read", "subnet.read", "maintainer.read", "maintainer-group.read"},
	// look: read what a tenant has. A subnet is in both: some are everyone's, some a tenant's. A baremetal is a tenant's while it
	// is leased.
	"look": {"tenant.read", "quota.read", "quota-event.read", "vm.read", "operation.read", "ip-address.read", "role-binding.read", "group-binding.read", "service-account.read", "subnet.read", "assignment.read", "baremetal.read"},
	// record: read what happened.
	"record": {"audit-event.read", "audit-event.export"},
	// examine: prove that the record is whole, and take out everything about one operation.
	"examine": {"audit-event.verify", "operation.export"},
	// use: work with a tenant's resources.
	"use": {
		"vm.create", "vm.power", "vm.resize", "vm.delete", "operation.cancel", "operation.resume", "operation.abort",
		"ip-address.reserve", "ip-address.release", "baremetal.power", "baremetal.lease", "baremetal.release",
	},
	// govern: shape a tenant and give rights on it. Giving a role takes the right to give that very role, too.
	"govern": {
		"tenant.create", "tenant.update", "tenant.delete", "tenant.move", "tenant.suspend", "quota.update", "role-binding.create", "role-binding.delete",
		"group-binding.create", "group-binding.delete", "service-account.create", "service-account.update", "service-account.delete",
		"role-admin.give", "role-member.give", "role-viewer.give", "assignment.create", "assignment.update", "assignment.delete",
	},
	// own: what only owners do.
	"own": {"role-owner.give"},
	// maintain: look after a resource that one is responsible for. Seeing a resource means to know of its tenant.
	"maintain": {
		"region.read", "rack.read", "group.read", "baremetal.read", "baremetal.maintain", "baremetal.power", "baremetal.locate", "baremetal.inspect",
		"drift.read", "tenant.read", "vm.read", "vm.power",
		"operation.read", "assignment.read",
	},
	// operate: run the machines, the networks and the catalogue.
	"operate": {
		"region.create", "region.update", "region.import", "rack.read", "rack.create", "rack.update", "rack.delete",
		"group.create", "group.update", "group.delete", "baremetal.read", "baremetal.update", "baremetal.maintain", "baremetal.drain", "vm.migrate",
		"baremetal.enroll", "baremetal.power", "baremetal.boot", "baremetal.media", "baremetal.locate", "baremetal.inspect", "baremetal.rotate", "baremetal.join", "baremetal.retire",
		"baremetal.assign", "baremetal-wipe.skip", "baremetal.discover", "drift.read", "drift.update",
		"image.create", "image.update", "image.delete", "flavor.create", "flavor.update", "flavor.delete",
		"subnet.create", "subnet.update", "subnet.delete", "leak-check.create", "ledger.read", "operation.mend", "operation.export",
		"maintainer.create", "maintainer.update", "maintainer.delete",
		"maintainer-group.create", "maintainer-group.update", "maintainer-group.delete",
		"assignment.read", "assignment.create", "assignment.update", "assignment.delete",
	},
	// freeze: what nobody does while the tenant is suspended. What is under way can still be ended, and rights be taken.
	"freeze": {
		"vm.create", "vm.power", "vm.resize", "vm.delete", "baremetal.power", "ip-address.reserve", "ip-address.release", "tenant.create", "tenant.update",
		"tenant.delete", "quota.update", "role-binding.create", "group-binding.create", "service-account.create", "assignment.create",
		"baremetal.lease", "baremetal.release",
	},
	// people: only the platform's admin.
	"people": {"user.read", "user.create", "user.update", "user.delete", "role-operator.give", "role-auditor.give"},
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

// reading contains every action that only reads, whatever else it is in.
const reading = "read"

// groupsOf returns the words that contain the action.
func groupsOf(action string) []string {
	var out []string
	for _, word := range slices.Sorted(maps.Keys(groups)) {
		if slices.Contains(groups[word], action) {
			out = append(out, word)
		}
	}
	if out != nil && strings.HasSuffix(action, ".read") {
		out = append(out, reading)
	}
	return out
}
