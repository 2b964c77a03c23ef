package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/models"
)

// Versioned is a kind of resource whose history is kept.
type Versioned struct {
	Kind  string // as in the audit log
	table string
	key   string // column that identifies one
	path  string // expression of the path of tenants that an image belongs to; empty: the platform's own
}

// Owned says that each of them belongs to a tenant.
func (k Versioned) Owned() bool { return k.path != "" }

const (
	ofTenant = `(SELECT t.path FROM tenants t WHERE t.id = (%s ->> 'tenant_id')::uuid)`
	itself   = `(SELECT array_agg(p::uuid) FROM jsonb_array_elements_text(%s -> 'path') p)`
)

// Kinds whose history is kept, by the first part of their path.
var histories = map[string]Versioned{
	"tenants":        {"tenant", "tenants", "id", itself},
	"users":          {"user", "users", "id", ""},
	"group-bindings": {"group-binding", "group_bindings", "id", ofTenant},
	"role-bindings":  {"role-binding", "role_bindings", "id", ofTenant},
	"regions":        {"region", "regions", "name", ""},
	"racks":          {"rack", "racks", "id", ""},
	"groups":         {"group", "groups", "id", ""},
	"baremetals":     {"baremetal", "baremetals", "id", ""},
	"images":         {"image", "images", "id", ""},
	"flavors":        {"flavor", "flavors", "id", ""},
	"subnets":        {"subnet", "subnets", "id", ofTenant},
	"ip-addresses":   {"ip-address", "ip_addresses", "id", ofTenant},
	"drifts":         {"drift", "drifts", "id", ""},
	"vms":            {"vm", "vms", "id", ofTenant},

	"maintainers":       {"maintainer", "maintainers", "id", ""},
	"maintainer-groups": {"maintainer-group", "maintainer_groups", "id", ""},
	"assignments":       {"assignment", "assignments", "id", ofTenant},
}

// Histories lists the kinds of resources whose history is kept, by the first part of their path.
func Histories() map[string]Versioned { return histories }

// Version is what a resource was for a while.
type Version struct {
	Position  int64           // of the image; the row that there is now comes last
	Until     *time.Time      // nil: it still is
	TxID      *int64          // of the transaction that changed it
	Removed   bool            // that transaction removed it
	Image     json.RawMessage // the row
	Path      []models.ID     // of the tenant that owned it, if one did and it is still there
	HasTenant bool            // it belonged to a tenant
}

// Owner is whose the version was, as far as that is still there. Gone says that the tenant is not.
func (v Version) Owner() (path []models.ID, gone bool) { return v.Path, v.HasTenant && v.Path == nil }

// present stands behind every image.
const present = int64(1<<63 - 1)

// versions lists the images of a resource and the row that there is now, oldest first.
func (k Versioned) versions() string {
	path, has := "NULL::uuid[]", "false"
	if k.path != "" {
		path, has = fmt.Sprintf(k.path, "v.image"), "v.image ->> 'tenant_id' IS NOT NULL"
	}
	if k.path == itself {
		has = "true"
	}
	return fmt.Sprintf(`
SELECT v.position, v.until, v.txid, v.removed, v.image, %s AS path, %s AS has_tenant FROM (
	SELECT position, until, txid, removed, image FROM resource_versions WHERE kind = '%s' AND resource_id = $1
	UNION ALL SELECT %d, NULL, NULL, false, to_jsonb(r) FROM %s r WHERE r.%s::text = $1) v`, path, has, k.Kind, present, k.table, k.key)
}

// History lists what a resource was, the newest first. After is the position behind which the page begins; 0: all.
func (s *Store) History(ctx context.Context, k Versioned, id string, after int64, limit int) ([]Version, error) {
	if after == 0 {
		return s.versionRows(ctx, k.versions()+" ORDER BY v.position DESC LIMIT $2", id, limit)
	}
	return s.versionRows(ctx, k.versions()+" WHERE v.position < $3 ORDER BY v.position DESC LIMIT $2", id, limit, after)
}

// VersionAt is what a resource was at a time, or nil if there was none of it then.
func (s *Store) VersionAt(ctx context.Context, k Versioned, id string, at time.Time) (*Version, error) {
	rows, err := s.versionRows(ctx, k.versions()+` WHERE (v.until IS NULL OR v.until > $2) AND (v.image ->> 'created_at')::timestamptz <= $2
		ORDER BY v.position LIMIT 1`, id, at)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

func (s *Store) versionRows(ctx context.Context, sql string, args ...any) ([]Version, error) {
	rows, err := s.Pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read the history of a resource: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (v Version, err error) {
		return v, row.Scan(&v.Position, &v.Until, &v.TxID, &v.Removed, &v.Image, &v.Path, &v.HasTenant)
	})
	if err != nil {
		return nil, fmt.Errorf("read the history of a resource: %w", err)
	}
	return out, nil
}

// changedBy finds the events of a resource's changes by their transactions; 0 is for the one that made it.
const changedBy = `
SELECT DISTINCT ON (e.txid) ` + auditColumns + ` FROM audit_events e
WHERE e.resource_id = $1 AND e.resource_kind = $2 AND e.txid = ANY ($3) AND e.outcome <> 'refused' ORDER BY e.txid, e.id`

const madeBy = `
SELECT ` + auditColumns + ` FROM audit_events e
WHERE e.resource_id = $1 AND e.resource_kind = $2 AND e.outcome <> 'refused' AND (e.action LIKE '%.create' OR e.action = 'baremetal.enroll') ORDER BY e.id LIMIT 1`

// ChangedBy returns the audit events of a resource's changes by their transactions. The event that made it is under 0.
func (s *Store) ChangedBy(ctx context.Context, kind, id string, transactions []int64) (map[int64]models.AuditEvent, error) {
	out := map[int64]models.AuditEvent{}
	err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		changes, err := auditRows[models.AuditEvent](ctx, tx, changedBy, id, kind, transactions)
		if err != nil {
			return err
		}
		for _, e := range changes {
			out[e.TxID] = e
		}
		made, err := auditRows[models.AuditEvent](ctx, tx, madeBy, id, kind)
		if err == nil && len(made) > 0 {
			out[0] = made[0]
		}
		return err
	})
	return out, err
}

// pastVM reads a VM out of an image, with the names of today of what it referred to, and the operation under way then.
const pastVM = `
SELECT v.*, coalesce(t.full_name, '') AS tenant, t.path AS tenant_path, coalesce(g.name, '') AS "group", coalesce(b.name, '') AS baremetal,
	coalesce(i.name, '') AS image, f.name AS flavor, coalesce(s.name, '') AS subnet, o.id AS operation_id, o.kind AS operation_kind
FROM jsonb_populate_record(NULL::vms, $1::jsonb) v
LEFT JOIN tenants t ON t.id = v.tenant_id
LEFT JOIN groups g ON g.id = v.group_id
LEFT JOIN baremetals b ON b.id = v.baremetal_id
LEFT JOIN images i ON i.id = v.image_id
LEFT JOIN flavors f ON f.id = v.flavor_id
LEFT JOIN subnets s ON s.id = v.subnet_id
LEFT JOIN operations o ON o.resource_id = v.id AND o.created_at <= $2 AND (o.ended_at IS NULL OR o.ended_at > $2)
ORDER BY o.id DESC LIMIT 1`

// PastVM is the VM of a version, as it was at that time.
func (s *Store) PastVM(ctx context.Context, v Version, at time.Time) (VM, error) {
	text := pgx.QueryResultFormats{pgx.TextFormatCode} // the models' own column types read text
	rows, err := s.Pool.Query(ctx, pastVM, text, string(v.Image), at)
	if err != nil {
		return VM{}, fmt.Errorf("read a vm of the past: %w", err)
	}
	out, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[VM])
	if err != nil {
		return VM{}, fmt.Errorf("read a vm of the past: %w", err)
	}
	return out, nil
}
