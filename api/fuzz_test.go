package api

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

// fuzzEach is how many requests the test makes for each endpoint; YUNSHU_FUZZ_REQUESTS says how many it makes in all,
// and YUNSHU_FUZZ_SEED makes others. make fuzz makes 20,000.
const fuzzEach = 40

// patience is how long a fuzzed request may take on a busy machine.
const patience = 10 * time.Second

// TestFuzz sends requests that are generated from the contract, good ones and ones that were made worse. None may fail
// on our side or hang, and every write that is answered as done is in the audit log, and no other.
func TestFuzz(t *testing.T) {
	t.Parallel()
	newEdge(t).fuzz(1, fuzzEach)
}

// TestFuzzTogether does the same with several at once, who get into each other's way.
func TestFuzzTogether(t *testing.T) {
	t.Parallel()
	newEdge(t).fuzz(8, fuzzEach/2)
}

// fuzzed is a number from the environment, or the usual one.
func fuzzed(t *testing.T, name string, usual int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return usual
	}
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}

// fuzz lets several fuzzers send requests together, so many for each endpoint, and adds up what became of them.
func (e *edge) fuzz(fuzzers, each int) {
	t := e.t
	t.Helper()
	seed, begin, all := fuzzed(t, "YUNSHU_FUZZ_SEED", 20270101), time.Now(), endpoints(e.api)
	n := fuzzed(t, "YUNSHU_FUZZ_REQUESTS", each*len(all))
	t.Logf("%d requests of %d fuzzers, YUNSHU_FUZZ_SEED=%d", n, fuzzers, seed)
	w := e.world()
	tokens := []string{e.admin, e.admin, e.admin, e.user("fuzz-member", "member@acme"), e.user("fuzz-viewer", "viewer@acme"), e.user("fuzz-operator", "operator")}
	became := &outcomes{written: map[string]string{}, refused: map[string]string{}, statuses: map[int]int{}, done: map[string]bool{}}
	var running sync.WaitGroup
	for i := range fuzzers {
		own := &world{edge: e, ids: maps.Clone(w.ids)}
		f := &fuzzer{&generator{own, rand.New(rand.NewPCG(uint64(seed), uint64(i+1))), map[string]string{}}, tokens, became}
		running.Go(func() {
			for j := i; j < n; j += fuzzers {
				f.next(all, j)
			}
		})
	}
	running.Wait()
	t.Logf("%s; statuses: %v; %d of %d endpoints did what they are for", time.Since(begin).Round(time.Second), became.statuses, len(became.done), len(all))
	require.Greater(t, len(became.done), len(all)*3/4, "the requests are nearly all bad")
	e.requireRecorded(became)
	e.requireVerified()
}

// fuzzer makes requests and remembers what became of them.
type fuzzer struct {
	*generator
	tokens []string
	*outcomes
}

// outcomes are what became of the requests of all fuzzers.
type outcomes struct {
	mu       sync.Mutex
	written  map[string]string // requests that were answered as done, by id: what they were
	refused  map[string]string
	statuses map[int]int
	done     map[string]bool // endpoints that succeeded, by their id
}

// next sends one request.
func (f *fuzzer) next(all []*huma.Operation, i int) {
	if f.rand.IntN(50) == 0 {
		f.settle()
	}
	op := all[f.rand.IntN(len(all))]
	f.send(op, f.request(op, fmt.Sprintf("fuzz-%d", i)))
}

func (f *fuzzer) send(op *huma.Operation, r generated) {
	t := f.t
	what := fmt.Sprintf("%s %s %v %v", r.method, r.path, r.headers, r.body)
	answered := make(chan answer, 1)
	token := f.tokens[f.rand.IntN(len(f.tokens))]
	if op.OperationID == "sign-out" {
		token = f.spare(token)
	}
	go func() { answered <- callAPI(t, f.api, token, r.method, r.path, r.body, r.headers...) }()
	var a answer
	select {
	case a = <-answered:
	case <-time.After(patience):
		t.Fatalf("no answer within %s: %s", patience, what)
	}
	require.Less(t, a.Status, 500, "%s: %s", what, a.Body)
	if a.Status >= 400 {
		require.Equal(t, problemType, a.Header.Get("Content-Type"), what)
	}
	f.learn(a)
	if f.note(op, r, what, a) {
		f.renew(op)
	}
}

// note adds an answer to the outcomes, and reports whether it was a write.
func (o *outcomes) note(op *huma.Operation, r generated, what string, a answer) (wrote bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.statuses[a.Status]++
	if a.Status < 300 && r.method == op.Method {
		o.done[op.OperationID] = true
	}
	switch {
	case r.method == http.MethodGet:
	case a.Status < 300 && !dryRun.MatchString(r.path):
		o.written[r.id] = what
		return true
	case strings.Contains(string(a.Body), "See /docs"): // no such endpoint: nobody was asked who they are
	case r.method == http.MethodPost && signsIn.MatchString(r.path): // nobody has a token yet: only a bad ID token is written down
	case a.Status >= 400:
		o.refused[r.id] = what
	}
	return false
}

var signsIn = regexp.MustCompile(`^/v1/sign-in(\?|$)`)

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

// settle ends or blocks what is under way, as the workflows would that nobody runs here.
func (f *fuzzer) settle() {
	f.t.Helper()
	for _, sql := range []string{
		pick(f.rand, "UPDATE operations SET state = 'blocked' WHERE state IN ('accepted', 'running')",
			"UPDATE operations SET state = 'succeeded', ended_at = now() WHERE state IN ('accepted', 'running', 'blocked', 'cancelling')"),
		pick(f.rand, "UPDATE vms SET state = 'running'", "UPDATE vms SET state = 'stopped'"),
	} {
		_, err := f.store.Pool.Exec(f.t.Context(), sql)
		require.NoError(f.t, err)
	}
}

// restore makes something unless it is there. Being refused is a refusal like any other.
func (f *fuzzer) restore(path string, body M) {
	id := models.NewID().String()
	if a := f.call(f.admin, "POST", path, body, "X-Request-Id", id); a.Status >= 400 {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.refused[id] = path
	}
}

// events counts audit events by the request that made them.
func (e *edge) events(where string) map[string]int {
	e.t.Helper()
	rows, err := e.store.Pool.Query(e.t.Context(), "SELECT request_id FROM audit_events WHERE action <> 'audit-event.drop' "+where)
	require.NoError(e.t, err)
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		var id string
		require.NoError(e.t, rows.Scan(&id))
		out[id]++
	}
	require.NoError(e.t, rows.Err())
	return out
}

// decidesMany matches the requests that decide about many operations, or begin many. decidesOne matches those that decide
// about one: where somebody else had decided already, they change nothing.
var (
	decidesMany = regexp.MustCompile(`^POST /v1/(operations/(resume|abort)|baremetal-imports)`)
	decidesOne  = regexp.MustCompile(`^POST /v1/operations/[^/]+/(resume|abort) `)
)

// requireRecorded compares what was answered with what is in the audit log.
func (e *edge) requireRecorded(o *outcomes) {
	t := e.t
	t.Helper()
	require.NoError(t, e.api.Flush(t.Context()))
	done := e.events("AND request_id LIKE 'fuzz-%' AND outcome <> 'refused' AND action NOT LIKE '%.export'")
	for id, what := range o.written {
		switch {
		case decidesMany.MatchString(what): // an event for the request, or one for each operation
			require.Positive(t, done[id], "a write without its audit event: %s", what)
		case decidesOne.MatchString(what):
			require.LessOrEqual(t, done[id], 1, "a write with several audit events: %s", what)
		default:
			require.Equal(t, 1, done[id], "a write without its audit event, or with several: %s", what)
		}
		delete(done, id)
	}
	require.Empty(t, done, "audit events of writes that were not answered as done")
	refused := e.events("AND outcome = 'refused'")
	for id, times := range refused {
		require.NotEmpty(t, o.refused[id], "an audit event of a refusal that was none: %s", id)
		require.Equal(t, 1, times, o.refused[id])
	}
	require.Equal(t, int64(len(o.refused)), int64(len(refused))+e.api.refusals.Dropped(), "every refusal is written down or counted")
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
