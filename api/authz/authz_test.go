package authz

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The tree of the matrix: root → acme → dev, and rival beside them.
var root, acme, dev, rival = models.NewID(), models.NewID(), models.NewID(), models.NewID()

// places are where a resource can be, seen from someone with a role on acme.
var places = []struct {
	letter string
	path   []models.ID
}{
	{"P", nil},                          // the platform's own
	{"a", []models.ID{root}},            // above
	{"o", []models.ID{root, acme}},      // own
	{"b", []models.ID{root, acme, dev}}, // below
	{"e", []models.ID{rival}},           // elsewhere
}

func on(tenant *models.ID, role models.Role) Actor {
	return Actor{ID: models.NewID(), Bindings: []models.RoleBinding{{Role: role, TenantID: tenant}}}
}

// actors are the columns of the matrix.
var actors = []struct {
	name      string
	actor     Actor
	maintains bool
}{
	{"nobody", Actor{ID: models.NewID()}, false},
	{"maintainer", Actor{ID: models.NewID()}, true},
	{"viewer", on(&acme, models.RoleViewer), false},
	{"member", on(&acme, models.RoleMember), false},
	{"admin", on(&acme, models.RoleAdmin), false},
	{"owner", on(&acme, models.RoleOwner), false},
	{"platform auditor", on(nil, models.RoleAuditor), false},
	{"platform operator", on(nil, models.RoleOperator), false},
	{"platform admin", on(nil, models.RoleAdmin), false},
}

// TestMatrix shows who may do what where. A change of it is a change of everybody's rights: read the difference.
func TestMatrix(t *testing.T) {
	t.Parallel()
	a, err := New()
	require.NoError(t, err)
	var out strings.Builder
	fmt.Fprint(&out, "Where each role allows each action. P: what belongs to the platform; a, o, b: what belongs to a tenant above the\n"+
		"actor's, to their own, below it; e: to a tenant elsewhere. A maintainer has no role, but maintains the resource.\n\n")
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "action")
	for _, who := range actors {
		fmt.Fprintf(w, "\t%s", who.name)
	}
	fmt.Fprintln(w)
	for _, action := range Actions() {
		kind, _, _ := strings.Cut(action, ".")
		fmt.Fprint(w, action)
		for _, who := range actors {
			allowed := ""
			for _, p := range places {
				if a.Can(who.actor, action, Resource{Kind: kind, Path: p.path, Maintained: who.maintains}) {
					allowed += p.letter
				}
			}
			if allowed == "" {
				allowed = "-"
			}
			fmt.Fprintf(w, "\t%s", allowed)
		}
		fmt.Fprintln(w)
	}
	require.NoError(t, w.Flush())
	const file = "testdata/matrix.golden"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(out.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), out.String(), "run the test with -update if the change of rights is wanted")
}

func TestActionsAreInOneGroupEach(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, action := range Actions() {
		require.Regexp(t, `^[a-z]+(-[a-z]+)*\.[a-z]+$`, action)
		require.False(t, seen[action], action)
		seen[action] = true
	}
}

func TestCheckTellsTheInvisibleFromTheForbidden(t *testing.T) {
	t.Parallel()
	a, err := New()
	require.NoError(t, err)
	viewer := on(&acme, models.RoleViewer)
	for name, c := range map[string]struct {
		action string
		path   []models.ID
		want   models.Code
	}{
		"may":                {"vm.read", []models.ID{root, acme}, ""},
		"may below":          {"vm.read", []models.ID{root, acme, dev}, ""},
		"sees but may not":   {"vm.create", []models.ID{root, acme}, models.CodeForbidden},
		"does not see above": {"vm.read", []models.ID{root}, models.CodeNotFound},
		"does not see":       {"vm.create", []models.ID{rival}, models.CodeNotFound},
		"the platform's":     {"group.create", nil, models.CodeForbidden},
		"no such action":     {"vm.explode", []models.ID{root, acme}, models.CodeForbidden},
	} {
		err := a.Check(viewer, c.action, Resource{Kind: "vm", Path: c.path})
		if c.want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.True(t, models.IsCode(err, c.want), "%s: %v", name, err)
	}
	require.False(t, a.Can(on(nil, models.RoleAdmin), "vm.explode", Resource{Kind: "vm"}), "an unknown action is nobody's")
}

func TestAuditorsReadEverythingAndWriteNothing(t *testing.T) {
	t.Parallel()
	a, err := New()
	require.NoError(t, err)
	auditor := on(nil, models.RoleAuditor)
	for _, action := range Actions() {
		kind, verb, _ := strings.Cut(action, ".")
		for _, p := range places {
			require.Equal(t, verb == "read" || action == "audit-event.verify" || action == "operation.export", a.Can(auditor, action, Resource{Kind: kind, Path: p.path}), action)
		}
	}
}

// TestWhoMayGiveARoleHasIt: the right to give a role comes only with a role that allows all that the given one does.
func TestWhoMayGiveARoleHasIt(t *testing.T) {
	t.Parallel()
	a, err := New()
	require.NoError(t, err)
	for _, giver := range models.TenantRoles {
		for _, given := range models.TenantRoles {
			if !a.Can(on(&acme, giver), "role-"+string(given)+".give", Resource{Kind: "role-binding", Path: []models.ID{root, acme}}) {
				continue
			}
			for _, action := range Actions() {
				for _, p := range places {
					r := Resource{Path: p.path}
					require.True(t, !a.Can(on(&acme, given), action, r) || a.Can(on(&acme, giver), action, r), "%s gives %s, and with it %s", giver, given, action)
				}
			}
		}
	}
}

func TestARefusalNamesTheMissingRight(t *testing.T) {
	t.Parallel()
	a, err := New()
	require.NoError(t, err)
	own := []models.ID{root, acme}
	for name, c := range map[string]struct {
		actor    Actor
		action   string
		resource Resource
		want     Explanation
	}{
		"a role": {on(&acme, models.RoleMember), "vm.power", Resource{Kind: "vm", Path: own},
			Explanation{"vm.power", true, "You have the role member on the tenant, or on one above it."}},
		"responsibility": {Actor{}, "vm.power", Resource{Kind: "vm", Path: own, Maintained: true},
			Explanation{"vm.power", true, "You are a maintainer of it, or of what it stands in."}},
		"everyone": {Actor{}, "group.read", Resource{Kind: "group"}, Explanation{"group.read", true, "Everyone may."}},
		"not with this role": {on(&acme, models.RoleViewer), "vm.power", Resource{Kind: "vm", Path: own},
			Explanation{"vm.power", false, "You lack the right vm.power here. It comes with these roles: member, admin, owner on the tenant or above it; operator, admin on the platform; maintainer of it. Ask someone who may give you one."}},
		"the platform's": {on(&acme, models.RoleOwner), "group.create", Resource{Kind: "group"},
			Explanation{"group.create", false, "You lack the right group.create here. It comes with these roles: operator, admin on the platform. Ask someone who may give you one."}},
		"nobody's": {on(nil, models.RoleOperator), "vm.explode", Resource{Kind: "vm"},
			Explanation{"vm.explode", false, "You lack the right vm.explode here. No role gives it."}},
	} {
		require.Equal(t, c.want, a.Explain(c.actor, c.action, c.resource), name)
		fault := models.AsFault(a.Check(c.actor, c.action, c.resource))
		require.Equal(t, c.want.Allowed, fault == nil, name)
		if fault != nil {
			require.Equal(t, c.action, fault.Missing, name)
			require.Equal(t, c.want.Why, fault.Message, name)
		}
	}
}

// TestResponsibilityGivesNoMoreThanItsGiversHave: operators assign everything and link accounts to maintainers, so that
// they could make themselves one; and admins of a tenant do so with what is theirs.
func TestResponsibilityGivesNoMoreThanItsGiversHave(t *testing.T) {
	t.Parallel()
	a, err := New()
	require.NoError(t, err)
	for _, action := range Actions() {
		for _, p := range places {
			kind, _, _ := strings.Cut(action, ".")
			if ours := slices.Contains([]string{"region", "rack", "group", "baremetal", "drift"}, kind); ours != (p.path == nil) {
				continue // no tenant has such a thing
			}
			r := Resource{Kind: kind, Path: p.path}
			asMaintainer := r
			asMaintainer.Maintained = true
			for _, giver := range []Actor{on(nil, models.RoleOperator), on(&acme, models.RoleAdmin)} {
				if a.Can(giver, "assignment.create", r) && a.Can(Actor{}, action, asMaintainer) {
					require.True(t, a.Can(giver, action, r), "%v rises to %s", giver.Bindings, action)
				}
			}
		}
	}
}
