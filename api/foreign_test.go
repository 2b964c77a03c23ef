package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

var anyID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// anyones are what differs from one answer to the next, whatever is asked: ids, times, secrets, traces, and the address that would
// be taken.
var anyones = regexp.MustCompile(anyID.String() + `|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z|ys_[A-Za-z0-9_-]+|10\.1\.[0-9]+\.[0-9]+|\b[0-9a-f]{32}\b`)

// telling is all that an answer tells, with what the client itself sent left out: two answers that tell the same cannot
// be told apart.
func telling(t *testing.T, a answer, sent ...string) string {
	t.Helper()
	headers := a.Header.Clone()
	headers.Del("X-Request-Id")
	headers.Del("Content-Length")
	raw, err := json.Marshal(headers)
	require.NoError(t, err)
	body := anyones.ReplaceAllString(string(raw)+string(a.Body), "<any>")
	for _, s := range sent {
		if s != "" {
			body = strings.ReplaceAll(body, s, "<sent>")
		}
	}
	return http.StatusText(a.Status) + body
}

// foreigner is somebody who asks about what is another tenant's.
type foreigner struct {
	*world
	name, token string
	asked       *statements
}

// foreigners are an owner of another tenant, and somebody without any role, in a world with one of everything.
func foreigners(t *testing.T) []foreigner {
	t.Helper()
	e, asked := newTracedEdge(t)
	w := e.world()
	w.ids["leased-baremetals"] = models.NewID()
	_, err := e.store.Pool.Exec(t.Context(), `INSERT INTO baremetals (id, region, name, role, state, hardware_uuid, rack_id, group_id, tenant_id)
		VALUES ($1, 'tw', 'm0', 'leased', 'in_use', 'u1', $2, $3, $4)`, w.ids["leased-baremetals"], w.ids["racks"], w.ids["groups"], w.ids["tenants"])
	require.NoError(t, err)
	for _, kind := range []string{"role-bindings", "tokens"} {
		w.ids[kind] = w.renewed(kind)
	}
	return []foreigner{{w, "the owner of another tenant", e.user("rival-owner", "owner@rival"), asked}, {w, "nobody", e.user("nobody"), asked}}
}

// mine are the ids of what is acme/dev's: nobody else may ever be shown one.
func (w *world) mine() []string {
	var out []string
	for _, kind := range []string{"tenants", "vms", "operations", "ip-addresses", "assignments", "role-bindings", "tokens", "private-subnets", "leased-baremetals"} {
		out = append(out, w.ids[kind].String())
	}
	return out
}

// same asks twice, once about what there is and once about what there is not, and requires that nothing tells which is
// which: neither status, nor headers, nor words, nor how much work it was.
func (f foreigner) same(say string, there, gone func() answer, sent [2]string) answer {
	t := f.t
	t.Helper()
	absent, a := gone(), there()
	require.Equal(t, telling(t, absent, sent[:]...), telling(t, a, sent[:]...), "%s as %s", say, f.name)
	require.Equal(t, sqls(f.asked.take(absent)), sqls(f.asked.take(a)), "%s as %s: the work tells one from the other", say, f.name)
	for _, id := range f.mine() {
		if a.Status >= 400 || id == sent[0] {
			continue // a refusal repeats at most what was sent, and tells no more than that of what there is not
		}
		require.NotContains(t, string(a.Body), id, "%s shows %s what is another tenant's", say, f.name)
	}
	return a
}

// TestAccessAcrossTenants goes through every endpoint of the contract, and every method on it, as people of elsewhere:
// what there is, but is not theirs, answers like what there is not.
func TestAccessAcrossTenants(t *testing.T) {
	t.Parallel()
	for _, f := range foreigners(t) {
		for _, op := range endpoints(f.api) {
			where := f.fill(op)
			switch {
			case !strings.Contains(op.Path, "{id}"):
			case everyones(op):
				require.Less(t, f.tryAt(op, f.token, where).Status, 300, "%s as %s", op.OperationID, f.name)
			default:
				f.sameAt(op, where)
			}
		}
		for _, op := range endpoints(f.api) {
			if strings.HasPrefix(op.Path, "/v1/subnets/{id}") { // of subnets, some are everyone's and some a tenant's
				f.sameAt(op, strings.Replace(op.Path, "{id}", f.ids["private-subnets"].String(), 1))
			}
			if strings.HasPrefix(op.Path, "/v1/baremetals/{id}") { // of baremetals, some are the platform's and some a tenant's
				f.sameAt(op, strings.Replace(op.Path, "{id}", f.ids["leased-baremetals"].String(), 1))
			}
		}
	}
}

// sameAt asks an endpoint about what the path names, in every way: as it is meant, with each parameter, and by every
// method that it does not have.
func (f foreigner) sameAt(op *huma.Operation, where string) {
	f.t.Helper()
	sent := [2]string{anyID.FindString(where), models.NewID().String()}
	nowhere := strings.Replace(where, sent[0], sent[1], 1)
	for _, query := range append(examples(op), nil) {
		send := func(where string) func() answer {
			return func() answer { return f.send(op, f.token, where, query, f.body(op)) }
		}
		there := f.same(op.OperationID+asQuery(query), send(where), send(nowhere), sent)
		require.Contains(f.t, []int{403, 404, 422}, there.Status, "%s as %s: %s", op.OperationID, f.name, there.Body)
		if query == nil {
			require.NotEqual(f.t, 422, there.Status, "the request of %s is not good: %s", op.OperationID, there.Body)
		}
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "MOVE"} {
		if slices.Contains(methods(f.api.OpenAPI().Paths[op.Path]), method) {
			continue
		}
		send := func(where string) func() answer {
			return func() answer { return f.call(f.token, method, where, nil) }
		}
		there := f.same(method+" "+op.Path, send(where), send(nowhere), sent)
		require.GreaterOrEqual(f.t, there.Status, 400, "%s %s", method, op.Path)
	}
}

// examples are the parameters of an operation's query with the values of its documentation, each alone.
func examples(op *huma.Operation) [][]string {
	var out [][]string
	for _, p := range parameters(op, "query") {
		if len(p.Schema.Examples) > 0 && p.Name != "dry_run" {
			out = append(out, []string{p.Name, fmt.Sprint(p.Schema.Examples[0])})
		}
	}
	return out
}

// everyones reports whether an endpoint shows what everyone may browse.
func everyones(op *huma.Operation) bool {
	kind, verb, _ := strings.Cut(op.Metadata[actionKey].(string), ".")
	return verb == "read" && slices.Contains([]string{"group", "image", "flavor", "subnet", "maintainer", "maintainer-group", "region"}, kind)
}

func methods(p *huma.PathItem) []string {
	var out []string
	for _, op := range []*huma.Operation{p.Get, p.Post, p.Put, p.Patch, p.Delete, p.Head, p.Options, p.Trace} {
		if op != nil {
			out = append(out, op.Method)
		}
	}
	return out
}

// TestReferencesTellNothing does the same for every place in a query or a body that can name something, with everything
// that can be named.
func TestReferencesTellNothing(t *testing.T) {
	t.Parallel()
	for _, f := range foreigners(t) {
		pairs := [][2]string{{"acme/dev", "acme/d77"}, {"acme", "ac77"}, {"v0", "v7"}, {"cellar", "cell77"}, {"ada", "a77"}} // of one length
		for _, id := range f.mine() {
			pairs = append(pairs, [2]string{id, models.NewID().String()})
		}
		for _, op := range endpoints(f.api) {
			where := f.fill(op)
			for _, pair := range pairs {
				f.sameInQuery(op, where, pair)
				f.sameInBody(op, where, pair)
			}
		}
	}
}

func (f foreigner) sameInQuery(op *huma.Operation, where string, pair [2]string) {
	for _, p := range parameters(op, "query") {
		if p.Schema.Type != huma.TypeString || len(p.Schema.Enum) > 0 || !fits(p.Schema, pair[0]) {
			continue
		}
		query := []string{p.Name, ""}
		if p.Name == "resource" {
			query = append(query, "resource_kind", "vm")
		}
		send := func(ref string) func() answer {
			return func() answer {
				query[1] = ref
				return f.send(op, f.token, where, query, f.body(op))
			}
		}
		f.same(op.OperationID+"?"+p.Name+"="+pair[0], send(pair[0]), send(pair[1]), pair)
	}
}

// sameInBody names it in each field of the body, once for acme's tenant and once for the foreigner's own.
func (f foreigner) sameInBody(op *huma.Operation, where string, pair [2]string) {
	s := bodySchema(f.api, op)
	if s == nil {
		return
	}
	fields := f.api.fields(s)
	for _, at := range fields {
		if !at.text() || len(at.schema.Enum) > 0 || !fits(at.schema, pair[0]) {
			continue
		}
		for _, tenant := range []string{"acme/dev", "rival"} {
			if tenant == "rival" && tellsByDesign(at, pair) {
				continue
			}
			body := f.body(op)
			for _, other := range fields {
				if other.String() == "body.tenant" || other.String() == "body.parent" {
					body = other.in(body, tenant)
				}
			}
			send := func(ref string) func() answer {
				return func() answer { return f.send(op, f.token, where, nil, at.in(body, ref)) }
			}
			f.same(op.OperationID+" "+at.String()+"="+pair[0]+" for "+tenant, send(pair[0]), send(pair[1]), pair)
		}
	}
}

// tellsByDesign: whoever may give a role on a tenant of their own names the user, and is told if there is none.
func tellsByDesign(at field, pair [2]string) bool {
	return at.String() == "body.user" && pair[0] == "ada"
}

// fits reports whether a schema allows a text.
func fits(s *huma.Schema, text string) bool {
	isID := anyID.MatchString(text)
	return (s.Format == "" || s.Format == "uuid" && isID) && (s.MaxLength == nil || len(text) <= *s.MaxLength) && (s.Pattern == "" || regexp.MustCompile(s.Pattern).MatchString(text))
}

// TestAPageTokenOpensNothing: the token of somebody else's page leads nobody to what they may not see.
func TestAPageTokenOpensNothing(t *testing.T) {
	t.Parallel()
	f := foreigners(t)[0]
	followed := 0
	for _, op := range endpoints(f.api) {
		if !takes(op, "page_token") || strings.Contains(op.Path, "{id}") {
			continue
		}
		where := f.fill(op)
		for _, query := range [][]string{{}, {"resource_kind", "tenant"}} {
			if len(query) > 0 && !takes(op, "resource_kind") {
				continue
			}
			page := f.call(f.admin, "GET", where+asQuery(append([]string{"limit", "1"}, query...)), nil)
			token, _ := field{steps: []string{"next_page_token"}}.of(anything(t, page)).(string)
			if token == "" {
				continue
			}
			a := f.call(f.token, "GET", where+asQuery(append([]string{"page_token", token}, query...)), nil)
			require.Less(t, a.Status, 500, op.OperationID)
			for _, id := range f.mine() {
				require.NotContains(t, string(a.Body), id, op.OperationID)
			}
			followed++
		}
	}
	require.Greater(t, followed, 5)
}

// anything is the body of an answer.
func anything(t *testing.T, a answer) any {
	t.Helper()
	var out any
	if len(a.Body) > 0 && strings.Contains(a.Header.Get("Content-Type"), "json") {
		require.NoError(t, json.Unmarshal(a.Body, &out), "%s", a.Body)
	}
	return out
}
