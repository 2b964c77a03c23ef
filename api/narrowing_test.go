package api

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

// narrowed is a token of somebody's that may do less than they may.
func (e *edge) narrowed(owner string, body M) (token string) {
	e.t.Helper()
	body["name"] = "narrow"
	return decode[NewToken](e.call(owner, "POST", "/v1/tokens", body).is(201)).Secret
}

// TestANarrowedTokenIsALesserPerson goes through the whole contract: what a narrowed token may do is exactly what somebody
// may who has no more than it was narrowed to.
func TestANarrowedTokenIsALesserPerson(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.world()
	owner := e.user("owner", "owner@acme")
	lesser := map[string]struct{ token, equal string }{
		"an owner's, as a viewer":                     {e.narrowed(owner, M{"roles": []string{"viewer"}}), e.user("viewer", "viewer@acme")},
		"an owner's, on a child":                      {e.narrowed(owner, M{"tenant": "acme/dev"}), e.user("dev-owner", "owner@acme/dev")},
		"an owner's, on a child, as a member":         {e.narrowed(owner, M{"tenant": "acme/dev", "roles": []string{"member"}}), e.user("dev-member", "member@acme/dev")},
		"an admin's of the platform, on a tenant":     {e.narrowed(e.admin, M{"tenant": "acme"}), e.user("acme-admin", "admin@acme")},
		"an admin's of the platform, as an auditor":   {e.narrowed(e.admin, M{"roles": []string{"auditor"}}), e.user("auditor", "auditor")},
		"an admin's of the platform, as an operator":  {e.narrowed(e.admin, M{"roles": []string{"operator"}}), e.user("operator", "operator")},
		"a service account's, which has what it has":  {e.account("ci", "acme/dev", "member@acme/dev"), e.user("another-dev-member", "member@acme/dev")},
		"an admin's of two, on one that is not their": {e.narrowed(e.user("both", "admin@acme", "viewer@rival"), M{"tenant": "rival"}), e.user("rival-viewer", "viewer@rival")},
	}
	for _, op := range endpoints(e.api) {
		if needsNoToken(op) {
			continue
		}
		for name, pair := range lesser {
			require.Equal(t, outcome(w.try(op, pair.equal)), outcome(w.try(op, pair.token)), "%s: %s", name, op.OperationID)
		}
	}
}

// account makes a service account with roles, and a token for it.
func (e *edge) account(name, tenant string, roles ...string) (token string) {
	e.t.Helper()
	e.call(e.admin, "POST", "/v1/service-accounts", M{"name": name, "tenant": tenant}).is(201)
	full := name + "@" + tenant
	for _, r := range roles {
		role, on := cutRole(r)
		e.call(e.admin, "POST", "/v1/role-bindings", M{"user": full, "role": role, "tenant": on}).is(201)
	}
	return decode[NewToken](e.call(e.admin, "POST", "/v1/tokens", M{"user": full, "name": "test"}).is(201)).Secret
}

func TestNoTokenIsTheWayToAWiderOne(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	for _, name := range []string{"acme", "rival"} {
		e.tenant(name, "")
	}
	e.tenant("dev", "acme")
	e.tenant("web", "acme/dev")
	owner := e.user("owner", "owner@acme", "owner@rival")
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	narrow := e.narrowed(owner, M{"tenant": "acme/dev", "roles": []string{"admin"}, "expires_at": soon})
	refused := func(token string, body M, code models.Code) attempt {
		body["name"] = "wider"
		return attempt{token, "POST", "/v1/tokens", body, code}
	}
	later := soon.Add(time.Second)
	e.refusesAll(map[string]attempt{
		"a later end":                        refused(narrow, M{"expires_at": later}, models.CodeInvalid),
		"the tenant above":                   refused(narrow, M{"tenant": "acme", "expires_at": soon}, models.CodeNotFound),
		"another tenant of the same person":  refused(narrow, M{"tenant": "rival", "expires_at": soon}, models.CodeNotFound),
		"a greater role":                     refused(narrow, M{"roles": []string{"owner"}, "expires_at": soon}, models.CodeInvalid),
		"a role of the platform":             refused(narrow, M{"roles": []string{"auditor"}, "expires_at": soon}, models.CodeInvalid),
		"somebody else's":                    refused(narrow, M{"user": "root", "expires_at": soon}, models.CodeForbidden),
		"roles that its owner does not have": refused(e.user("viewer", "viewer@acme"), M{"roles": []string{"member"}}, models.CodeInvalid),
		"a tenant that its owner cannot see": refused(e.user("stranger"), M{"tenant": "acme"}, models.CodeNotFound),
	})
	me := decode[Me](e.call(e.narrowed(narrow, M{}), "GET", "/v1/me", nil).is(200))
	require.Len(t, me.Bindings, 1, "what is made with it is narrowed like it")
	require.Equal(t, []string{"admin", "acme/dev"}, []string{string(me.Bindings[0].Role), me.Bindings[0].Tenant})
	me = decode[Me](e.call(e.narrowed(narrow, M{"tenant": "acme/dev/web", "roles": []string{"viewer"}, "expires_at": soon}), "GET", "/v1/me", nil).is(200))
	require.Equal(t, []string{"viewer", "acme/dev/web"}, []string{string(me.Bindings[0].Role), me.Bindings[0].Tenant})
}

// TestANarrowedTokenFollowsItsOwner: it never has what its owner lost, and ends with its tenant.
func TestANarrowedTokenFollowsItsOwner(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.tenant("acme", "")
	dev := e.tenant("dev", "acme")
	owner := e.user("owner", "owner@acme")
	narrow := e.narrowed(owner, M{"tenant": "acme/dev"})
	e.call(narrow, "GET", path("tenants/%s", dev.ID), nil).is(200)
	e.user("heir", "owner@acme")
	e.call(e.admin, "DELETE", path("role-bindings/%s", e.bindingOf("owner")), nil).is(204)
	e.call(narrow, "GET", path("tenants/%s", dev.ID), nil).problem(models.CodeNotFound)
	e.call(e.admin, "POST", "/v1/role-bindings", M{"user": "owner", "role": "viewer", "tenant": "acme"}).is(201)
	e.call(narrow, "GET", path("tenants/%s", dev.ID), nil).is(200)
	e.call(e.admin, "DELETE", path("tenants/%s", dev.ID), nil).is(204)
	e.call(narrow, "GET", "/v1/me", nil).problem(models.CodeUnauthenticated)
	e.call(owner, "GET", "/v1/me", nil).is(200)
}

func TestServiceAccountsStayAtHome(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	acme := e.tenant("acme", "")
	dev := e.tenant("dev", "acme")
	haven := e.tenant("haven", "")
	admin, member, rival := e.user("admin", "admin@acme"), e.user("member", "member@acme"), e.user("rival", "owner@haven")
	ci := e.account("ci", "acme/dev", "member@acme/dev")
	id := e.idOf("ci@acme/dev")
	give := func(token, role, tenant string, code models.Code) attempt {
		return attempt{token, "POST", "/v1/role-bindings", M{"user": "ci@acme/dev", "role": role, "tenant": tenant}, code}
	}
	e.refusesAll(map[string]attempt{
		"a role above":                              give(e.admin, "viewer", "acme", models.CodeInvalid),
		"a role elsewhere":                          give(e.admin, "viewer", "haven", models.CodeInvalid),
		"a role on the platform":                    give(e.admin, "auditor", "", models.CodeInvalid),
		"a role by itself":                          give(ci, "admin", "acme/dev", models.CodeForbidden),
		"a way to sign in":                          {e.admin, "POST", path("users/%s/identities", id), M{"issuer": "https://id.example.com", "subject": "ci"}, models.CodeWrongState},
		"a token by a member":                       {member, "POST", "/v1/tokens", M{"name": "x", "user": "ci@acme/dev"}, models.CodeForbidden},
		"a token by a rival":                        {rival, "POST", "/v1/tokens", M{"name": "x", "user": "ci@acme/dev"}, models.CodeForbidden},
		"an end by a rival":                         {rival, "DELETE", path("service-accounts/%s", id), nil, models.CodeNotFound},
		"an end by a member":                        {member, "DELETE", path("service-accounts/%s", id), nil, models.CodeForbidden},
		"an account of its own":                     {ci, "POST", "/v1/service-accounts", M{"name": "puppet", "tenant": "acme/dev"}, models.CodeForbidden},
		"an account elsewhere":                      {rival, "POST", "/v1/service-accounts", M{"name": "ci", "tenant": "acme/dev"}, models.CodeNotFound},
		"an account of a name that people can have": {e.admin, "POST", "/v1/users", M{"name": "ci@acme/dev"}, models.CodeInvalid},
	})

	// An admin hands out no token that may do what the admin may not give.
	e.call(e.admin, "POST", "/v1/role-bindings", M{"user": "ci@acme/dev", "role": "owner", "tenant": "acme/dev"}).is(201)
	e.call(admin, "POST", "/v1/tokens", M{"name": "x", "user": "ci@acme/dev"}).problem(models.CodeForbidden)
	e.call(e.user("owner", "owner@acme"), "POST", "/v1/tokens", M{"name": "x", "user": "ci@acme/dev"}).is(201)

	// It moves with its tenant, whose name it has, and keeps what it has below it and nothing else.
	e.call(e.admin, "POST", path("tenants/%s/move", dev.ID), M{"parent": "haven"}).is(200)
	require.Equal(t, "ci@haven/dev", decode[Me](e.call(ci, "GET", "/v1/me", nil).is(200)).Name)
	e.call(ci, "GET", path("tenants/%s", acme.ID), nil).problem(models.CodeNotFound)
	e.call(ci, "GET", path("tenants/%s", haven.ID), nil).problem(models.CodeNotFound)
	e.call(ci, "GET", path("tenants/%s", dev.ID), nil).is(200)

	// Its end is that of its tokens, at once.
	e.call(rival, "DELETE", path("service-accounts/%s", id), nil).is(204)
	e.call(ci, "GET", "/v1/me", nil).problem(models.CodeUnauthenticated)
}
