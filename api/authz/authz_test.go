package authz

import (
	"flag"
	"fmt"
	"os"
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
	name  string
	actor Actor
}{
	{"nobody", Actor{ID: models.NewID()}},
	{"viewer", on(&acme, models.RoleViewer)},
	{"member", on(&acme, models.RoleMember)},
	{"admin", on(&acme, models.RoleAdmin)},
	{"platform operator", on(nil, models.RoleOperator)},
	{"platform admin", on(nil, models.RoleAdmin)},
}

// TestMatrix shows who may do what where. A change of it is a change of everybody's rights: read the difference.
func TestMatrix(t *testing.T) {
	t.Parallel()
	a, err := New()
	require.NoError(t, err)
	var out strings.Builder
	fmt.Fprint(&out, "Where each role allows each action. P: what belongs to the platform; a, o, b: what belongs to a tenant above the\n"+
		"actor's, to their own, below it; e: to a tenant elsewhere.\n\n")
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
				if a.Can(who.actor, action, Resource{Kind: kind, Path: p.path}) {
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
