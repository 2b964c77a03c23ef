package api

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	enums "go.temporal.io/api/enums/v1"
	taskqueue "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// gauges shows to monitoring how the work stands. It asks Postgres and Temporal when it is looked at, and not more often
// than every few seconds.
type gauges struct {
	api *API

	mu    sync.Mutex
	known []prometheus.Metric
	until time.Time
}

const (
	gaugesFor      = 5 * time.Second
	gaugesPatience = 2 * time.Second
)

var (
	outboxWaiting    = describe("outbox_waiting", "Accepted operations and intents that Temporal does not have yet.")
	outboxLag        = describe("outbox_lag_seconds", "How long the oldest of what waits in the outbox has waited.")
	operationsActive = describe("operations_active", "Operations that have not ended.", "state")
	operationOldest  = describe("operation_oldest_seconds", "How long ago the oldest operation in a state was accepted.", "state")
	quotaUsed        = describe("quota_used", "What a tenant and everything below it uses, of the limits that are fullest.", "tenant", "resource")
	quotaLimit       = describe("quota_limit", "What a tenant and everything below it may use.", "tenant", "resource")
	regionReady      = describe("region_ready", "1 if a region takes new work.", "region")
	regionWorkers    = describe("region_workers_polling", "1 if a worker polls for a region's work. Absent while Temporal does not say.", "region")
	queueBacklog     = describe("queue_backlog", "Tasks that wait in a queue, about.", "queue")
	driftsOpen       = describe("drifts_open", "Differences between what is recorded of physical servers and what was seen, that nobody has settled.", "region", "kind")
	serversSeen      = describe("baremetals_seen_seconds", "How long ago any physical server of a region was seen by its BMC.", "region")
	gaugesUp         = describe("gauges_up", "1 if what the other gauges show was read just now.")
	eventStreams     = describe("event_streams", "Streams of events that are open.")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("yunshu_"+name, help, labels, nil)
}

// Describe lists what there is to see.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{outboxWaiting, outboxLag, operationsActive, operationOldest, quotaUsed, quotaLimit, regionReady, regionWorkers, queueBacklog, driftsOpen, serversSeen, gaugesUp, eventStreams} {
		out <- d
	}
}

// Collect shows it.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Now().After(g.until) {
		ctx, cancel := context.WithTimeout(context.Background(), gaugesPatience)
		g.known = g.read(ctx)
		cancel()
		g.until = time.Now().Add(gaugesFor)
	}
	for _, m := range g.known {
		out <- m
	}
	out <- gauge(eventStreams, float64(g.api.streams.open()))
}

func (g *gauges) read(ctx context.Context) []prometheus.Metric {
	got, err := g.api.store.Gauges(ctx)
	if err != nil {
		g.api.log.WarnContext(ctx, "gauges not read", "error", err)
		return []prometheus.Metric{gauge(gaugesUp, 0)}
	}
	return slices.Concat([]prometheus.Metric{
		gauge(gaugesUp, 1), gauge(outboxWaiting, float64(got.OutboxWaiting)), gauge(outboxLag, got.OutboxLag.Seconds()),
	}, operationGauges(got), quotaGauges(got), serverGauges(got), g.regionGauges(ctx, got))
}

// operationGauges shows every state, also those in which nothing is: what is absent raises no alert.
func operationGauges(got store.Gauges) (out []prometheus.Metric) {
	for _, state := range models.ActiveOperation {
		var s store.StateGauge
		if i := slices.IndexFunc(got.Operations, func(g store.StateGauge) bool { return g.State == state }); i >= 0 {
			s = got.Operations[i]
		}
		out = append(out, gauge(operationsActive, float64(s.Count), string(state)), gauge(operationOldest, s.Oldest, string(state)))
	}
	return out
}

func quotaGauges(got store.Gauges) (out []prometheus.Metric) {
	for _, q := range got.Quotas {
		out = append(out, gauge(quotaUsed, float64(q.Used), q.Tenant, q.Resource), gauge(quotaLimit, float64(q.Limit), q.Tenant, q.Resource))
	}
	return out
}

func serverGauges(got store.Gauges) (out []prometheus.Metric) {
	for _, d := range got.Drifts {
		out = append(out, gauge(driftsOpen, float64(d.Count), d.Region, d.Kind))
	}
	for _, s := range got.Seen {
		out = append(out, gauge(serversSeen, s.Seconds, s.Region))
	}
	return out
}

func (g *gauges) regionGauges(ctx context.Context, got store.Gauges) (out []prometheus.Metric) {
	names := slices.Sorted(maps.Keys(got.Regions))
	workers := g.api.workers.ask(ctx, names)
	queues := []string{contract.Gateway}
	for _, name := range names {
		out = append(out, gauge(regionReady, truthOf(got.Regions[name] == "ready"), name))
		if workers[name] != workersUnknown {
			out = append(out, gauge(regionWorkers, truthOf(workers[name] == workersPolling), name))
		}
		queues = append(queues, contract.VMQueue(name))
	}
	for _, s := range got.Seen {
		queues = append(queues, contract.BMQueue(s.Region))
	}
	for _, queue := range queues {
		if n, ok := g.backlog(ctx, queue); ok {
			out = append(out, gauge(queueBacklog, float64(n), queue))
		}
	}
	return out
}

// backlog is about how many tasks wait in a queue.
func (g *gauges) backlog(ctx context.Context, queue string) (n int64, ok bool) {
	if g.api.temporal == nil {
		return 0, false
	}
	ctx, cancel := context.WithTimeout(ctx, temporalPatience)
	defer cancel()
	for _, kind := range []enums.TaskQueueType{enums.TASK_QUEUE_TYPE_WORKFLOW, enums.TASK_QUEUE_TYPE_ACTIVITY} {
		got, err := g.api.temporal.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
			Namespace: g.api.namespace, TaskQueue: &taskqueue.TaskQueue{Name: queue}, TaskQueueType: kind, ReportStats: true,
		})
		if err != nil {
			return 0, false
		}
		n += got.GetStats().GetApproximateBacklogCount()
	}
	return n, true
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func truthOf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
