package api

import (
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

func TestOwnersGiveEveryRoleAndAdminsAllButTheirs(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.tenant("acme", "")
	e.tenant("dev", "acme")
	e.user("victim")
	owner, admin := e.user("owner", "owner@acme"), e.user("admin", "admin@acme")
	give := func(token, role, tenant string) answer {
		return e.call(token, "POST", "/v1/role-bindings?dry_run=true", M{"user": "victim", "role": role, "tenant": tenant})
	}
	for _, role := range models.TenantRoles {
		give(owner, string(role), "acme").is(200)
		give(owner, string(role), "acme/dev").is(200)
		if role != models.RoleOwner {
			give(admin, string(role), "acme/dev").is(200)
		}
	}
	for _, tenant := range []string{"acme", "acme/dev"} {
		require.Equal(t, "role-owner.give", give(admin, "owner", tenant).problem(models.CodeForbidden).Missing)
	}
	for _, role := range models.PlatformRoles {
		e.call(owner, "POST", "/v1/role-bindings", M{"user": "victim", "role": role}).problem(models.CodeForbidden)
		e.call(e.admin, "POST", "/v1/role-bindings?dry_run=true", M{"user": "victim", "role": role}).is(200)
	}
	// What one may not give, one may not take either.
	owners := decode[List[RoleBinding]](e.call(admin, "GET", "/v1/role-bindings?user=owner", nil).is(200)).Items
	require.Equal(t, "role-owner.give", e.call(admin, "DELETE", path("role-bindings/%s", owners[0].ID), nil).problem(models.CodeForbidden).Missing)
}

func TestATenantKeepsAnOwner(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.tenant("acme", "")
	e.tenant("dev", "acme")
	bindings := func(user string) RoleBinding {
		return decode[List[RoleBinding]](e.call(e.admin, "GET", "/v1/role-bindings?user="+user, nil).is(200)).Items[0]
	}
	e.user("below", "owner@acme/dev")
	below := bindings("below")
	p := e.call(e.admin, "DELETE", path("role-bindings/%s", below.ID), nil).problem(models.CodeInUse)
	require.Equal(t, "This is the only owner of tenant acme/dev. Make somebody else its owner first.", p.Detail)
	e.call(e.admin, "DELETE", path("users/%s", below.UserID), nil).problem(models.CodeInUse)

	// An owner above is an owner below.
	owner := e.user("above", "owner@acme")
	e.call(owner, "DELETE", path("role-bindings/%s", below.ID), nil).is(204)
	e.call(owner, "DELETE", path("role-bindings/%s", bindings("above").ID), nil).problem(models.CodeInUse)
	e.user("heir", "owner@acme")
	e.call(owner, "DELETE", path("role-bindings/%s", bindings("above").ID), nil).is(204)
}

func TestAuditorsSeeEverythingAndChangeNothing(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.world()
	auditor := e.user("auditor", "auditor")
	for _, op := range endpoints(e.api) {
		if op.Metadata[actionKey] == "token.create" || op.OperationID == "sign-out" || needsNoToken(op) {
			continue // what is everyone's business
		}
		a := w.try(op, auditor)
		want := "403"
		if op.Method == "GET" {
			want = "yes"
		}
		if op.OperationID == "revoke-token" {
			want = "404" // tokens of others are as good as not there
		}
		require.Equal(t, want, outcome(a), "%s: %s", op.OperationID, a.Body)
	}
}

func TestMyPermissionsSayWhyNot(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.world()
	viewer := e.user("viewer", "viewer@acme")
	vm := w.ids["vms"].String()
	ask := func(token, query string) Permissions {
		return decode[Permissions](e.call(token, "GET", "/v1/me/permissions?"+query, nil).is(200))
	}
	require.Equal(t, Permissions{ResourceKind: "vm", ResourceID: vm, ResourceName: "v0", Permissions: []Permission{{Action: "vm.power",
		Why: "You lack the right vm.power here. It comes with these roles: member, admin, owner on the tenant or above it; operator, admin on the platform; maintainer of it. Ask someone who may give you one."}}},
		ask(viewer, "resource_kind=vm&action=vm.power&resource="+vm))
	require.Equal(t, []Permission{{"vm.read", true, "You have the role viewer on the tenant, or on one above it."}}, ask(viewer, "tenant=acme/dev&action=vm.read").Permissions)
	require.Equal(t, []Permission{{"vm.power", true, "You are a maintainer of it, or of what it stands in."}},
		ask(e.keeper(w), "resource_kind=vm&action=vm.power&resource="+vm).Permissions)
	require.Equal(t, []Permission{{"rack.create", true, "You have the role admin on the platform."}}, ask(e.admin, "action=rack.create").Permissions)

	// It says no to what would be refused: the tenant's own admin does not delete it.
	admin := e.user("acme-admin", "admin@acme")
	require.False(t, ask(admin, "tenant=acme&action=tenant.delete").Permissions[0].Allowed)
	require.True(t, ask(admin, "tenant=acme/dev&action=tenant.delete").Permissions[0].Allowed)

	// Of what one may not see it says what it says of what there is not.
	rival := e.user("rival-admin", "admin@rival")
	for _, query := range []string{"tenant=acme/dev", "tenant=acme/none", "resource_kind=vm&resource=" + vm, "resource_kind=vm&resource=" + models.NewID().String(), "resource_kind=vm&resource=v0"} {
		e.call(rival, "GET", "/v1/me/permissions?"+query, nil).problem(models.CodeNotFound)
	}
	e.call(rival, "GET", "/v1/me/permissions?resource_kind=vm", nil).problem(models.CodeInvalid)
	e.call(rival, "GET", "/v1/me/permissions?action=vm.explode", nil).problem(models.CodeInvalid)
}

// TestPermissionsAgreeWithTheHandlers: what /v1/me/permissions says of a machine is what happens.
func TestPermissionsAgreeWithTheHandlers(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.world()
	for _, token := range []string{e.user("viewer", "viewer@acme"), e.user("member", "member@acme"), e.user("auditor", "auditor"), e.keeper(w), e.admin} {
		said := map[string]bool{}
		for _, p := range decode[Permissions](e.call(token, "GET", "/v1/me/permissions?resource_kind=vm&resource="+w.ids["vms"].String(), nil).is(200)).Permissions {
			said[p.Action] = p.Allowed
		}
		for _, op := range endpoints(e.api) {
			action := op.Metadata[actionKey].(string)
			if allowed, about := said[action]; about && op.Path != "/v1/vms" && op.Path != "/v1/assignments" && action != "assignment.read" {
				if action == "assignment.update" || action == "assignment.delete" {
					continue // these are asked of the assignment
				}
				require.Equal(t, allowed, outcome(w.try(op, token)) == "yes", op.OperationID)
			}
		}
	}
}

// TestTwoOwnersWhoRemoveEachOther: one is faster, and stays.
func TestTwoOwnersWhoRemoveEachOther(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.tenant("acme", "")
	tokens := []string{e.user("romulus", "owner@acme"), e.user("remus", "owner@acme")}
	var theirs []RoleBinding
	for _, name := range []string{"remus", "romulus"} {
		theirs = append(theirs, decode[List[RoleBinding]](e.call(e.admin, "GET", "/v1/role-bindings?user="+name, nil).is(200)).Items...)
	}
	var both sync.WaitGroup
	statuses := make([]int, 2)
	for i, token := range tokens {
		both.Go(func() { statuses[i] = e.call(token, "DELETE", path("role-bindings/%s", theirs[i].ID), nil).Status })
	}
	both.Wait()
	slices.Sort(statuses)
	require.Equal(t, 204, statuses[0])
	require.Contains(t, []int{404, 409}, statuses[1], "the slower one has no right any more, or would be the last")
	require.Equal(t, 1, e.count("role_bindings WHERE role = 'owner'"))
}

// TestARoleGivenTwiceAtOnceIsGivenOnce: the slower one is told so.
func TestARoleGivenTwiceAtOnceIsGivenOnce(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.tenant("acme", "")
	e.user("victim")
	var all sync.WaitGroup
	statuses := make([]int, 4)
	for i := range statuses {
		all.Go(func() {
			statuses[i] = e.call(e.admin, "POST", "/v1/role-bindings", M{"user": "victim", "role": "member", "tenant": "acme"}).Status
		})
	}
	all.Wait()
	slices.Sort(statuses)
	require.Equal(t, []int{201, 409, 409, 409}, statuses)
}
