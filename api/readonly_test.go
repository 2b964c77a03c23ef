package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

// shown are the names of all that any answer shows, and of columns that none does.
func shown(a *API) []string {
	names := map[string]bool{}
	for _, column := range []string{"actor_id", "deleted_at", "frozen", "hash", "is_admin", "is_primary", "password", "path", "role_id", "tenant_path", "vcpu_used"} {
		names[column] = true
	}
	for _, op := range endpoints(a) {
		if s := answerSchema(a, op); s != nil {
			a.collect(s, names)
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// collect adds the names of a schema's properties, at whatever depth.
func (a *API) collect(s *huma.Schema, names map[string]bool) {
	for _, f := range a.fields(s) {
		for _, step := range f.steps {
			if step != firstItem {
				names[step] = true
			}
		}
	}
}

// TestOnlyWhatMayBeSetIsTaken adds to a good body of every endpoint all that answers show and the endpoint does not
// take, beside its fields and within them: each is refused by its name, and nothing is written.
func TestOnlyWhatMayBeSetIsTaken(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.world()
	names := shown(e.api)
	require.Subset(t, names, []string{"id", "tenant_id", "state", "version", "created_at", "used", "user_id", "provider_ref", "operation_id", "created_by", "full_name"})
	for _, op := range endpoints(e.api) {
		s := bodySchema(e.api, op)
		if s == nil {
			continue
		}
		where := w.fill(op)
		before := e.written()
		body, wanted := object(w.body(op)), []string{}
		for _, name := range names {
			if s.Properties[name] == nil {
				body = object(field{steps: []string{name}}.in(body, models.NewID().String()))
				wanted = append(wanted, "body."+name)
			}
		}
		for name := range s.Properties { // Go's own reader would take these for the fields
			loud := strings.ToUpper(name)
			body = object(field{steps: []string{loud}}.in(body, "x"))
			wanted = append(wanted, "body."+loud)
		}
		p := e.call(e.admin, op.Method, where, body).problem(models.CodeInvalid)
		require.Subset(t, wrongFields(p), wanted, op.OperationID)
		for _, f := range e.api.fields(s) {
			if len(f.steps) < 2 || slices.Contains([]string{firstItem, anyKey}, f.steps[len(f.steps)-1]) {
				continue
			}
			within := field{steps: append(slices.Clone(f.steps[:len(f.steps)-1]), "tenant_id")}
			p := e.call(e.admin, op.Method, where, within.in(w.body(op), "x")).problem(models.CodeInvalid)
			require.Contains(t, wrongFields(p), within.String(), op.OperationID)
		}
		for name := range s.Properties { // a list and an object are read into what an earlier one left
			twice := fmt.Sprintf(`{"%[1]s": {"vcpu": -1}, "%[1]s": {}}`, name)
			e.call(e.admin, op.Method, where, twice).problem(models.CodeMalformed)
			e.call(e.admin, op.Method, where, `{"other": [`+twice+`]}`).problem(models.CodeMalformed)
		}
		require.Equal(t, before, e.written(), op.OperationID)
	}
}
