package api

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/yunshu/yunshu/activities/gateway"
	"github.com/yunshu/yunshu/models"
)

// scrape is what monitoring sees of a gateway, line by line.
func (e *edge) scrape() []string {
	e.t.Helper()
	e.api.gauges.until = e.api.gauges.until.AddDate(-1, 0, 0) // what it remembers is old
	return strings.Split(string(e.call("", "GET", "/metrics", nil).is(200).Body), "\n")
}

func TestTheGaugesTellHowTheWorkStands(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	first, second := c.createVM(c.admin, "web-1"), c.createVM(c.admin, "web-2")
	c.call(c.admin, "PUT", path("tenants/%s/quotas/everywhere", *first.TenantID), M{"vms": 8}).is(200)
	c.block(second.ID, models.CodeUnreachable)
	c.exec("UPDATE operations SET created_at = now() - interval '1 hour' WHERE id = $1", first.ID)
	c.call(c.admin, "PATCH", "/v1/regions/jp", M{"state": "cordoned"}).is(200)
	c.exec("INSERT INTO drifts (id, region, kind, resource_kind, resource_id, resource_name, message, policy) VALUES ($1, 'tw', 'unreachable', 'baremetal', $1, 'bm-1', 'It does not answer.', 'report')", models.NewID())
	c.exec("INSERT INTO bmcs (baremetal_id, region, address, username, key_id, password) SELECT id, region, 'https://10.0.0.1', 'root', 'k', '' FROM baremetals WHERE region = 'tw' ORDER BY id LIMIT 1")
	c.exec("UPDATE baremetals SET seen_at = now() - interval '1 hour'")
	got := c.scrape()
	got = slices.DeleteFunc(got, func(l string) bool { return !strings.HasPrefix(l, "yunshu_") || strings.HasPrefix(l, "yunshu_http") })
	require.Subset(t, got, []string{
		"yunshu_gauges_up 1", "yunshu_outbox_waiting 2", // the machine, and the import that the fixture made
		`yunshu_operations_active{state="accepted"} 1`, `yunshu_operations_active{state="blocked"} 1`, `yunshu_operations_active{state="running"} 0`,
		`yunshu_quota_used{resource="vms",tenant="acme/dev"} 2`, `yunshu_quota_limit{resource="vms",tenant="acme/dev"} 8`,
		`yunshu_region_ready{region="tw"} 1`, `yunshu_region_ready{region="jp"} 0`,
		`yunshu_drifts_open{kind="unreachable",region="tw"} 1`,
	})
	for _, hour := range []string{"yunshu_outbox_lag_seconds 36", `yunshu_baremetals_seen_seconds{region="tw"} 36`} {
		require.True(t, slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, hour) }), "%s: %v", hour, got)
	}
}

var metricName = regexp.MustCompile(`yunshu_[a-z_]+`)

// TestDashboardsAndAlertsNameWhatThereIs looks at every metric that deploy names.
func TestDashboardsAndAlertsNameWhatThereIs(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	there := map[string]bool{}
	described := make(chan *prometheus.Desc, 100)
	c.api.gauges.Describe(described)
	steps := prometheus.NewRegistry()
	gateway.NewMetrics(describing{steps, described})
	close(described)
	for d := range described {
		there[metricName.FindString(d.String())] = true
	}
	for _, line := range c.scrape() {
		if name, ok := strings.CutPrefix(line, "# HELP "); ok {
			there[strings.Fields(name)[0]] = true
		}
	}
	dashboard, err := os.ReadFile("../deploy/dashboards/yunshu.json")
	require.NoError(t, err)
	require.True(t, json.Valid(dashboard))
	alerts, err := os.ReadFile("../deploy/alerts/yunshu.yaml")
	require.NoError(t, err)
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(alerts, &rules))
	runbook, err := os.ReadFile("../docs/runbook.md")
	require.NoError(t, err)
	require.NotEmpty(t, rules.Groups[0].Rules)
	for _, r := range rules.Groups[0].Rules {
		require.NotEmpty(t, r.Expr, r.Alert)
		require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		require.Contains(t, string(runbook), r.Alert, "the runbook says what to do")
	}
	named := map[string]bool{}
	for _, text := range [][]byte{dashboard, alerts} {
		for _, name := range metricName.FindAllString(string(text), -1) {
			named[regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")] = true
		}
	}
	require.Greater(t, len(named), 15)
	for _, name := range slices.Sorted(maps.Keys(named)) {
		require.True(t, there[name], "%s is named in deploy, but no gateway has it", name)
	}
}

// describing is a registry that also tells what is registered, for metrics that nothing was counted in yet.
type describing struct {
	*prometheus.Registry
	to chan<- *prometheus.Desc
}

func (d describing) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		c.Describe(d.to)
	}
	d.Registry.MustRegister(cs...)
}

func TestReadinessTellsThatTheGatewayStops(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.call("", "GET", "/readyz", nil).is(200)
	e.api.Stop()
	require.Contains(t, string(e.call("", "GET", "/readyz", nil).is(503).Body), "stopping")
}
