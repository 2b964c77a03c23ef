package api

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

// names are the full names of a list of tenants.
func (e *edge) names(token, query string) []string {
	e.t.Helper()
	out := []string{}
	for _, x := range decode[List[Tenant]](e.call(token, "GET", "/v1/tenants"+query, nil).is(200)).Items {
		out = append(out, x.FullName)
	}
	return out
}

func TestTenantsFormATree(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	acme := e.tenant("acme", "")
	dev := e.tenant("dev", "acme")
	e.tenant("web", dev.ID.String())
	e.tenant("acme-labs", "")
	require.Equal(t, "acme", dev.Parent)
	require.Equal(t, &acme.ID, dev.ParentID)
	require.Equal(t, []string{"acme", "acme-labs", "acme/dev", "acme/dev/web"}, e.names(e.admin, ""))
	require.Equal(t, []string{"acme/dev"}, e.names(e.admin, "?parent=acme"))
	require.Equal(t, []string{"acme", "acme/dev", "acme/dev/web"}, e.names(e.admin, "?subtree=acme"))
	require.Equal(t, []string{"acme/dev/web"}, e.names(e.admin, "?full_name=acme/dev/web"))

	e.call(e.admin, "POST", "/v1/tenants", M{"name": "dev", "parent": "acme"}).problem(models.CodeNameTaken)
	e.call(e.admin, "POST", "/v1/tenants", M{"name": "x", "parent": "nowhere"}).problem(models.CodeNotFound)

	renamed := decode[Tenant](e.call(e.admin, "PATCH", path("tenants/%s", acme.ID), M{"name": "acme2"}).is(200))
	require.Equal(t, "acme2", renamed.FullName)
	require.Equal(t, []string{"acme-labs", "acme2", "acme2/dev", "acme2/dev/web"}, e.names(e.admin, ""))
	e.call(e.admin, "PATCH", path("tenants/%s", acme.ID), M{"name": "acme-labs"}).problem(models.CodeNameTaken)

	p := e.call(e.admin, "DELETE", path("tenants/%s", dev.ID), nil).problem(models.CodeInUse)
	require.Equal(t, "Tenant acme2/dev is not empty: it has 1 sub-tenants. Remove them first.", p.Detail)
}

func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	parent := ""
	for range 16 {
		parent = e.tenant("a", parent).FullName
	}
	e.call(e.admin, "POST", "/v1/tenants", M{"name": "a", "parent": parent}).problem(models.CodeInvalid)
}

func TestWhatIsNotYoursIsInvisible(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	acme, rival := e.tenant("acme", ""), e.tenant("rival", "")
	dev := e.tenant("dev", "acme")
	e.call(e.admin, "PUT", path("tenants/%s/quotas/everywhere", rival.ID), M{"vcpu": 4}).is(200)
	ada := e.user("ada", "admin@acme")
	devver := e.user("devver", "viewer@acme/dev")
	require.Equal(t, []string{"acme", "acme/dev"}, e.names(ada, ""))
	require.Equal(t, []string{"acme/dev"}, e.names(devver, ""))
	require.Equal(t, []string{}, e.names(ada, "?full_name=rival"))
	for _, c := range []struct{ token, method, path string }{
		{ada, "GET", path("tenants/%s", rival.ID)}, {ada, "PATCH", path("tenants/%s", rival.ID)}, {ada, "DELETE", path("tenants/%s", rival.ID)},
		{ada, "GET", path("tenants/%s/quotas", rival.ID)}, {ada, "GET", path("tenants/%s/quotas/everywhere", rival.ID)},
		{ada, "PUT", path("tenants/%s/quotas/everywhere", rival.ID)}, {ada, "DELETE", path("tenants/%s/quotas/everywhere", rival.ID)},
		{ada, "GET", path("tenants/%s/usage", rival.ID)}, {ada, "GET", "/v1/tenants?parent=rival"}, {ada, "GET", "/v1/tenants?subtree=rival"},
		{ada, "GET", "/v1/role-bindings?tenant=rival"}, {ada, "GET", "/v1/audit-events?tenant=rival"},
		{devver, "GET", path("tenants/%s", acme.ID)}, {devver, "GET", path("tenants/%s/usage", acme.ID)},
	} {
		var body any
		if c.method == "PATCH" || c.method == "PUT" {
			body = M{}
		}
		t.Log(c.method, c.path)
		missing := e.call(c.token, c.method, c.path, body).problem(models.CodeNotFound)
		require.NotContains(t, missing.Detail, "rival")
	}
	e.call(ada, "POST", "/v1/tenants", M{"name": "x", "parent": "rival"}).problem(models.CodeNotFound)
	e.call(ada, "POST", "/v1/tenants", M{"name": "x"}).problem(models.CodeForbidden)
	e.call(devver, "PATCH", path("tenants/%s", dev.ID), M{"description": "x"}).problem(models.CodeForbidden)
	for _, ev := range decode[List[AuditEvent]](e.call(ada, "GET", "/v1/audit-events?limit=200", nil).is(200)).Items {
		require.Contains(t, []string{"acme", "acme/dev"}, ev.Tenant)
	}
}

// uses puts a row into the ledger, as an accepted machine would.
func (e *edge) uses(tenant Tenant, vcpu int64, group *models.ID) {
	e.t.Helper()
	_, err := e.store.Pool.Exec(e.t.Context(), "INSERT INTO allocations (resource_id, resource_kind, tenant_id, group_id, vcpu, vms) VALUES ($1, 'vm', $2, $3, $4, 1)",
		models.NewID(), tenant.ID, group, vcpu)
	require.NoError(e.t, err)
}

func (e *edge) group(region, name string) models.ID {
	e.t.Helper()
	id := models.NewID()
	_, err := e.store.Pool.Exec(e.t.Context(), "INSERT INTO regions (name) VALUES ($1) ON CONFLICT DO NOTHING", region)
	require.NoError(e.t, err)
	_, err = e.store.Pool.Exec(e.t.Context(), "INSERT INTO groups (id, region, name) VALUES ($1, $2, $3)", id, region, name)
	require.NoError(e.t, err)
	return id
}

func TestQuotasCountTheWholeSubtree(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	acme := decode[Tenant](e.call(e.admin, "POST", "/v1/tenants", M{"name": "acme", "quota": M{"vcpu": 100, "gpu": nil}}).is(201))
	dev := e.tenant("dev", "acme")
	rival := e.tenant("rival", "")
	fast, slow := e.group("tw", "fast"), e.group("tw", "slow")
	e.uses(acme, 10, &fast)
	e.uses(dev, 20, &fast)
	e.uses(dev, 5, &slow)
	e.uses(rival, 1000, &fast)

	put := func(tenant Tenant, where string, body M) Quota {
		return decode[Quota](e.call(e.admin, "PUT", path("tenants/%s/quotas/%s", tenant.ID, where), body).is(200))
	}
	everywhere := put(acme, "everywhere", M{"vcpu": 50, "vms": 4})
	require.Equal(t, Amounts{VCPU: 35, VMs: 3}, everywhere.Used)
	require.EqualValues(t, 2, everywhere.Version)
	require.Equal(t, Amounts{VCPU: 30, VMs: 2}, put(acme, "tw.fast", M{"vcpu": 30}).Used)
	require.Equal(t, Amounts{VCPU: 5, VMs: 1}, put(dev, slow.String(), M{}).Used)
	e.call(e.admin, "PUT", path("tenants/%s/quotas/tw.none", acme.ID), M{}).problem(models.CodeNotFound)

	p := e.call(e.admin, "PUT", path("tenants/%s/quotas/everywhere", acme.ID), M{"vcpu": 34, "vms": 2}).problem(models.CodeInUse)
	low, two := int64(34), int64(2)
	require.Equal(t, []models.Shortage{{Resource: "vcpu", Where: "tenant acme", Limit: &low, Asked: 35}, {Resource: "vms", Where: "tenant acme", Limit: &two, Asked: 3}}, p.Shortages)
	require.Equal(t, everywhere, decode[Quota](e.call(e.admin, "GET", path("tenants/%s/quotas/everywhere", acme.ID), nil).is(200)))

	u := decode[Usage](e.call(e.admin, "GET", path("tenants/%s/usage", dev.ID), nil).is(200))
	require.Equal(t, Amounts{VCPU: 25, VMs: 2}, u.Used)
	left, one := int64(15), int64(1)
	require.Equal(t, Limits{VCPU: &left, VMs: &one}, u.Free)
	var where []string
	for _, q := range u.Quotas {
		where = append(where, q.Tenant+"@"+q.Group)
	}
	require.Equal(t, []string{"acme@", "acme@fast", "acme/dev@slow"}, where)

	removed := put(acme, "everywhere", M{"vcpu": nil, "vms": 4})
	require.Nil(t, removed.Limits.VCPU)
	e.call(e.admin, "DELETE", path("tenants/%s/quotas/everywhere", acme.ID), nil, "If-Match", `"1"`).problem(models.CodePreconditionFailed)
	e.call(e.admin, "DELETE", path("tenants/%s/quotas/everywhere", acme.ID), nil).is(204)
	e.call(e.admin, "GET", path("tenants/%s/quotas/everywhere", acme.ID), nil).problem(models.CodeNotFound)
	require.Len(t, decode[List[Quota]](e.call(e.admin, "GET", path("tenants/%s/quotas", acme.ID), nil).is(200)).Items, 1)
}

func TestNobodySetsTheirOwnBounds(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	acme := e.tenant("acme", "")
	dev := e.tenant("dev", "acme")
	acmeAdmin, devAdmin, operator := e.user("acme-admin", "admin@acme"), e.user("dev-admin", "admin@acme/dev"), e.user("operator", "operator")
	set := func(token string, x Tenant) answer {
		return e.call(token, "PUT", path("tenants/%s/quotas/everywhere", x.ID), M{"vcpu": 1})
	}
	set(acmeAdmin, dev).is(200)
	set(acmeAdmin, acme).problem(models.CodeForbidden)
	set(devAdmin, dev).problem(models.CodeForbidden)
	set(devAdmin, acme).problem(models.CodeNotFound)
	set(operator, dev).problem(models.CodeForbidden)
	set(e.admin, acme).is(200)
	e.call(devAdmin, "DELETE", path("tenants/%s/quotas/everywhere", dev.ID), nil).problem(models.CodeForbidden)
	e.call(devAdmin, "DELETE", path("tenants/%s", dev.ID), nil).problem(models.CodeForbidden)
	e.call(devAdmin, "POST", "/v1/tenants", M{"name": "sub", "parent": "acme/dev", "quota": M{"vcpu": 1}}).is(201)
	e.call(acmeAdmin, "PATCH", path("tenants/%s", dev.ID), M{"description": "x"}).is(200)
}

func TestAnEmptyTenantGoesAndItsHistoryStays(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	acme := e.tenant("acme", "")
	dev := e.tenant("dev", "acme")
	e.user("devver", "member@acme/dev")
	e.call(e.admin, "PUT", path("tenants/%s/quotas/everywhere", dev.ID), M{"vcpu": 1}).is(200)
	_, err := e.store.Pool.Exec(t.Context(), `INSERT INTO operations (id, kind, tenant_id, resource_kind, resource_id, resource_name, actor_id, actor, state, input)
		VALUES ($1, 'vm.delete', $2, 'vm', $1, 'web', $1, 'ada', 'succeeded', '{}')`, models.NewID(), dev.ID)
	require.NoError(t, err)
	e.call(e.admin, "DELETE", path("tenants/%s", dev.ID), nil).is(204)
	e.call(e.admin, "GET", path("tenants/%s", dev.ID), nil).problem(models.CodeNotFound)
	var owner models.ID
	require.NoError(t, e.store.Pool.QueryRow(t.Context(), "SELECT tenant_id FROM operations").Scan(&owner))
	require.Equal(t, acme.ID, owner)
}

// TestQuotasStayExactWhileTheyChange lets limits change while machines are created: what a quota counts must be the
// sum of the ledger at the end, whoever came first.
func TestQuotasStayExactWhileTheyChange(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.world()
	machine := func(n int) M {
		return M{"name": fmt.Sprintf("m-%d", n), "tenant": "acme/dev", "region": "tw", "group": "general", "image": "ubuntu-24-04", "subnet": "lan",
			"vcpu": 1, "memory_mib": 4, "storage_gib": 1}
	}
	statuses := make([]int, 60)
	var all sync.WaitGroup
	for i := range statuses {
		all.Go(func() {
			if i%3 == 0 {
				statuses[i] = e.call(e.admin, "PUT", path("tenants/%s/quotas/%s", w.ids["tenants"], []string{"everywhere", "tw.general"}[i%2]), M{"vcpu": 20 + i}).Status
				return
			}
			statuses[i] = e.call(e.admin, "POST", "/v1/vms", machine(i)).Status
		})
	}
	all.Wait()
	for i, s := range statuses {
		require.Contains(t, []int{200, 202, 409}, s, i)
	}
	u := decode[Usage](e.call(e.admin, "GET", path("tenants/%s/usage", w.ids["tenants"]), nil).is(200))
	require.Len(t, u.Quotas, 2)
	require.Positive(t, u.Used.VMs)
	for _, q := range u.Quotas {
		require.Equal(t, u.Used, q.Used)
		require.LessOrEqual(t, q.Used.VCPU, *q.Limits.VCPU)
	}
}
