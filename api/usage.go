package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// UsageDay is what a tenant used at the end of a day.
type UsageDay struct {
	Day     string    `json:"day" doc:"The day, in UTC." example:"2027-01-31"`
	Used    Amounts   `json:"used" doc:"What the tenant and all below it used at its end; of today, until now."`
	Counted time.Time `json:"counted_at" doc:"When that was counted." example:"2027-01-31T23:59:30Z"`
}

// QuotaEvent tells that the use of a quota crossed a threshold.
type QuotaEvent struct {
	ID        models.ID  `json:"id" format:"uuid" doc:"Id of the event." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Tenant    string     `json:"tenant" doc:"Full name of the tenant whose quota it is." example:"acme"`
	TenantID  models.ID  `json:"tenant_id" format:"uuid" doc:"Id of the tenant." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	Group     string     `json:"group,omitempty" doc:"Region and name of the group; absent for everywhere." example:"tw.general"`
	Resource  string     `json:"resource" doc:"What is getting short." example:"vcpu"`
	Threshold int64      `json:"threshold" doc:"What was crossed, in percent of the limit." example:"80"`
	Used      int64      `json:"used" doc:"What was used when it was crossed." example:"13"`
	Limit     int64      `json:"limit" doc:"The limit at that time." example:"16"`
	RaisedAt  time.Time  `json:"raised_at" doc:"When it was seen." example:"2027-01-31T12:00:00Z"`
	ClearedAt *time.Time `json:"cleared_at,omitempty" doc:"When use was seen below it again." example:"2027-02-01T12:00:00Z"`
	Message   string     `json:"message" doc:"The event as a sentence." example:"Tenant acme uses 13 of 16 vcpu: 80 % and more."`
}

// LedgerCheck says whether the books are balanced.
type LedgerCheck struct {
	Balanced bool          `json:"balanced" doc:"Every use is the sum of what lives." example:"true"`
	Findings []LeakFinding `json:"findings" doc:"What is not as it should be."`
}

// LeakFinding is one difference.
type LeakFinding struct {
	Kind         string    `json:"kind" doc:"What kind of difference." example:"quota_sum"`
	ResourceKind string    `json:"resource_kind" doc:"Kind of the resource it is about." example:"quota"`
	ResourceID   models.ID `json:"resource_id" format:"uuid" doc:"Its id." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Message      string    `json:"message" doc:"The difference as a sentence." example:"The quota of tenant acme counts 3 vcpu, but the ledger has 2."`
}

// UsagePeriod is the input of what is about days.
type UsagePeriod struct {
	TenantPath
	From string `query:"from" format:"date" doc:"First day; default: 30 days ago." example:"2027-01-01"`
	To   string `query:"to" format:"date" doc:"Last day; default: today." example:"2027-01-31"`
}

type usageDays struct {
	Body struct {
		Items []UsageDay `json:"items" doc:"Day by day, the oldest first."`
	}
}

type usageCSV struct {
	ContentType string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

type quotaEventList struct {
	Paging
	Tenant  string `query:"tenant" maxLength:"1100" doc:"Only of this tenant, by full name or id." example:"acme"`
	Subtree bool   `query:"subtree" doc:"And of all tenants below it." example:"true"`
	Open    bool   `query:"open" doc:"Only those that are not cleared." example:"true"`
}

func (a *API) registerUsage(h huma.API) {
	register(h, endpoint{ID: "get-usage-days", Method: http.MethodGet, Path: "/v1/tenants/{id}/usage-days", Action: "quota.read", Summary: "What a tenant used, day by day"}, a.getUsageDays)
	register(h, endpoint{ID: "export-usage-days", Method: http.MethodGet, Path: "/v1/tenants/{id}/usage-days.csv", Action: "quota.read", Summary: "The same as a table for spreadsheets"}, a.exportUsageDays)
	register(h, endpoint{ID: "list-quota-events", Method: http.MethodGet, Path: "/v1/quota-events", Action: "quota-event.read", Summary: "List quotas that got nearly full",
		Description: "An event is raised when use reaches 80 and 95 % of a limit, once for each crossing, within about a minute, and cleared when use is below again."}, a.listQuotaEvents)
	register(h, endpoint{ID: "check-ledger", Method: http.MethodGet, Path: "/v1/ledger-check", Action: "ledger.read", Summary: "Prove that every use is the sum of what lives",
		Description: "Adds up the ledger in one snapshot of the database and compares it with quotas, hosts, machines and addresses. It takes no locks and may be asked under load."}, a.checkLedger)
}

// days reads the days of a period.
func (a *API) days(ctx context.Context, in *UsagePeriod) (store.Tenant, []models.UsageDay, error) {
	t, err := a.visibleTenant(ctx, in.ID.String())
	if err != nil {
		return t, nil, err
	}
	to := time.Now().UTC()
	from := to.AddDate(0, 0, -30)
	for text, day := range map[string]*time.Time{in.From: &from, in.To: &to} {
		if text == "" {
			continue
		}
		if *day, err = time.Parse(time.DateOnly, text); err != nil {
			return t, nil, invalid("query", "a day looks like 2027-01-31")
		}
	}
	rows, err := a.store.UsageDays(ctx, t.ID, from, to)
	return t, rows, err
}

func (a *API) getUsageDays(ctx context.Context, in *UsagePeriod) (*usageDays, error) {
	_, rows, err := a.days(ctx, in)
	if err != nil {
		return nil, err
	}
	out := &usageDays{}
	out.Body.Items = []UsageDay{}
	for _, r := range rows {
		out.Body.Items = append(out.Body.Items, UsageDay{Day: r.Day.Format(time.DateOnly), Used: wireAmounts(r.Amount), Counted: r.Counted.UTC()})
	}
	return out, nil
}

func (a *API) exportUsageDays(ctx context.Context, in *UsagePeriod) (*usageCSV, error) {
	t, rows, err := a.days(ctx, in)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	lines := [][]string{append([]string{"day", "tenant"}, models.Resources[:]...)}
	for _, r := range rows {
		line := []string{r.Day.Format(time.DateOnly), t.FullName}
		for _, v := range r.Amount.Values() {
			line = append(line, strconv.FormatInt(v, 10))
		}
		lines = append(lines, line)
	}
	if err := w.WriteAll(lines); err != nil {
		return nil, fmt.Errorf("write the table: %w", err)
	}
	return &usageCSV{ContentType: "text/csv; charset=utf-8", Disposition: `attachment; filename="usage.csv"`, Body: out.Bytes()}, nil
}

func (a *API) listQuotaEvents(ctx context.Context, in *quotaEventList) (*ListOutput[QuotaEvent], error) {
	f := store.QuotaEventFilter{Subtree: in.Subtree, Open: in.Open}
	if in.Tenant != "" {
		t, err := a.visibleTenant(ctx, in.Tenant)
		if err != nil {
			return nil, err
		}
		f.Tenant = &t.ID
	}
	filters := []string{"quota-events", in.Tenant, fmt.Sprint(in.Subtree, in.Open)}
	after, err := in.afterID(filters...)
	if err != nil {
		return nil, err
	}
	rows, err := a.store.QuotaEvents(ctx, store.ScopeOf(actor(ctx)), f, store.Page{After: after, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, rows, func(e store.QuotaEvent) string { return e.ID.String() }, wireQuotaEvent, filters...), nil
}

func wireQuotaEvent(e store.QuotaEvent) QuotaEvent {
	where := "Tenant " + e.TenantName
	if e.GroupName != "" {
		where += " in group " + e.GroupName
	}
	out := QuotaEvent{ID: e.ID, Tenant: e.TenantName, TenantID: e.TenantID, Group: e.GroupName, Resource: e.Resource, Threshold: e.Threshold, Used: e.Used, Limit: e.Max, RaisedAt: e.RaisedAt.UTC(),
		Message: fmt.Sprintf("%s uses %d of %d %s: %d %% and more.", where, e.Used, e.Max, e.Resource, e.Threshold)}
	if e.ClearedAt != nil {
		cleared := e.ClearedAt.UTC()
		out.ClearedAt = &cleared
	}
	return out
}

func (a *API) checkLedger(ctx context.Context, _ *struct{}) (*Resource[LedgerCheck], error) {
	if err := a.check(ctx, actor(ctx), "ledger.read", authz.Resource{Kind: "ledger"}); err != nil {
		return nil, err
	}
	found, err := a.store.CheckLedger(ctx)
	if err != nil {
		return nil, err
	}
	out := LedgerCheck{Balanced: len(found.Findings) == 0, Findings: []LeakFinding{}}
	for _, f := range found.Findings {
		out.Findings = append(out.Findings, LeakFinding{Kind: f.Kind, ResourceKind: f.ResourceKind, ResourceID: f.ResourceID, Message: f.Message})
	}
	return &Resource[LedgerCheck]{Body: out}, nil
}
