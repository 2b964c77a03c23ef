package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/postgres"
	"github.com/yunshu/yunshu/vault"
)

func TestMain(m *testing.M) { postgres.Main(m) }

// edge is a whole gateway's HTTP side on a database of its own.
type edge struct {
	t     *testing.T
	dsn   string
	store *store.Store
	api   *API
	admin string // token of an admin of the platform
}

func newEdge(t *testing.T, tune ...func(*pgxpool.Config)) *edge {
	t.Helper()
	dsn := postgres.New(t, "gateway", migrate)
	e := &edge{t: t, dsn: dsn}
	e.store, e.api = openEdge(t, dsn, tune...)
	var err error
	e.admin, err = e.store.Bootstrap(t.Context(), "root", time.Hour)
	require.NoError(t, err)
	return e
}

// newTracedEdge is an edge of which each statement is written down.
func newTracedEdge(t *testing.T) (*edge, *statements) {
	t.Helper()
	asked := &statements{}
	return newEdge(t, asked.trace), asked
}

// openEdge starts one more gateway on a database.
func openEdge(t *testing.T, dsn string, tune ...func(*pgxpool.Config)) (*store.Store, *API) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s, err := store.Open(ctx, postgres.As(dsn, postgres.GatewayRole), tune...)
	require.NoError(t, err)
	t.Cleanup(func() { cancel(); s.Close() })
	s.Keys = store.Keys{Rest: testKeys(t, "s1", 1), Way: testKeys(t, "k1", 2)}
	policies, err := authz.New()
	require.NoError(t, err)
	a := New(Options{
		Store: s, Authz: policies, Accept: accept.New(ctx, accept.Options{Store: s, Authz: policies}),
		Logger: slog.New(slog.DiscardHandler), Version: "test",
	})
	return s, a
}

// testKeys is a set of one key.
func testKeys(t *testing.T, id string, b byte) vault.Keys {
	t.Helper()
	keys, err := vault.Parse(id + "=" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)))
	require.NoError(t, err)
	return keys
}

func migrate(ctx context.Context, dsn string) error {
	if _, err := store.Migrate(ctx, dsn); err != nil {
		return err
	}
	_, err := store.SetUp(ctx, dsn, store.Setup{Runtime: postgres.As(dsn, postgres.GatewayRole)})
	return err
}

// answer is what came back.
type answer struct {
	t      *testing.T
	Status int
	Header http.Header
	Body   []byte
}

// call sends a request. A string is sent as it is, anything else as JSON. Headers come in pairs.
func (e *edge) call(token, method, path string, body any, headers ...string) answer {
	e.t.Helper()
	return callAPI(e.t, e.api, token, method, path, body, headers...)
}

func callAPI(t *testing.T, a *API, token, method, path string, body any, headers ...string) answer {
	t.Helper()
	var sent io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		sent = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		require.NoError(t, err)
		sent = bytes.NewReader(raw)
	}
	r := httptest.NewRequest(method, path, sent)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	ctx, leave := context.WithCancel(r.Context())
	defer leave()
	a.Handler().ServeHTTP(glance{w, leave}, r.WithContext(ctx))
	return answer{t: t, Status: w.Code, Header: w.Result().Header, Body: w.Body.Bytes()}
}

// glance records an answer, and leaves a stream of events as soon as it has begun.
type glance struct {
	*httptest.ResponseRecorder
	leave func()
}

func (g glance) Flush() {
	g.ResponseRecorder.Flush()
	if g.Header().Get("Content-Type") == eventStream {
		g.leave()
	}
}

// is asserts the status and returns the answer.
func (a answer) is(status int) answer {
	a.t.Helper()
	require.Equal(a.t, status, a.Status, "%s", a.Body)
	return a
}

// problem reads a problem of this code.
func (a answer) problem(code models.Code) Problem {
	a.t.Helper()
	require.Equal(a.t, problemType, a.Header.Get("Content-Type"), "%s", a.Body)
	p := decode[Problem](a)
	require.Equal(a.t, code, p.Code, "%s", a.Body)
	require.Equal(a.t, a.Status, p.Status)
	require.Equal(a.t, code.Info().Status, a.Status)
	return p
}

// decode reads the body, which must not have anything unknown.
func decode[T any](a answer) T {
	a.t.Helper()
	var out T
	d := json.NewDecoder(bytes.NewReader(a.Body))
	d.DisallowUnknownFields()
	require.NoError(a.t, d.Decode(&out), "%s", a.Body)
	return out
}

// M is a JSON object.
type M map[string]any

// tenant makes a tenant, below a parent unless that is empty.
func (e *edge) tenant(name, parent string) Tenant {
	e.t.Helper()
	body := M{"name": name}
	if parent != "" {
		body["parent"] = parent
	}
	return decode[Tenant](e.call(e.admin, "POST", "/v1/tenants", body).is(201))
}

// user makes a user and a token for them. Roles are such as admin@acme, or operator for one on the platform.
func (e *edge) user(name string, roles ...string) (token string) {
	e.t.Helper()
	e.call(e.admin, "POST", "/v1/users", M{"name": name}).is(201)
	for _, r := range roles {
		role, tenant := cutRole(r)
		e.call(e.admin, "POST", "/v1/role-bindings", M{"user": name, "role": role, "tenant": tenant}).is(201)
	}
	return decode[NewToken](e.call(e.admin, "POST", "/v1/tokens", M{"user": name, "name": "test"}).is(201)).Secret
}

// cutRole takes a role such as admin@acme apart.
func cutRole(r string) (role, tenant string) {
	role, tenant, _ = strings.Cut(r, "@")
	return role, tenant
}

// count counts the rows of a table.
func (e *edge) count(table string) int {
	e.t.Helper()
	var n int
	require.NoError(e.t, e.store.Pool.QueryRow(e.t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}
