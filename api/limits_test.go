package api

import (
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
)

// limited is the edge of another replica on the same database, with limits.
func (e *edge) limited(l RateLimits) *API {
	e.t.Helper()
	policies, err := authz.New()
	require.NoError(e.t, err)
	return New(Options{Store: e.store, Authz: policies, Logger: slog.New(slog.DiscardHandler), Version: "test", Limits: l})
}

// statuses counts the answers to n requests, one after another.
func (e *edge) statuses(a *API, token, path string, n int) map[int]int {
	out := map[int]int{}
	for range n {
		out[callAPI(e.t, a, token, "GET", path, nil).Status]++
	}
	return out
}

func TestATokenHasItsShare(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	a := e.limited(RateLimits{PerToken: 0.001})
	ada, bob := e.user("ada"), e.user("bob")
	a.limits.limits.PerToken = 0.001 // one in a thousand seconds, one at once
	require.Equal(t, map[int]int{200: 1, 429: 4}, e.statuses(a, ada, "/v1/me", 5))
	require.Equal(t, map[int]int{200: 1}, e.statuses(a, bob, "/v1/me", 1), "another token has its own")
	got := callAPI(t, a, ada, "GET", "/v1/me", nil)
	p := got.problem(models.CodeTooManyRequests)
	require.Regexp(t, `^Your token sends more requests than its share\. Wait \d+ s and try again`, p.Detail)
	require.Regexp(t, `^\d+$`, got.Header.Get("Retry-After"))
	require.NotEqual(t, "0", got.Header.Get("Retry-After"))
}

func TestATenantHasItsShare(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.tenant("acme", "")
	e.tenant("rival", "")
	a := e.limited(RateLimits{PerTenant: 1.0 / 3600})
	ada, ann, rob := e.user("ada", "member@acme"), e.user("ann", "viewer@acme"), e.user("rob", "member@rival")
	require.Equal(t, map[int]int{200: 1}, e.statuses(a, ada, "/v1/vms", 1))
	require.Equal(t, map[int]int{429: 2}, e.statuses(a, ann, "/v1/vms", 2), "it is shared by all of its people")
	require.Equal(t, map[int]int{200: 1}, e.statuses(a, rob, "/v1/vms", 1))
	require.Equal(t, map[int]int{200: 3}, e.statuses(a, e.admin, "/v1/vms", 3), "the platform's people are no tenant's")
}

func TestExpensiveReadsWaitTheirTurn(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	a := e.limited(RateLimits{Heavy: 1})
	a.limits.heavy <- struct{}{} // one is under way
	callAPI(t, a, e.admin, "GET", "/v1/ledger-check", nil).problem(models.CodeTooManyRequests)
	callAPI(t, a, e.admin, "GET", "/v1/tenants", nil).is(200)
	<-a.limits.heavy
	callAPI(t, a, e.admin, "GET", "/v1/ledger-check", nil).is(200)
	callAPI(t, a, e.admin, "GET", "/v1/ledger-check", nil).is(200)
}

// TestHeavyReadsAreEndpoints keeps the list in step with the routes.
func TestHeavyReadsAreEndpoints(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	routes := map[string]bool{}
	for _, r := range e.api.engine.Routes() {
		routes[r.Path] = routes[r.Path] || r.Method == http.MethodGet
	}
	for path := range heavy {
		require.True(t, routes[path], path)
	}
}

func TestWhatIsRefusedCostsNothing(t *testing.T) {
	t.Parallel()
	l, id, now := newLimiter(RateLimits{}), models.NewID(), time.Now()
	for range 2 {
		require.Zero(t, l.wait(id, 1, now))
	}
	for range 100 {
		require.Positive(t, l.wait(id, 1, now))
	}
	require.Zero(t, l.wait(id, 1, now.Add(time.Second)), "a second later there is one more")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { l.wait(models.NewID(), 1, now) })
	}
	all.Wait()
}

// TestAFloodOfRefusalsIsNoFloodOfEvents: the first refused write is in the record, the next ones are not.
func TestAFloodOfRefusalsIsNoFloodOfEvents(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	a := e.limited(RateLimits{PerToken: 0.001})
	ada := e.user("ada")
	a.limits.limits.PerToken = 0.001
	for range 5 {
		callAPI(t, a, ada, "POST", "/v1/tenants", M{"name": "acme"})
	}
	require.NoError(t, a.Flush(t.Context()))
	codes := map[string]int{}
	for _, ev := range e.audited("outcome=refused") {
		codes[ev.Code]++
	}
	require.Equal(t, map[string]int{string(models.CodeForbidden): 1, string(models.CodeTooManyRequests): 1}, codes)
}
