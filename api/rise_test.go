package api

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

// attempt is something that somebody tries in order to get rights that they do not have.
type attempt struct {
	token, method, path string
	body                any
	code                models.Code
}

// refusesAll tries everything, and requires that each is refused in its way and that no right, tenant, token or
// responsibility is other than before.
func (e *edge) refusesAll(attempts map[string]attempt) {
	t := e.t
	t.Helper()
	before := e.rights()
	for name, a := range attempts {
		got := e.call(a.token, a.method, a.path, a.body)
		require.Equal(t, a.code, decode[Problem](got).Code, "%s: %s", name, got.Body)
	}
	require.Equal(t, before, e.rights())
}

// rights is everything that decides who may do what.
func (e *edge) rights() []string {
	e.t.Helper()
	var out []string
	for _, table := range []string{"tenants", "role_bindings", "assignments", "maintainers", "maintainer_groups", "maintainer_group_members", "users", "identities", "group_bindings", "quotas"} {
		var rows string
		err := e.store.Pool.QueryRow(e.t.Context(), "SELECT coalesce(json_agg(to_jsonb(t) ORDER BY t::text), '[]')::text FROM "+table+" t").Scan(&rows)
		require.NoError(e.t, err)
		out = append(out, table+" "+rows)
	}
	return out
}

// bindingOf is the id of a user's only role.
func (e *edge) bindingOf(user string) models.ID {
	e.t.Helper()
	all := decode[List[RoleBinding]](e.call(e.admin, "GET", "/v1/role-bindings?user="+user, nil).is(200)).Items
	require.Len(e.t, all, 1)
	return all[0].ID
}

func TestNobodyRisesByGivingRoles(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.world()
	keeper := e.keeper(w) // maintains acme/dev, and has no role
	e.user("friend")
	give := func(token, user, role, tenant string, code models.Code) attempt {
		return attempt{token, "POST", "/v1/role-bindings", M{"user": user, "role": role, "tenant": tenant}, code}
	}
	take := func(token, user string, code models.Code) attempt {
		return attempt{token, "DELETE", path("role-bindings/%s", e.bindingOf(user)), nil, code}
	}
	tokens := map[string]string{}
	for user, role := range map[string]string{"owner": "owner@acme", "admin": "admin@acme", "member": "member@acme", "viewer": "viewer@acme", "dev-owner": "owner@acme/dev",
		"rival": "owner@rival", "operator": "operator", "auditor": "auditor"} {
		tokens[user] = e.user(user, role)
	}
	attempts := map[string]attempt{
		"owner of a child to themselves on its parent": give(tokens["dev-owner"], "dev-owner", "viewer", "acme", models.CodeNotFound),
		"owner of a child to a friend on its parent":   give(tokens["dev-owner"], "friend", "viewer", "acme", models.CodeNotFound),
		"a rival to themselves":                        give(tokens["rival"], "rival", "viewer", "acme", models.CodeNotFound),
		"a maintainer to themselves":                   give(keeper, "keeper", "viewer", "acme/dev", models.CodeNotFound),
		"admin takes the owner's":                      take(tokens["admin"], "owner", models.CodeForbidden),
		"owner of a child takes the parent's admin's":  take(tokens["dev-owner"], "admin", models.CodeNotFound),
		"owner of a child takes the parent's owner's":  take(tokens["dev-owner"], "owner", models.CodeNotFound),
		"member takes the viewer's":                    take(tokens["member"], "viewer", models.CodeForbidden),
		"a rival takes the owner's":                    take(tokens["rival"], "owner", models.CodeNotFound),
		"operator takes the auditor's":                 take(tokens["operator"], "auditor", models.CodeForbidden),
		"operator takes a tenant's owner's":            take(tokens["operator"], "owner", models.CodeForbidden),
	}
	for user, token := range tokens {
		for _, role := range models.PlatformRoles {
			attempts[user+" to themselves "+string(role)+" of the platform"] = give(token, user, string(role), "", models.CodeForbidden)
		}
		if user != "owner" && user != "dev-owner" && user != "rival" {
			attempts[user+" to themselves owner"] = give(token, user, "owner", "acme", models.CodeForbidden)
			attempts[user+" to a friend owner of a child"] = give(token, "friend", "owner", "acme/dev", models.CodeForbidden)
		}
		if slices.Contains([]string{"member", "viewer", "operator", "auditor"}, user) {
			for _, role := range models.TenantRoles {
				attempts[fmt.Sprintf("%s to themselves %s", user, role)] = give(token, user, string(role), "acme", models.CodeForbidden)
			}
		}
	}
	e.refusesAll(attempts)
}

func TestNobodyRisesByMovingTenants(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	acme, haven := e.tenant("acme", ""), e.tenant("haven", "")
	dev, rival := e.tenant("dev", "acme"), e.tenant("rival", "")
	e.call(e.admin, "PUT", path("tenants/%s/quotas/everywhere", acme.ID), M{"vms": 1}).is(200)
	devOwner := e.user("dev-owner", "owner@acme/dev", "owner@haven")
	owner, both := e.user("owner", "owner@acme", "owner@haven"), e.user("admin", "admin@acme", "admin@haven")
	operator := e.user("operator", "operator")
	move := func(token string, t Tenant, to string, code models.Code) attempt {
		return attempt{token, "POST", path("tenants/%s/move", t.ID), M{"parent": to}, code}
	}
	e.refusesAll(map[string]attempt{
		"a foreign tenant under one's own":                  move(owner, rival, "haven", models.CodeNotFound),
		"a foreign tenant under one's own, by a dry run":    {owner, "POST", path("tenants/%s/move?dry_run=true", rival.ID), M{"parent": "haven"}, models.CodeNotFound},
		"one's own out from under its bounds":               move(devOwner, dev, "haven", models.CodeForbidden),
		"one's own out from under its bounds, as a root":    move(devOwner, dev, "", models.CodeForbidden),
		"a bounded root under one's own":                    move(owner, acme, "haven", models.CodeForbidden),
		"one's own above its parent":                        move(owner, dev, "", models.CodeForbidden),
		"one's own under a foreign one, for its quota":      move(owner, dev, "rival", models.CodeNotFound),
		"a tenant under itself":                             {e.admin, "POST", path("tenants/%s/move", acme.ID), M{"parent": "acme/dev"}, models.CodeInvalid},
		"a tenant by somebody without rights on tenants":    move(operator, dev, "haven", models.CodeForbidden),
		"a foreign tenant's name for one's own, by a move":  {owner, "POST", path("tenants/%s/move", dev.ID), M{"parent": rival.ID}, models.CodeNotFound},
		"more than one has, by moving what it was promised": {both, "PUT", path("tenants/%s/quotas/everywhere", dev.ID), M{"vms": 2}, models.CodeQuotaExceeded},
		"a larger bound for oneself":                        {owner, "PUT", path("tenants/%s/quotas/everywhere", acme.ID), M{"vms": 9}, models.CodeForbidden},
		"no bound for oneself":                              {owner, "DELETE", path("tenants/%s/quotas/everywhere", acme.ID), nil, models.CodeForbidden},
		"no bound for oneself, by overcommitting":           {owner, "PATCH", path("tenants/%s", acme.ID), M{"overcommit": true}, models.CodeForbidden},
	})
	// Whoever governs both ends moves, and takes nothing along but the tenant: the rights of the old end are over.
	e.call(both, "POST", path("tenants/%s/move", dev.ID), M{"parent": haven.ID}).is(200)
	e.call(e.user("acme-viewer", "viewer@acme"), "GET", path("tenants/%s", dev.ID), nil).problem(models.CodeNotFound)
}

// TestASuspendedTenantIsNotEscaped: what is suspended is not moved, given or taken out of its suspension by its own
// people, however much they own.
func TestASuspendedTenantIsNotEscaped(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	acme, haven := e.tenant("acme", ""), e.tenant("haven", "")
	dev := e.tenant("dev", "acme")
	web := e.tenant("web", "acme/dev")
	owner := e.user("owner", "owner@acme", "owner@haven")
	e.user("friend")
	e.call(e.admin, "POST", path("tenants/%s/suspend", acme.ID), nil).is(200)
	e.refusesAll(map[string]attempt{
		"resume it":                         {owner, "POST", path("tenants/%s/resume", acme.ID), nil, models.CodeForbidden},
		"move what is below elsewhere":      {owner, "POST", path("tenants/%s/move", dev.ID), M{"parent": "haven"}, models.CodeForbidden},
		"move what is far below elsewhere":  {owner, "POST", path("tenants/%s/move", web.ID), M{"parent": "haven"}, models.CodeForbidden},
		"move something in":                 {owner, "POST", path("tenants/%s/move", e.tenant("new", "haven").ID), M{"parent": "acme"}, models.CodeSuspended},
		"give rights on it":                 {owner, "POST", "/v1/role-bindings", M{"user": "friend", "role": "member", "tenant": "acme/dev"}, models.CodeSuspended},
		"give rights on it as the platform": {e.admin, "POST", "/v1/role-bindings", M{"user": "friend", "role": "member", "tenant": "acme"}, models.CodeSuspended},
		"delete what is below":              {owner, "DELETE", path("tenants/%s", web.ID), nil, models.CodeSuspended},
		"promise what is below":             {owner, "PUT", path("tenants/%s/quotas/everywhere", dev.ID), M{"vms": 1}, models.CodeSuspended},
		"rename what is below":              {owner, "PATCH", path("tenants/%s", web.ID), M{"name": "other"}, models.CodeSuspended},
	})
	// Its own suspension ends what is below; that of what is above it stays.
	e.call(e.admin, "POST", path("tenants/%s/move", dev.ID), M{"parent": haven.ID}).is(200)
	require.False(t, decode[Tenant](e.call(owner, "GET", path("tenants/%s", web.ID), nil).is(200)).Frozen)
}

// endsWhatIsThere are actions that stay possible while a tenant is suspended: they end work, and take rights away, and
// suspend and resume itself.
var endsWhatIsThere = []string{
	"role-binding.delete", "group-binding.delete", "service-account.delete", "assignment.delete", "assignment.update", "operation.cancel", "operation.resume", "operation.abort", "tenant.suspend", "tenant.move",
}

// TestASuspendedTenantTakesNoWrite goes through every endpoint as the owner of a suspended tenant.
func TestASuspendedTenantTakesNoWrite(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.world()
	owner := e.user("owner", "owner@acme")
	for _, op := range endpoints(e.api) {
		where := w.fill(op)
		e.suspend(true)
		before := w.tryAt(op, owner, where)
		e.suspend(false)
		action := op.Metadata[actionKey].(string)
		if op.Method == http.MethodGet || slices.Contains(own, action) || slices.Contains(endsWhatIsThere, action) {
			require.NotEqual(t, "tenant_suspended", codeOfAnswer(before), op.OperationID)
			continue
		}
		if after := w.tryAt(op, owner, where); outcome(after) == "yes" {
			require.Equal(t, models.CodeSuspended, codeOfAnswer(before), "%s: %s", op.OperationID, before.Body)
		}
	}
}

func (e *edge) suspend(on bool) {
	e.t.Helper()
	acme := decode[List[Tenant]](e.call(e.admin, "GET", "/v1/tenants?full_name=acme", nil).is(200)).Items[0].ID
	e.call(e.admin, "POST", path("tenants/%s/%s", acme, map[bool]string{true: "suspend", false: "resume"}[on]), nil).is(200)
}

// codeOfAnswer is the code of a problem, or nothing.
func codeOfAnswer(a answer) models.Code {
	if a.Status < 400 {
		return ""
	}
	return decode[Problem](a).Code
}

func TestNobodyRisesByTokens(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.tenant("acme", "")
	owner, operator, auditor := e.user("owner", "owner@acme"), e.user("operator", "operator"), e.user("auditor", "auditor")
	attempts := map[string]attempt{}
	var root Token
	for _, x := range decode[List[Token]](e.call(e.admin, "GET", "/v1/tokens", nil).is(200)).Items {
		root = x
	}
	for who, token := range map[string]string{"owner": owner, "operator": operator, "auditor": auditor} {
		attempts[who+" makes one of the admin's"] = attempt{token, "POST", "/v1/tokens", M{"name": "x", "user": "root"}, models.CodeForbidden}
		attempts[who+" makes one of the admin's, by id"] = attempt{token, "POST", "/v1/tokens", M{"name": "x", "user": root.UserID}, models.CodeForbidden}
		attempts[who+" ends the admin's"] = attempt{token, "DELETE", path("tokens/%s", root.ID), nil, models.CodeNotFound}
		attempts[who+" takes over the admin's account"] = attempt{token, "PATCH", path("users/%s", root.UserID), M{"email": "me@example.com"}, models.CodeForbidden}
		attempts[who+" makes an account"] = attempt{token, "POST", "/v1/users", M{"name": "puppet"}, models.CodeForbidden}
	}
	e.refusesAll(attempts)

	// The key of somebody else's request replays nothing: not their token, not their answer.
	theirs := decode[NewToken](e.call(e.admin, "POST", "/v1/tokens", M{"name": "x"}, "Idempotency-Key", "same").is(201))
	mine := decode[NewToken](e.call(owner, "POST", "/v1/tokens", M{"name": "x"}, "Idempotency-Key", "same").is(201))
	require.Equal(t, "owner", mine.User)
	require.NotEqual(t, theirs.ID, mine.ID)
}

// TestNobodyRisesByMaintaining: who is responsible is for those to say who may do all that it brings.
func TestNobodyRisesByMaintaining(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.world()
	keeper := e.keeper(w)
	rival, owner, member := e.user("rival", "owner@rival"), e.user("owner", "owner@acme"), e.user("member", "member@acme")
	for name, token := range map[string]string{"member": member, "rival": rival} {
		e.call(e.admin, "POST", "/v1/maintainers", M{"name": name, "email": name + "@example.com", "user": name}).is(201)
		e.call(token, "GET", "/v1/me", nil).is(200)
	}
	group, me := path("maintainer-groups/%s", w.ids["maintainer-groups"]), path("maintainers/%s", w.ids["maintainers"])
	night := decode[MaintainerGroup](e.call(e.admin, "PATCH", group, M{"members": []string{"keeper"}}).is(200))
	require.Equal(t, []string{"keeper"}, night.Members)
	assign := func(kind, resource, maintainer string) M {
		return M{"resource_kind": kind, "resource": resource, "maintainer": maintainer}
	}
	attempts := map[string]attempt{
		"a member of a group lets others in":      {keeper, "PATCH", group, M{"members": []string{"keeper", "rival"}}, models.CodeForbidden},
		"a stranger lets themselves into a group": {rival, "PATCH", group, M{"members": []string{"rival"}}, models.CodeForbidden},
		"an owner lets themselves into a group":   {owner, "PATCH", group, M{"members": []string{"keeper"}}, models.CodeForbidden},
		"a stranger takes over a maintainer":      {rival, "PATCH", me, M{"user": "rival"}, models.CodeForbidden},
		"a maintainer hands on their own account": {keeper, "PATCH", me, M{"user": "rival"}, models.CodeForbidden},
		"a maintainer ends the others":            {keeper, "DELETE", path("assignments/%s", w.ids["assignments"]), nil, models.CodeForbidden},
		"a maintainer gives roles":                {keeper, "POST", "/v1/role-bindings", M{"user": "keeper", "role": "viewer", "tenant": "acme/dev"}, models.CodeNotFound},
		"a maintainer lifts the bounds":           {keeper, "PUT", path("tenants/%s/quotas/everywhere", w.ids["tenants"]), M{"vms": 100}, models.CodeNotFound},
		"a maintainer makes a machine":            {keeper, "POST", "/v1/vms", bodies["create-vm"], models.CodeNotFound},
		"a member assigns themselves":             {member, "POST", "/v1/assignments", assign("vm", w.ids["vms"].String(), "member"), models.CodeForbidden},
		"an owner to the hardware below":          {owner, "POST", "/v1/assignments", assign("baremetal", w.ids["baremetals"].String(), "member"), models.CodeForbidden},
	}
	for _, kind := range []string{"vm", "tenant", "region", "rack", "group", "baremetal"} {
		resource, code := "tw", models.CodeForbidden
		if id := w.ids[kind+"s"]; id != models.NoID {
			resource = id.String()
		}
		if kind == "vm" || kind == "tenant" {
			code = models.CodeNotFound
		}
		attempts["a stranger to a "+kind] = attempt{rival, "POST", "/v1/assignments", assign(kind, resource, "rival"), code}
		attempts["a stranger to a "+kind+", as a dry run"] = attempt{rival, "POST", "/v1/assignments?dry_run=true", assign(kind, resource, "rival"), code}
	}
	e.refusesAll(attempts)
}
