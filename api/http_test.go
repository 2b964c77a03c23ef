package api

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

func TestWhatIsNotThereIsAProblemToo(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.call(e.admin, "GET", "/v1/nothing", nil).problem(models.CodeNotFound)
	e.call("", "GET", "/", nil).problem(models.CodeNotFound)
	e.call(e.admin, "GET", "/v1/tenants/", nil).problem(models.CodeNotFound)
	e.call(e.admin, "DELETE", "/v1/me", nil).problem(models.CodeMethodNotAllowed)
}

func TestAPanicIsAnsweredAndNotShown(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.api.engine.GET("/panic", func(*gin.Context) { panic("hunter2") })
	a := e.call("", "GET", "/panic", nil, "X-Request-Id", "mine")
	p := a.problem(models.CodeInternal)
	require.Equal(t, "mine", p.RequestID)
	require.NotContains(t, string(a.Body), "hunter2")
}

func TestTheRequestIDIsKeptIfItIsSane(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	require.Equal(t, "trace-1.2:3", e.call("", "GET", "/healthz", nil, "X-Request-Id", "trace-1.2:3").Header.Get("X-Request-Id"))
	for _, insane := range []string{"", "a b", strings.Repeat("a", 129), `"`} {
		require.Regexp(t, `^[0-9a-f-]{36}$`, e.call("", "GET", "/healthz", nil, "X-Request-Id", insane).Header.Get("X-Request-Id"))
	}
}

func TestWithoutPostgresRequestsAreUnavailable(t *testing.T) {
	t.Parallel()
	_, down := openEdge(t, "postgres://yunshu@127.0.0.1:1/none") // nobody listens on port 1
	callAPI(t, down, "", "GET", "/readyz", nil).is(503)
	callAPI(t, down, "", "GET", "/healthz", nil).is(200)
	a := callAPI(t, down, "ys_any", "POST", "/v1/users", M{"name": "ada"})
	a.problem(models.CodeUnavailable)
	require.Equal(t, "2", a.Header.Get("Retry-After"))
}

func TestEntityTags(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	acme := e.tenant("acme", "")
	where := path("tenants/%s", acme.ID)
	require.Equal(t, `"1"`, e.call(e.admin, "GET", where, nil).is(200).Header.Get("ETag"))
	for _, known := range []string{`"1"`, `W/"1"`, `"0", "1"`, `*`} {
		a := e.call(e.admin, "GET", where, nil, "If-None-Match", known).is(304)
		require.Empty(t, a.Body, known)
		require.Equal(t, `"1"`, a.Header.Get("ETag"), known)
	}
	e.call(e.admin, "GET", where, nil, "If-None-Match", `"2"`).is(200)

	e.call(e.admin, "PATCH", where, M{"description": "new"}, "If-Match", `"7"`).problem(models.CodePreconditionFailed)
	a := e.call(e.admin, "PATCH", where, M{"description": "new"}, "If-Match", `"1"`).is(200)
	require.Equal(t, `"2"`, a.Header.Get("ETag"))
	e.call(e.admin, "PATCH", where, M{"description": "newer"}, "If-Match", `"1"`).problem(models.CodePreconditionFailed)
	e.call(e.admin, "PATCH", where, M{"description": "newer"}, "If-Match", `*`).is(200)
	e.call(e.admin, "DELETE", where, nil, "If-Match", `"1"`).problem(models.CodePreconditionFailed)
	e.call(e.admin, "DELETE", where, nil, "If-Match", `yes`).problem(models.CodeInvalid)
	e.call(e.admin, "DELETE", where, nil, "If-Match", `"3"`).is(204)
}

func TestPages(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	for _, name := range []string{"e", "b", "d", "a", "c"} {
		e.tenant(name, "")
	}
	var names []string
	token, pages := "", 0
	for {
		page := decode[List[Tenant]](e.call(e.admin, "GET", "/v1/tenants?limit=2&page_token="+token, nil).is(200))
		for _, x := range page.Items {
			names = append(names, x.Name)
		}
		pages++
		if token = page.NextPageToken; token == "" {
			break
		}
		e.call(e.admin, "GET", "/v1/tenants?limit=2&full_name=a&page_token="+token, nil).problem(models.CodeInvalid)
		e.call(e.admin, "GET", "/v1/audit-events?page_token="+token, nil).problem(models.CodeInvalid)
	}
	require.Equal(t, []string{"a", "b", "c", "d", "e"}, names)
	require.Equal(t, 3, pages)
	for _, bad := range []string{"limit=0", "limit=201", "limit=x", "page_token=!", "page_token=AAAA", "page_token=" + strings.Repeat("A", 600)} {
		e.call(e.admin, "GET", "/v1/tenants?"+bad, nil).problem(models.CodeInvalid)
	}
	require.JSONEq(t, `{"items": []}`, string(e.call(e.user("nobody"), "GET", "/v1/tenants", nil).is(200).Body))
}

func TestARepeatedRequestIsAnsweredLikeTheFirst(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	first := e.call(e.admin, "POST", "/v1/tenants", M{"name": "acme"}, "Idempotency-Key", "k").is(201)
	before := e.written()
	again := e.call(e.admin, "POST", "/v1/tenants", M{"name": "acme"}, "Idempotency-Key", "k").is(201)
	require.JSONEq(t, string(first.Body), string(again.Body))
	require.Equal(t, first.Header.Get("Location"), again.Header.Get("Location"))
	require.Equal(t, before, e.written())

	e.call(e.admin, "POST", "/v1/tenants", M{"name": "other"}, "Idempotency-Key", "k").problem(models.CodeKeyReused)
	e.call(e.admin, "POST", "/v1/users", M{"name": "acme"}, "Idempotency-Key", "k").problem(models.CodeKeyReused)
	require.Equal(t, before, e.written())

	// A key is its user's own, and a refused request does not use it up.
	e.call(e.user("ada", "admin@acme"), "POST", "/v1/tenants", M{"name": "dev", "parent": "acme"}, "Idempotency-Key", "k").is(201)
	e.call(e.admin, "POST", "/v1/tenants", M{"name": "acme"}, "Idempotency-Key", "k2").problem(models.CodeNameTaken)
	e.call(e.admin, "POST", "/v1/tenants", M{"name": "acme2"}, "Idempotency-Key", "k2").is(201)
}

func TestConcurrentRepetitionsMakeOneThing(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	before := e.count("tenants")
	var all sync.WaitGroup
	answers := make([]*httptest.ResponseRecorder, 16)
	for i := range answers {
		all.Go(func() {
			r := httptest.NewRequest("POST", "/v1/tenants", strings.NewReader(`{"name": "acme"}`))
			r.Header.Set("Authorization", "Bearer "+e.admin)
			r.Header.Set("Idempotency-Key", "once")
			answers[i] = httptest.NewRecorder()
			e.api.Handler().ServeHTTP(answers[i], r)
		})
	}
	all.Wait()
	for _, a := range answers {
		require.Equal(t, 201, a.Code, a.Body.String())
		require.JSONEq(t, answers[0].Body.String(), a.Body.String())
	}
	require.Equal(t, before+1, e.count("tenants"))
}

func TestADryRunChangesNothing(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	before := e.written()
	a := e.call(e.admin, "POST", "/v1/tenants?dry_run=true", M{"name": "acme", "quota": M{"vcpu": 4}}, "Idempotency-Key", "k").is(200)
	require.Equal(t, "acme", decode[Tenant](a).FullName)
	require.Empty(t, a.Header.Get("Location"))
	require.Equal(t, before, e.written())
	e.call(e.admin, "POST", "/v1/tenants", M{"name": "acme"}, "Idempotency-Key", "k").is(201)
	e.call(e.admin, "POST", "/v1/tenants?dry_run=true", M{"name": "acme"}).problem(models.CodeNameTaken)
}

func TestEveryWriteIsInTheAuditLog(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	acme := e.tenant("acme", "")
	viewer := e.user("viewer", "viewer@acme")
	e.call(viewer, "PATCH", path("tenants/%s", acme.ID), M{"description": "mine"}, "X-Request-Id", "attempt").problem(models.CodeForbidden)
	require.NoError(t, e.api.Flush(t.Context()))
	refused := decode[List[AuditEvent]](e.call(viewer, "GET", "/v1/audit-events?outcome=refused", nil).is(200)).Items
	require.Len(t, refused, 1)
	require.Equal(t, "viewer tenant.update refused attempt acme "+acme.ID.String(), strings.Join([]string{
		refused[0].Actor, refused[0].Action, refused[0].Outcome, refused[0].RequestID, refused[0].Tenant, refused[0].ResourceID}, " "))

	e.call(e.admin, "PATCH", path("tenants/%s", acme.ID), M{"description": "ours"}).is(200)
	done := decode[List[AuditEvent]](e.call(e.admin, "GET", "/v1/audit-events?action=tenant.update&outcome=done&tenant=acme&actor=root&resource_id="+acme.ID.String(), nil).is(200)).Items
	require.Len(t, done, 1)
	var detail Tenant
	require.NoError(t, json.Unmarshal(done[0].After, &detail))
	require.Equal(t, "ours", detail.Description)
	var before models.Tenant
	require.NoError(t, json.Unmarshal(done[0].Before, &before))
	require.Equal(t, "acme", before.Name)

	later := done[0].At.Add(time.Second).Format(time.RFC3339)
	require.Empty(t, decode[List[AuditEvent]](e.call(e.admin, "GET", "/v1/audit-events?since="+later, nil).is(200)).Items)
	require.Empty(t, decode[List[AuditEvent]](e.call(e.user("stranger"), "GET", "/v1/audit-events", nil).is(200)).Items)
}

func TestOldKeysAreForgotten(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	for _, key := range []string{"old", "new"} {
		e.call(e.admin, "POST", "/v1/users", M{"name": key}, "Idempotency-Key", key).is(201)
	}
	_, err := e.store.Pool.Exec(t.Context(), "UPDATE idempotency_keys SET created_at = now() - interval '3 days' WHERE key = 'old'")
	require.NoError(t, err)
	require.NoError(t, e.store.ForgetKeys(t.Context(), 48*time.Hour))
	var left string
	require.NoError(t, e.store.Pool.QueryRow(t.Context(), "SELECT string_agg(key, ',') FROM idempotency_keys").Scan(&left))
	require.Equal(t, "new", left)
}

func TestEveryProblemTypeIsExplained(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	for _, info := range models.Codes {
		require.Contains(t, string(e.call("", "GET", "/errors/"+string(info.Code), nil).is(200).Body), info.Remedy)
	}
	e.call("", "GET", "/errors/nonsense", nil).problem(models.CodeNotFound)
}

func TestNoSecretIsLogged(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	var log strings.Builder
	e.api.log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	token := decode[NewToken](e.call(e.admin, "POST", "/v1/tokens", M{"name": "x"}).is(201))
	e.call(token.Secret, "GET", "/v1/me", nil).is(200)
	e.call("ys_hunter2", "GET", "/v1/me?token=hunter2", nil).is(401)
	require.Contains(t, log.String(), `"actor":"root"`)
	for _, secret := range []string{e.admin, token.Secret, "hunter2"} {
		require.NotContains(t, log.String(), secret)
	}
}

func TestPreferences(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{
		"": 0, "wait=5": 5 * time.Second, "respond-async, wait=7": 7 * time.Second, "wait=600": time.Minute, "Wait=1": time.Second, "wait=x": 0, "wait=-1": 0, "wait": 0,
	} {
		require.Equal(t, want, Preference{Prefer: header}.wait(), header)
	}
	require.Equal(t, "wait=60", Preference{Prefer: "wait=900"}.applied())
}

func TestNobodyWaitsForAGatewayThatStops(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.world()
	answered := make(chan answer, 1)
	go func() { answered <- e.call(e.admin, "POST", "/v1/vms", bodies["create-vm"], "Prefer", "wait=60") }()
	require.Eventually(t, func() bool { return e.count("vms") == 2 }, 10*time.Second, 10*time.Millisecond, "the machine is accepted a moment later")
	e.api.Stop()
	select {
	case a := <-answered:
		require.Equal(t, models.OperationAccepted, decode[Operation](a.is(202)).State)
	case <-time.After(5 * time.Second):
		t.Fatal("the request still waits")
	}
}

func TestProblemsLookLikeThis(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.tenant("acme", "")
	member := e.user("member", "member@acme")
	var out strings.Builder
	show := func(a answer) {
		var v map[string]any
		require.NoError(t, json.Unmarshal(a.Body, &v))
		v["request_id"], v["trace_id"] = "…", "…"
		text, err := json.MarshalIndent(v, "", "  ")
		require.NoError(t, err)
		fmt.Fprintf(&out, "%d %s\n%s\n\n", a.Status, http.StatusText(a.Status), text)
	}
	show(e.call(e.admin, "POST", "/v1/tenants", "{"))
	show(e.call("", "GET", "/v1/me", nil))
	show(e.call(member, "POST", "/v1/tenants", M{"name": "dev", "parent": "acme"}))
	show(e.call(member, "GET", "/v1/tenants/"+models.NoID.String(), nil))
	show(e.call(e.admin, "POST", "/v1/me", nil))
	show(e.call(e.admin, "POST", "/v1/tenants", M{"name": "acme"}))
	show(e.call(e.admin, "POST", "/v1/tenants", M{"name": "ACME", "quota": M{"vcpu": -1, "ram": 1}, "sesame": "open"}))
	show(e.call(e.admin, "POST", "/v1/users", strings.Repeat(" ", 2<<20)))
	show(e.call(e.admin, "POST", "/v1/users", "a", "Content-Type", "text/plain"))
	golden(t, "testdata/problems.golden", []byte(out.String()))
}
