package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// Limits are those of a quota. Null, or nothing, is no limit.
type Limits struct {
	_           struct{} `additionalProperties:"false"`
	VCPU        *int64   `json:"vcpu" required:"false" minimum:"0" maximum:"1000000000000" doc:"Virtual CPUs." example:"64"`
	MemoryMiB   *int64   `json:"memory_mib" required:"false" minimum:"0" maximum:"1000000000000" doc:"Memory in MiB." example:"262144"`
	StorageGiB  *int64   `json:"storage_gib" required:"false" minimum:"0" maximum:"1000000000000" doc:"Storage in GiB." example:"4096"`
	GPU         *int64   `json:"gpu" required:"false" minimum:"0" maximum:"1000000000000" doc:"GPUs." example:"4"`
	VMs         *int64   `json:"vms" required:"false" minimum:"0" maximum:"1000000000000" doc:"Virtual machines." example:"20"`
	Baremetals  *int64   `json:"baremetals" required:"false" minimum:"0" maximum:"1000000000000" doc:"Leased physical servers." example:"2"`
	Clusters    *int64   `json:"clusters" required:"false" minimum:"0" maximum:"1000000000000" doc:"Kubernetes clusters." example:"3"`
	IPAddresses *int64   `json:"ip_addresses" required:"false" minimum:"0" maximum:"1000000000000" doc:"IP addresses." example:"32"`
}

func (l Limits) model() models.QuotaLimit {
	return models.QuotaLimit{VCPU: l.VCPU, MemoryMiB: l.MemoryMiB, StorageGiB: l.StorageGiB, GPU: l.GPU, VMs: l.VMs, Baremetals: l.Baremetals, Clusters: l.Clusters, IPAddresses: l.IPAddresses}
}

// Amounts is what is used of everything that a quota counts.
type Amounts struct {
	VCPU        int64 `json:"vcpu" doc:"Virtual CPUs." example:"12"`
	MemoryMiB   int64 `json:"memory_mib" doc:"Memory in MiB." example:"49152"`
	StorageGiB  int64 `json:"storage_gib" doc:"Storage in GiB." example:"600"`
	GPU         int64 `json:"gpu" doc:"GPUs." example:"0"`
	VMs         int64 `json:"vms" doc:"Virtual machines." example:"6"`
	Baremetals  int64 `json:"baremetals" doc:"Leased physical servers." example:"0"`
	Clusters    int64 `json:"clusters" doc:"Kubernetes clusters." example:"0"`
	IPAddresses int64 `json:"ip_addresses" doc:"IP addresses." example:"6"`
}

func wireAmounts(a models.Amount) Amounts {
	return Amounts{VCPU: a.VCPU, MemoryMiB: a.MemoryMiB, StorageGiB: a.StorageGiB, GPU: a.GPU, VMs: a.VMs, Baremetals: a.Baremetals, Clusters: a.Clusters, IPAddresses: a.IPAddresses}
}

// Quota limits what a tenant and everything below it use, in one group or everywhere.
type Quota struct {
	ID        models.ID  `json:"id" format:"uuid" doc:"Id of the quota." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	TenantID  models.ID  `json:"tenant_id" format:"uuid" doc:"The tenant." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6b"`
	Tenant    string     `json:"tenant" doc:"Full name of the tenant." example:"acme/dev"`
	GroupID   *models.ID `json:"group_id,omitempty" format:"uuid" doc:"The group; absent for everywhere." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6c"`
	Group     string     `json:"group,omitempty" doc:"Name of the group." example:"general"`
	Region    string     `json:"region,omitempty" doc:"Region of the group." example:"tw"`
	Limits    Limits     `json:"limits" doc:"What may be used at most; null is no limit."`
	Used      Amounts    `json:"used" doc:"What is used by the tenant and all below it."`
	Over      []string   `json:"over" doc:"Resources of which more is in use than the limit, since the limit was lowered below use." example:"[]"`
	Version   int64      `json:"version" doc:"Counts the changes of the limits; also in ETag." example:"1"`
	CreatedAt time.Time  `json:"created_at" doc:"When the quota was made." example:"2027-01-01T12:00:00Z"`
	UpdatedAt time.Time  `json:"updated_at" doc:"When the limits were last changed." example:"2027-01-01T12:00:00Z"`
}

// Usage is what a tenant uses, beside every quota that this counts against.
type Usage struct {
	TenantID models.ID `json:"tenant_id" format:"uuid" doc:"The tenant." example:"0199d3c8-6d2f-7a51-b9f0-3a4f2f1f6f6a"`
	Tenant   string    `json:"tenant" doc:"Full name of the tenant." example:"acme/dev"`
	At       time.Time `json:"at" doc:"When this was counted." example:"2027-01-01T12:00:00Z"`
	Used     Amounts   `json:"used" doc:"What the tenant and all below it use, everywhere."`
	Free     Limits    `json:"free" doc:"What they may still use: the least that is left by any quota for everywhere, of the tenant or an ancestor. Null is no limit."`
	Quotas   []Quota   `json:"quotas" doc:"Every quota that the tenant's use counts against: its own and those of its ancestors, the root's first."`
}

// QuotaPath is the input of what is about one quota.
type QuotaPath struct {
	TenantPath
	Group string `path:"group" maxLength:"127" doc:"The word everywhere, or a group by its id or by its region and name." example:"tw.general"`
}

type quotaPut struct {
	QuotaPath
	Precondition
	AllowOver bool `query:"allow_over" doc:"Accept limits below what is in use. Nothing is taken away; nothing more is given until use is below." example:"false"`
	Body      Limits
}

type quotaDelete struct {
	QuotaPath
	Precondition
}

type quotaList struct {
	TenantPath
	Paging
}

func (a *API) registerQuotas(h huma.API) {
	register(h, endpoint{ID: "list-quotas", Method: http.MethodGet, Path: "/v1/tenants/{id}/quotas", Action: "quota.read", Summary: "List the quotas of a tenant"}, a.listQuotas)
	register(h, endpoint{ID: "get-quota", Method: http.MethodGet, Path: "/v1/tenants/{id}/quotas/{group}", Action: "quota.read", Summary: "Read a quota of a tenant"}, a.getQuota)
	register(h, endpoint{ID: "put-quota", Method: http.MethodPut, Path: "/v1/tenants/{id}/quotas/{group}", Action: "quota.update", Summary: "Set a quota of a tenant",
		Description: "Replaces all limits in the group, or everywhere: one that is null, or not given, is removed. A limit below what is in use is refused, unless allow_over says otherwise, and so is what the tenant above does not have to promise, unless it overcommits. Only an admin of what is above the tenant may."}, a.putQuota)
	register(h, endpoint{ID: "delete-quota", Method: http.MethodDelete, Path: "/v1/tenants/{id}/quotas/{group}", Action: "quota.update", Summary: "Remove a quota of a tenant"}, a.deleteQuota)
	register(h, endpoint{ID: "get-usage", Method: http.MethodGet, Path: "/v1/tenants/{id}/usage", Action: "quota.read", Summary: "What a tenant uses, and may still use"}, a.getUsage)
}

func (a *API) listQuotas(ctx context.Context, in *quotaList) (*ListOutput[Quota], error) {
	t, err := a.visibleTenant(ctx, in.ID.String())
	if err != nil {
		return nil, err
	}
	filter := "quotas of " + t.ID.String()
	after, err := in.afterID(filter)
	if err != nil {
		return nil, err
	}
	rows, err := a.store.Quotas(ctx, t.ID, store.Page{After: after, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return pageOf(in.Paging, rows, func(q store.Quota) string { return q.ID.String() }, wireQuota, filter), nil
}

func (a *API) getQuota(ctx context.Context, in *QuotaPath) (*Resource[Quota], error) {
	t, err := a.visibleTenant(ctx, in.ID.String())
	if err != nil {
		return nil, err
	}
	db := a.store.DB.WithContext(ctx)
	group, err := quotaGroup(db, in.Group)
	if err != nil {
		return nil, err
	}
	q, err := store.FindQuota(db, t.ID, group)
	if err != nil {
		return nil, err
	}
	if q == nil {
		return nil, noQuota(t)
	}
	return &Resource[Quota]{ETag: etag(q.Version), Body: wireQuota(*q)}, nil
}

func noQuota(t store.Tenant) error {
	return models.Faultf(models.CodeNotFound, "Tenant %s has no quota there.", t.FullName)
}

// quotaGroup reads the last part of a quota's path; nil is everywhere.
func quotaGroup(db *gorm.DB, ref string) (*models.ID, error) {
	if ref == "everywhere" {
		return nil, nil
	}
	id, err := store.FindGroup(db, ref)
	return &id, err
}

// changeQuota finds the quota that a request wants to change, nil if there is none yet, and authorises the change.
func (a *API) changeQuota(ctx context.Context, tx store.Tx, in QuotaPath, p Precondition) (t store.Tenant, group *models.ID, q *store.Quota, err error) {
	if t, err = store.FindTenant(tx.DB, in.ID.String()); err != nil {
		return t, nil, nil, err
	}
	if err = a.checkAbove(ctx, tx, "quota.update", t); err != nil {
		return t, nil, nil, err
	}
	if group, err = quotaGroup(tx.DB, in.Group); err != nil {
		return t, nil, nil, err
	}
	if q, err = store.FindQuota(tx.DB, t.ID, group); err != nil {
		return t, nil, nil, err
	}
	version := int64(0)
	if q != nil {
		version = q.Version
	}
	return t, group, q, p.holds(version)
}

func (a *API) putQuota(ctx context.Context, in *quotaPut) (*Resource[Quota], error) {
	c := change(ctx, "quota.update")
	c.Restructure = true
	answer, err := store.Write(ctx, a.store, c, func(tx store.Tx) (store.Answer[Quota], error) {
		t, group, _, err := a.changeQuota(ctx, tx, in.QuotaPath, in.Precondition)
		if err != nil {
			return store.Answer[Quota]{}, err
		}
		q, err := store.PutQuota(tx.DB, t, group, in.Body.model(), in.AllowOver)
		if err != nil {
			return store.Answer[Quota]{}, err
		}
		return store.Changed(wireQuota(q), quotaSubject(q)), nil
	})
	if err != nil {
		return nil, err
	}
	return &Resource[Quota]{ETag: etag(answer.Body.Version), Body: answer.Body}, nil
}

func (a *API) deleteQuota(ctx context.Context, in *quotaDelete) (*struct{}, error) {
	c := change(ctx, "quota.update")
	c.Restructure = true
	_, err := store.Write(ctx, a.store, c, func(tx store.Tx) (store.Answer[struct{}], error) {
		t, _, q, err := a.changeQuota(ctx, tx, in.QuotaPath, in.Precondition)
		if err != nil {
			return store.Answer[struct{}]{}, err
		}
		if q == nil {
			return store.Answer[struct{}]{}, noQuota(t)
		}
		return store.Answer[struct{}]{Subject: quotaSubject(*q), Detail: map[string]any{"before": wireQuota(*q)}}, store.DeleteQuota(tx.DB, q.ID)
	})
	return nil, err
}

func (a *API) getUsage(ctx context.Context, in *TenantPath) (*Resource[Usage], error) {
	t, err := a.visibleTenant(ctx, in.ID.String())
	if err != nil {
		return nil, err
	}
	u, err := a.store.TenantUsage(ctx, t)
	if err != nil {
		return nil, err
	}
	out := Usage{TenantID: t.ID, Tenant: t.FullName, At: u.At.UTC(), Used: wireAmounts(u.Used), Free: wireLimits(u.Free()), Quotas: []Quota{}}
	for _, q := range u.Quotas {
		out.Quotas = append(out.Quotas, wireQuota(q))
	}
	return &Resource[Usage]{Body: out}, nil
}

func quotaSubject(q store.Quota) store.Subject {
	return store.Subject{Kind: "quota", ID: q.ID.String(), Name: q.Where(), TenantID: &q.TenantID}
}

func wireLimits(l models.QuotaLimit) Limits {
	return Limits{VCPU: l.VCPU, MemoryMiB: l.MemoryMiB, StorageGiB: l.StorageGiB, GPU: l.GPU, VMs: l.VMs, Baremetals: l.Baremetals, Clusters: l.Clusters, IPAddresses: l.IPAddresses}
}

func wireQuota(q store.Quota) Quota {
	return Quota{
		ID: q.ID, TenantID: q.TenantID, Tenant: q.TenantName, GroupID: q.GroupID, Group: q.GroupName, Region: q.Region,
		Limits: wireLimits(q.Limit), Used: wireAmounts(q.Used.Amount()), Over: q.Over(), Version: q.Version, CreatedAt: q.CreatedAt.UTC(), UpdatedAt: q.UpdatedAt.UTC(),
	}
}
