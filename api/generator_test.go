package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

// generator makes requests of the contract by chance: good ones, and ones that were made worse.
type generator struct {
	*world
	rand *rand.Rand
	made map[string]string // id of the last that was made, by the first part of its path
}

// generated is a request that is about to be sent.
type generated struct {
	id, method, path string
	headers          []string
	body             any
}

// request makes one: half of them are good but for what has changed meanwhile, the others are worsened.
func (g *generator) request(op *huma.Operation, id string) generated {
	r := generated{id: id, method: op.Method, path: g.path(op)}
	if s := bodySchema(g.api, op); s != nil {
		r.body = g.value(s, op.OperationID)
		if good, ok := bodies[op.OperationID]; ok && g.often() {
			r.body = map[string]any(maps.Clone(good))
		}
	}
	query := g.query(op)
	if g.rand.IntN(2) == 0 {
		query = g.worsen(&r, query)
	}
	r.headers = append(r.headers, "X-Request-Id", r.id)
	if g.rand.IntN(8) == 0 {
		r.headers = append(r.headers, "Idempotency-Key", r.id)
	}
	if query != "" {
		r.path += "?" + query
	}
	return r
}

// path fills an operation's path, mostly with what there is.
func (g *generator) path(op *huma.Operation) string {
	kind := strings.Split(op.Path, "/")[2]
	id := g.ids[kind].String()
	if made := g.made[kind]; made != "" && (g.ids[kind] == models.NoID || g.rand.IntN(2) == 0) {
		id = made
	}
	if !g.often() {
		id = g.text()
	}
	name := pick(g.rand, "tw", "tw", "jp", g.text())
	return strings.NewReplacer("{id}", escape(id), "{identity}", escape(pick(g.rand, models.NewID().String(), g.text())), "{group}", pick(g.rand, "everywhere", "everywhere", escape(g.text())), "{name}", escape(name), "{region}", escape(name)).Replace(op.Path)
}

// learn remembers what a request has made, for the next ones.
func (g *generator) learn(a answer) {
	if parts := strings.Split(a.Header.Get("Location"), "/"); a.Status == http.StatusCreated && len(parts) == 4 {
		g.made[parts[2]] = parts[3]
	}
}

func (g *generator) query(op *huma.Operation) string {
	var out []string
	for _, p := range op.Parameters {
		if p.In != "query" || p.Name == "wait" || g.often() {
			continue
		}
		out = append(out, p.Name+"="+escape(fmt.Sprint(g.value(p.Schema, p.Name))))
	}
	return strings.Join(out, "&")
}

// worsen changes a request in one way or several.
func (g *generator) worsen(r *generated, query string) string {
	for range 1 + g.rand.IntN(3) {
		switch g.rand.IntN(7) {
		case 0:
			r.body = g.mutate(r.body)
		case 1:
			raw, err := json.Marshal(r.body)
			require.NoError(g.t, err)
			r.body = g.damage(string(raw))
		case 2:
			query += "&" + escape(g.text()) + "=" + escape(g.text())
		case 3:
			r.headers = append(r.headers, pick(g.rand, "If-Match", "If-None-Match", "Idempotency-Key", "Prefer", "Accept", "Content-Type", "X-Forwarded-For"), g.header())
		case 4:
			r.headers = append(r.headers, "If-Match", pick(g.rand, `"1"`, `"2"`, "*", `"999"`))
		case 5:
			r.method = pick(g.rand, "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
		case 6:
			r.path += "/" + escape(g.text())
		}
	}
	return strings.TrimPrefix(query, "&")
}

// damage cuts and overwrites text.
func (g *generator) damage(s string) string {
	b := []byte(s)
	for range 1 + g.rand.IntN(4) {
		if len(b) == 0 {
			break
		}
		at := g.rand.IntN(len(b))
		switch g.rand.IntN(3) {
		case 0:
			b[at] = byte(g.rand.IntN(256))
		case 1:
			b = b[:at]
		case 2:
			b = slices.Concat(b[:at], []byte(pick(g.rand, "{", "]", `"`, "null", "\\u0000", "1e999")), b[at:])
		}
	}
	return string(b)
}

// mutate replaces one value of a body, or adds or removes a field.
func (g *generator) mutate(v any) any {
	m, ok := v.(map[string]any)
	if !ok || len(m) == 0 || g.rand.IntN(6) == 0 {
		return g.anything(2)
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	key := keys[g.rand.IntN(len(keys))]
	switch g.rand.IntN(4) {
	case 0:
		delete(m, key)
	case 1:
		m[pick(g.rand, g.text(), strings.ToUpper(key))] = g.anything(1)
	case 2:
		m[key] = g.mutate(m[key])
	case 3:
		m[key] = g.anything(2)
	}
	return m
}

// anything is any JSON.
func (g *generator) anything(deep int) any {
	switch n := g.rand.IntN(8); {
	case n == 0:
		return nil
	case n == 1:
		return g.rand.IntN(2) == 0
	case n == 2:
		return pick(g.rand, 0, -1, 1, 1<<31, 1<<53, -1<<62)
	case n == 3:
		return pick(g.rand, 0.5, -1e300, 1e18)
	case n == 4 && deep > 0:
		return []any{g.anything(deep - 1), g.anything(deep - 1)}
	case n == 5 && deep > 0:
		return map[string]any{g.text(): g.anything(deep - 1)}
	}
	return g.text()
}

// texts are such as attackers and accidents send.
var texts = []string{
	"", " ", "a", "acme", "acme/dev", "web-1", "tw", "0", "-1", "true", "null", "x'; DROP TABLE tenants; --", `" OR 1=1 --`, "%", "_", "\\", "../../etc/passwd", "${jndi:ldap://x}",
	"a\r\nX-Injected: 1", "\x00", "\xff\xfe", "\u202e", "İ", "😀", "{{7*7}}", "<script>", "00000000-0000-0000-0000-000000000000", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "1e400",
	"10.0.0.0/33", "::ffff:10.0.0.1", "10.1.0.20", "255.255.255.255", "$1", "?", "@id", "%00", "everywhere", "tw.general", "ada", "root",
}

func (g *generator) text() string {
	switch g.rand.IntN(12) {
	case 0:
		return strings.Repeat(pick(g.rand, "a", "9", "/", "ü"), 1+g.rand.IntN(3000))
	case 1:
		return models.NewID().String()
	case 2:
		return fmt.Sprintf("n-%d", g.rand.IntN(40))
	}
	return texts[g.rand.IntN(len(texts))]
}

// header is a value that HTTP can carry.
func (g *generator) header() string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, g.text())
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// value makes a value by its schema, mostly a good one. What has a name that we know gets something that there is.
func (g *generator) value(s *huma.Schema, name string) any {
	s = g.api.schema(s)
	if known, ok := map[string][]string{"tenant": {"acme/dev", "acme"}, "parent": {"acme"}, "region": {"tw"}, "group": {"general"}, "image": {"ubuntu-24-04"}, "flavor": {"medium"},
		"subnet": {"lan"}, "user": {"ada"}, "rack": {"r0"}}[name]; ok && g.often() {
		return pick(g.rand, known...)
	}
	switch {
	case len(s.Enum) > 0:
		return s.Enum[g.rand.IntN(len(s.Enum))]
	case s.Type == huma.TypeObject:
		out := map[string]any{}
		for _, p := range sortedProperties(s) {
			if slices.Contains(s.Required, p) || g.rand.IntN(3) == 0 {
				out[p] = g.value(s.Properties[p], p)
			}
		}
		return out
	case s.Type == huma.TypeArray:
		out := []any{}
		for range g.rand.IntN(3) {
			out = append(out, g.value(s.Items, name))
		}
		return out
	case s.Type == huma.TypeInteger, s.Type == huma.TypeNumber:
		return g.number(s)
	case s.Type == huma.TypeBoolean:
		return g.rand.IntN(2) == 0
	case s.Format == "date-time":
		return time.Now().Add(time.Duration(g.rand.IntN(1000)-500) * time.Hour).UTC().Format(time.RFC3339)
	case s.Format == "uuid":
		return pick(g.rand, g.ids["vms"], g.ids["tenants"], g.ids["groups"], models.NewID()).String()
	case name == "name" && g.often():
		return fmt.Sprintf("n-%d", g.rand.IntN(40))
	case len(s.Examples) > 0 && g.often():
		return s.Examples[g.rand.IntN(len(s.Examples))]
	}
	return g.text()
}

// number stays within the bounds, and often at them.
func (g *generator) number(s *huma.Schema) any {
	low, high := 0.0, 64.0
	if s.Minimum != nil {
		low = *s.Minimum
	}
	if s.Maximum != nil {
		high = *s.Maximum
	}
	step := 1.0
	if s.MultipleOf != nil {
		step = *s.MultipleOf
	}
	small := low + step*float64(g.rand.IntN(8))
	return int64(pick(g.rand, low, high, min(high, small), min(high, small), low-1, high+1))
}

func (g *generator) often() bool { return g.rand.IntN(4) > 0 }
