package region

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"
)

// metrics hands the Temporal SDK's own metrics to Prometheus. The SDK decides on names and tags when it runs, so
// collectors are made when they are first used, one for each name and set of tag keys.
type metrics struct {
	registry *registry
	tags     map[string]string
}

// registry makes and keeps collectors.
type registry struct {
	mu         sync.Mutex
	prometheus prometheus.Registerer
	collectors map[string]prometheus.Collector
}

// newMetrics returns a handler that registers with r.
func newMetrics(r prometheus.Registerer) client.MetricsHandler {
	return metrics{registry: &registry{prometheus: r, collectors: map[string]prometheus.Collector{}}}
}

// WithTags returns a handler with more tags.
func (m metrics) WithTags(tags map[string]string) client.MetricsHandler {
	all := maps.Clone(m.tags)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, tags)
	return metrics{registry: m.registry, tags: all}
}

// Counter returns the counter of this name.
func (m metrics) Counter(name string) client.MetricsCounter {
	vec := collector(m.registry, name, m.keys(), func(keys []string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: "See the metrics of the Temporal SDK."}, keys)
	})
	return counter{vec, m.tags}
}

// Gauge returns the gauge of this name.
func (m metrics) Gauge(name string) client.MetricsGauge {
	vec := collector(m.registry, name, m.keys(), func(keys []string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: "See the metrics of the Temporal SDK."}, keys)
	})
	return gauge{vec, m.tags}
}

// Timer returns the histogram of this name, in seconds.
func (m metrics) Timer(name string) client.MetricsTimer {
	name += "_seconds"
	vec := collector(m.registry, name, m.keys(), func(keys []string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: "See the metrics of the Temporal SDK.", Buckets: prometheus.ExponentialBuckets(0.005, 4, 9),
		}, keys)
	})
	return timer{vec, m.tags}
}

// keys lists the tags' names in order.
func (m metrics) keys() []string { return slices.Sorted(maps.Keys(m.tags)) }

// collector returns the collector of this name and these keys, and makes it if there is none yet. A name that the SDK
// uses with several sets of keys cannot be registered twice, so its later sets are counted but not shown.
func collector[C prometheus.Collector](r *registry, name string, keys []string, build func([]string) C) C {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := name
	for _, k := range keys {
		id += "\x00" + k
	}
	if have, ok := r.collectors[id].(C); ok {
		return have
	}
	made := build(keys)
	r.collectors[id] = made
	// An error says that another set of keys has the name; the comment above says what that means.
	_ = r.prometheus.Register(made)
	return made
}

// counter adds to one series of a vector.
type counter struct {
	vec  *prometheus.CounterVec
	tags map[string]string
}

// Inc adds.
func (c counter) Inc(n int64) { c.vec.With(c.tags).Add(float64(n)) }

// gauge sets one series of a vector.
type gauge struct {
	vec  *prometheus.GaugeVec
	tags map[string]string
}

// Update sets.
func (g gauge) Update(v float64) { g.vec.With(g.tags).Set(v) }

// timer observes in one series of a vector.
type timer struct {
	vec  *prometheus.HistogramVec
	tags map[string]string
}

// Record observes.
func (t timer) Record(d time.Duration) { t.vec.With(t.tags).Observe(d.Seconds()) }
