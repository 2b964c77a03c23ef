package api

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/models"
)

// Requests are made from the contract here, for every test that goes through all endpoints: what is added to the
// contract is attacked without anyone having to think of it.

// endpoints lists every operation of the contract.
func endpoints(a *API) []*huma.Operation {
	var out []*huma.Operation
	for _, p := range slices.Sorted(maps.Keys(a.OpenAPI().Paths)) {
		item := a.OpenAPI().Paths[p]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				out = append(out, op)
			}
		}
	}
	return out
}

var pathParameter = regexp.MustCompile(`\{[a-z_]+\}`)

// unknownPath fills an operation's path with the ids and names of nothing.
func unknownPath(op *huma.Operation) string {
	return pathParameter.ReplaceAllStringFunc(op.Path, func(p string) string {
		if p == "{id}" || p == "{identity}" {
			return models.NewID().String()
		}
		return "nothing"
	})
}

// parameters are an operation's parameters in one place: query, header or path.
func parameters(op *huma.Operation, in string) []*huma.Param {
	var out []*huma.Param
	for _, p := range op.Parameters {
		if p.In == in {
			out = append(out, p)
		}
	}
	return out
}

// takes reports whether an operation has a parameter in the query.
func takes(op *huma.Operation, name string) bool {
	return slices.ContainsFunc(parameters(op, "query"), func(p *huma.Param) bool { return p.Name == name })
}

// bodySchema is the schema of an operation's body, nil if it has none.
func bodySchema(a *API, op *huma.Operation) *huma.Schema {
	if op.RequestBody == nil {
		return nil
	}
	return a.schema(op.RequestBody.Content["application/json"].Schema)
}

// answerSchema is the schema of the body of an operation's success, nil if it has none.
func answerSchema(a *API, op *huma.Operation) *huma.Schema {
	for _, status := range []string{"200", "201", "202"} {
		if r := op.Responses[status]; r != nil && r.Content["application/json"] != nil {
			return a.schema(r.Content["application/json"].Schema)
		}
	}
	return nil
}

// field is a place in a body: the names that lead there. The first item of a list is called 0.
type field struct {
	steps  []string
	schema *huma.Schema
}

const (
	firstItem = "0"
	anyKey    = "tw" // of a map: a name that is good in all that there are
)

// fields lists every place in a body that has a value of its own, at whatever depth.
func (a *API) fields(s *huma.Schema, steps ...string) []field {
	s = a.schema(s)
	var out []field
	deeper := func(step string, s *huma.Schema) {
		out = append(out, a.fields(s, append(slices.Clone(steps), step)...)...)
	}
	for _, name := range sortedProperties(s) {
		deeper(name, s.Properties[name])
	}
	if of, isMap := s.AdditionalProperties.(*huma.Schema); isMap {
		deeper(anyKey, of)
	}
	switch {
	case s.Items != nil:
		deeper(firstItem, s.Items)
	case out == nil:
		return []field{{steps, s}}
	}
	return out
}

func sortedProperties(s *huma.Schema) []string { return slices.Sorted(maps.Keys(s.Properties)) }

// String is the field as problems write it.
func (f field) String() string {
	return strings.ReplaceAll("body."+strings.Join(f.steps, "."), "."+firstItem, "["+firstItem+"]")
}

// text says whether the field takes text of any kind.
func (f field) text() bool { return f.schema.Type == huma.TypeString }

// in is the body with a value in this place, and with what leads there.
func (f field) in(body, value any) any {
	if len(f.steps) == 0 {
		return value
	}
	rest := field{steps: f.steps[1:]}
	if f.steps[0] == firstItem {
		return []any{rest.in(nil, value)}
	}
	out := M{}
	maps.Copy(out, object(body))
	out[f.steps[0]] = rest.in(out[f.steps[0]], value)
	return out
}

// of is the value in this place of an answer, nil if there is none.
func (f field) of(body any) any {
	for _, step := range f.steps {
		if list, ok := body.([]any); ok && len(list) > 0 && step == firstItem {
			body = list[0]
			continue
		}
		body = object(body)[step]
	}
	return body
}

// object is a JSON object, whoever made it; of anything else an empty one.
func object(v any) M {
	switch v := v.(type) {
	case M:
		return v
	case map[string]any:
		return v
	}
	return M{}
}

// fill puts ids into a path. What would be gone after the first who may is made anew each time.
func (w *world) fill(op *huma.Operation) string {
	w.t.Helper()
	kind := strings.Split(op.Path, "/")[2]
	if strings.Contains(op.Path, "{identity}") {
		identity := w.renewed("identities").String()
		return strings.NewReplacer("{id}", w.renewed(kind).String(), "{identity}", identity).Replace(op.Path)
	}
	return strings.NewReplacer("{id}", w.renewed(kind).String(), "{group}", "everywhere", "{name}", "tw", "{region}", "tw").Replace(op.Path)
}

// body is a good body of an endpoint, nil if it has none.
func (w *world) body(op *huma.Operation) any {
	s := bodySchema(w.api, op)
	if s == nil {
		return nil
	}
	if b, ok := bodies[op.OperationID]; ok {
		return b
	}
	return w.api.example(s)
}

// try calls an endpoint with a good request that changes as little as possible: a dry run, or a version that is not
// the resource's, which is looked at after the rights.
func (w *world) try(op *huma.Operation, token string) answer {
	w.t.Helper()
	return w.tryAt(op, token, w.fill(op))
}

// tryAt is try on what the path names.
func (w *world) tryAt(op *huma.Operation, token, where string) answer {
	w.t.Helper()
	return w.send(op, token, where, nil, w.body(op))
}

// send calls an endpoint so that it changes as little as possible. The query is name and value by turns.
func (w *world) send(op *huma.Operation, token, where string, query []string, body any) answer {
	w.t.Helper()
	if op.OperationID == "sign-out" {
		token = w.spare(token)
	}
	if takes(op, "dry_run") {
		query = append(slices.Clone(query), "dry_run", "true")
	}
	var headers []string
	if hasHeader(op, "If-Match") {
		headers = []string{"If-Match", `"999"`}
	}
	return w.call(token, op.Method, where+asQuery(query), body, headers...)
}

// spare is another token of somebody, to do away with. Who has none gets none.
func (w *world) spare(token string) string {
	w.t.Helper()
	made := w.call(token, http.MethodPost, "/v1/tokens", M{"name": "spare"})
	if made.Status != http.StatusCreated {
		return token
	}
	return decode[NewToken](made).Secret
}

// asQuery writes names and values as the end of a URL.
func asQuery(pairs []string) string {
	out := ""
	for i := 0; i+1 < len(pairs); i += 2 {
		out += fmt.Sprintf("%c%s=%s", "?&"[min(i, 1)], pairs[i], escape(pairs[i+1]))
	}
	return out
}

// escape makes a part of a URL of any bytes; what is in it is for the gateway to judge.
func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
