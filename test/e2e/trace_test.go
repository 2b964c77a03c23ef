//go:build e2e

package e2e

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// traces is a collector that every process sends its spans to.
type traces struct {
	*testing.T
	server *httptest.Server

	mu    sync.Mutex
	names map[string][]string // of spans, each with its service, by trace
}

func collect(t *testing.T) *traces {
	t.Helper()
	c := &traces{T: t, names: map[string][]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", c.take)
	c.server = httptest.NewServer(mux)
	t.Cleanup(c.server.Close)
	return c
}

func (c *traces) take(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	var got collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(raw, &got) != nil {
		http.Error(w, "not spans", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, from := range got.GetResourceSpans() {
		service := ""
		for _, a := range from.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range from.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				id := hex.EncodeToString(s.GetTraceId())
				c.names[id] = append(c.names[id], service+" "+s.GetName())
			}
		}
	}
}

// requireOne waits until one trace has all of these.
func (c *traces) requireOne(spans ...string) {
	c.Helper()
	whole := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, names := range c.names {
			if !slices.ContainsFunc(spans, func(s string) bool { return !slices.Contains(names, s) }) {
				return true
			}
		}
		return false
	}
	require.Eventually(c, whole, 30*time.Second, 100*time.Millisecond, "processes send their spans every five seconds; %v", c.names)
}
