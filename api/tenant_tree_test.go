package api

import (
	"context"
	"encoding/csv"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yunshu/yunshu/models"
)

// used is what a tenant's quota everywhere counts.
func (e *edge) used(tenant models.ID) Amounts {
	e.t.Helper()
	return decode[Quota](e.call(e.admin, "GET", path("tenants/%s/quotas/everywhere", tenant), nil).is(200)).Used
}

func (e *edge) move(token string, tenant models.ID, parent string) answer {
	e.t.Helper()
	return e.call(token, "POST", path("tenants/%s/move", tenant), M{"parent": parent})
}

func TestUsageMovesAlongWithATenant(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	acme, dev, rival := c.tenantID("acme"), c.tenantID("acme/dev"), c.tenantID("rival")
	for _, id := range []models.ID{acme, rival} {
		c.call(c.admin, "PUT", path("tenants/%s/quotas/everywhere", id), M{"vcpu": 8}).is(200)
	}
	c.running("web")
	c.post("/v1/ip-addresses", M{"subnet": "lan", "tenant": "acme/dev"})
	one := Amounts{VCPU: 2, MemoryMiB: 2048, StorageGiB: 10, VMs: 1, IPAddresses: 2}
	require.Equal(t, []Amounts{one, {}}, []Amounts{c.used(acme), c.used(rival)})

	trial := decode[Tenant](c.call(c.admin, "POST", path("tenants/%s/move?dry_run=true", dev), M{"parent": "rival"}).is(200))
	require.Equal(t, "rival/dev", trial.FullName)
	require.Equal(t, []Amounts{one, {}}, []Amounts{c.used(acme), c.used(rival)}, "a dry run changes nothing")

	moved := decode[Tenant](c.move(c.admin, dev, "rival").is(200))
	require.Equal(t, []any{"rival/dev", &rival}, []any{moved.FullName, moved.ParentID})
	require.Equal(t, []Amounts{{}, one}, []Amounts{c.used(acme), c.used(rival)})
	c.requireBalance()
	require.Equal(t, []string{"acme", "rival", "rival/dev"}, c.names(c.admin, ""))

	c.call(c.admin, "PUT", path("tenants/%s/quotas/everywhere", acme), M{"vcpu": 1}).is(200)
	p := c.move(c.admin, dev, "acme").problem(models.CodeQuotaExceeded)
	require.Contains(t, p.Detail, "What tenant rival/dev uses does not fit there: tenant acme would count 2 vcpu, and its limit is 1.")
	require.Equal(t, []Amounts{{}, one}, []Amounts{c.used(acme), c.used(rival)}, "all or nothing")
	require.Equal(t, []string{"acme", "rival", "rival/dev"}, c.names(c.admin, ""))

	c.move(c.admin, rival, "rival/dev").problem(models.CodeInvalid)
	root := decode[Tenant](c.move(c.admin, dev, "").is(200))
	require.Equal(t, []any{"dev", (*models.ID)(nil)}, []any{root.FullName, root.ParentID})
	require.Equal(t, Amounts{}, c.used(rival))
	c.requireBalance()
}

func TestATenantLeavesNoAddressInASubnetThatCloses(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.post("/v1/subnets", M{"region": "tw", "name": "acme-only", "cidr": "10.2.0.0/28", "network": "vlan-200", "tenant": "acme"})
	c.post("/v1/ip-addresses", M{"subnet": "acme-only", "tenant": "acme/dev"})
	p := c.move(c.admin, c.tenantID("acme/dev"), "rival").problem(models.CodeInUse)
	require.Contains(t, p.Detail, "tw.acme-only")
}

// TestMovingATenantGivesNoRights shows that both ends count: who may shape only one of them moves nothing, and whoever
// loses a tenant loses their rights on it.
func TestMovingATenantGivesNoRights(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	dev := c.tenantID("acme/dev")
	acme, rival, both := c.user("acme-admin", "admin@acme"), c.user("rival-admin", "admin@rival"), c.user("both", "admin@acme", "admin@rival")
	devAdmin := c.user("dev-admin", "admin@acme/dev", "admin@rival")
	c.move(rival, dev, "rival").problem(models.CodeNotFound)
	c.move(acme, dev, "rival").problem(models.CodeNotFound)
	c.move(acme, dev, "").problem(models.CodeForbidden)
	c.move(devAdmin, dev, "rival").problem(models.CodeForbidden)
	c.move(both, dev, "rival").is(200)
	c.call(acme, "GET", path("tenants/%s", dev), nil).problem(models.CodeNotFound)
	c.call(rival, "GET", path("tenants/%s", dev), nil).is(200)
}

func TestASuspendedTenantCanOnlyBeRead(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	acme, dev := c.tenantID("acme"), c.tenantID("acme/dev")
	vm := c.running("web").ID
	admin := c.user("acme-admin", "admin@acme")
	c.post("/v1/tenants", M{"name": "group"})
	c.move(c.admin, acme, "group").is(200)
	boss := c.user("boss", "admin@group")
	c.call(admin, "POST", path("tenants/%s/suspend", acme), nil).problem(models.CodeForbidden)
	got := decode[Tenant](c.call(boss, "POST", path("tenants/%s/suspend", acme), nil).is(200))
	require.True(t, got.Frozen)
	require.NotNil(t, got.SuspendedAt)

	c.call(admin, "GET", path("vms/%s", vm), nil).is(200)
	refused := func(token string) {
		body := c.vm("web-2")
		body["tenant"] = "group/acme/dev"
		for _, a := range []answer{
			c.call(token, "POST", "/v1/vms", body),
			c.call(token, "POST", path("vms/%s/power-off", vm), nil), c.call(token, "DELETE", path("vms/%s", vm), nil),
			c.call(token, "POST", path("vms/%s/resize", vm), M{"vcpu": 4}),
			c.call(token, "POST", "/v1/ip-addresses", M{"subnet": "lan", "tenant": "group/acme/dev"}),
			c.call(token, "POST", "/v1/tenants", M{"name": "more", "parent": "group/acme"}),
			c.call(token, "PATCH", path("tenants/%s", dev), M{"description": "x"}),
		} {
			a.problem(models.CodeSuspended)
		}
	}
	refused(admin)
	refused(c.admin)

	free := decode[Tenant](c.call(boss, "POST", path("tenants/%s/move", dev), M{"parent": "group"}).is(200))
	require.False(t, free.Frozen, "out of the suspended one")
	c.move(boss, dev, "group/acme").problem(models.CodeSuspended)
	require.False(t, decode[Tenant](c.call(boss, "POST", path("tenants/%s/resume", acme), nil).is(200)).Frozen)
	c.move(boss, dev, "group/acme").is(200)
	c.call(admin, "POST", path("vms/%s/power-off", vm), nil).is(202)
}

func TestNobodyPromisesMoreThanTheyHave(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	acme := e.tenant("acme", "")
	dev, ops := e.tenant("dev", "acme"), e.tenant("ops", "acme")
	quota := func(id models.ID, vcpu int64) answer {
		return e.call(e.admin, "PUT", path("tenants/%s/quotas/everywhere", id), M{"vcpu": vcpu})
	}
	quota(acme.ID, 10).is(200)
	quota(dev.ID, 6).is(200)
	p := quota(ops.ID, 5).problem(models.CodeQuotaExceeded)
	require.Equal(t, "The tenants right below tenant acme would be promised 11 vcpu, and it has 10. Promise less, give it more, or let it overcommit.", p.Detail)
	quota(ops.ID, 4).is(200)
	quota(acme.ID, 9).problem(models.CodeQuotaExceeded)

	admin := e.user("acme-admin", "admin@acme")
	e.call(admin, "PATCH", path("tenants/%s", acme.ID), M{"overcommit": true}).problem(models.CodeForbidden)
	require.True(t, decode[Tenant](e.call(e.admin, "PATCH", path("tenants/%s", acme.ID), M{"overcommit": true}).is(200)).Overcommit)
	quota(ops.ID, 8).is(200)
	quota(acme.ID, 9).is(200)
	e.call(e.admin, "PATCH", path("tenants/%s", acme.ID), M{"overcommit": false}).problem(models.CodeQuotaExceeded)
	require.True(t, decode[Tenant](e.call(e.admin, "GET", path("tenants/%s", acme.ID), nil).is(200)).Overcommit)
}

func TestALimitBelowUseIsAcceptedOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	acme := c.tenantID("acme")
	c.running("web")
	quota := path("tenants/%s/quotas/everywhere", acme)
	c.call(c.admin, "PUT", quota, M{"vcpu": 1}).problem(models.CodeInUse)
	require.Equal(t, []string{"vcpu"}, decode[Quota](c.call(c.admin, "PUT", quota+"?allow_over=true", M{"vcpu": 1}).is(200)).Over)
	c.call(c.admin, "POST", "/v1/vms", c.vm("web-2")).problem(models.CodeQuotaExceeded)
	require.Empty(t, decode[Quota](c.call(c.admin, "PUT", quota, M{"vcpu": 2}).is(200)).Over)
}

func TestThresholdsRaiseOneEventForEachCrossing(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	acme := c.tenantID("acme")
	limit := func(vms int) {
		c.call(c.admin, "PUT", path("tenants/%s/quotas/everywhere", acme), M{"vms": vms}).is(200)
	}
	events := func(query string) []string {
		_, err := c.store.WatchUsage(t.Context())
		require.NoError(t, err)
		out := []string{}
		for _, e := range decode[List[QuotaEvent]](c.get("/v1/quota-events" + query)).Items {
			out = append(out, fmt.Sprintf("%d %t", e.Threshold, e.ClearedAt != nil))
		}
		return out
	}
	limit(5)
	for i := range 3 {
		c.running(fmt.Sprintf("web-%d", i))
	}
	require.Empty(t, events(""))
	c.running("web-3")
	require.Equal(t, []string{"80 false"}, events("?tenant=acme"))
	require.Equal(t, []string{"80 false"}, events(""), "once")
	limit(4)
	require.ElementsMatch(t, []string{"80 false", "95 false"}, events(""))
	limit(100)
	require.Empty(t, events("?open=true"))
	limit(5)
	require.Equal(t, []string{"80 false"}, events("?open=true"), "crossed again")
	require.Empty(t, decode[List[QuotaEvent]](c.call(c.user("other", "admin@rival"), "GET", "/v1/quota-events", nil).is(200)).Items)
}

func TestUsageIsKeptDayByDay(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	acme := c.tenantID("acme")
	c.running("web")
	for range 2 {
		_, err := c.store.WatchUsage(t.Context())
		require.NoError(t, err)
	}
	c.exec("INSERT INTO usage_days SELECT day - 1, tenant_id, 7, 0, 0, 0, 1, 0, 0, 1, now() FROM usage_days WHERE tenant_id = $1", acme)
	days := decode[struct{ Items []UsageDay }](c.get(path("tenants/%s/usage-days", acme))).Items
	require.Len(t, days, 2)
	require.Equal(t, []Amounts{{VCPU: 7, VMs: 1, IPAddresses: 1}, {VCPU: 2, MemoryMiB: 2048, StorageGiB: 10, VMs: 1, IPAddresses: 1}}, []Amounts{days[0].Used, days[1].Used})
	got := c.get(path("tenants/%s/usage-days.csv?from=%s", acme, days[1].Day))
	require.Equal(t, "text/csv; charset=utf-8", got.Header.Get("Content-Type"))
	lines, err := csv.NewReader(strings.NewReader(string(got.Body))).ReadAll()
	require.NoError(t, err)
	require.Equal(t, [][]string{{"day", "tenant", "vcpu", "memory_mib", "storage_gib", "gpu", "vms", "baremetals", "clusters", "ip_addresses"},
		{days[1].Day, "acme", "2", "2048", "10", "0", "1", "0", "0", "1"}}, lines)
	c.call(c.admin, "GET", path("tenants/%s/usage-days?from=yesterday", acme), nil).problem(models.CodeInvalid)
}

// TestTheTreeKeepsItsBooks makes, moves, renames, suspends and deletes tenants at random while machines and addresses
// come and go, and adds everything up after each step.
func TestTheTreeKeepsItsBooks(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.exec("UPDATE subnets SET range_end = '10.1.0.14'")
	serial := 0
	rapid.Check(t, func(r *rapid.T) {
		tenants := []string{"acme", "acme/dev", "rival"}
		if all := c.names(c.admin, ""); len(all) > 0 {
			tenants = all
		}
		pick := func(label string) string { return rapid.SampledFrom(tenants).Draw(r, label) }
		serial++
		switch rapid.IntRange(0, 6).Draw(r, "what") {
		case 0:
			c.call(c.admin, "POST", "/v1/tenants", M{"name": fmt.Sprintf("t%d", serial), "parent": pick("parent")})
		case 1:
			c.move(c.admin, c.tenantID(pick("moved")), pick("to"))
		case 2:
			c.call(c.admin, "PATCH", path("tenants/%s", c.tenantID(pick("renamed"))), M{"name": fmt.Sprintf("r%d", serial)})
		case 3:
			c.call(c.admin, "DELETE", path("tenants/%s", c.tenantID(pick("deleted"))), nil)
		case 4:
			c.call(c.admin, "PUT", path("tenants/%s/quotas/everywhere", c.tenantID(pick("limited"))), M{"ip_addresses": rapid.IntRange(0, 12).Draw(r, "limit")})
		case 5:
			c.call(c.admin, "POST", "/v1/ip-addresses", M{"subnet": "lan", "tenant": pick("owner")})
		case 6:
			for _, i := range decode[List[IPAddress]](c.get("/v1/ip-addresses?limit=1")).Items {
				c.call(c.admin, "DELETE", path("ip-addresses/%s", i.ID), nil)
			}
		}
		found, err := c.store.CheckLedger(context.Background())
		if err != nil || len(found.Findings) > 0 {
			r.Fatalf("%v %v", err, found.Findings)
		}
		if len(c.names(c.admin, "")) == 0 {
			c.tenant("acme", "")
		}
	})
}

func TestTheBooksAreBalancedUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.call(c.admin, "PUT", path("tenants/%s/quotas/everywhere", c.tenantID("acme")), M{"ip_addresses": 9}).is(200)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 10 {
				a := c.call(c.admin, "POST", "/v1/ip-addresses", M{"subnet": "lan", "tenant": "acme/dev"})
				if a.Status == 201 {
					c.call(c.admin, "DELETE", path("ip-addresses/%s", decode[IPAddress](a).ID), nil)
				}
			}
		})
	}
	for range 20 {
		got := decode[LedgerCheck](c.get("/v1/ledger-check"))
		require.Equal(t, LedgerCheck{Balanced: true, Findings: []LeakFinding{}}, got)
	}
	all.Wait()
	require.Equal(t, Amounts{}, c.used(c.tenantID("acme")))
}
