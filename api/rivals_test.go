package api

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

// contender is one way to change something.
type contender struct {
	name, method, suffix string
	body                 any
}

// atOnce sends two requests of two admins at the same time, and returns both answers.
func (e *rivals) atOnce(one, other func(token, request string) answer) (answers [2]answer) {
	e.t.Helper()
	var all sync.WaitGroup
	ready := make(chan struct{})
	for i, send := range []func(string, string) answer{one, other} {
		token, request := e.admin, models.NewID().String()
		if i == 1 {
			token = e.second
		}
		all.Go(func() {
			<-ready
			answers[i] = send(token, request)
		})
	}
	close(ready)
	all.Wait()
	return answers
}

// contest lets two admins who have read the same version change it at once, in every pair of ways. One wins and is
// written down, the other is told so and has done nothing, and what is there then is what the winner was answered.
func (e *rivals) contest(kind string, fresh func(n int) string, ways ...contender) {
	t := e.t
	t.Helper()
	for i, one := range ways {
		for _, other := range ways[i:] {
			e.serial++
			where := fresh(e.serial)
			say := fmt.Sprintf("%s: %s and %s", kind, one.name, other.name)
			tag := e.call(e.admin, "GET", where, nil).is(200).Header.Get("ETag")
			send := func(c contender) func(string, string) answer {
				return func(token, request string) answer {
					return e.call(token, c.method, where+c.suffix, c.body, "If-Match", tag, "X-Request-Id", request)
				}
			}
			answers := e.atOnce(send(one), send(other))
			winner, loser := e.oneWon(say, answers)
			there := e.call(e.admin, "GET", where, nil)
			if winner.Status == 204 {
				require.Equal(t, 404, there.Status, say)
				require.Contains(t, []int{404, 409, 412}, loser.Status, "%s: %s", say, loser.Body)
				continue
			}
			require.Contains(t, []int{409, 412}, loser.Status, "%s: %s", say, loser.Body)
			require.JSONEq(t, string(winner.Body), string(there.Body), say)
		}
	}
	e.requireTree()
	require.Empty(t, decode[LedgerCheck](e.call(e.admin, "GET", "/v1/ledger-check", nil).is(200)).Findings)
}

// oneWon requires that one of two answers is a success, and that the audit log says the same.
func (e *edge) oneWon(say string, answers [2]answer) (winner, loser answer) {
	t := e.t
	t.Helper()
	winner, loser = answers[0], answers[1]
	if winner.Status >= 300 {
		winner, loser = loser, winner
	}
	require.Less(t, winner.Status, 300, "%s: nobody won: %s %s", say, winner.Body, loser.Body)
	require.GreaterOrEqual(t, loser.Status, 400, "%s: both won: %s %s", say, winner.Body, loser.Body)
	require.Less(t, loser.Status, 500, "%s: %s", say, loser.Body)
	require.Equal(t, 1, e.writes(winner), say)
	require.Equal(t, 0, e.writes(loser), say)
	return winner, loser
}

// writes counts what the audit log has of a request that was not refused.
func (e *edge) writes(a answer) int {
	e.t.Helper()
	return e.count("audit_events WHERE outcome <> 'refused' AND request_id = '" + a.Header.Get("X-Request-Id") + "'")
}

// requireTree adds up the tree of tenants from its edges.
func (e *edge) requireTree() {
	e.t.Helper()
	require.Zero(e.t, e.count(`tenants t LEFT JOIN tenants p ON p.id = t.parent_id
		WHERE t.path <> coalesce(p.path, '{}') || t.id OR t.full_name <> coalesce(p.full_name || '/', '') || t.name
			OR t.frozen <> (coalesce(p.frozen, false) OR t.suspended_at IS NOT NULL)`), "a tenant that is not where its parent is")
}

// rivals are two admins of one platform.
type rivals struct {
	*cloud
	second string // token of the other admin
	serial int
}

func newRivals(t *testing.T) *rivals {
	t.Helper()
	e := &rivals{cloud: newCloud(t)}
	e.second = e.user("second", "admin")
	return e
}

// made makes something and returns its path.
func (e *rivals) made(collection string, body M) string {
	e.t.Helper()
	return e.post(collection, body).Header.Get("Location")
}

func TestOfTwoAdminsOneChangesATenant(t *testing.T) {
	t.Parallel()
	e := newRivals(t)
	e.contest("tenant", func(n int) string { return e.made("/v1/tenants", M{"name": fmt.Sprint("t-", n), "parent": "acme"}) },
		contender{"rename", "PATCH", "", M{"name": "renamed"}},
		contender{"describe", "PATCH", "", M{"description": "changed"}},
		contender{"overcommit", "PATCH", "", M{"overcommit": true}},
		contender{"suspend", "POST", "/suspend", nil},
		contender{"move", "POST", "/move", M{"parent": "rival"}},
		contender{"delete", "DELETE", "", nil})
}

func TestOfTwoAdminsOneChangesAQuota(t *testing.T) {
	t.Parallel()
	e := newRivals(t)
	e.contest("quota", func(n int) string {
		quota := e.made("/v1/tenants", M{"name": fmt.Sprint("t-", n), "parent": "acme"}) + "/quotas/everywhere"
		e.call(e.admin, "PUT", quota, M{"vcpu": 1}).is(200)
		return quota
	},
		contender{"raise", "PUT", "", M{"vcpu": 2}}, contender{"lower", "PUT", "", M{"vcpu": 0}}, contender{"limit more", "PUT", "", M{"vcpu": 1, "vms": 3}}, contender{"remove", "DELETE", "", nil})
}

func TestOfTwoAdminsOneChangesTheInventory(t *testing.T) {
	t.Parallel()
	e := newRivals(t)
	name := func(n int) string { return fmt.Sprint("n-", n) }
	e.contest("group", func(n int) string { return e.made("/v1/groups", M{"region": "tw", "name": name(n)}) },
		contender{"ratio", "PATCH", "", M{"vcpu_ratio": 3}}, contender{"describe", "PATCH", "", M{"description": "changed"}}, contender{"delete", "DELETE", "", nil})
	e.contest("rack", func(n int) string { return e.made("/v1/racks", M{"region": "tw", "name": name(n)}) },
		contender{"place", "PATCH", "", M{"row": "b"}}, contender{"delete", "DELETE", "", nil})
	e.contest("image", func(n int) string { return e.made("/v1/images", M{"name": name(n)}) },
		contender{"describe", "PATCH", "", M{"description": "changed"}}, contender{"delete", "DELETE", "", nil})
	e.contest("subnet", func(n int) string {
		return e.made("/v1/subnets", M{"region": "tw", "name": name(n), "network": name(n), "cidr": "10.77.0.0/24"})
	}, contender{"dns", "PATCH", "", M{"dns": []string{"10.0.0.1"}}}, contender{"delete", "DELETE", "", nil})
	e.contest("baremetal", func(int) string { return path("baremetals/%s", e.hosts[0].ID) },
		contender{"maintenance", "PATCH", "", M{"maintenance": true}}, contender{"rack", "PATCH", "", M{"rack": ""}})
	e.contest("region", func(int) string { return "/v1/regions/jp" },
		contender{"cordon", "PATCH", "", M{"state": "cordoned"}}, contender{"title", "PATCH", "", M{"title": "Japan"}})
}

func TestOfTwoAdminsOneChangesPeople(t *testing.T) {
	t.Parallel()
	e := newRivals(t)
	name := func(n int) string { return fmt.Sprint("n-", n) }
	person := func(n int) M { return M{"name": name(n), "email": name(n) + "@example.com"} }
	e.contest("user", func(n int) string { return e.made("/v1/users", person(n)) },
		contender{"email", "PATCH", "", M{"email": "other@example.com"}}, contender{"delete", "DELETE", "", nil})
	e.contest("maintainer", func(n int) string { return e.made("/v1/maintainers", person(n)) },
		contender{"email", "PATCH", "", M{"email": "other@example.com"}}, contender{"phone", "PATCH", "", M{"phone": "1"}}, contender{"delete", "DELETE", "", nil})
	e.made("/v1/maintainers", M{"name": "grace", "email": "grace@example.com"})
	e.made("/v1/maintainers", M{"name": "bob", "email": "bob@example.com"})
	e.contest("maintainer group", func(n int) string {
		return e.made("/v1/maintainer-groups", M{"name": name(n), "members": []string{"grace"}})
	},
		contender{"let in", "PATCH", "", M{"members": []string{"grace", "bob"}}}, contender{"replace", "PATCH", "", M{"members": []string{"bob"}}}, contender{"delete", "DELETE", "", nil})
	e.contest("assignment", func(n int) string {
		rack := decode[Rack](e.post("/v1/racks", M{"region": "tw", "name": name(n)})).ID
		e.assign("rack", rack, "grace")
		return e.made("/v1/assignments", M{"resource_kind": "rack", "resource": rack, "maintainer": "bob"})
	},
		contender{"primary", "PATCH", "", M{"primary": true}}, contender{"end", "DELETE", "", nil})
}

// TestOfTwoAdminsOneGivesAndOneTakesARole: a role has no versions, it is there or not.
func TestOfTwoAdminsOneGivesAndOneTakesARole(t *testing.T) {
	t.Parallel()
	e := newRivals(t)
	e.user("ada")
	for _, role := range models.TenantRoles {
		give := func(token, request string) answer {
			return e.call(token, "POST", "/v1/role-bindings", M{"user": "ada", "role": role, "tenant": "acme"}, "X-Request-Id", request)
		}
		given, loser := e.oneWon("give "+string(role), e.atOnce(give, give))
		loser.problem(models.CodeNameTaken)
		e.user("heir-of-"+string(role), "owner@acme") // so that even an owner may be taken
		take := func(token, request string) answer {
			return e.call(token, "DELETE", given.Header.Get("Location"), nil, "X-Request-Id", request)
		}
		_, loser = e.oneWon("take "+string(role), e.atOnce(take, take))
		loser.problem(models.CodeNotFound)
	}
	require.Zero(t, e.count("role_bindings b JOIN users u ON u.id = b.actor_id WHERE u.name = 'ada'"))
}

// TestTwoMovesMakeNoCircle: of two tenants that are moved below each other at once, one is.
func TestTwoMovesMakeNoCircle(t *testing.T) {
	t.Parallel()
	e := newRivals(t)
	for n := range 10 {
		a, b := e.tenant(fmt.Sprint("a-", n), ""), e.tenant(fmt.Sprint("b-", n), "")
		under := func(t Tenant, parent models.ID) func(string, string) answer {
			return func(token, request string) answer {
				return e.call(token, "POST", path("tenants/%s/move", t.ID), M{"parent": parent}, "X-Request-Id", request)
			}
		}
		_, loser := e.oneWon("move below each other", e.atOnce(under(a, b.ID), under(b, a.ID)))
		loser.problem(models.CodeInvalid)
	}
	e.requireTree()
}

// TestWhatIsDeletedIsNotFilled: of one who deletes an empty tenant and one who puts something into it, one wins. Rights,
// bounds and responsibilities go with what they are about, so that there both may be done, one after the other.
func TestWhatIsDeletedIsNotFilled(t *testing.T) {
	t.Parallel()
	e := newRivals(t)
	e.user("ada")
	e.made("/v1/maintainers", M{"name": "grace", "email": "grace@example.com"})
	e.made("/v1/maintainers", M{"name": "bob", "email": "bob@example.com"})
	type filling struct {
		what, collection, kind string // what is deleted is of this kind
		body                   func(name string) M
		together               bool
	}
	for _, f := range []filling{
		{"a tenant", "/v1/tenants", "tenants", func(x string) M { return M{"name": "below", "parent": x} }, false},
		{"a machine", "/v1/vms", "tenants", func(x string) M { m := e.vm("web"); m["tenant"] = x; return m }, false},
		{"an address", "/v1/ip-addresses", "tenants", func(x string) M { return M{"subnet": "lan", "tenant": x} }, false},
		{"a subnet", "/v1/subnets", "tenants", func(x string) M {
			return M{"region": "tw", "name": x, "network": x, "cidr": "10.88.0.0/24", "tenant": x}
		}, false},
		{"a role there", "/v1/role-bindings", "tenants", func(x string) M { return M{"user": "ada", "role": "viewer", "tenant": x} }, true},
		{"a responsibility for it", "/v1/assignments", "tenants", func(x string) M { return M{"resource_kind": "tenant", "resource": x, "maintainer": "grace"} }, true},
		{"a role of theirs", "/v1/role-bindings", "users", func(x string) M { return M{"user": x, "role": "viewer", "tenant": "acme"} }, true},
		{"a token of theirs", "/v1/tokens", "users", func(x string) M { return M{"user": x, "name": "x"} }, true},
		{"a person with their account", "/v1/maintainers", "users", func(x string) M { return M{"name": x, "email": "x@example.com", "user": x} }, true},
		{"a group with them", "/v1/maintainer-groups", "maintainers", func(x string) M { return M{"name": x, "members": []string{"bob", x}} }, false},
		{"a responsibility of theirs", "/v1/assignments", "maintainers", func(x string) M { return M{"resource_kind": "tenant", "resource": "acme", "maintainer": x} }, false},
		{"a responsibility of the group", "/v1/assignments", "maintainer-groups", func(x string) M { return M{"resource_kind": "tenant", "resource": "acme", "maintainer_group": x} }, false},
		{"a machine from it", "/v1/vms", "images", func(x string) M { m := e.vm(x); m["image"] = x; return m }, false},
	} {
		for n := range 4 {
			e.serial++
			name := fmt.Sprint("x-", e.serial)
			made := M{"name": name}
			switch f.kind {
			case "maintainers":
				made["email"] = "x@example.com"
			case "images":
				made["templates"] = M{"tw": "x"}
			}
			where := e.made("/v1/"+f.kind, made)
			send := []func(token, request string) answer{
				func(token, request string) answer {
					return e.call(token, "POST", f.collection, f.body(name), "X-Request-Id", request)
				},
				func(token, request string) answer {
					return e.call(token, "DELETE", where, nil, "X-Request-Id", request)
				},
			}
			answers := e.atOnce(send[n%2], send[1-n%2])
			if f.together && max(answers[0].Status, answers[1].Status) < 300 {
				continue
			}
			_, loser := e.oneWon(f.what, answers)
			require.Contains(t, []int{404, 409, 422}, loser.Status, "%s: %s", f.what, loser.Body)
		}
	}
	e.requireTree()
	require.Empty(t, decode[LedgerCheck](e.get("/v1/ledger-check")).Findings)
}

// TestTwoAdminsWhoRemoveEachOther: the platform keeps one.
func TestTwoAdminsWhoRemoveEachOther(t *testing.T) {
	t.Parallel()
	e := newRivals(t)
	ids := map[string]models.ID{}
	for _, u := range decode[List[User]](e.get("/v1/users")).Items {
		ids[u.Name] = u.ID
	}
	remove := func(user string) func(string, string) answer {
		return func(token, request string) answer {
			return e.call(token, "DELETE", path("users/%s", ids[user]), nil, "X-Request-Id", request)
		}
	}
	_, loser := e.oneWon("remove each other", e.atOnce(remove("second"), remove("root")))
	require.Contains(t, []int{401, 403, 409}, loser.Status, "%s", loser.Body)
	require.Equal(t, 1, e.count("users"))
}
