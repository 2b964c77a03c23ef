package store

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// Quota is a quota with the names of its tenant and group.
type Quota struct {
	models.Quota
	TenantName string `gorm:"column:tenant_name"`
	GroupName  string `gorm:"column:group_name"`
	Region     string `gorm:"column:region"`
}

const quotaTables = `quotas q JOIN tenants t ON t.id = q.tenant_id LEFT JOIN groups g ON g.id = q.group_id`

const quotaColumns = `q.*, t.full_name AS tenant_name, coalesce(g.name, '') AS group_name, coalesce(g.region, '') AS region`

// Quotas lists the quotas of a tenant.
func (s *Store) Quotas(ctx context.Context, tenant models.ID, p Page) ([]Quota, error) {
	out := []Quota{}
	q := s.DB.WithContext(ctx).Table(quotaTables).Select(quotaColumns).Where("q.tenant_id = ?", tenant)
	if err := p.Of(q, "q.id").Scan(&out).Error; err != nil {
		return nil, fmt.Errorf("list quotas: %w", err)
	}
	return out, nil
}

// FindQuota reads a tenant's quota in a group, or everywhere. It returns nil if there is none.
func FindQuota(db *gorm.DB, tenant models.ID, group *models.ID) (*Quota, error) {
	var out []Quota
	q := db.Table(quotaTables).Select(quotaColumns).Where("q.tenant_id = ? AND q.group_id IS NOT DISTINCT FROM ?::uuid", tenant, group)
	if err := q.Scan(&out).Error; err != nil {
		return nil, fmt.Errorf("read a quota: %w", err)
	}
	if len(out) == 0 {
		return nil, nil
	}
	return &out[0], nil
}

// putQuota counts what the ledger has under the tenant, in the group or everywhere. It counts anew at every change:
// that is exact, since the caller holds the structure lock.
const putQuota = `
INSERT INTO quotas AS q (id, tenant_id, group_id,
	vcpu_limit, memory_mib_limit, storage_gib_limit, gpu_limit, vms_limit, baremetals_limit, clusters_limit, ip_addresses_limit,
	vcpu_used, memory_mib_used, storage_gib_used, gpu_used, vms_used, baremetals_used, clusters_used, ip_addresses_used)
SELECT @id, @tenant, @grp ::uuid,
	@vcpu ::bigint, @memory_mib ::bigint, @storage_gib ::bigint, @gpu ::bigint, @vms ::bigint, @baremetals ::bigint, @clusters ::bigint, @ip_addresses ::bigint,
	coalesce(sum(a.vcpu), 0), coalesce(sum(a.memory_mib), 0), coalesce(sum(a.storage_gib), 0), coalesce(sum(a.gpu), 0),
	coalesce(sum(a.vms), 0), coalesce(sum(a.baremetals), 0), coalesce(sum(a.clusters), 0), coalesce(sum(a.ip_addresses), 0)
FROM allocations a JOIN tenants t ON t.id = a.tenant_id
WHERE t.path @> ARRAY[CAST(@tenant AS uuid)] AND (@grp ::uuid IS NULL OR a.group_id = @grp ::uuid)
ON CONFLICT ON CONSTRAINT quotas_once DO UPDATE SET
	vcpu_limit = excluded.vcpu_limit, memory_mib_limit = excluded.memory_mib_limit, storage_gib_limit = excluded.storage_gib_limit,
	gpu_limit = excluded.gpu_limit, vms_limit = excluded.vms_limit, baremetals_limit = excluded.baremetals_limit,
	clusters_limit = excluded.clusters_limit, ip_addresses_limit = excluded.ip_addresses_limit,
	vcpu_used = excluded.vcpu_used, memory_mib_used = excluded.memory_mib_used, storage_gib_used = excluded.storage_gib_used,
	gpu_used = excluded.gpu_used, vms_used = excluded.vms_used, baremetals_used = excluded.baremetals_used,
	clusters_used = excluded.clusters_used, ip_addresses_used = excluded.ip_addresses_used,
	version = q.version + 1, updated_at = now()`

// PutQuota sets a tenant's limits in a group, or everywhere. It refuses a limit below what is in use, unless over is
// allowed, and promises that its parent, or it itself, cannot keep. The caller restructures.
func PutQuota(db *gorm.DB, t Tenant, group *models.ID, l models.QuotaLimit, over bool) (Quota, error) {
	err := db.Exec(putQuota, map[string]any{
		"id": models.NewID(), "tenant": t.ID, "grp": group, "vcpu": l.VCPU, "memory_mib": l.MemoryMiB, "storage_gib": l.StorageGiB,
		"gpu": l.GPU, "vms": l.VMs, "baremetals": l.Baremetals, "clusters": l.Clusters, "ip_addresses": l.IPAddresses,
	}).Error
	if err != nil {
		return Quota{}, fmt.Errorf("write a quota: %w", err)
	}
	q, err := FindQuota(db, t.ID, group)
	if err != nil {
		return Quota{}, err
	}
	if err := belowUse(*q); err != nil && !over {
		return *q, err
	}
	if err := promises(db, &t); err != nil {
		return *q, err
	}
	if t.ParentID == nil {
		return *q, nil
	}
	var parent Tenant
	if err := db.Take(&parent, "id = ?", *t.ParentID).Error; err != nil {
		return *q, fmt.Errorf("read the tenant above %s: %w", t.FullName, err)
	}
	return *q, promises(db, &parent)
}

// Over lists the resources of which more is in use than the limit.
func (q Quota) Over() []string {
	over := []string{}
	if f := models.AsFault(belowUse(q)); f != nil {
		for _, s := range f.Shortages {
			over = append(over, s.Resource)
		}
	}
	return over
}

// belowUse refuses limits that are smaller than what is in use, and lists every one.
func belowUse(q Quota) error {
	var short []models.Shortage
	for i, used := range q.Used.Amount().Values() {
		if limit := q.Limit.Values()[i]; limit != nil && *limit < used {
			short = append(short, models.Shortage{Resource: models.Resources[i], Where: q.Where(), Limit: limit, Asked: used, Free: 0})
		}
	}
	if len(short) == 0 {
		return nil
	}
	f := models.Faultf(models.CodeInUse, "In %s %d %s are in use, so that the limit cannot be %d. Set it no lower than what is in use, or free something first.",
		q.Where(), short[0].Asked, short[0].Resource, *short[0].Limit)
	f.Shortages = short
	return f
}

// Where names the place of the quota for people.
func (q Quota) Where() string {
	if q.GroupID == nil {
		return "tenant " + q.TenantName
	}
	return fmt.Sprintf("tenant %s in group %s in %s", q.TenantName, q.GroupName, q.Region)
}

// DeleteQuota removes a quota, and with it all of its limits. The caller restructures.
func DeleteQuota(db *gorm.DB, id models.ID) error {
	if err := db.Where("id = ?", id).Delete(&models.Quota{}).Error; err != nil {
		return fmt.Errorf("delete a quota: %w", err)
	}
	return nil
}

// Usage is what a tenant and everything below it use, and every quota that this counts against.
type Usage struct {
	Used   models.Amount
	At     time.Time
	Quotas []Quota // of the tenant and all its ancestors, the root's first
}

const usedBelow = `
SELECT now() AS at, coalesce(sum(a.vcpu), 0) AS vcpu, coalesce(sum(a.memory_mib), 0) AS memory_mib, coalesce(sum(a.storage_gib), 0) AS storage_gib,
	coalesce(sum(a.gpu), 0) AS gpu, coalesce(sum(a.vms), 0) AS vms, coalesce(sum(a.baremetals), 0) AS baremetals,
	coalesce(sum(a.clusters), 0) AS clusters, coalesce(sum(a.ip_addresses), 0) AS ip_addresses
FROM allocations a WHERE a.tenant_id IN (SELECT id FROM tenants WHERE path @> ARRAY[?::uuid])`

// TenantUsage adds up the ledger under a tenant, and reads the quotas that its use counts against.
func (s *Store) TenantUsage(ctx context.Context, t Tenant) (Usage, error) {
	db := s.DB.WithContext(ctx)
	var sum struct {
		models.Amount
		At time.Time `gorm:"column:at"`
	}
	if err := db.Raw(usedBelow, t.ID).Scan(&sum).Error; err != nil {
		return Usage{}, fmt.Errorf("add up what tenant %s uses: %w", t.FullName, err)
	}
	out := Usage{Used: sum.Amount, At: sum.At, Quotas: []Quota{}}
	q := db.Table(quotaTables).Select(quotaColumns).Where("q.tenant_id IN ?", []models.ID(t.Path)).Order("cardinality(t.path), g.region NULLS FIRST, g.name")
	if err := q.Scan(&out.Quotas).Error; err != nil {
		return Usage{}, fmt.Errorf("read the quotas of tenant %s: %w", t.FullName, err)
	}
	return out, nil
}

// FindGroup finds a group by its id, or by the names of its region and itself, such as tw.general.
func FindGroup(db *gorm.DB, ref string) (id models.ID, err error) {
	var out []models.ID
	if err := db.Raw("SELECT id FROM groups WHERE id::text = ? OR region || '.' || name = ?", ref, ref).Scan(&out).Error; err != nil {
		return models.NoID, fmt.Errorf("find a group: %w", err)
	}
	if len(out) == 0 {
		return models.NoID, models.Faultf(models.CodeNotFound, "There is no such group. Name it by its id, or by its region and name, such as tw.general.")
	}
	return out[0], nil
}

// Free is what may still be used by the quotas for everywhere; nil is no limit.
func (u Usage) Free() models.QuotaLimit {
	least := make([]*int64, len(models.Resources))
	for _, q := range u.Quotas {
		if q.GroupID != nil {
			continue
		}
		used := q.Used.Amount().Values()
		for i, limit := range q.Limit.Values() {
			if limit == nil {
				continue
			}
			left := max(0, *limit-used[i])
			if least[i] == nil || left < *least[i] {
				least[i] = &left
			}
		}
	}
	return models.QuotaLimit{VCPU: least[0], MemoryMiB: least[1], StorageGiB: least[2], GPU: least[3], VMs: least[4], Baremetals: least[5], Clusters: least[6], IPAddresses: least[7]}
}
