package api

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/tracing"
)

// TestOneTraceLeadsThroughARequest: what a client calls its trace is what answers, the log, the audit and the operation
// call it.
func TestOneTraceLeadsThroughARequest(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	var log bytes.Buffer
	c.api.log = slog.New(tracing.Logs(slog.NewJSONHandler(&log, nil)))
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	from := []string{"Traceparent", "00-" + id + "-00f067aa0ba902b7-01"}
	made := decode[Operation](c.call(c.admin, "POST", "/v1/vms", c.vm("web"), from...).is(202))
	refused := c.call(c.admin, "POST", "/v1/vms", c.vm("web"), from...).problem(models.CodeNameTaken)
	require.Equal(t, id, refused.TraceID)

	events := c.audited("trace_id=" + id)
	story := []string{}
	for _, e := range events {
		require.Equal(t, id, e.TraceID)
		story = append(story, e.Action+" "+e.Outcome)
	}
	require.ElementsMatch(t, []string{"vm.create accepted", "vm.create refused"}, story)
	for d := json.NewDecoder(&log); d.More(); {
		var line struct {
			TraceID string `json:"trace_id"`
			Path    string `json:"path"`
		}
		require.NoError(t, d.Decode(&line))
		if line.Path == "/v1/vms" {
			require.Equal(t, id, line.TraceID)
		}
	}
	var input struct {
		Trace string `json:"trace"`
	}
	var raw []byte
	require.NoError(t, c.store.Pool.QueryRow(t.Context(), "SELECT input FROM operations WHERE id = $1", made.ID).Scan(&raw))
	require.NoError(t, json.Unmarshal(raw, &input))
	require.Regexp(t, "^00-"+id+"-[0-9a-f]{16}-0[01]$", input.Trace)

	// Without one, or with one that is none, the gateway begins its own.
	for _, odd := range []string{"", "no trace", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"} {
		p := c.call(c.admin, "GET", path("vms/%s", models.NewID()), nil, "Traceparent", odd).problem(models.CodeNotFound)
		require.Regexp(t, "^[0-9a-f]{32}$", p.TraceID, odd)
		require.NotEqual(t, id, p.TraceID)
	}
}

// TestASpanOfARequestTellsNoSecret: names of routes and no values, for a collector is somebody else's.
func TestASpanOfARequestTellsNoSecret(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	policies, err := authz.New()
	require.NoError(t, err)
	kept := tracetest.NewSpanRecorder()
	a := New(Options{Store: e.store, Authz: policies, Logger: slog.New(slog.DiscardHandler), Version: "test", Tracer: tracing.Exporting("test", kept)})
	made := decode[NewToken](callAPI(t, a, e.admin, "POST", "/v1/tokens", M{"name": "laptop"}).is(201))
	callAPI(t, a, made.Secret, "GET", path("tokens/%s", made.ID), nil).is(200)
	callAPI(t, a, "", "GET", "/healthz", nil).is(200)
	names := []string{}
	for _, s := range kept.Ended() {
		names = append(names, s.Name())
		for _, at := range s.Attributes() {
			if at.Value.Type() == attribute.STRING {
				require.NotContains(t, at.Value.AsString(), made.Secret)
				require.NotContains(t, at.Value.AsString(), e.admin)
			}
		}
	}
	require.Equal(t, []string{"POST /v1/tokens", "GET /v1/tokens/:id"}, names)
}
