package api

import (
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/yunshu/yunshu/api/store"
)

// metrics counts and times requests by their route, never by what stands in it.
type metrics struct {
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

func newMetrics(r *prometheus.Registry, s *store.Store) *metrics {
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	f := promauto.With(r)
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "yunshu_postgres_connections", Help: "Connections to Postgres that are open."},
		func() float64 { return float64(s.Pool.Stat().TotalConns()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "yunshu_postgres_connections_busy", Help: "Connections to Postgres that are in use."},
		func() float64 { return float64(s.Pool.Stat().AcquiredConns()) })
	return &metrics{
		duration: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "yunshu_http_request_duration_seconds", Help: "How long requests took.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
		}, []string{"method", "route", "status"}),
		inFlight: f.NewGauge(prometheus.GaugeOpts{Name: "yunshu_http_requests_in_flight", Help: "Requests being answered."}),
	}
}

func (m *metrics) measure(c *gin.Context) {
	start := time.Now()
	m.inFlight.Inc()
	defer m.inFlight.Dec()
	c.Next()
	route := c.FullPath()
	if route == "" {
		route = "none"
	}
	m.duration.WithLabelValues(c.Request.Method, route, strconv.Itoa(c.Writer.Status())).Observe(time.Since(start).Seconds())
}

// countDropped shows how many refusals were counted in the audit log rather than written down one by one.
func (m *metrics) countDropped(r *prometheus.Registry, refusals *store.Refusals) {
	promauto.With(r).NewCounterFunc(prometheus.CounterOpts{Name: "yunshu_audit_refusals_dropped_total", Help: "Refused writes that the audit log only has a count of."},
		func() float64 { return float64(refusals.Dropped()) })
}
