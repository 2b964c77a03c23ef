package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

// written counts the rows of every table, so that a test can tell that nothing was written. What was refused is written
// down, beside the requests.
func (e *edge) written() map[string]int {
	e.t.Helper()
	rows, err := e.store.Pool.Query(e.t.Context(), "SELECT relname FROM pg_class WHERE relkind = 'r' AND NOT relispartition AND relnamespace = 'public'::regnamespace")
	require.NoError(e.t, err)
	var tables []string
	for rows.Next() {
		var name string
		require.NoError(e.t, rows.Scan(&name))
		tables = append(tables, name)
	}
	require.NoError(e.t, rows.Err())
	out := map[string]int{"audit_events": e.count("audit_events WHERE outcome <> 'refused'")}
	for _, table := range tables {
		out[table] = e.count(table)
	}
	return out
}

// TestBadInputIsRefusedEverywhere goes through every endpoint of the contract, whoever wrote it.
func TestBadInputIsRefusedEverywhere(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	before := e.written()
	for _, op := range endpoints(e.api) {
		where := unknownPath(op)
		say := op.Method + " " + op.Path
		t.Log(say)
		if !needsNoToken(op) {
			e.call("", op.Method, where, nil).problem(models.CodeUnauthenticated)
			e.call("ys_wrong", op.Method, where, nil).problem(models.CodeUnauthenticated)
		}
		p := e.call(e.admin, op.Method, where+"?colour=red", nil).problem(models.CodeInvalid)
		require.Equal(t, []models.FieldError{{Field: "query.colour", Message: "unknown query parameter"}}, p.Errors, say)
		p = e.call(e.admin, op.Method, where+"?limit=%00", nil).problem(models.CodeInvalid)
		require.Equal(t, []models.FieldError{{Field: "query.limit", Message: unstorableMessage}}, p.Errors, say)
		if strings.Contains(op.Path, "{id}") {
			bad := strings.Replace(op.Path, "{id}", "not-an-id", 1)
			p = e.call(e.admin, op.Method, pathParameter.ReplaceAllString(bad, "nothing"), e.plausible(op)).problem(models.CodeInvalid)
			require.Contains(t, wrongFields(p), "path.id", say)
			if op.Method == http.MethodGet || op.Method == http.MethodDelete {
				e.call(e.admin, op.Method, where, nil).problem(models.CodeNotFound)
			}
		}
		if hasHeader(op, "Idempotency-Key") {
			p = e.call(e.admin, op.Method, where, e.plausible(op), "Idempotency-Key", "two words").problem(models.CodeInvalid)
			require.Contains(t, wrongFields(p), "header.Idempotency-Key", say)
		}
		if op.RequestBody != nil {
			e.badBodies(op, where)
		}
	}
	require.Equal(t, before, e.written())
}

// plausible is an object if the operation has a body.
func (e *edge) plausible(op *huma.Operation) any {
	if op.RequestBody == nil {
		return nil
	}
	return M{}
}

func (e *edge) badBodies(op *huma.Operation, where string) {
	t, say := e.t, op.Method+" "+op.Path
	post := func(body any, headers ...string) answer { return e.call(e.admin, op.Method, where, body, headers...) }
	post("{").problem(models.CodeMalformed)
	post(`{"name": "a"} {}`).problem(models.CodeMalformed)
	post("\"\xff\"").problem(models.CodeMalformed)
	post(strings.Repeat(" ", 10<<20)).problem(models.CodeBodyTooLarge)
	post("name: a", "Content-Type", "application/yaml").problem(models.CodeUnsupportedMedia)
	post("[]").problem(models.CodeInvalid)
	p := post(`{"name": "a\u0000b", "list": ["\u0000"]}`).problem(models.CodeInvalid)
	require.Equal(t, []string{"body.list[0]", "body.name"}, wrongFields(p), say)

	p = post(M{"sesame": "hunter2"}).problem(models.CodeInvalid)
	require.Contains(t, wrongFields(p), "body.sesame", say)
	require.NotContains(t, fmt.Sprint(p), "hunter2", say)

	wrong, wanted := M{}, []string{}
	schema := bodySchema(e.api, op)
	for name, property := range schema.Properties {
		property = e.api.schema(property)
		if property.Type == "" {
			continue // anything goes
		}
		wanted = append(wanted, "body."+name)
		if wrong[name] = any(12345); property.Type == huma.TypeInteger || property.Type == huma.TypeNumber {
			wrong[name] = "hunter2"
		}
	}
	p = post(wrong).problem(models.CodeInvalid)
	slices.Sort(wanted)
	require.Equal(t, wanted, wrongFields(p), say)
	require.NotContains(t, fmt.Sprint(p), "hunter2", say)
}

// wrongFields are the fields of a problem, sorted.
func wrongFields(p Problem) []string {
	out := make([]string, len(p.Errors))
	for i, e := range p.Errors {
		out[i] = e.Field
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestNamesAndNumbersAreChecked(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	for _, name := range []string{"", "A", "-a", "a-", "a b", "a/b", "a.b", "ä", strings.Repeat("a", 64), "a'; DROP TABLE tenants"} {
		p := e.call(e.admin, "POST", "/v1/tenants", M{"name": name, "quota": M{"vcpu": -1, "gpu": 1.5}}).problem(models.CodeInvalid)
		require.Equal(t, []string{"body.name", "body.quota.gpu", "body.quota.vcpu"}, wrongFields(p), name)
	}
	e.call(e.admin, "POST", "/v1/tenants", M{"name": strings.Repeat("a", 63)}).is(201)
}

// TestOddListsAreRefused: lists of what is no text, and lists that have something twice.
func TestOddListsAreRefused(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	for field, list := range map[string]string{"body.capabilities[0]": `[{}, []]`, "body.capabilities[1]": `["vm", "vm"]`} {
		p := e.call(e.admin, "POST", "/v1/regions", `{"name": "tw", "capabilities": `+list+`}`).problem(models.CodeInvalid)
		require.Contains(t, wrongFields(p), field)
	}
	e.call(e.admin, "POST", "/v1/leak-checks", `{"regions": [{}, []]}`).problem(models.CodeInvalid)
	e.call(e.admin, "POST", "/v1/leak-checks", `{"regions": ["tw", "tw"]}`).problem(models.CodeInvalid)
}

// TestDeepBodiesAreRefusedQuickly: a body that is all depth costs no more than its length.
func TestDeepBodiesAreRefusedQuickly(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	const depth = 9_000 // encoding/json gives up at 10,000
	nest := strings.Repeat("[", depth) + `"\u0000"` + strings.Repeat("]", depth)
	body := `{"name": [` + strings.Repeat(nest+",", 50) + `""]}`
	require.Less(t, len(body), maxBody)
	begin := time.Now()
	p := e.call(e.admin, "POST", "/v1/tenants", body).problem(models.CodeInvalid)
	require.Less(t, time.Since(begin), 2*time.Second, "naming each place on the way takes longer than that")
	require.Len(t, p.Errors, 50)
}
