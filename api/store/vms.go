package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/models"
)

// VM is a virtual machine with the names of what it refers to, and the operation under way.
type VM struct {
	models.VM
	Tenant        string
	TenantPath    []models.ID
	Group         string
	Baremetal     string
	Image         string
	Flavor        *string
	Subnet        string
	OperationID   *models.ID
	OperationKind *string
}

// VMFilter narrows a list of VMs. Groups and Baremetals are what a name in the request may mean; nil is any.
type VMFilter struct {
	Tenant     *models.ID  // of this very tenant
	Within     []models.ID // of these tenants and everything below; nil: of all
	Region     string
	Groups     []models.ID
	Baremetals []models.ID
	State      string
	Name       string
	IDPage
}

// namedVMs joins names to a page of VMs. The page is cut before, so that only its rows are looked up.
const namedVMs = `
SELECT v.*, t.full_name AS tenant, t.path AS tenant_path, g.name AS "group", b.name AS baremetal, i.name AS image, f.name AS flavor, s.name AS subnet,
	o.id AS operation_id, o.kind AS operation_kind
FROM (%s) v
JOIN tenants t ON t.id = v.tenant_id
JOIN groups g ON g.id = v.group_id
JOIN baremetals b ON b.id = v.baremetal_id
JOIN images i ON i.id = v.image_id
LEFT JOIN flavors f ON f.id = v.flavor_id
JOIN subnets s ON s.id = v.subnet_id
LEFT JOIN operations o ON o.resource_id = v.id AND o.state IN ` + active + `
ORDER BY v.id`

// VMs lists VMs in the order in which they were made.
func (s *Store) VMs(ctx context.Context, f VMFilter) ([]VM, error) {
	sql, args := f.sql()
	return query[VM](ctx, s, sql, args...)
}

func (f VMFilter) sql() (string, []any) {
	var w where
	w.given("t.region = ?", f.Region).given("t.state = ?", f.State).given("t.name = ?", f.Name)
	if f.Groups != nil {
		w.and("t.group_id = ANY (?)", f.Groups)
	}
	o := owned{table: "vms", tenant: f.Tenant, within: f.Within, byOwner: f.Name != "", page: f.IDPage}
	if f.Baremetals != nil {
		// A host carries few machines: finding them first beats walking all by id. OFFSET keeps it that way round.
		o.table, o.args = "(SELECT * FROM vms WHERE baremetal_id = ANY (?) OFFSET 0)", []any{f.Baremetals}
	}
	page, args := o.sql(w)
	return fmt.Sprintf(namedVMs, page), args
}

// VM reads one VM.
func (s *Store) VM(ctx context.Context, id models.ID) (VM, error) {
	vms, err := query[VM](ctx, s, fmt.Sprintf(namedVMs, "SELECT * FROM vms WHERE id = ?"), id)
	if err == nil && len(vms) == 0 {
		err = pgx.ErrNoRows
	}
	if err != nil {
		return VM{}, err
	}
	return vms[0], nil
}

// query reads rows on the pool's own path, without an ORM in between: for the lists that grow.
func query[T any](ctx context.Context, s *Store, sql string, args ...any) ([]T, error) {
	text := pgx.QueryResultFormats{pgx.TextFormatCode} // the models' own column types read text
	got, err := s.Pool.Query(ctx, dollars(sql), append([]any{text}, args...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(got, pgx.RowToStructByName[T])
}

const (
	groupsNamed     = `SELECT id FROM groups WHERE (id::text = ? OR name = ?) AND (? = '' OR region = ?)`
	baremetalsNamed = `SELECT id FROM baremetals WHERE (id::text = ? OR name = ?) AND (? = '' OR region = ?)`
)

// GroupsNamed lists the groups that a name or id may mean, in one region or in all.
func (s *Store) GroupsNamed(ctx context.Context, ref, region string) ([]models.ID, error) {
	return s.ids(ctx, groupsNamed, ref, ref, region, region)
}

// BaremetalsNamed lists the baremetals that a name or id may mean, in one region or in all.
func (s *Store) BaremetalsNamed(ctx context.Context, ref, region string) ([]models.ID, error) {
	return s.ids(ctx, baremetalsNamed, ref, ref, region, region)
}

func (s *Store) ids(ctx context.Context, sql string, args ...any) ([]models.ID, error) {
	out := []models.ID{}
	return out, s.DB.WithContext(ctx).Raw(sql, args...).Scan(&out).Error
}
