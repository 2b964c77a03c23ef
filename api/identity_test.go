package api

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

func TestMeTellsWhoIAm(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	acme := e.tenant("acme", "")
	ada := e.user("ada", "member@acme", "operator")
	me := decode[Me](e.call(ada, "GET", "/v1/me", nil).is(200))
	require.Equal(t, "ada", me.Name)
	require.Equal(t, []Binding{{Role: models.RoleMember, TenantID: &acme.ID, Tenant: "acme"}, {Role: models.RoleOperator}}, me.Bindings)
}

func TestRequestsWithoutAGoodTokenAreRefused(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	for name, header := range map[string]string{
		"none": "", "another scheme": "Basic cm9vdDpyb290", "no token": "Bearer ", "unknown": "Bearer ys_nobody", "not ours": "Bearer \x80\xff",
	} {
		a := e.call("", "GET", "/v1/me", nil, "Authorization", header)
		p := a.problem(models.CodeUnauthenticated)
		require.Equal(t, `Bearer realm="yunshu"`, a.Header.Get("WWW-Authenticate"), name)
		require.NotContains(t, p.Detail, "nobody", name)
	}
	_, err := e.store.Pool.Exec(t.Context(), "UPDATE tokens SET expires_at = now() - interval '1 second'")
	require.NoError(t, err)
	e.call(e.admin, "GET", "/v1/me", nil).problem(models.CodeUnauthenticated)
}

func TestATokenIsShownOnceAndStoredHashed(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	first := decode[NewToken](e.call(e.admin, "POST", "/v1/tokens", M{"name": "laptop"}, "Idempotency-Key", "one").is(201))
	require.Regexp(t, `^ys_[A-Za-z0-9_-]{43}$`, first.Secret)
	require.WithinDuration(t, time.Now().Add(usualTokenLife), first.ExpiresAt, time.Minute)

	again := decode[NewToken](e.call(e.admin, "POST", "/v1/tokens", M{"name": "laptop"}, "Idempotency-Key", "one").is(201))
	require.Equal(t, NewToken{Token: first.Token}, again)

	e.call(first.Secret, "GET", "/v1/me", nil).is(200)
	for _, table := range []string{"tokens", "idempotency_keys", "audit_events", "resource_versions"} {
		var dump string
		require.NoError(t, e.store.Pool.QueryRow(t.Context(), "SELECT coalesce(json_agg(t)::text, '') FROM "+table+" t").Scan(&dump))
		require.NotContains(t, dump, first.Secret[len("ys_")+6:], table)
	}
}

func TestTokensEnd(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	for _, at := range []time.Time{time.Now().Add(-time.Minute), time.Now().Add(longestTokenLife + time.Hour)} {
		p := e.call(e.admin, "POST", "/v1/tokens", M{"name": "x", "expires_at": at}).problem(models.CodeInvalid)
		require.Equal(t, []models.FieldError{{Field: "body.expires_at", Message: "must be in the future, and within 366 days"}}, p.Errors)
	}
	soon := decode[NewToken](e.call(e.admin, "POST", "/v1/tokens", M{"name": "x", "expires_at": time.Now().Add(time.Hour)}).is(201))

	_, other := openEdge(t, e.dsn)
	e.call(soon.Secret, "GET", "/v1/me", nil).is(200)
	callAPI(t, other, soon.Secret, "GET", "/v1/me", nil).is(200)
	e.call(e.admin, "DELETE", path("tokens/%s", soon.ID), nil).is(204)
	e.call(soon.Secret, "GET", "/v1/me", nil).problem(models.CodeUnauthenticated)

	// The other gateway may believe the token for some seconds, but lets nothing be written with it.
	callAPI(t, other, soon.Secret, "POST", "/v1/users", M{"name": "eve"}).problem(models.CodeUnauthenticated)
	require.Eventually(t, func() bool { // the cache of the other gateway ends by the clock
		return callAPI(t, other, soon.Secret, "GET", "/v1/me", nil).Status == 401
	}, 5*time.Second, 100*time.Millisecond)
}

func TestTokensOfOthersAreInvisible(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	ada, bob := e.user("ada"), e.user("bob")
	adas := decode[List[Token]](e.call(ada, "GET", "/v1/tokens", nil).is(200)).Items
	require.Len(t, adas, 1)
	e.call(bob, "GET", path("tokens/%s", adas[0].ID), nil).problem(models.CodeNotFound)
	e.call(bob, "DELETE", path("tokens/%s", adas[0].ID), nil).problem(models.CodeNotFound)
	e.call(bob, "GET", "/v1/tokens?user=ada", nil).problem(models.CodeForbidden)
	e.call(bob, "POST", "/v1/tokens", M{"name": "x", "user": "ada"}).problem(models.CodeForbidden)
	require.Equal(t, adas, decode[List[Token]](e.call(e.admin, "GET", "/v1/tokens?user=ada", nil).is(200)).Items)
	e.call(ada, "DELETE", path("tokens/%s", adas[0].ID), nil).is(204)
}

func TestNobodyGrantsMoreThanTheyHave(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.tenant("acme", "")
	e.tenant("dev", "acme")
	e.tenant("rival", "")
	e.user("victim")
	devAdmin, member, operator := e.user("dev-admin", "admin@acme/dev"), e.user("member", "member@acme"), e.user("operator", "operator")
	before := e.count("role_bindings")
	for name, c := range map[string]struct {
		token string
		body  M
		code  models.Code
	}{
		"admin of a child on its parent":       {devAdmin, M{"user": "dev-admin", "role": "admin", "tenant": "acme"}, models.CodeNotFound},
		"admin of a child on the platform":     {devAdmin, M{"user": "dev-admin", "role": "admin"}, models.CodeForbidden},
		"admin of a child on another's tenant": {devAdmin, M{"user": "dev-admin", "role": "viewer", "tenant": "rival"}, models.CodeNotFound},
		"member on their own tenant":           {member, M{"user": "member", "role": "admin", "tenant": "acme"}, models.CodeForbidden},
		"operator on the platform":             {operator, M{"user": "operator", "role": "admin"}, models.CodeForbidden},
		"operator on a tenant":                 {operator, M{"user": "operator", "role": "admin", "tenant": "acme"}, models.CodeForbidden},
		"a role that does not exist there":     {e.admin, M{"user": "victim", "role": "operator", "tenant": "acme"}, models.CodeInvalid},
		"a role that is only for tenants":      {e.admin, M{"user": "victim", "role": "viewer"}, models.CodeInvalid},
	} {
		t.Log(name)
		e.call(c.token, "POST", "/v1/role-bindings", c.body).problem(c.code)
	}
	require.Equal(t, before, e.count("role_bindings"))

	given := decode[RoleBinding](e.call(devAdmin, "POST", "/v1/role-bindings", M{"user": "victim", "role": "admin", "tenant": "acme/dev"}).is(201))
	e.call(member, "DELETE", path("role-bindings/%s", given.ID), nil).problem(models.CodeForbidden)
	e.call(e.user("stranger", "admin@rival"), "DELETE", path("role-bindings/%s", given.ID), nil).problem(models.CodeNotFound)
	e.call(devAdmin, "DELETE", path("role-bindings/%s", given.ID), nil).is(204)
}

func TestThePlatformKeepsAnAdmin(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	me := decode[Me](e.call(e.admin, "GET", "/v1/me", nil).is(200))
	mine := decode[List[RoleBinding]](e.call(e.admin, "GET", "/v1/role-bindings?user=root", nil).is(200)).Items
	e.call(e.admin, "DELETE", path("role-bindings/%s", mine[0].ID), nil).problem(models.CodeInUse)
	e.call(e.admin, "DELETE", path("users/%s", me.ID), nil).problem(models.CodeInUse)
	second := e.user("second", "admin")
	e.call(second, "DELETE", path("users/%s", me.ID), nil).is(204)
	e.call(e.admin, "GET", "/v1/me", nil).problem(models.CodeUnauthenticated)
}

func TestARoleTakenAwayCountsAtOnce(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	acme := e.tenant("acme", "")
	ada := e.user("ada", "viewer@acme")
	e.call(ada, "GET", path("tenants/%s", acme.ID), nil).is(200)
	bindings := decode[List[RoleBinding]](e.call(ada, "GET", "/v1/role-bindings", nil).is(200)).Items
	require.Len(t, bindings, 1)
	e.call(e.admin, "DELETE", path("role-bindings/%s", bindings[0].ID), nil).is(204)
	e.call(ada, "GET", path("tenants/%s", acme.ID), nil).problem(models.CodeNotFound)
}
