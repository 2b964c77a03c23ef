package store

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// Assignment is an assignment with the names of what it binds.
type Assignment struct {
	models.Assignment
	ResourceName    string  `gorm:"column:resource_name"`
	Maintainer      *string `gorm:"column:maintainer_name"`
	MaintainerGroup *string `gorm:"column:maintainer_group_name"`
	Path            IDs     `gorm:"column:path"` // of the resource's tenant; empty: the platform
}

const assignmentView = `
SELECT a.*, r.name AS resource_name, m.name AS maintainer_name, g.name AS maintainer_group_name, coalesce(t.path, '{}') AS path
FROM (SELECT a.* FROM assignments a WHERE %s ORDER BY a.id LIMIT ?) a
LEFT JOIN LATERAL (
	SELECT name FROM regions WHERE a.resource_kind = 'region' AND name = a.resource_id
	UNION ALL SELECT name FROM resources WHERE a.resource_kind <> 'region' AND uid = CASE WHEN a.resource_kind <> 'region' THEN a.resource_id::uuid END AND kind = a.resource_kind
) r ON true
LEFT JOIN maintainers m ON m.id = a.maintainer_id
LEFT JOIN maintainer_groups g ON g.id = a.maintainer_group_id
LEFT JOIN tenants t ON t.id = a.tenant_id
ORDER BY a.id`

// AssignmentFilter chooses assignments. Empty fields choose all.
type AssignmentFilter struct {
	Kind, Resource  string
	Maintainer      *models.ID
	MaintainerGroup *models.ID
	IDPage
}

// Assignments lists the assignments of resources of the tenants that someone may see, and their own.
func (s *Store) Assignments(ctx context.Context, see Scope, self models.ID, f AssignmentFilter) ([]Assignment, error) {
	w := new(where).and("a.id > ?", f.After).given("a.resource_kind = ?", f.Kind).given("a.resource_id = ?", f.Resource)
	if f.Maintainer != nil {
		w.and("a.maintainer_id = ?", *f.Maintainer)
	}
	if f.MaintainerGroup != nil {
		w.and("a.maintainer_group_id = ?", *f.MaintainerGroup)
	}
	if !see.All {
		w.and("a.tenant_id IN (SELECT id FROM tenants WHERE path && ?::uuid[]) OR a.id IN (SELECT id FROM assigned_to(?))", see.Tenants, self)
	}
	return assignments(s.DB.WithContext(ctx), w, f.Limit)
}

func assignments(tx *gorm.DB, w *where, limit int) ([]Assignment, error) {
	out, err := rows[Assignment](tx, fmt.Sprintf(assignmentView, w), append(w.args, limit)...)
	if err != nil {
		return nil, fmt.Errorf("list assignments: %w", err)
	}
	return out, nil
}

// FindAssignment reads an assignment.
func FindAssignment(tx *gorm.DB, id models.ID) (Assignment, error) {
	out, err := assignments(tx, new(where).and("a.id = ?", id), 1)
	if err == nil && len(out) == 0 {
		return Assignment{}, models.Faultf(models.CodeNotFound, "There is no such assignment that you can see.")
	}
	if err != nil {
		return Assignment{}, err
	}
	return out[0], nil
}

// IsOwnAssignment reports whether a user is responsible by this very assignment.
func IsOwnAssignment(tx *gorm.DB, user, assignment models.ID) (own bool, err error) {
	err = tx.Raw("SELECT EXISTS (SELECT FROM assigned_to(?) a WHERE a.id = ?)", user, assignment).Scan(&own).Error
	return own, err
}

// holdAssignments lets one transaction at a time change who is responsible for a resource, so that it always has one
// primary, if anyone.
func holdAssignments(tx *gorm.DB, kind, id string) error {
	return tx.Exec("SELECT pg_advisory_xact_lock(708331, hashtext(?))", kind+"/"+id).Error
}

// CreateAssignment makes someone responsible for a resource that cannot go meanwhile. The first is the primary; a later
// primary takes that from the one before.
func CreateAssignment(tx *gorm.DB, a *models.Assignment) error {
	if err := holdAssignments(tx, a.ResourceKind, a.ResourceID); err != nil {
		return fmt.Errorf("lock the assignments of a resource: %w", err)
	}
	if err := demote(tx, *a, a.Primary); err != nil {
		return err
	}
	var any bool
	err := tx.Raw("SELECT EXISTS (SELECT FROM assignments WHERE resource_kind = ? AND resource_id = ?)", a.ResourceKind, a.ResourceID).Scan(&any).Error
	if err != nil {
		return fmt.Errorf("look for other assignments: %w", err)
	}
	a.Primary = a.Primary || !any
	return refused(tx.Create(a).Error, map[string]*models.Fault{
		"assignments_once": models.Faultf(models.CodeNameTaken, "They are responsible for this %s already.", a.ResourceKind),
	})
}

// demote makes the primary of a resource one of the others.
func demote(tx *gorm.DB, a models.Assignment, wanted bool) error {
	if !wanted {
		return nil
	}
	err := tx.Exec(`UPDATE assignments SET is_primary = false, version = version + 1, updated_at = now()
		WHERE resource_kind = ? AND resource_id = ? AND is_primary AND id <> ?`, a.ResourceKind, a.ResourceID, a.ID).Error
	if err != nil {
		return fmt.Errorf("take the place of the primary: %w", err)
	}
	return nil
}

// LockAssignment reads an assignment that is about to change, with all others of its resource held.
func LockAssignment(tx *gorm.DB, id models.ID) (Assignment, error) {
	a, err := FindAssignment(tx, id)
	if err != nil {
		return a, err
	}
	if err := holdAssignments(tx, a.ResourceKind, a.ResourceID); err != nil {
		return a, fmt.Errorf("lock the assignments of a resource: %w", err)
	}
	return FindAssignment(tx, id)
}

// MakePrimary puts an assignment before the others of its resource. The caller has locked it.
func MakePrimary(tx *gorm.DB, a models.Assignment) error {
	if err := demote(tx, a, true); err != nil {
		return err
	}
	err := tx.Exec("UPDATE assignments SET is_primary = true, version = version + 1, updated_at = now() WHERE id = ?", a.ID).Error
	if err != nil {
		return fmt.Errorf("make an assignment the primary: %w", err)
	}
	return nil
}

// DeleteAssignment ends a responsibility. After the primary, the one who has been there longest is it. The caller has
// locked it.
func DeleteAssignment(tx *gorm.DB, a models.Assignment) error {
	if err := tx.Exec("DELETE FROM assignments WHERE id = ?", a.ID).Error; err != nil {
		return fmt.Errorf("delete an assignment: %w", err)
	}
	if !a.Primary {
		return nil
	}
	err := tx.Exec(`UPDATE assignments SET is_primary = true, version = version + 1, updated_at = now()
		WHERE id = (SELECT id FROM assignments WHERE resource_kind = ? AND resource_id = ? ORDER BY id LIMIT 1)`, a.ResourceKind, a.ResourceID).Error
	if err != nil {
		return fmt.Errorf("hand on the place of the primary: %w", err)
	}
	return nil
}
