package api

import (
	"flag"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file, or writes it.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(file, got, 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	is, was := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(is), len(was)) {
		if i >= len(is) || i >= len(was) || is[i] != was[i] {
			require.Equal(t, was[i:min(i+5, len(was))], is[i:min(i+5, len(is))], "%s differs from line %d on; run the test with -update if that is wanted", file, i+1)
		}
	}
}

func TestTheContractIsTheOneInTheRepository(t *testing.T) {
	t.Parallel()
	got, err := Contract()
	require.NoError(t, err)
	golden(t, "openapi.yaml", got)
}

func TestEveryEndpointIsDescribed(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	seen := map[string]bool{}
	for _, op := range endpoints(e.api) {
		say := op.Method + " " + op.Path
		require.Regexp(t, `^[a-z]+(-[a-z]+)+$`, op.OperationID, say)
		require.False(t, seen[op.OperationID], say)
		seen[op.OperationID] = true
		require.NotEmpty(t, op.Summary, say)
		require.NotEmpty(t, op.Metadata[actionKey], say)
		if op.OperationID != "get-sign-in" && op.OperationID != "sign-in" {
			require.Equal(t, []map[string][]string{{"bearer": {}}}, op.Security, say)
		}
		for _, p := range regexp.MustCompile(`\{([a-z_]+)\}`).FindAllStringSubmatch(op.Path, -1) {
			require.True(t, slices.ContainsFunc(op.Parameters, func(q *huma.Param) bool { return q.In == "path" && q.Name == p[1] }), "%s does not read {%s}", say, p[1])
		}
		// An ID token is good for one sign-in, so that a repetition is refused, key or not; and nothing may remember a secret.
		require.Equal(t, op.Method == http.MethodPost && op.OperationID != "sign-in", hasHeader(op, "Idempotency-Key"), say)
		if op.Method == http.MethodGet && strings.HasPrefix(op.OperationID, "list-") {
			require.True(t, slices.ContainsFunc(op.Parameters, func(q *huma.Param) bool { return q.Name == "page_token" }), say)
		}
		for _, p := range op.Parameters {
			require.NotEmpty(t, p.Description, "%s: %s", say, p.Name)
		}
	}
	for name, s := range e.api.OpenAPI().Components.Schemas.Map() {
		for property, p := range s.Properties {
			require.NotEmpty(t, p.Description, "%s.%s has no description", name, property)
		}
		require.NotContains(t, s.Properties, "$schema", name)
	}
}

func hasHeader(op *huma.Operation, name string) bool {
	return slices.ContainsFunc(op.Parameters, func(q *huma.Param) bool { return q.In == "header" && q.Name == name })
}

func TestPlainRoutesAreNotInTheContract(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/openapi.yaml"} {
		e.call("", "GET", path, nil).is(200)
		require.NotContains(t, e.api.OpenAPI().Paths, path)
	}
	page := string(e.call("", "GET", "/docs", nil).Body)
	for _, op := range endpoints(e.api) {
		require.Contains(t, page, `id="`+op.OperationID+`"`)
	}
	served, err := Contract()
	require.NoError(t, err)
	require.True(t, string(served) == string(e.call("", "GET", "/openapi.yaml", nil).Body), "what is served is not the contract")
}
