package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// MoveTenant puts a tenant, with everything below it, under another parent, or makes it a root. What it uses counts
// for the new ancestors at once, and is refused where these have too little. The caller restructures.
func MoveTenant(db *gorm.DB, t *Tenant, parent *Tenant) error {
	above, full := IDs{}, t.Name
	if parent != nil {
		above, full = parent.Path, parent.FullName+"/"+t.Name
		if slices.Contains(above, t.ID) {
			return models.Faultf(models.CodeInvalid, "Tenant %s cannot be moved below itself.", t.FullName)
		}
	}
	before := t.Path[:len(t.Path)-1]
	if slices.Equal(above, before) {
		return nil
	}
	if err := movable(db, t, above); err != nil {
		return err
	}
	err := db.Exec(`UPDATE tenants SET path = @above ::uuid[] || path[@depth ::int:], full_name = @full || substr(full_name, @rest),
			version = version + 1, updated_at = now() WHERE path @> @self ::uuid[]`,
		map[string]any{"above": above, "depth": len(t.Path), "full": full, "rest": len(t.FullName) + 1, "self": IDs{t.ID}}).Error
	if err := nameOrFault(err, full); err != nil {
		return err
	}
	if err := db.Exec("UPDATE tenants SET parent_id = ? WHERE id = ?", parentID(parent), t.ID).Error; err != nil {
		return fmt.Errorf("move tenant %s: %w", t.FullName, err)
	}
	if err := db.Exec("SELECT recount_quotas(?)", slices.Concat(before, above)).Error; err != nil {
		return fmt.Errorf("count what the ancestors use: %w", err)
	}
	if err := freeze(db, t.ID); err != nil {
		return err
	}
	gained := slices.DeleteFunc(slices.Clone(above), func(id models.ID) bool { return slices.Contains(before, id) })
	if err := fits(db, t.FullName, gained); err != nil {
		return err
	}
	if parent != nil {
		if err := promises(db, parent); err != nil {
			return err
		}
	}
	return reread(db, t)
}

func parentID(parent *Tenant) *models.ID {
	if parent == nil {
		return nil
	}
	return &parent.ID
}

// movable refuses what would be too deep, and what would leave machines in a subnet that is closed to their tenant.
func movable(db *gorm.DB, t *Tenant, above []models.ID) error {
	var levels int
	if err := db.Raw("SELECT max(cardinality(path)) - ? FROM tenants WHERE path @> ?::uuid[]", len(t.Path)-1, IDs{t.ID}).Scan(&levels).Error; err != nil {
		return fmt.Errorf("measure tenant %s: %w", t.FullName, err)
	}
	if len(above)+levels > deepest {
		return models.Faultf(models.CodeInvalid, "Tenants can be nested %d levels deep at most; there it would be %d.", deepest, len(above)+levels)
	}
	var subnets []string
	err := db.Raw(`SELECT DISTINCT s.region || '.' || s.name FROM ip_addresses i JOIN tenants u ON u.id = i.tenant_id JOIN subnets s ON s.id = i.subnet_id
		WHERE u.path @> @self ::uuid[] AND s.tenant_id IS NOT NULL AND NOT s.tenant_id = ANY (@above ::uuid[] || u.path[@depth ::int:]) ORDER BY 1`,
		map[string]any{"self": IDs{t.ID}, "above": IDs(above), "depth": len(t.Path)}).Scan(&subnets).Error
	if err != nil {
		return fmt.Errorf("look where tenant %s has addresses: %w", t.FullName, err)
	}
	if len(subnets) > 0 {
		return models.Faultf(models.CodeInUse, "Tenant %s has addresses in subnets that it may not use from there: %s. Release them first, or open these subnets.", t.FullName, strings.Join(subnets, ", "))
	}
	return nil
}

// fits refuses that a quota of these tenants is exceeded.
func fits(db *gorm.DB, moved string, tenants []models.ID) error {
	var rows []Quota
	if err := db.Table(quotaTables).Select(quotaColumns).Where("q.tenant_id IN ?", tenants).Order("cardinality(t.path), q.id").Scan(&rows).Error; err != nil {
		return fmt.Errorf("read the quotas of the new ancestors: %w", err)
	}
	var short []models.Shortage
	for _, q := range rows {
		if f := models.AsFault(belowUse(q)); f != nil {
			short = append(short, f.Shortages...)
		}
	}
	if short == nil {
		return nil
	}
	f := models.Faultf(models.CodeQuotaExceeded, "What tenant %s uses does not fit there: %s would count %d %s, and its limit is %d. Free something, or ask for a larger quota.",
		moved, short[0].Where, short[0].Asked, short[0].Resource, *short[0].Limit)
	f.Shortages = short
	return f
}

// SuspendTenant makes a tenant, and everything below it, read only; resume ends that, as far as nothing above it is
// suspended. The caller restructures.
func SuspendTenant(db *gorm.DB, t *Tenant, suspend bool) error {
	if suspend == (t.SuspendedAt != nil) {
		return nil
	}
	err := db.Exec("UPDATE tenants SET suspended_at = CASE WHEN ? THEN now() END, version = version + 1, updated_at = now() WHERE id = ?", suspend, t.ID).Error
	if err != nil {
		return fmt.Errorf("suspend or resume tenant %s: %w", t.FullName, err)
	}
	return errors.Join(freeze(db, t.ID), reread(db, t))
}

// reread brings a tenant up to date. It reads into a new one, since what is null now must not keep its old value.
func reread(db *gorm.DB, t *Tenant) error {
	var now Tenant
	if err := db.Take(&now, "id = ?", t.ID).Error; err != nil {
		return fmt.Errorf("read tenant %s again: %w", t.FullName, err)
	}
	*t = now
	return nil
}

// freeze works out anew which tenants below this one are frozen.
func freeze(db *gorm.DB, tenant models.ID) error {
	err := db.Exec(`UPDATE tenants t SET frozen = s.frozen FROM (
			SELECT b.id, EXISTS (SELECT FROM tenants a WHERE a.id = ANY (b.path) AND a.suspended_at IS NOT NULL) AS frozen
			FROM tenants b WHERE b.path @> ?::uuid[]) s
		WHERE s.id = t.id AND t.frozen <> s.frozen`, IDs{tenant}).Error
	if err != nil {
		return fmt.Errorf("work out which tenants are frozen: %w", err)
	}
	return nil
}

// FrozenAbove reports whether what is above a tenant is frozen.
func FrozenAbove(db *gorm.DB, tenant models.ID) (frozen bool, err error) {
	err = db.Raw("SELECT EXISTS (SELECT FROM tenants t JOIN tenants p ON p.id = t.parent_id WHERE t.id = ? AND p.frozen)", tenant).Scan(&frozen).Error
	if err != nil {
		return false, fmt.Errorf("look whether what is above a tenant is frozen: %w", err)
	}
	return frozen, nil
}

// SuspendedAbove lists the tenants above one that are suspended themselves.
func SuspendedAbove(db *gorm.DB, tenant models.ID) ([]Tenant, error) {
	out, err := rows[Tenant](db, `SELECT a.* FROM tenants t JOIN tenants a ON a.id = ANY (t.path) AND a.id <> t.id
		WHERE t.id = ? AND a.suspended_at IS NOT NULL ORDER BY cardinality(a.path)`, tenant)
	if err != nil {
		return nil, fmt.Errorf("look which tenants above one are suspended: %w", err)
	}
	return out, nil
}

// promised reads, for each scope in which a tenant has a quota, what its children are promised in sum.
const promised = `
SELECT q.*, t.full_name AS tenant_name, coalesce(g.name, '') AS group_name, coalesce(g.region, '') AS region,
	s.vcpu AS vcpu_used, s.memory_mib AS memory_mib_used, s.storage_gib AS storage_gib_used, s.gpu AS gpu_used,
	s.vms AS vms_used, s.baremetals AS baremetals_used, s.clusters AS clusters_used, s.ip_addresses AS ip_addresses_used
FROM (SELECT id, tenant_id, group_id, vcpu_limit, memory_mib_limit, storage_gib_limit, gpu_limit, vms_limit, baremetals_limit, clusters_limit, ip_addresses_limit,
		version, created_at, updated_at FROM quotas) q
JOIN tenants t ON t.id = q.tenant_id LEFT JOIN groups g ON g.id = q.group_id
CROSS JOIN LATERAL (
	SELECT coalesce(sum(c.vcpu_limit), 0)::bigint AS vcpu, coalesce(sum(c.memory_mib_limit), 0)::bigint AS memory_mib,
		coalesce(sum(c.storage_gib_limit), 0)::bigint AS storage_gib, coalesce(sum(c.gpu_limit), 0)::bigint AS gpu,
		coalesce(sum(c.vms_limit), 0)::bigint AS vms, coalesce(sum(c.baremetals_limit), 0)::bigint AS baremetals,
		coalesce(sum(c.clusters_limit), 0)::bigint AS clusters, coalesce(sum(c.ip_addresses_limit), 0)::bigint AS ip_addresses
	FROM quotas c JOIN tenants k ON k.id = c.tenant_id WHERE k.parent_id = t.id AND c.group_id IS NOT DISTINCT FROM q.group_id) s
WHERE q.tenant_id = ?`

// promises refuses that the children of a tenant are promised more than it has, unless it overcommits.
func promises(db *gorm.DB, t *Tenant) error {
	if t.Overcommit {
		return nil
	}
	var rows []Quota
	if err := db.Raw(promised, t.ID).Scan(&rows).Error; err != nil {
		return fmt.Errorf("add up what tenant %s promises: %w", t.FullName, err)
	}
	var short []models.Shortage
	for _, q := range rows {
		if f := models.AsFault(belowUse(q)); f != nil {
			short = append(short, f.Shortages...)
		}
	}
	if short == nil {
		return nil
	}
	f := models.Faultf(models.CodeQuotaExceeded, "The tenants right below %s would be promised %d %s, and it has %d. Promise less, give it more, or let it overcommit.",
		short[0].Where, short[0].Asked, short[0].Resource, *short[0].Limit)
	f.Shortages = short
	return f
}

// SetOvercommit lets a tenant promise more than it has, or no longer. The caller restructures.
func SetOvercommit(db *gorm.DB, t *Tenant, on bool) error {
	if err := db.Exec("UPDATE tenants SET overcommit = ? WHERE id = ?", on, t.ID).Error; err != nil {
		return fmt.Errorf("let tenant %s overcommit: %w", t.FullName, err)
	}
	t.Overcommit = on
	return promises(db, t)
}
