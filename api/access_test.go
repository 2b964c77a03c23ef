package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
)

// own are actions that everyone has on what is their own; the handlers see to that, and the matrix shows it.
var own = []string{"me.read", "token.read", "token.create", "token.revoke", "sign-in.read", "user.sign-in"}

func TestEveryActionOfAnEndpointIsInThePolicies(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	for _, op := range endpoints(e.api) {
		action := op.Metadata[actionKey].(string)
		require.True(t, slices.Contains(authz.Actions(), action) || slices.Contains(own, action), "%s: %s", op.OperationID, action)
	}
}

// TestAccess calls every endpoint of the contract as everyone, with a request that is good, and shows who gets
// through. A new endpoint changes the golden file: read who gets through there.
func TestAccess(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.world()
	callers := []struct{ name, token string }{
		{"nobody", e.user("nobody")}, {"rival", e.user("rival-admin", "admin@rival")}, {"keeper", e.keeper(w)}, {"viewer", e.user("viewer", "viewer@acme")},
		{"member", e.user("member", "member@acme")}, {"admin", e.user("acme-admin", "admin@acme")}, {"owner", e.user("acme-owner", "owner@acme")},
		{"auditor", e.user("auditor", "auditor")}, {"operator", e.user("operator", "operator")}, {"root", e.admin},
	}
	var out strings.Builder
	fmt.Fprint(&out, "Who gets through where. Everything is tenant acme/dev's, or the platform's. viewer, member, admin and owner have their\n"+
		"role on acme, rival is admin of another tenant, auditor, operator and root have their role on the platform. keeper\n"+
		"has no role, but maintains acme/dev and the rack.\n\n")
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "endpoint\taction")
	for _, c := range callers {
		fmt.Fprintf(table, "\t%s", c.name)
	}
	fmt.Fprintln(table)
	for _, op := range endpoints(e.api) {
		if needsNoToken(op) {
			continue
		}
		fmt.Fprintf(table, "%s\t%s", op.OperationID, op.Metadata[actionKey])
		for _, c := range callers {
			a := w.try(op, c.token)
			fmt.Fprintf(table, "\t%s", outcome(a))
			require.Less(t, a.Status, 500, "%s as %s: %s", op.OperationID, c.name, a.Body)
			require.NotContains(t, []int{400, 401, 415, 422}, a.Status, "the request of %s is not good: %s", op.OperationID, a.Body)
			if c.name == "nobody" || c.name == "rival" {
				require.NotContains(t, string(a.Body), w.ids["tenants"].String(), "%s shows %s what is another tenant's", op.OperationID, c.name)
			}
			if c.name == "root" {
				require.Equal(t, "yes", outcome(a), "%s: %s", op.OperationID, a.Body)
			}
		}
		fmt.Fprintln(table)
	}
	require.NoError(t, table.Flush())
	golden(t, "testdata/access.golden", []byte(out.String()))
}

// outcome says whether the caller got past the question of rights.
func outcome(a answer) string {
	switch a.Status {
	case 200, 201, 202, 204, 409, 412:
		return "yes"
	}
	return fmt.Sprint(a.Status)
}

// needsNoToken says that an endpoint is open to everyone.
func needsNoToken(op *huma.Operation) bool { return op.Security != nil && len(op.Security) == 0 }

// world is one of everything.
type world struct {
	*edge
	ids map[string]models.ID // by the first part of the path
}

// world makes one of everything, past the API where that needs more than a database.
func (e *edge) world() *world {
	e.t.Helper()
	w := &world{edge: e, ids: map[string]models.ID{}}
	e.tenant("acme", "")
	e.tenant("rival", "")
	w.ids["tenants"] = e.tenant("dev", "acme").ID
	e.user("ada")
	e.call(e.admin, "PUT", path("tenants/%s/quotas/everywhere", w.ids["tenants"]), M{"vcpu": 1000}).is(200)
	for _, kind := range []string{"racks", "groups", "baremetals", "images", "flavors", "subnets", "ip-addresses", "vms", "operations", "drifts", "maintainers", "maintainer-groups", "assignments", "private-subnets"} {
		w.ids[kind] = models.NewID()
	}
	for _, sql := range []string{
		"INSERT INTO regions (name, capabilities) VALUES ('tw', '{vm,bm}')",
		"INSERT INTO racks (id, region, name) VALUES (@racks, 'tw', 'r0')",
		"INSERT INTO groups (id, region, name) VALUES (@groups, 'tw', 'general')",
		`INSERT INTO baremetals (id, region, name, role, state, hardware_uuid, rack_id, group_id, vcpu, memory_mib, storage_gib)
			VALUES (@baremetals, 'tw', 'h0', 'hypervisor', 'available', 'u0', @racks, @groups, 64, 262144, 4096)`,
		"SELECT refresh_hypervisors(ARRAY[@baremetals::uuid])",
		`INSERT INTO images (id, name, templates, boot) VALUES (@images, 'ubuntu-24-04', '{"tw": "template"}', '{"tw": {"kernel": "http://boot.example.com/vmlinuz"}}')`,
		"INSERT INTO flavors (id, name, vcpu, memory_mib, storage_gib) VALUES (@flavors, 'medium', 2, 4096, 20)",
		`INSERT INTO subnets (id, region, name, cidr, network, range_start, range_end) VALUES (@subnets, 'tw', 'lan', '10.1.0.0/16', 'vlan-100', '10.1.0.10', '10.1.255.200')`,
		`INSERT INTO subnets (id, region, tenant_id, name, cidr, network, range_start, range_end)
			VALUES (@private-subnets, 'tw', @tenants, 'cellar', '10.9.0.0/16', 'vlan-900', '10.9.0.10', '10.9.255.200')`,
		"INSERT INTO ip_addresses (id, subnet_id, address, tenant_id) VALUES (@ip-addresses, @subnets, '10.1.0.10', @tenants)",
		`INSERT INTO vms (id, tenant_id, name, region, group_id, baremetal_id, image_id, subnet_id, address, state, vcpu, memory_mib, storage_gib, created_by)
			VALUES (@vms, @tenants, 'v0', 'tw', @groups, @baremetals, @images, @subnets, '10.1.0.11', 'running', 1, 1024, 10, 'ada')`,
		`INSERT INTO operations (id, kind, tenant_id, region, resource_kind, resource_id, resource_name, actor_id, actor, state, input)
			VALUES (@operations, 'vm.power', @tenants, 'tw', 'vm', @vms, 'v0', @vms, 'ada', 'running', '{}')`,
		`INSERT INTO drifts (id, region, kind, resource_kind, resource_id, resource_name, field, expected, found, message, policy)
			VALUES (@drifts, 'tw', 'health', 'baremetal', @baremetals, 'h0', 'health', '"ok"', '"critical"', 'The health of h0 is critical.', 'report')`,
		"INSERT INTO maintainer_groups (id, name) VALUES (@maintainer-groups, 'night-shift')",
		"INSERT INTO maintainers (id, name, email) VALUES (@maintainers, 'keeper', 'keeper@example.com')",
		`INSERT INTO assignments (id, resource_kind, resource_id, tenant_id, maintainer_id, is_primary)
			VALUES (@assignments, 'tenant', @tenants, @tenants, @maintainers, true), (gen_random_uuid(), 'rack', @racks, NULL, @maintainers, true)`,
	} {
		for _, kind := range slices.Backward(slices.Sorted(maps.Keys(w.ids))) { // a name before those that it begins with
			id := w.ids[kind]
			sql = strings.ReplaceAll(sql, "@"+kind, "'"+id.String()+"'")
		}
		_, err := e.store.Pool.Exec(e.t.Context(), sql)
		require.NoError(e.t, err, sql)
	}
	return w
}

// keeper is someone without any role who maintains a tenant and a rack.
func (e *edge) keeper(w *world) (token string) {
	e.t.Helper()
	token = e.user("keeper")
	e.call(e.admin, "PATCH", path("maintainers/%s", w.ids["maintainers"]), M{"user": "keeper"}).is(200)
	return token
}

// renewed is the id of what there is of a kind. What would be gone after the first who may is made anew each time.
func (w *world) renewed(kind string) models.ID {
	w.t.Helper()
	id := w.ids[kind]
	switch kind {
	case "tokens":
		return decode[NewToken](w.call(w.admin, "POST", "/v1/tokens", M{"name": "x", "user": "ada"}).is(201)).ID
	case "role-bindings":
		w.call(w.admin, "POST", "/v1/role-bindings", M{"user": "ada", "role": "viewer", "tenant": "acme/dev"})
		return decode[List[RoleBinding]](w.call(w.admin, "GET", "/v1/role-bindings?user=ada", nil).is(200)).Items[0].ID
	case "group-bindings":
		w.call(w.admin, "POST", "/v1/group-bindings", M{"group": "acme-viewers", "role": "viewer", "tenant": "acme/dev"})
		return decode[List[GroupBinding]](w.call(w.admin, "GET", "/v1/group-bindings", nil).is(200)).Items[0].ID
	case "service-accounts":
		w.call(w.admin, "POST", "/v1/service-accounts", M{"name": "ci", "tenant": "acme/dev"})
		return decode[List[ServiceAccount]](w.call(w.admin, "GET", "/v1/service-accounts", nil).is(200)).Items[0].ID
	case "identities":
		w.call(w.admin, "POST", path("users/%s/identities", w.renewed("users")), M{"issuer": "https://id.example.com", "subject": "s0"})
		return decode[List[Identity]](w.call(w.admin, "GET", path("users/%s/identities", w.renewed("users")), nil).is(200)).Items[0].ID
	case "ip-addresses":
		_, err := w.store.Pool.Exec(w.t.Context(), "INSERT INTO ip_addresses (id, subnet_id, address, tenant_id) VALUES ($1, $2, '10.1.0.10', $3) ON CONFLICT DO NOTHING", id, w.ids["subnets"], w.ids["tenants"])
		require.NoError(w.t, err)
	case "users":
		return decode[List[User]](w.call(w.admin, "GET", "/v1/users?limit=200", nil).is(200)).Items[1].ID
	}
	return id
}

// bodies are those that cannot be made from the examples in the contract.
var bodies = map[string]M{
	"create-role-binding":    {"user": "ada", "role": "member", "tenant": "acme/dev"},
	"create-token":           {"name": "x"},
	"create-group-binding":   {"group": "acme-members", "role": "member", "tenant": "acme/dev"},
	"create-service-account": {"name": "deployer", "tenant": "acme/dev"},
	"move-tenant":            {"parent": "acme"},
	"create-tenant":          {"name": "web", "parent": "acme/dev"},
	"create-vm":              {"name": "web-1", "tenant": "acme/dev", "region": "tw", "group": "general", "image": "ubuntu-24-04", "subnet": "lan", "flavor": "medium"},
	"create-subnet":          {"region": "tw", "name": "dmz", "cidr": "10.2.0.0/16", "network": "vlan-200"},
	"reserve-ip-address":     {"subnet": "lan", "region": "tw", "tenant": "acme/dev"},
	"resize-vm":              {"flavor": "medium"},
	"create-lease":           {"tenant": "acme/dev", "region": "tw", "group": "general", "image": "ubuntu-24-04"},
	"lease-baremetal":        {"tenant": "acme/dev", "image": "ubuntu-24-04"},
	"resume-operation":       {"way": "retry"},
	"migrate-vm":             {},
	"maintain-baremetal":     {"reason": "A fan fails.", "until": "2999-01-31T12:00:00Z"},
	"drain-baremetal":        {"reason": "A fan fails.", "until": "2999-01-31T12:00:00Z"},
	"create-assignment":      {"resource_kind": "tenant", "resource": "acme/dev", "maintainer_group": "night-shift"},

	"create-maintainer-group": {"name": "day-shift"},
	"import-baremetals":       {"region": "tw", "machines": []M{{"name": "bm-9", "rack": "r0", "rack_unit": 30, "bmc": M{"address": "10.0.0.9", "username": "root", "password": "calvin"}}}},
}
