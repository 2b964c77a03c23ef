package api

import (
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

var anyID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// telling is all that an answer tells, with what the client itself sent left out: two answers that tell the same cannot
// be told apart.
func telling(t *testing.T, a answer, sent ...string) string {
	t.Helper()
	headers := a.Header.Clone()
	headers.Del("X-Request-Id")
	headers.Del("Content-Length")
	raw, err := json.Marshal(headers)
	require.NoError(t, err)
	body := string(a.Body)
	for _, s := range sent {
		body = strings.ReplaceAll(body, s, "<sent>")
	}
	return string(raw) + anyID.ReplaceAllString(body, "<id>")
}

// TestAccessAcrossTenants goes through every endpoint and method of the contract as the admin of another tenant: what
// there is, but is not theirs, answers like what there is not.
func TestAccessAcrossTenants(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.world()
	owned := []string{"tenants", "vms", "operations", "ip-addresses", "role-bindings", "tokens", "assignments"}
	for name, token := range map[string]string{"rival": e.user("rival-owner", "owner@rival"), "nobody": e.user("nobody")} {
		for _, op := range endpoints(e.api) {
			if !strings.Contains(op.Path, "{id}") {
				continue
			}
			where := w.fill(op)
			there := w.tryAt(op, token, where)
			gone := w.tryAt(op, token, anyID.ReplaceAllString(where, models.NewID().String()))
			kind := strings.Split(op.Path, "/")[2]
			if slices.Contains(owned, kind) {
				require.Contains(t, []int{403, 404}, there.Status, "%s as %s: %s", op.OperationID, name, there.Body)
			}
			if there.Status >= 400 {
				require.Equal(t, telling(t, gone), telling(t, there), "%s as %s", op.OperationID, name)
			}
		}
	}
}

// TestReferencesTellNothing does the same for whatever a query or a body refers to.
func TestReferencesTellNothing(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.world()
	rival := e.user("rival-owner", "owner@rival")
	private := models.NewID()
	_, err := e.store.Pool.Exec(t.Context(), `INSERT INTO subnets (id, region, tenant_id, name, cidr, network, range_start, range_end)
		VALUES ($1, 'tw', $2, 'private', '10.9.0.0/16', 'vlan-900', '10.9.0.10', '10.9.255.200')`, private, w.ids["tenants"])
	require.NoError(t, err)
	pairs := map[string][2]string{
		"subnet": {private.String(), models.NewID().String()},
		"tenant": {"acme/dev", "acme/none"}, "parent": {"acme/dev", "acme/none"}, "subtree": {"acme/dev", "acme/none"}, "full_name": {"acme/dev", "acme/none"},
		"resource_id": {w.ids["vms"].String(), models.NewID().String()}, "resource": {w.ids["vms"].String(), models.NewID().String()},
	}
	for _, op := range endpoints(e.api) {
		for _, p := range op.Parameters {
			pair, ok := pairs[p.Name]
			if p.In != "query" || !ok {
				continue
			}
			more := ""
			if p.Name == "resource" {
				more = "&resource_kind=vm"
			}
			there := e.call(rival, op.Method, w.fill(op)+"?"+p.Name+"="+url.QueryEscape(pair[0])+more, nil)
			gone := e.call(rival, op.Method, w.fill(op)+"?"+p.Name+"="+url.QueryEscape(pair[1])+more, nil)
			require.Equal(t, telling(t, gone, pair[1]), telling(t, there, pair[0]), "%s?%s", op.OperationID, p.Name)
		}
		s := bodySchema(e.api, op)
		if s == nil || strings.Contains(op.Path, "{id}") {
			continue
		}
		for name, pair := range pairs {
			if s.Properties[name] == nil {
				continue
			}
			body := w.object(op, s)
			switch name {
			case "resource":
				body["resource_kind"] = "vm"
			case "subnet":
				body["tenant"] = "rival"
			}
			send := func(ref string) answer {
				body[name] = ref
				return e.call(rival, op.Method, w.fill(op), body)
			}
			there, gone := send(pair[0]), send(pair[1])
			require.GreaterOrEqual(t, there.Status, 400, "%s %s: %s", op.OperationID, name, there.Body)
			require.Equal(t, telling(t, gone, pair[1]), telling(t, there, pair[0]), "%s with %s", op.OperationID, name)
		}
	}
}

// object is a good body as an object that can be changed.
func (w *world) object(op *huma.Operation, s *huma.Schema) M {
	w.t.Helper()
	raw, err := json.Marshal(w.body(op, s))
	require.NoError(w.t, err)
	out := M{}
	require.NoError(w.t, json.Unmarshal(raw, &out))
	return out
}

// readOnly are fields that answers have and nobody may set.
var readOnly = []string{"id", "version", "created_at", "updated_at", "created_by", "tenant_id", "parent_id", "user_id", "actor_id", "state", "path", "hash",
	"is_primary", "resource_id", "maintainer_id", "operation_id", "used", "revoked_at", "provider_ref", "hardware_uuid", "bindings", "role_id"}

// TestReadOnlyFieldsCannotBeSet adds to a good body of every endpoint what only answers have.
func TestReadOnlyFieldsCannotBeSet(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.world()
	for _, op := range endpoints(e.api) {
		s := bodySchema(e.api, op)
		if s == nil {
			continue
		}
		body, wanted := w.object(op, s), []string{}
		for _, name := range readOnly {
			if s.Properties[name] == nil {
				body[name] = models.NewID().String()
				wanted = append(wanted, "body."+name)
			}
		}
		p := e.call(e.admin, op.Method, w.fill(op), body).problem(models.CodeInvalid)
		require.Subset(t, wrongFields(p), wanted, op.OperationID)
	}
}

// evil are texts that mean something to SQL, to HTTP, to formats, or to a browser.
var evil = []string{
	`'; DROP TABLE tenants; --`, `' OR '1'='1`, `") OR true --`, `$1 ? @id :name %s %n`, `{a,"b"}`, `\'; SELECT pg_sleep(10); --`,
	"a\r\nX-Evil: yes", "a\nSet-Cookie: evil=1", `<script>alert(1)</script>`, `{{.}} ${jndi:ldap://x}`, `../../etc/passwd`, `🦄\u202e`,
}

// TestTextIsOnlyText puts evil texts into every text field of every body, every query parameter and every header: no
// answer is a failure of ours, none has a header of theirs, and every table is still there.
func TestTextIsOnlyText(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.world()
	tables := slices.Sorted(maps.Keys(e.written()))
	check := func(a answer, say string) {
		require.Less(t, a.Status, 500, "%s: %s", say, a.Body)
		require.Empty(t, a.Header.Get("X-Evil"), say)
		require.Empty(t, a.Header.Get("Set-Cookie"), say)
		for name, values := range a.Header {
			require.NotContains(t, strings.Join(values, ""), "\n", "%s %s", say, name)
		}
	}
	for _, op := range endpoints(e.api) {
		where := w.fill(op)
		s := bodySchema(e.api, op)
		for _, text := range evil {
			for _, p := range op.Parameters {
				say := op.OperationID + " " + p.Name + " " + text
				switch p.In {
				case "query":
					check(e.call(e.admin, "GET", strings.Split(where, "?")[0]+"?"+p.Name+"="+url.QueryEscape(text), nil), say)
				case "header":
					check(e.call(e.admin, op.Method, where, e.plausible(op), p.Name, text), say)
				}
			}
			if s == nil {
				continue
			}
			for name, property := range s.Properties {
				if e.api.schema(property).Type != huma.TypeString {
					continue
				}
				body := w.object(op, s)
				body[name] = text
				query := ""
				if slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.Name == "dry_run" }) {
					query = "?dry_run=true"
				}
				check(e.call(e.admin, op.Method, where+query, body), op.OperationID+" "+name+" "+text)
			}
		}
	}
	require.Equal(t, tables, slices.Sorted(maps.Keys(e.written())))
	for _, text := range evil {
		made := decode[Tenant](e.call(e.admin, "PATCH", path("tenants/%s", w.ids["tenants"]), M{"description": text}).is(200))
		require.Equal(t, text, made.Description)
		require.Equal(t, text, decode[Tenant](e.call(e.admin, "GET", path("tenants/%s", w.ids["tenants"]), nil).is(200)).Description)
	}
}
