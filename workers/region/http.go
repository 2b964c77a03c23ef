package region

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler serves /metrics, /healthz (the process lives) and /readyz (every region is served).
func (w *Worker) Handler() http.Handler {
	w.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(w.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(rw http.ResponseWriter, _ *http.Request) { answer(rw, http.StatusOK, "ok", nil) })
	mux.HandleFunc("GET /readyz", w.readyz)
	return mux
}

// readyz lists the regions that are not served yet.
func (w *Worker) readyz(rw http.ResponseWriter, _ *http.Request) {
	var waiting []string
	for _, r := range w.parts {
		if !r.isReady() && !slices.Contains(waiting, r.region) {
			waiting = append(waiting, r.region)
		}
	}
	if len(waiting) > 0 {
		answer(rw, http.StatusServiceUnavailable, "waiting for Temporal", waiting)
		return
	}
	answer(rw, http.StatusOK, "ok", nil)
}

// answer writes a small JSON body.
func answer(rw http.ResponseWriter, code int, status string, regions []string) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(code)
	body := struct {
		Status  string   `json:"status"`
		Regions []string `json:"regions,omitempty"`
	}{status, regions}
	// A client that has gone away is no concern of ours.
	_ = json.NewEncoder(rw).Encode(body)
}
