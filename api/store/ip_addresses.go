package store

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// IPAddress is a taken address with the names of what it belongs to.
type IPAddress struct {
	models.IPAddress
	Region     string
	Subnet     string
	Tenant     *string
	TenantPath IDs
	// TenantFrozen: the tenant, or one above it, is suspended; nil without a tenant.
	TenantFrozen *bool
	VM           *string
}

// IPAddressFilter narrows a list of addresses.
type IPAddressFilter struct {
	Tenant  *models.ID
	Within  []models.ID // nil: of all
	Subnets []models.ID // nil: any
	VM      *models.ID
	IDPage
}

const namedAddresses = `
SELECT i.*, s.region, s.name AS subnet, t.full_name AS tenant, t.path AS tenant_path, t.frozen AS tenant_frozen, v.name AS vm
FROM (%s) i JOIN subnets s ON s.id = i.subnet_id
LEFT JOIN tenants t ON t.id = i.tenant_id LEFT JOIN vms v ON v.id = i.vm_id
ORDER BY i.id`

// IPAddresses lists taken addresses in the order in which they were taken.
func (s *Store) IPAddresses(ctx context.Context, f IPAddressFilter) ([]IPAddress, error) {
	var w where
	if f.Subnets != nil {
		w.and("t.subnet_id = ANY (?)", f.Subnets)
	}
	if f.VM != nil {
		w.and("t.vm_id = ?", *f.VM)
	}
	page, args := owned{table: "ip_addresses", tenant: f.Tenant, within: f.Within, page: f.IDPage}.sql(w)
	return query[IPAddress](ctx, s, fmt.Sprintf(namedAddresses, page), args...)
}

// FindIPAddress reads one taken address.
func FindIPAddress(db *gorm.DB, id models.ID) (IPAddress, error) {
	return row[IPAddress](db, fmt.Sprintf(namedAddresses, "SELECT * FROM ip_addresses WHERE id = ?"), id)
}

// SubnetsNamed lists the subnets that a name or id may mean, in one region or in all.
func (s *Store) SubnetsNamed(ctx context.Context, ref, region string) ([]models.ID, error) {
	return s.ids(ctx, `SELECT id FROM subnets WHERE (id::text = ? OR name = ?) AND (? = '' OR region = ?)`, ref, ref, region, region)
}

// freeAddress finds the first free address of a range: the range's first, or one behind an address that is taken. Its
// work grows with the addresses taken, not with the range, so it serves IPv6 as well.
const freeAddress = `
SELECT c.address FROM subnets s CROSS JOIN LATERAL (
	SELECT s.range_start AS address
	UNION ALL SELECT s.gateway + 1
	UNION ALL (SELECT i.address + 1 FROM ip_addresses i WHERE i.subnet_id = s.id AND i.address BETWEEN s.range_start AND s.range_end)) c
WHERE s.id = ? AND c.address BETWEEN s.range_start AND s.range_end AND c.address IS DISTINCT FROM s.gateway
	AND NOT EXISTS (SELECT FROM ip_addresses t WHERE t.subnet_id = s.id AND t.address = c.address)
ORDER BY c.address LIMIT 1`

const takeAddress = `
INSERT INTO ip_addresses (id, subnet_id, address, tenant_id, description, created_at) VALUES (?, ?, ?::inet, ?, ?, ?)
ON CONFLICT (subnet_id, address) DO NOTHING`

const countReservation = `
INSERT INTO allocations (resource_id, resource_kind, tenant_id, ip_addresses) VALUES (?, 'ip-address', ?, 1)`

// ReserveAddress takes an address of a subnet for a tenant: the given one, or a free one if none is given. Like an
// accept it takes the address first, then the row of the ledger, and the quota last. The caller shares the structure.
func ReserveAddress(tx *gorm.DB, subnet Subnet, a *models.IPAddress) error {
	take := takeFree
	if a.Address.IsValid() {
		take = takeGiven
	}
	if err := take(tx, subnet, a); err != nil {
		return err
	}
	if err := tx.Exec(countReservation, a.ID, a.TenantID).Error; err != nil {
		return fmt.Errorf("count the reservation in the ledger: %w", err)
	}
	return takeAddressQuota(tx, *a.TenantID)
}

func takeGiven(tx *gorm.DB, subnet Subnet, a *models.IPAddress) error {
	res := tx.Exec(takeAddress, a.ID, a.SubnetID, a.Address, a.TenantID, a.Description, a.CreatedAt)
	if res.Error == nil && res.RowsAffected == 0 {
		return models.Faultf(models.CodeInUse, "The address %s of subnet %s is taken. Choose another, or name none to get a free one.", a.Address, subnet.Name)
	}
	return res.Error
}

func takeFree(tx *gorm.DB, subnet Subnet, a *models.IPAddress) error {
	const attempts = 50 // each lost to someone who took the same address in between
	for range attempts {
		free, err := row[struct{ Address models.Inet }](tx, freeAddress, subnet.ID)
		if NotFound(err) {
			f := models.Faultf(models.CodeAddressesExhausted, "The subnet %s (%s) has no free address between %s and %s. Use another subnet, or release addresses.", subnet.Name, subnet.CIDR, subnet.RangeStart, subnet.RangeEnd)
			f.Shortages = []models.Shortage{{Resource: "ip_addresses", Where: "subnet " + subnet.Name, Asked: 1, Free: 0}}
			return f
		}
		if err != nil {
			return fmt.Errorf("look for a free address: %w", err)
		}
		a.Address = free.Address
		res := tx.Exec(takeAddress, a.ID, a.SubnetID, a.Address, a.TenantID, a.Description, a.CreatedAt)
		if res.Error != nil || res.RowsAffected == 1 {
			return res.Error
		}
	}
	return models.Faultf(models.CodeUnavailable, "Too many others take addresses of subnet %s at this moment. Nothing was changed; try again shortly.", subnet.Name)
}

// addressQuota is a quota row with its owner.
type addressQuota struct {
	ID       models.ID
	FullName string
	Limit    *int64 `gorm:"column:ip_addresses_limit"`
	Used     int64  `gorm:"column:ip_addresses_used"`
}

// takeAddressQuota counts one address against the tenant and all its ancestors. A reservation is in no group. The rows
// are locked in the order of their id, like everywhere.
func takeAddressQuota(tx *gorm.DB, tenant models.ID) error {
	quotas, err := rows[addressQuota](tx, `
SELECT q.id, t.full_name, q.ip_addresses_limit, q.ip_addresses_used FROM quotas q JOIN tenants t ON t.id = q.tenant_id
WHERE q.id IN (SELECT id FROM quotas_of(?, NULL)) ORDER BY q.id FOR UPDATE OF q`, tenant)
	if err != nil {
		return fmt.Errorf("lock the quotas of the tenant: %w", err)
	}
	var short []models.Shortage
	ids := []models.ID{}
	for _, q := range quotas {
		ids = append(ids, q.ID)
		if q.Limit != nil && q.Used+1 > *q.Limit {
			short = append(short, models.Shortage{Resource: "ip_addresses", Where: "tenant " + q.FullName, Limit: q.Limit, Asked: 1, Free: max(0, *q.Limit-q.Used)})
		}
	}
	if short != nil {
		slices.SortFunc(short, func(a, b models.Shortage) int { return len(a.Where) - len(b.Where) })
		f := models.Faultf(models.CodeQuotaExceeded, "The quota of %s does not allow another address: %d of %d are free. Release some, or ask for a larger quota.", short[0].Where, short[0].Free, *short[0].Limit)
		f.Shortages = short
		return f
	}
	return tx.Exec("UPDATE quotas SET ip_addresses_used = ip_addresses_used + 1 WHERE id IN ?", ids).Error
}

// ReleaseAddress gives a reservation back, and what it counted for. The caller shares the structure.
func ReleaseAddress(tx *gorm.DB, a IPAddress) error {
	res := tx.Exec("DELETE FROM ip_addresses WHERE id = ? AND vm_id IS NULL", a.ID)
	if res.Error != nil {
		return fmt.Errorf("release address %s: %w", a.Address, res.Error)
	}
	if res.RowsAffected == 0 {
		return noSuch("ip-address", a.ID.String())
	}
	return tx.Exec("SELECT release(?)", a.ID).Error
}
