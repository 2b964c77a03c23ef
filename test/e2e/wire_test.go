//go:build boot

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/cmd/agent/boot"
	"github.com/yunshu/yunshu/test/bmc/image"
	"github.com/yunshu/yunshu/test/bmc/qemu"
)

// report is what a machine told the gateway, and what became of it.
type report struct {
	boot.Report
	body   []byte
	token  string
	status int
}

// wire is the network between a machine and the gateway, where somebody listens. There is the server of the images, too.
type wire struct {
	*testing.T
	url     string // of the gateway, at this end of the wire
	gateway string

	mu       sync.Mutex
	reports  []report
	failures []error
}

func newWire(t *testing.T, gateway string, made image.Image) *wire {
	t.Helper()
	to, err := url.Parse(gateway)
	require.NoError(t, err)
	w := &wire{T: t, gateway: gateway}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // the gateway tells the machine to report where it was asked
	}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /images/kernel", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, made.Kernel) })
	mux.HandleFunc("GET /images/initrd", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, made.Initrd) })
	mux.Handle("GET /boot/ipxe/{mac}", proxy)
	mux.HandleFunc("POST /boot/report", w.listen(proxy))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// seenStatus is an answer whose status is noted on its way.
type seenStatus struct {
	http.ResponseWriter
	status int
}

func (s *seenStatus) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// listen notes a report on its way.
func (w *wire) listen(next http.Handler) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		heard := report{body: body, token: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")}
		if err == nil {
			err = json.Unmarshal(body, &heard.Report)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := &seenStatus{rw, http.StatusOK}
		next.ServeHTTP(answer, r)
		heard.status = answer.status
		w.mu.Lock()
		defer w.mu.Unlock()
		w.reports = append(w.reports, heard)
		if err != nil {
			w.failures = append(w.failures, err)
		}
	}
}

// last is the how manieth report, which must be the last one so far, and taken.
func (w *wire) last(nth int) report {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	require.Empty(w, w.failures)
	require.Len(w, w.reports, nth)
	r := w.reports[nth-1]
	require.Equal(w, http.StatusNoContent, r.status)
	return r
}

// tokens are all that were used.
func (w *wire) tokens() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, r := range w.reports {
		out = append(out, r.token)
	}
	return out
}

// again sends a report a second time, as somebody does who has listened.
func (w *wire) again(r report) int {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.gateway+"/boot/report", bytes.NewReader(r.body))
	require.NoError(w, err)
	req.Header.Set("Authorization", "Bearer "+r.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w, err)
	require.NoError(w, resp.Body.Close())
	return resp.StatusCode
}

// images are addresses of the images, as a machine reaches them.
func (w *wire) images() (kernel, initrd string) {
	w.Helper()
	inside, err := qemu.Inside(w.url)
	require.NoError(w, err)
	return inside + "/images/kernel", inside + "/images/initrd"
}
