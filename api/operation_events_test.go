package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

// listener reads a stream of events over a real connection.
type listener struct {
	t     *testing.T
	lines *bufio.Scanner
	id    string // of the last event
}

// listen opens a stream on a server whose patience with requests is shorter than what a watch takes to see a change.
func (e *edge) listen(token, path string, headers ...string) *listener {
	e.t.Helper()
	server := httptest.NewUnstartedServer(e.api.Handler())
	server.Config.ReadTimeout = watchEvery
	server.Start()
	ctx, leave := context.WithCancel(context.Background())
	e.t.Cleanup(func() { leave(); server.Close() })
	r, err := http.NewRequestWithContext(ctx, "GET", server.URL+path, nil)
	require.NoError(e.t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(e.t, err)
	e.t.Cleanup(func() { _ = resp.Body.Close() })
	require.Equal(e.t, []any{200, eventStream}, []any{resp.StatusCode, resp.Header.Get("Content-Type")})
	return &listener{t: e.t, lines: bufio.NewScanner(resp.Body)}
}

// next is the next event, or nothing where the stream has ended.
func (l *listener) next() (op Operation, more bool) {
	l.t.Helper()
	for l.lines.Scan() {
		name, value, _ := strings.Cut(l.lines.Text(), ": ")
		switch name {
		case "id":
			l.id = value
		case "data":
			require.NoError(l.t, json.Unmarshal([]byte(value), &op))
			return op, true
		}
	}
	return op, false
}

func (l *listener) must() Operation {
	l.t.Helper()
	op, more := l.next()
	require.True(l.t, more, "the stream ended")
	return op
}

// becomes changes an operation as a report would.
func (e *edge) becomes(id models.ID, state string) {
	e.t.Helper()
	_, err := e.store.Pool.Exec(e.t.Context(), "UPDATE operations SET state = $2, version = version + 1, ended_at = CASE WHEN $2 IN ('succeeded', 'failed', 'cancelled') THEN now() END WHERE id = $1", id, state)
	require.NoError(e.t, err)
}

func TestAStreamTellsAnOperationToItsEnd(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	op := c.createVM(c.admin, "web")
	l := c.listen(c.admin, op.Links.Self+"/events")
	require.Equal(t, models.OperationAccepted, l.must().State)
	require.Equal(t, `"1"`, l.id)

	_, err := c.store.Pool.Exec(t.Context(), `INSERT INTO operation_steps (operation_id, number, name, state, started_at, ended_at)
		VALUES ($1, 1, 'clone', 'succeeded', now() - interval '90 seconds', now())`, op.ID)
	require.NoError(t, err)
	c.becomes(op.ID, "running")
	running := l.must()
	require.Equal(t, models.OperationRunning, running.State)
	require.InDelta(t, 90, *running.Steps[0].Seconds, 1)

	again := c.listen(c.admin, op.Links.Self+"/events", "Last-Event-ID", l.id)
	c.becomes(op.ID, "succeeded")
	require.Equal(t, models.OperationSucceeded, l.must().State)
	require.Equal(t, models.OperationSucceeded, again.must().State, "what the reader had seen is not told again")
	_, more := l.next()
	require.False(t, more, "it ends with the operation")

	last := c.listen(c.admin, op.Links.Self+"/events", "Last-Event-ID", l.id)
	require.Equal(t, models.OperationSucceeded, last.must().State, "whoever comes late learns the end")
}

func TestAStreamTellsOperationsThatMatch(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	first := c.createVM(c.admin, "web-1")
	blocked := c.listen(c.admin, "/v1/operations/events?state=blocked&kind=vm.provision")
	all := c.listen(c.admin, "/v1/operations/events?tenant=acme&subtree=true")
	require.Equal(t, first.ID, all.must().ID)
	second := c.createVM(c.admin, "web-2")
	require.Equal(t, second.ID, all.must().ID)

	c.becomes(first.ID, "blocked")
	require.Equal(t, first.ID, blocked.must().ID)
	require.Equal(t, models.OperationBlocked, all.must().State)
	c.becomes(first.ID, "running")
	require.Equal(t, models.OperationRunning, blocked.must().State, "that it left is told")
	require.Equal(t, models.OperationRunning, all.must().State)

	third := c.createVM(c.admin, "web-3")
	c.becomes(third.ID, "failed")
	got := map[models.ID]models.OperationState{}
	for got[third.ID] != models.OperationFailed {
		op := all.must()
		got[op.ID] = op.State
	}
	require.Len(t, got, 1, "nothing that did not change is told")
}

func TestAStreamEndsWithItsReadersRights(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.api.streams.renew = 0
	op := c.createVM(c.admin, "web")
	viewer := c.user("viewer", "viewer@acme")
	l := c.listen(viewer, op.Links.Self+"/events")
	l.must()
	binding := decode[List[RoleBinding]](c.call(c.admin, "GET", "/v1/role-bindings?user=viewer", nil).is(200)).Items[0]
	c.call(c.admin, "DELETE", path("role-bindings/%s", binding.ID), nil).is(204)
	c.becomes(op.ID, "running")
	_, more := l.next()
	require.False(t, more)
	c.call(viewer, "GET", op.Links.Self+"/events", nil).problem(models.CodeNotFound)
	require.Eventually(t, func() bool { return c.api.streams.open() == 0 }, 5*time.Second, 10*time.Millisecond, "streams close when their connection does")
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	s := newStreams()
	one, other := models.NewID(), models.NewID()
	var leave []func()
	for range streamsEach {
		l, err := s.enter(one)
		require.NoError(t, err)
		leave = append(leave, l)
	}
	_, err := s.enter(one)
	require.True(t, models.IsCode(err, models.CodeTooManyRequests))
	_, err = s.enter(other)
	require.NoError(t, err, "one does not keep others out")
	leave[0]()
	leave[0]() // twice is once
	_, err = s.enter(one)
	require.NoError(t, err)
	for range mostStreams {
		if _, err = s.enter(models.NewID()); err != nil {
			break
		}
	}
	require.True(t, models.IsCode(err, models.CodeTooManyRequests))
	require.Equal(t, mostStreams, s.open())
}

func TestOperationsAreFilteredByAgeAndFault(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	young := c.createVM(c.admin, "young")
	old := models.IDAt(time.Now().Add(-2 * time.Hour))
	_, err := c.store.Pool.Exec(t.Context(), `INSERT INTO operations (id, kind, tenant_id, region, resource_kind, resource_id, resource_name, actor_id, actor, state, input, error_code)
		SELECT $1, 'vm.power', tenant_id, region, 'vm', gen_random_uuid(), 'old', actor_id, actor, 'blocked', '{}', 'unreachable' FROM operations WHERE id = $2`, old, young.ID)
	require.NoError(t, err)
	for query, want := range map[string][]models.ID{
		"older_than=1h": {old}, "older_than=3h": {}, "older_than=1d": {}, "older_than=0s": {young.ID, old}, "older_than=7100s&state=blocked": {old},
		"error_code=unreachable": {old}, "error_code=busy": {}, "resource_kind=vm": {young.ID, old}, "resource_kind=region": {},
	} {
		got := []models.ID{}
		for _, op := range decode[List[Operation]](c.get("/v1/operations?tenant=acme&subtree=true&" + query)).Items {
			got = append(got, op.ID)
		}
		slices.SortFunc(got, func(a, b models.ID) int { return -strings.Compare(a.String(), b.String()) })
		require.Equal(t, want, got, query)
	}
	c.call(c.admin, "GET", "/v1/operations?older_than="+url.QueryEscape("an hour"), nil).problem(models.CodeInvalid)
	page := decode[List[Operation]](c.get("/v1/operations?limit=1&older_than=0s"))
	c.call(c.admin, "GET", fmt.Sprintf("/v1/operations?limit=1&older_than=1h&page_token=%s", page.NextPageToken), nil).problem(models.CodeInvalid)
}
