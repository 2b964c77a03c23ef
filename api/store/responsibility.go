package store

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
)

// assignable are the tables of the kinds of resources that people can be responsible for, all of which are in the view
// resources.
var assignable = map[string]string{
	"region": "regions", "rack": "racks", "group": "groups", "baremetal": "baremetals", "tenant": "tenants", "vm": "vms",
}

// Assigned is a resource that someone can be responsible for.
type Assigned struct {
	Kind     string
	ID       string // of a region: its name
	Name     string
	Region   string
	TenantID *models.ID
	Path     IDs // of its tenant; empty: the platform's
	Frozen   bool
}

// Resource is the resource as the policies see it.
func (a Assigned) Resource() authz.Resource {
	return authz.Resource{Kind: a.Kind, Path: a.Path, Frozen: a.Frozen}
}

const assignedView = `SELECT r.kind, r.id, r.name, r.region, r.tenant_id, coalesce(t.path, '{}') AS path, coalesce(t.frozen, false) AS frozen
FROM resources r LEFT JOIN tenants t ON t.id = r.tenant_id WHERE `

// one is the condition on the view resources that chooses one resource: of a region by its name, of a tenant by its
// full name or id, of anything else by its id. It names the kind literally, so that the other tables are not looked at.
func one(kind, ref string) (condition string, key any, ok bool) {
	_, known := assignable[kind]
	id, isID := parseID(ref)
	switch {
	case !known:
		return "", nil, false
	case kind == "region" || kind == "tenant" && !isID:
		return "r.kind = '" + kind + "' AND r.name = ?", ref, true
	}
	return "r.kind = '" + kind + "' AND r.uid = ?", id, isID
}

// FindAssigned finds a resource that someone can be responsible for. One of a tenant's kinds that there is not is nowhere.
func FindAssigned(tx *gorm.DB, kind, ref string) (Assigned, error) {
	none := Assigned{Kind: kind}
	if kind == "tenant" || kind == "vm" {
		none.Path = authz.Nowhere
	}
	missing := models.Faultf(models.CodeNotFound, "There is no such %s that you can see.", kind)
	condition, key, ok := one(kind, ref)
	if !ok {
		return none, missing
	}
	out, err := row[Assigned](tx, assignedView+condition, key)
	if NotFound(err) {
		return none, missing.Because(err)
	}
	return out, err
}

// HoldAssigned keeps a resource from going until the transaction ends.
func HoldAssigned(tx *gorm.DB, a Assigned) error {
	column := "id"
	if a.Kind == "region" {
		column = "name"
	}
	var one []int
	if err := tx.Raw("SELECT 1 FROM "+assignable[a.Kind]+" WHERE "+column+" = ? FOR KEY SHARE", a.ID).Scan(&one).Error; err != nil {
		return fmt.Errorf("hold the %s %s: %w", a.Kind, a.Name, err)
	}
	if len(one) == 0 {
		return models.Faultf(models.CodeNotFound, "There is no such %s that you can see.", a.Kind)
	}
	return nil
}

// MaintainsVM asks whether a user ($1) is responsible for a machine ($2), itself or through what it stands in.
const MaintainsVM = `SELECT EXISTS (SELECT FROM resources r JOIN assigned_to($1) a ON a.resource = ANY (r.chain) WHERE r.kind = 'vm' AND r.uid = $2)`

// MaintainsBaremetal asks the same of a physical server. Who looks after a tenant is asked about what it leases, and has no
// rights on the hardware: a tenant cannot give what it does not have.
const MaintainsBaremetal = `SELECT EXISTS (SELECT FROM resources r JOIN assigned_to($1) a ON a.resource = ANY (r.chain) WHERE r.kind = 'baremetal' AND r.uid = $2 AND a.resource_kind <> 'tenant')`

// Maintains reports whether a user is responsible for a resource, itself or through what it stands in. For what there
// is not, it says no.
func Maintains(tx *gorm.DB, user models.ID, kind, id string) (maintains bool, err error) {
	if kind == "drift" {
		return maintainsDrift(tx, user, id)
	}
	condition, key, ok := one(kind, id)
	if !ok {
		return false, nil
	}
	if kind == "baremetal" { // as MaintainsBaremetal
		condition += " AND a.resource_kind <> 'tenant'"
	}
	err = tx.Raw("SELECT EXISTS (SELECT FROM resources r JOIN assigned_to(?) a ON a.resource = ANY (r.chain) WHERE "+condition+")", user, key).Scan(&maintains).Error
	if err != nil {
		return false, fmt.Errorf("ask who maintains %s %s: %w", kind, id, err)
	}
	return maintains, nil
}

// Maintains reports whether a user is responsible for a resource.
func (s *Store) Maintains(ctx context.Context, user models.ID, kind, id string) (bool, error) {
	return Maintains(s.DB.WithContext(ctx), user, kind, id)
}

// Responsible is one who is responsible for a resource, through a link of its chain: itself is the first.
type Responsible struct {
	Link            int
	Kind            string
	ID              string
	Name            string
	AssignmentID    models.ID
	Primary         bool    `gorm:"column:is_primary"`
	MaintainerGroup *string `gorm:"column:maintainer_group"` // through which they are
	Maintainer      string
	DisplayName     string
	Email           string
	Phone           string
	Chat            string
}

const responsibleFor = `
SELECT c.n AS link, a.resource_kind AS kind, a.resource_id AS id, c.name, a.id AS assignment_id, a.is_primary, g.name AS maintainer_group,
	m.name AS maintainer, m.display_name, m.email, m.phone, m.chat
FROM resources r
CROSS JOIN LATERAL unnest(r.chain, r.chain_names) WITH ORDINALITY c (resource, name, n)
JOIN assignments a ON a.resource = c.resource
LEFT JOIN maintainer_groups g ON g.id = a.maintainer_group_id
LEFT JOIN maintainer_group_members i ON i.maintainer_group_id = g.id
JOIN maintainers m ON m.id = coalesce(a.maintainer_id, i.maintainer_id)
WHERE %s
ORDER BY c.n, a.is_primary DESC, a.id, m.name`

// ResponsibleFor lists who is responsible for a resource: of the resource itself first, then up its chain; the primary
// before the others.
func (s *Store) ResponsibleFor(ctx context.Context, r Assigned) ([]Responsible, error) {
	condition, key, _ := one(r.Kind, r.ID)
	out, err := rows[Responsible](s.DB.WithContext(ctx), fmt.Sprintf(responsibleFor, condition), key)
	if err != nil {
		return nil, fmt.Errorf("list who is responsible for %s %s: %w", r.Kind, r.ID, err)
	}
	return out, nil
}

// UnmaintainedFilter chooses among the resources of a kind for which nobody is responsible.
type UnmaintainedFilter struct {
	Kind, Region string
	After        string // key of the last one seen
	Limit        int
}

// Unmaintained lists the resources of a kind for which nobody is responsible, neither for itself nor for anything that
// it stands in, in the order of their ids.
func (s *Store) Unmaintained(ctx context.Context, see Scope, f UnmaintainedFilter) ([]Assigned, error) {
	w := ofKind(f.Kind, f.After).given("r.region = ?", f.Region).and("NOT EXISTS (SELECT FROM assignments a WHERE a.resource = ANY (r.chain))")
	if !see.All {
		w.and("r.tenant_id IN (SELECT id FROM tenants WHERE path && ?::uuid[])", see.Tenants)
	}
	out, err := rows[Assigned](s.DB.WithContext(ctx), assignedView+w.String()+" ORDER BY "+keyOf(f.Kind)+" LIMIT ?", append(w.args, f.Limit)...)
	if err != nil {
		return nil, fmt.Errorf("list resources without a maintainer: %w", err)
	}
	return out, nil
}

// keyOf is the column of the view that lists of a kind are in the order of.
func keyOf(kind string) string {
	if kind == "region" {
		return "r.name"
	}
	return "r.uid"
}

func ofKind(kind, after string) *where {
	w := new(where).and("r.kind = '" + kind + "'")
	if id, ok := parseID(after); ok {
		return w.and(keyOf(kind)+" > ?", id)
	}
	return w.given(keyOf(kind)+" > ?", after)
}

// Responsibility is a resource that someone is responsible for, and through what.
type Responsibility struct {
	Assigned
	AssignmentID models.ID
	ThroughKind  string
	ThroughID    string
	ThroughName  string
	Primary      bool    `gorm:"column:is_primary"`
	Group        *string `gorm:"column:maintainer_group"`
}

// The nearest assignment is what counts for a resource.
const responsibilities = `
SELECT r.kind, r.id, r.name, r.region, r.tenant_id, coalesce(t.path, '{}') AS path, mine.*
FROM resources r
CROSS JOIN LATERAL (
	SELECT a.id AS assignment_id, a.resource_kind AS through_kind, a.resource_id AS through_id,
		r.chain_names[array_position(r.chain, a.resource)] AS through_name, a.is_primary, g.name AS maintainer_group
	FROM assigned_to(?) a LEFT JOIN maintainer_groups g ON g.id = a.maintainer_group_id
	WHERE a.resource = ANY (r.chain)
	ORDER BY array_position(r.chain, a.resource), a.is_primary DESC, a.id LIMIT 1) mine
LEFT JOIN tenants t ON t.id = r.tenant_id
WHERE %s AND r.chain && ARRAY(SELECT resource FROM assigned_to(?))
ORDER BY %s LIMIT ?`

// Responsibilities lists the resources of a kind that a user is responsible for, themselves or through what they stand
// in, in the order of their ids.
func (s *Store) Responsibilities(ctx context.Context, user models.ID, kind, after string, limit int) ([]Responsibility, error) {
	w := ofKind(kind, after)
	args := slices.Concat([]any{user}, w.args, []any{user, limit})
	out, err := rows[Responsibility](s.DB.WithContext(ctx), fmt.Sprintf(responsibilities, w, keyOf(kind)), args...)
	if err != nil {
		return nil, fmt.Errorf("list what someone is responsible for: %w", err)
	}
	return out, nil
}
