package store

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// Subnet is a subnet with its owner's name and how many of its addresses are taken.
type Subnet struct {
	models.Subnet
	Tenant     *string
	TenantPath IDs   // of the owner; empty: for everyone
	Used       int64 // of the range, gateway aside
}

// SubnetFilter narrows a list of subnets.
type SubnetFilter struct {
	ID                    *models.ID
	Region, Name, Network string
	Tenant                *models.ID // of this very tenant
	See                   Scope      // shared subnets, and those of these tenants, of all below and of all above them
	IDPage
}

const subnetView = `
SELECT s.*, t.full_name AS tenant, coalesce(t.path, '{}') AS tenant_path, (
	SELECT count(*) FROM ip_addresses i
	WHERE i.subnet_id = s.id AND i.address BETWEEN s.range_start AND s.range_end AND i.address IS DISTINCT FROM s.gateway) AS used
FROM (SELECT s.* FROM subnets s WHERE %s) s LEFT JOIN tenants t ON t.id = s.tenant_id
ORDER BY s.id`

// Subnets lists subnets in the order in which they were made. A tenant's subnet serves everyone below the tenant, so
// those who work there see it.
func (s *Store) Subnets(ctx context.Context, f SubnetFilter) ([]Subnet, error) {
	w := new(where).and("s.id > ?", f.After).given("s.region = ?", f.Region).given("s.name = ?", f.Name).given("s.network = ?", f.Network)
	if f.ID != nil {
		w.and("s.id = ?", *f.ID)
	}
	if f.Tenant != nil {
		w.and("s.tenant_id = ?", *f.Tenant)
	}
	if !f.See.All {
		w.and(`s.tenant_id IS NULL OR s.tenant_id IN (SELECT id FROM tenants WHERE path && ?::uuid[])
			OR s.tenant_id IN (SELECT unnest(path) FROM tenants WHERE id = ANY (?::uuid[]))`, f.See.Tenants, f.See.Tenants)
	}
	page := w.String() + " ORDER BY s.id LIMIT ?"
	return rows[Subnet](s.DB.WithContext(ctx), fmt.Sprintf(subnetView, page), append(w.args, f.Limit)...)
}

// Subnet reads one subnet.
func (s *Store) Subnet(ctx context.Context, id models.ID) (Subnet, error) {
	return SubnetByID(s.DB.WithContext(ctx), id)
}

// SubnetByID reads one subnet within a transaction.
func SubnetByID(tx *gorm.DB, id models.ID) (Subnet, error) {
	sub, err := row[Subnet](tx, fmt.Sprintf(subnetView, "s.id = ?"), id)
	return found(sub, err, "subnet", id.String())
}

// LockSubnet reads a subnet that is about to change.
func LockSubnet(tx *gorm.DB, id models.ID) (Subnet, error) {
	if err := locked(tx, "subnets", "id", id); err != nil {
		return found(Subnet{}, err, "subnet", id.String())
	}
	return SubnetByID(tx, id)
}

// SubnetRef finds the subnet that an id, or a name, means. A name that several regions have needs the region.
func SubnetRef(tx *gorm.DB, region, ref string) (Subnet, error) {
	column, value := byName(ref)
	w := new(where).and("s."+column+" = ?", value).given("s.region = ?", region)
	got, err := rows[Subnet](tx, fmt.Sprintf(subnetView, w.String()), w.args...)
	if err != nil || len(got) == 1 {
		return append(got, Subnet{})[0], err
	}
	return Subnet{}, noSuch("subnet", ref)
}

// Overlapping returns a subnet of the same region and network that shares addresses with a CIDR, or nil. The region's
// row is locked first, so that two overlapping subnets cannot be made at once.
func Overlapping(tx *gorm.DB, s models.Subnet) (*models.Subnet, error) {
	if err := locked(tx, "regions", "name", s.Region); err != nil {
		return nil, err
	}
	other, err := row[models.Subnet](tx, "SELECT * FROM subnets WHERE region = ? AND network = ? AND cidr && ?::cidr ORDER BY id LIMIT 1", s.Region, s.Network, s.CIDR)
	if NotFound(err) {
		return nil, nil
	}
	return &other, err
}

// CreateSubnet adds a subnet.
func CreateSubnet(tx *gorm.DB, s *models.Subnet) error {
	return refused(tx.Create(s).Error, map[string]*models.Fault{
		"subnets_name":        taken("subnet", s.Name, " in region "+s.Region),
		"subnets_region_fkey": noSuch("region", s.Region),
	})
}

// UpdateSubnet changes what new machines of a subnet are told: their name servers.
func UpdateSubnet(tx *gorm.DB, s models.Subnet) error {
	return tx.Exec("UPDATE subnets SET dns = ?, version = version + 1, updated_at = now() WHERE id = ?", s.DNS, s.ID).Error
}

// DeleteSubnet removes a subnet of which no address is taken.
func DeleteSubnet(tx *gorm.DB, s models.Subnet) error {
	err := unused(tx, "subnet", s.Name, s.ID,
		[2]string{"vms", "SELECT count(*) FROM vms WHERE subnet_id = ?"},
		[2]string{"reserved addresses", "SELECT count(*) FROM ip_addresses WHERE subnet_id = ? AND vm_id IS NULL"})
	if err != nil {
		return err
	}
	return referenced(tx.Exec("DELETE FROM subnets WHERE id = ?", s.ID).Error, "subnet", s.Name)
}
