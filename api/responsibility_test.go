package api

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

// people makes maintainers, each with an account of the same name and no role, and returns their tokens.
func (e *edge) people(names ...string) map[string]string {
	e.t.Helper()
	tokens := map[string]string{}
	for _, name := range names {
		tokens[name] = e.user(name)
		e.call(e.admin, "POST", "/v1/maintainers", M{"name": name, "email": name + "@example.com", "user": name}).is(201)
	}
	return tokens
}

// assign makes a maintainer responsible.
func (e *edge) assign(kind string, resource any, maintainer string) Assignment {
	e.t.Helper()
	return decode[Assignment](e.call(e.admin, "POST", "/v1/assignments", M{"resource_kind": kind, "resource": fmt.Sprint(resource), "maintainer": maintainer}).is(201))
}

// bare makes a world without its assignments.
func (e *edge) bare() *world {
	e.t.Helper()
	w := e.world()
	_, err := e.store.Pool.Exec(e.t.Context(), "DELETE FROM assignments")
	require.NoError(e.t, err)
	return w
}

// chain says who is responsible through what, such as rack r0: grace*. A star marks the primary.
func chain(r Responsible) []string {
	out := []string{}
	for _, link := range r.Through {
		say := link.ResourceKind + " " + link.ResourceName + ":"
		for _, p := range link.People {
			say += " " + p.Maintainer
			if p.Primary {
				say += "*"
			}
		}
		out = append(out, say)
	}
	return out
}

func TestWhoIsResponsibleIsAnsweredUpTheChain(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.bare()
	e.people("region-keeper", "rack-keeper", "group-keeper", "machine-keeper", "acme-keeper", "dev-keeper", "vm-keeper", "second")
	acme := decode[List[Tenant]](e.call(e.admin, "GET", "/v1/tenants?full_name=acme", nil).is(200)).Items[0].ID
	ask := func(what string) []string {
		return chain(decode[Responsible](e.call(e.admin, "GET", "/v1/"+what+"/responsible", nil).is(200)))
	}
	machine, vm := fmt.Sprintf("baremetals/%s", w.ids["baremetals"]), fmt.Sprintf("vms/%s", w.ids["vms"])
	require.Equal(t, []string{}, ask(machine))

	e.assign("region", "tw", "region-keeper")
	e.assign("rack", w.ids["racks"], "rack-keeper")
	e.assign("group", w.ids["groups"], "group-keeper")
	e.assign("baremetal", w.ids["baremetals"], "machine-keeper")
	e.assign("baremetal", w.ids["baremetals"], "second")
	require.Equal(t, []string{"baremetal h0: machine-keeper* second", "group general: group-keeper*", "rack r0: rack-keeper*", "region tw: region-keeper*"}, ask(machine))
	require.Equal(t, []string{"rack r0: rack-keeper*", "region tw: region-keeper*"}, ask(fmt.Sprintf("racks/%s", w.ids["racks"])))
	require.Equal(t, []string{"group general: group-keeper*", "region tw: region-keeper*"}, ask(fmt.Sprintf("groups/%s", w.ids["groups"])))
	require.Equal(t, []string{"region tw: region-keeper*"}, ask("regions/tw"))

	// A machine of a tenant is that tenant's people's, and not those' who run the hardware below it.
	require.Equal(t, []string{}, ask(vm))
	e.assign("tenant", "acme", "acme-keeper")
	e.assign("tenant", "acme/dev", "dev-keeper")
	e.assign("vm", w.ids["vms"], "vm-keeper")
	require.Equal(t, []string{"vm v0: vm-keeper*", "tenant acme/dev: dev-keeper*", "tenant acme: acme-keeper*"}, ask(vm))
	require.Equal(t, []string{"tenant acme: acme-keeper*"}, ask(fmt.Sprintf("tenants/%s", acme)))

	contact := decode[Responsible](e.call(e.admin, "GET", path("%s/responsible", machine), nil).is(200)).Through[0].People[0]
	require.Equal(t, Contact{Maintainer: "machine-keeper", Email: "machine-keeper@example.com", Primary: true}, contact)
}

func TestMaintainersMayDoWhatTheirResourceNeedsAndNothingElse(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.bare()
	tokens := e.people("rack-keeper", "dev-keeper")
	machine, vm := path("baremetals/%s", w.ids["baremetals"]), path("vms/%s", w.ids["vms"])
	rack := e.assign("rack", w.ids["racks"], "rack-keeper")
	e.assign("tenant", "acme/dev", "dev-keeper")

	hardware := tokens["rack-keeper"]
	e.call(hardware, "GET", machine, nil).is(200)
	marked := decode[Baremetal](e.call(hardware, "PATCH", machine, M{"maintenance": true}).is(200))
	require.True(t, marked.Maintenance)
	p := e.call(hardware, "PATCH", machine, M{"maintenance": false, "rack": ""}).problem(models.CodeForbidden)
	require.Equal(t, "baremetal.update", p.Missing)
	e.call(hardware, "GET", vm, nil).problem(models.CodeNotFound)
	e.call(hardware, "POST", vm+"/reboot", nil).problem(models.CodeNotFound)
	e.call(hardware, "DELETE", path("racks/%s", w.ids["racks"]), nil).problem(models.CodeForbidden)

	people := tokens["dev-keeper"]
	e.call(people, "GET", machine, nil).problem(models.CodeForbidden)
	e.call(people, "GET", vm, nil).is(200)
	_, err := e.store.Pool.Exec(t.Context(), "DELETE FROM operations")
	require.NoError(t, err)
	op := decode[Operation](e.call(people, "POST", vm+"/reboot", nil).is(202))
	e.call(people, "GET", path("operations/%s", op.ID), nil).is(200)
	require.Equal(t, "vm.delete", e.call(people, "DELETE", vm, nil).problem(models.CodeForbidden).Missing)
	e.call(people, "POST", vm+"/resize", M{"flavor": "medium"}).problem(models.CodeForbidden)

	// The rights end with the assignment.
	e.call(e.admin, "DELETE", path("assignments/%s", rack.ID), nil).is(204)
	e.call(hardware, "GET", machine, nil).problem(models.CodeForbidden)
	e.call(hardware, "PATCH", machine, M{"maintenance": false}).problem(models.CodeForbidden)
}

func TestNobodyMakesThemselvesAMaintainer(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.bare()
	tokens := e.people("keeper-of-rack", "outsider")
	rackAssignment := e.assign("rack", w.ids["racks"], "keeper-of-rack")
	vm, machine := w.ids["vms"].String(), w.ids["baremetals"].String()
	rival, admin := e.user("rival-admin", "admin@rival"), e.user("acme-admin", "admin@acme")
	night := decode[List[MaintainerGroup]](e.call(e.admin, "GET", "/v1/maintainer-groups?name=night-shift", nil).is(200)).Items[0]
	outsider := decode[List[Maintainer]](e.call(e.admin, "GET", "/v1/maintainers?name=outsider", nil).is(200)).Items[0]
	before := e.count("assignments")
	assign := func(kind, resource, whom string) M {
		return M{"resource_kind": kind, "resource": resource, "maintainer": whom}
	}
	for name, c := range map[string]struct {
		token, method, path string
		body                M
		code                models.Code
	}{
		"an outsider to a machine":                {tokens["outsider"], "POST", "/v1/assignments", assign("baremetal", machine, "outsider"), models.CodeForbidden},
		"an outsider to a tenant's machine":       {tokens["outsider"], "POST", "/v1/assignments", assign("vm", vm, "outsider"), models.CodeNotFound},
		"a maintainer up their own chain":         {tokens["keeper-of-rack"], "POST", "/v1/assignments", assign("region", "tw", "keeper-of-rack"), models.CodeForbidden},
		"a maintainer down their own chain":       {tokens["keeper-of-rack"], "POST", "/v1/assignments", assign("baremetal", machine, "outsider"), models.CodeForbidden},
		"a rival to another's machine":            {rival, "POST", "/v1/assignments", assign("vm", vm, "outsider"), models.CodeNotFound},
		"a rival to another's tenant":             {rival, "POST", "/v1/assignments", assign("tenant", "acme/dev", "outsider"), models.CodeNotFound},
		"a tenant's admin to the platform's rack": {admin, "POST", "/v1/assignments", assign("rack", w.ids["racks"].String(), "outsider"), models.CodeForbidden},
		"joining a group that is responsible":     {tokens["outsider"], "PATCH", path("maintainer-groups/%s", night.ID), M{"members": []string{"outsider"}}, models.CodeForbidden},
		"a tenant's admin changes whose account":  {admin, "PATCH", path("maintainers/%s", outsider.ID), M{"user": "acme-admin"}, models.CodeForbidden},
		"a maintainer removes the others":         {tokens["keeper-of-rack"], "DELETE", path("assignments/%s", rackAssignment.ID), nil, models.CodeForbidden},
		"a stranger's assignment":                 {rival, "DELETE", path("assignments/%s", rackAssignment.ID), nil, models.CodeNotFound},
	} {
		var body any
		if c.body != nil {
			body = c.body
		}
		a := e.call(c.token, c.method, c.path, body)
		require.Equal(t, c.code.Info().Status, a.Status, "%s: %s", name, a.Body)
	}
	require.Equal(t, before, e.count("assignments"))
	e.call(admin, "POST", "/v1/assignments", assign("vm", vm, "outsider")).is(201)
	e.call(tokens["outsider"], "GET", "/v1/vms/"+vm, nil).is(200)
}

func TestMyResponsibilities(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.bare()
	tokens := e.people("grace", "bob")
	group := decode[MaintainerGroup](e.call(e.admin, "POST", "/v1/maintainer-groups", M{"name": "halls", "members": []string{"grace", "bob"}}).is(201))
	require.Equal(t, []string{"bob", "grace"}, group.Members)
	e.call(e.admin, "POST", "/v1/assignments", M{"resource_kind": "rack", "resource": w.ids["racks"], "maintainer_group": "halls"}).is(201)
	e.assign("region", "tw", "grace")

	mine := func(token, kind string) []string {
		out := []string{}
		for _, r := range decode[List[Responsibility]](e.call(token, "GET", "/v1/me/responsibilities?resource_kind="+kind, nil).is(200)).Items {
			out = append(out, fmt.Sprintf("%s %s through %s %s %s", r.ResourceKind, r.ResourceName, r.ThroughKind, r.Through, r.MaintainerGroup))
		}
		return out
	}
	require.Equal(t, []string{"baremetal h0 through rack r0 halls"}, mine(tokens["grace"], "baremetal"))
	require.Equal(t, []string{"group general through region tw "}, mine(tokens["grace"], "group"))
	require.Equal(t, []string{"region tw through region tw "}, mine(tokens["grace"], "region"))
	require.Equal(t, []string{"baremetal h0 through rack r0 halls"}, mine(tokens["bob"], "baremetal"))
	require.Equal(t, []string{}, mine(tokens["bob"], "region"))
	require.Equal(t, []string{}, mine(e.admin, "baremetal"))

	// Who leaves the group has no more to do with it.
	e.call(e.admin, "PATCH", path("maintainer-groups/%s", group.ID), M{"members": []string{"grace"}}).is(200)
	require.Equal(t, []string{}, mine(tokens["bob"], "baremetal"))
}

func TestResourcesWithoutAMaintainerAreListed(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.bare()
	e.people("grace")
	for i := range 4 {
		_, err := e.store.Pool.Exec(t.Context(), `INSERT INTO baremetals (id, region, name, role, state, hardware_uuid) VALUES ($1, 'tw', $2, 'spare', 'available', $2)`, models.NewID(), fmt.Sprintf("s%d", i))
		require.NoError(t, err)
	}
	list := func(token, kind string) []string {
		out, page := []string{}, ""
		for {
			l := decode[List[Assignable]](e.call(token, "GET", "/v1/unmaintained-resources?limit=2&resource_kind="+kind+page, nil).is(200))
			for _, r := range l.Items {
				out = append(out, r.ResourceName)
			}
			if l.NextPageToken == "" {
				return out
			}
			page = "&page_token=" + l.NextPageToken
		}
	}
	require.Equal(t, []string{"h0", "s0", "s1", "s2", "s3"}, list(e.admin, "baremetal"))
	e.assign("rack", w.ids["racks"], "grace")
	require.Equal(t, []string{"s0", "s1", "s2", "s3"}, list(e.admin, "baremetal"))
	require.Equal(t, []string{"tw"}, list(e.admin, "region"))
	require.Equal(t, []string{"acme", "rival", "acme/dev"}, list(e.admin, "tenant"))
	require.Equal(t, []string{"v0"}, list(e.admin, "vm"))
	require.Equal(t, []string{"v0"}, list(e.user("viewer", "viewer@acme"), "vm"))
	require.Equal(t, []string{}, list(e.user("rival-viewer", "viewer@rival"), "vm"))
	e.assign("tenant", "acme", "grace")
	require.Equal(t, []string{}, list(e.admin, "vm"))
	e.assign("region", "tw", "grace")
	require.Equal(t, []string{}, list(e.admin, "baremetal"))
}

func TestAResourceHasOnePrimary(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.bare()
	e.people("grace", "bob", "eve")
	first := e.assign("region", "tw", "grace")
	second := e.assign("region", "tw", "bob")
	require.True(t, first.Primary)
	require.False(t, second.Primary)
	e.call(e.admin, "POST", "/v1/assignments", M{"resource_kind": "region", "resource": "tw", "maintainer": "bob"}).problem(models.CodeNameTaken)
	e.call(e.admin, "PATCH", path("assignments/%s", first.ID), M{"primary": false}).problem(models.CodeWrongState)
	e.call(e.admin, "PATCH", path("assignments/%s", second.ID), M{"primary": true}, "If-Match", `"7"`).problem(models.CodePreconditionFailed)
	changed := e.call(e.admin, "PATCH", path("assignments/%s", second.ID), M{"primary": true}, "If-Match", `"1"`).is(200)
	require.True(t, decode[Assignment](changed).Primary)
	require.Regexp(t, `^"2-`, changed.Header.Get("ETag"))

	// Everyone is made the primary at once: exactly one stays it.
	third := e.assign("region", "tw", "eve")
	var all sync.WaitGroup
	for range 4 {
		for _, a := range []Assignment{first, second, third} {
			all.Go(func() { e.call(e.admin, "PATCH", path("assignments/%s", a.ID), M{"primary": true}).is(200) })
		}
	}
	all.Wait()
	primaries := func() (n int) {
		require.NoError(t, e.store.Pool.QueryRow(t.Context(), "SELECT count(*) FROM assignments WHERE is_primary").Scan(&n))
		return n
	}
	require.Equal(t, 1, primaries())
	for _, a := range []Assignment{first, second} {
		e.call(e.admin, "DELETE", path("assignments/%s", a.ID), nil).is(204)
		require.Equal(t, 1, primaries())
	}
	require.True(t, decode[Assignment](e.call(e.admin, "GET", path("assignments/%s", third.ID), nil).is(200)).Primary)
}

func TestWhoIsResponsibleStaysInTheDirectory(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.bare()
	e.people("grace")
	grace := decode[List[Maintainer]](e.call(e.admin, "GET", "/v1/maintainers?name=grace", nil).is(200)).Items[0]
	e.assign("rack", w.ids["racks"], "grace")
	e.call(e.admin, "DELETE", path("maintainers/%s", grace.ID), nil).problem(models.CodeInUse)
	e.call(e.admin, "POST", "/v1/maintainers", M{"name": "twin", "email": "twin@example.com", "user": "grace"}).problem(models.CodeInUse)
	p := e.call(e.admin, "POST", "/v1/maintainer-groups", M{"name": "ghosts", "members": []string{"grace", "casper"}}).problem(models.CodeInvalid)
	require.Equal(t, []models.FieldError{{Field: "body.members[1]", Message: "there is no such maintainer"}}, p.Errors)

	// Without an account they stay whom to ask, and what is gone needs nobody.
	e.call(e.admin, "DELETE", path("users/%s", *grace.UserID), nil).is(204)
	require.Nil(t, decode[Maintainer](e.call(e.admin, "GET", path("maintainers/%s", grace.ID), nil).is(200)).UserID)
	rack := decode[Rack](e.call(e.admin, "POST", "/v1/racks", M{"region": "tw", "name": "r9"}).is(201))
	e.assign("rack", rack.ID, "grace")
	require.Equal(t, 2, e.count("assignments"))
	e.call(e.admin, "DELETE", path("racks/%s", rack.ID), nil).is(204)
	require.Equal(t, 1, e.count("assignments"))
}

func TestEveryWriteOfResponsibilityIsAudited(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.bare()
	e.people("grace")
	a := e.assign("tenant", "acme/dev", "grace")
	e.call(e.admin, "DELETE", path("assignments/%s", a.ID), nil).is(204)
	e.call(e.user("viewer", "viewer@acme"), "POST", "/v1/assignments", M{"resource_kind": "tenant", "resource": "acme/dev", "maintainer": "grace"}).problem(models.CodeForbidden)
	for _, want := range []string{"maintainer.create", "assignment.create", "assignment.delete"} {
		events := decode[List[AuditEvent]](e.call(e.admin, "GET", "/v1/audit-events?action="+want+"&outcome=done", nil).is(200)).Items
		require.Len(t, events, 1, want)
	}
	refused := e.audited("outcome=refused")
	require.Len(t, refused, 1)
	require.Equal(t, "assignment.create", refused[0].Action)
}
