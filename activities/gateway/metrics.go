package gateway

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/yunshu/yunshu/activities/contract"
)

// Metrics count how operations end, and how long their steps take.
type Metrics struct {
	ended *prometheus.CounterVec
	steps *prometheus.HistogramVec
}

// NewMetrics registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := promauto.With(r)
	return &Metrics{
		ended: f.NewCounterVec(prometheus.CounterOpts{Name: "yunshu_operations_ended_total", Help: "Operations that this gateway's worker saw end."}, []string{"state", "code"}),
		steps: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "yunshu_step_duration_seconds", Help: "How long the steps of operations took, with what they waited.",
			Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200},
		}, []string{"step", "state"}),
	}
}

// observe looks at a report that was applied. The last one of an operation has its whole story.
func (m *Metrics) observe(r contract.Report) {
	if m == nil || !r.State.Ended() {
		return
	}
	code := ""
	if r.Fault != nil {
		code = string(r.Fault.Code)
	}
	m.ended.WithLabelValues(string(r.State), code).Inc()
	for _, s := range r.Steps {
		if !s.Started.IsZero() && !s.Ended.IsZero() {
			m.steps.WithLabelValues(s.Name, string(s.State)).Observe(s.Ended.Sub(s.Started).Seconds())
		}
	}
}
