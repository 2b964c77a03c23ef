package api

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

// fuzzRequests is how many requests the test makes; YUNSHU_FUZZ_REQUESTS makes it more or less, and YUNSHU_FUZZ_SEED
// others.
const fuzzRequests = 20_000

// patience is how long a fuzzed request may take on a busy machine.
const patience = 10 * time.Second

// TestFuzz sends requests that are generated from the contract, good ones and ones that were made worse. None may fail
// on our side or hang, and every write that is answered as done is in the audit log, and no other.
func TestFuzz(t *testing.T) {
	t.Parallel()
	n, seed := fuzzRequests, uint64(20270101)
	if testing.Short() {
		n /= 10
	}
	if s := os.Getenv("YUNSHU_FUZZ_REQUESTS"); s != "" {
		var err error
		n, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	if s := os.Getenv("YUNSHU_FUZZ_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("%d requests, YUNSHU_FUZZ_SEED=%d", n, seed)
	e := newEdge(t)
	f := &fuzzer{world: e.world(), rand: rand.New(rand.NewPCG(seed, 1)), written: map[string]string{}, refused: map[string]string{}, statuses: map[int]int{}}
	f.tokens = []string{e.admin, e.admin, e.admin, e.user("fuzz-member", "member@acme"), e.user("fuzz-viewer", "viewer@acme"), e.user("fuzz-operator", "operator")}
	f.endpoints = endpoints(e.api)
	for i := range n {
		f.one(i)
	}
	t.Logf("statuses: %v", f.statuses)
	require.NotEmpty(t, f.written, "the requests are all bad")
	f.requireRecorded()
	e.requireVerified()
}

// fuzzer makes requests and remembers what became of them.
type fuzzer struct {
	*world
	rand      *rand.Rand
	tokens    []string
	endpoints []*huma.Operation
	written   map[string]string // requests that were answered as done, by id: what they were
	refused   map[string]string
	statuses  map[int]int
}

// one makes one request: half of them are good but for what has changed meanwhile, the others are mutated.
func (f *fuzzer) one(i int) {
	op := f.endpoints[f.rand.IntN(len(f.endpoints))]
	r := fuzzed{id: fmt.Sprintf("fuzz-%d", i), method: op.Method, path: f.path(op), headers: []string{}}
	if s := bodySchema(f.api, op); s != nil {
		r.body = f.value(s, op.OperationID)
		if good, ok := bodies[op.OperationID]; ok && f.often() {
			r.body = map[string]any(clone(good))
		}
	}
	query := f.query(op)
	if f.rand.IntN(2) == 0 {
		query = f.worsen(&r, query)
	}
	r.headers = append(r.headers, "X-Request-Id", r.id)
	if f.rand.IntN(8) == 0 {
		r.headers = append(r.headers, "Idempotency-Key", r.id)
	}
	if query != "" {
		r.path += "?" + query
	}
	f.send(op, r)
}

// fuzzed is a request that is about to be sent.
type fuzzed struct {
	id, method, path string
	headers          []string
	body             any
}

func (f *fuzzer) send(op *huma.Operation, r fuzzed) {
	t := f.t
	what := fmt.Sprintf("%s %s %v %v", r.method, r.path, r.headers, r.body)
	answered := make(chan answer, 1)
	token := f.tokens[f.rand.IntN(len(f.tokens))]
	go func() { answered <- callAPI(t, f.api, token, r.method, r.path, r.body, r.headers...) }()
	var a answer
	select {
	case a = <-answered:
	case <-time.After(patience):
		t.Fatalf("no answer within %s: %s", patience, what)
	}
	f.statuses[a.Status]++
	require.Less(t, a.Status, 500, "%s: %s", what, a.Body)
	if a.Status >= 400 {
		require.Equal(t, problemType, a.Header.Get("Content-Type"), what)
	}
	switch {
	case r.method == http.MethodGet:
	case a.Status < 300 && !dryRun.MatchString(r.path):
		f.written[r.id] = what
		f.renew(op)
	case strings.Contains(string(a.Body), "See /docs"): // no such endpoint: nobody was asked who they are
	case a.Status >= 400:
		f.refused[r.id] = what
	}
}

var dryRun = regexp.MustCompile(`[?&]dry_run=(true|1|t|T|TRUE|True)(&|$)`)

// renew puts back what a request of the fuzzer has removed, so that the next requests find something.
func (f *fuzzer) renew(op *huma.Operation) {
	if op.Method != http.MethodDelete || !strings.HasPrefix(op.Path, "/v1/tenants") && !strings.HasPrefix(op.Path, "/v1/users") {
		return
	}
	f.restore("/v1/tenants", M{"name": "dev", "parent": "acme"})
	if list := decode[List[Tenant]](f.call(f.admin, "GET", "/v1/tenants?full_name=acme/dev", nil)); len(list.Items) > 0 {
		f.ids["tenants"] = list.Items[0].ID
	}
	f.restore("/v1/users", M{"name": "ada"})
}

// restore makes something unless it is there. Being refused is a refusal like any other.
func (f *fuzzer) restore(path string, body M) {
	id := models.NewID().String()
	if a := f.call(f.admin, "POST", path, body, "X-Request-Id", id); a.Status >= 400 {
		f.refused[id] = path
	}
}

func (f *fuzzer) often() bool { return f.rand.IntN(4) > 0 }

func clone(m M) M {
	out := M{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

// path fills an operation's path, mostly with what there is.
func (f *fuzzer) path(op *huma.Operation) string {
	kind := strings.Split(op.Path, "/")[2]
	id := f.ids[kind].String()
	switch {
	case !f.often() || f.ids[kind] == models.NoID:
		id = f.text()
	case kind == "users" || kind == "tokens": // those of the fuzzer itself would end the game
		id = models.NewID().String()
	}
	name := pick(f.rand, "tw", "tw", "jp", f.text())
	return strings.NewReplacer("{id}", escape(id), "{group}", pick(f.rand, "everywhere", "everywhere", escape(f.text())), "{name}", escape(name), "{region}", escape(name)).Replace(op.Path)
}

// escape makes a segment that a URL can have; what is in it is for the gateway to judge.
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

func (f *fuzzer) query(op *huma.Operation) string {
	var out []string
	for _, p := range op.Parameters {
		if p.In != "query" || p.Name == "wait" || f.often() {
			continue
		}
		out = append(out, p.Name+"="+escape(fmt.Sprint(f.value(p.Schema, p.Name))))
	}
	return strings.Join(out, "&")
}

// worsen changes a request in one way or several.
func (f *fuzzer) worsen(r *fuzzed, query string) string {
	for range 1 + f.rand.IntN(3) {
		switch f.rand.IntN(7) {
		case 0:
			r.body = f.mutate(r.body)
		case 1:
			raw, err := json.Marshal(r.body)
			require.NoError(f.t, err)
			r.body = f.damage(string(raw))
		case 2:
			query += "&" + escape(f.text()) + "=" + escape(f.text())
		case 3:
			r.headers = append(r.headers, pick(f.rand, "If-Match", "If-None-Match", "Idempotency-Key", "Prefer", "Accept", "Content-Type", "X-Forwarded-For"), f.header())
		case 4:
			r.headers = append(r.headers, "If-Match", pick(f.rand, `"1"`, `"2"`, "*", `"999"`))
		case 5:
			r.method = pick(f.rand, "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
		case 6:
			r.path += "/" + escape(f.text())
		}
	}
	return strings.TrimPrefix(query, "&")
}

// damage cuts and overwrites text.
func (f *fuzzer) damage(s string) string {
	b := []byte(s)
	for range 1 + f.rand.IntN(4) {
		if len(b) == 0 {
			break
		}
		at := f.rand.IntN(len(b))
		switch f.rand.IntN(3) {
		case 0:
			b[at] = byte(f.rand.IntN(256))
		case 1:
			b = b[:at]
		case 2:
			b = slices.Concat(b[:at], []byte(pick(f.rand, "{", "]", `"`, "null", "\\u0000", "1e999")), b[at:])
		}
	}
	return string(b)
}

// mutate replaces one value of a body, or adds or removes a field.
func (f *fuzzer) mutate(v any) any {
	m, ok := v.(map[string]any)
	if !ok || len(m) == 0 || f.rand.IntN(6) == 0 {
		return f.anything(2)
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	key := keys[f.rand.IntN(len(keys))]
	switch f.rand.IntN(4) {
	case 0:
		delete(m, key)
	case 1:
		m[f.text()] = f.anything(1)
	case 2:
		m[key] = f.mutate(m[key])
	case 3:
		m[key] = f.anything(2)
	}
	return m
}

// anything is any JSON.
func (f *fuzzer) anything(deep int) any {
	switch n := f.rand.IntN(8); {
	case n == 0:
		return nil
	case n == 1:
		return f.rand.IntN(2) == 0
	case n == 2:
		return pick(f.rand, 0, -1, 1, 1<<31, 1<<53, -1<<62)
	case n == 3:
		return pick(f.rand, 0.5, -1e300, 1e18)
	case n == 4 && deep > 0:
		return []any{f.anything(deep - 1), f.anything(deep - 1)}
	case n == 5 && deep > 0:
		return map[string]any{f.text(): f.anything(deep - 1)}
	}
	return f.text()
}

// texts are such as attackers and accidents send.
var texts = []string{
	"", " ", "a", "acme", "acme/dev", "web-1", "tw", "0", "-1", "true", "null", "x'; DROP TABLE tenants; --", `" OR 1=1 --`, "%", "_", "\\", "../../etc/passwd", "${jndi:ldap://x}",
	"a\r\nX-Injected: 1", "\x00", "\xff\xfe", "\u202e", "İ", "😀", "{{7*7}}", "<script>", "00000000-0000-0000-0000-000000000000", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "1e400",
	"10.0.0.0/33", "::ffff:10.0.0.1", "10.1.0.20", "255.255.255.255", "$1", "?", "@id", "%00", "everywhere", "tw.general", "ada", "root",
}

func (f *fuzzer) text() string {
	switch f.rand.IntN(12) {
	case 0:
		return strings.Repeat(pick(f.rand, "a", "9", "/", "ü"), 1+f.rand.IntN(3000))
	case 1:
		return models.NewID().String()
	case 2:
		return fmt.Sprintf("n-%d", f.rand.IntN(40))
	}
	return texts[f.rand.IntN(len(texts))]
}

// header is a value that HTTP can carry.
func (f *fuzzer) header() string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, f.text())
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// value makes a value by its schema, mostly a good one. What has a name that we know gets something that there is.
func (f *fuzzer) value(s *huma.Schema, name string) any {
	s = f.api.schema(s)
	if known, ok := map[string][]string{"tenant": {"acme/dev", "acme"}, "parent": {"acme"}, "region": {"tw"}, "group": {"general"}, "image": {"ubuntu-24-04"}, "flavor": {"medium"},
		"subnet": {"lan"}, "user": {"ada"}, "rack": {"r0"}}[name]; ok && f.often() {
		return pick(f.rand, known...)
	}
	switch {
	case len(s.Enum) > 0:
		return s.Enum[f.rand.IntN(len(s.Enum))]
	case s.Type == huma.TypeObject:
		out := map[string]any{}
		for _, p := range sortedProperties(s) {
			if slices.Contains(s.Required, p) || f.rand.IntN(3) == 0 {
				out[p] = f.value(s.Properties[p], p)
			}
		}
		return out
	case s.Type == huma.TypeArray:
		out := []any{}
		for range f.rand.IntN(3) {
			out = append(out, f.value(s.Items, name))
		}
		return out
	case s.Type == huma.TypeInteger, s.Type == huma.TypeNumber:
		return f.number(s)
	case s.Type == huma.TypeBoolean:
		return f.rand.IntN(2) == 0
	case s.Format == "date-time":
		return time.Now().Add(time.Duration(f.rand.IntN(1000)-500) * time.Hour).UTC().Format(time.RFC3339)
	case s.Format == "uuid":
		return pick(f.rand, f.ids["vms"], f.ids["tenants"], f.ids["groups"], models.NewID()).String()
	case name == "name" && f.often():
		return fmt.Sprintf("n-%d", f.rand.IntN(40))
	case len(s.Examples) > 0 && f.often():
		return s.Examples[f.rand.IntN(len(s.Examples))]
	}
	return f.text()
}

func sortedProperties(s *huma.Schema) []string {
	out := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// number stays within the bounds, and often at them.
func (f *fuzzer) number(s *huma.Schema) any {
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
	small := low + step*float64(f.rand.IntN(8))
	return int64(pick(f.rand, low, high, min(high, small), min(high, small), low-1, high+1))
}

// events counts audit events by the request that made them.
func (f *fuzzer) events(where string) map[string]int {
	f.t.Helper()
	rows, err := f.store.Pool.Query(f.t.Context(), "SELECT request_id FROM audit_events WHERE action <> 'audit-event.drop' "+where)
	require.NoError(f.t, err)
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		var id string
		require.NoError(f.t, rows.Scan(&id))
		out[id]++
	}
	require.NoError(f.t, rows.Err())
	return out
}

// requireRecorded compares what was answered with what is in the audit log.
func (f *fuzzer) requireRecorded() {
	t := f.t
	t.Helper()
	require.NoError(t, f.api.Flush(t.Context()))
	done := f.events("AND request_id LIKE 'fuzz-%' AND outcome <> 'refused' AND action <> 'audit-event.export'")
	for id, what := range f.written {
		require.Equal(t, 1, done[id], "a write without its audit event, or with several: %s", what)
		delete(done, id)
	}
	require.Empty(t, done, "audit events of writes that were not answered as done")
	refused := f.events("AND outcome = 'refused'")
	for id, times := range refused {
		require.NotEmpty(t, f.refused[id], "an audit event of a refusal that was none: %s", id)
		require.Equal(t, 1, times, f.refused[id])
	}
	require.Equal(t, int64(len(f.refused)), int64(len(refused))+f.api.refusals.Dropped(), "every refusal is written down or counted")
}

// requireVerified seals everything and proves it.
func (e *edge) requireVerified() {
	e.t.Helper()
	require.Eventually(e.t, func() bool { // other tests' transactions hold back the horizon
		_, more, err := e.store.Seal(e.t.Context())
		require.NoError(e.t, err)
		v := decode[AuditVerification](e.call(e.admin, "GET", "/v1/audit-events/verification", nil).is(200))
		require.Empty(e.t, v.Findings)
		return !more && v.Unsealed == 0
	}, time.Minute, 20*time.Millisecond)
}
