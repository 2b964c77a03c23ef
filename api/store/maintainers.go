package store

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// Maintainer is a maintainer with the name of their account.
type Maintainer struct {
	models.Maintainer
	User *string `gorm:"column:user_name"`
}

const maintainerView = `SELECT m.*, u.name AS user_name FROM maintainers m LEFT JOIN users u ON u.id = m.user_id WHERE `

// Maintainers lists maintainers by their name, or the one of this name.
func (s *Store) Maintainers(ctx context.Context, name string, p NamePage) ([]Maintainer, error) {
	w := new(where).and("m.name > ?", p.After).given("m.name = ?", name)
	return rows[Maintainer](s.DB.WithContext(ctx), maintainerView+w.String()+" ORDER BY m.name LIMIT ?", append(w.args, p.Limit)...)
}

// FindMaintainer finds a maintainer by id or name.
func FindMaintainer(tx *gorm.DB, ref string) (Maintainer, error) {
	column, value := byName(ref)
	m, err := row[Maintainer](tx, maintainerView+"m."+column+" = ?", value)
	return found(m, err, "maintainer", ref)
}

// LockMaintainer reads a maintainer that is about to change.
func LockMaintainer(tx *gorm.DB, id models.ID) (Maintainer, error) {
	if err := locked(tx, "maintainers", "id", id); err != nil {
		return found(Maintainer{}, err, "maintainer", id.String())
	}
	return FindMaintainer(tx, id.String())
}

// CreateMaintainer adds a maintainer.
func CreateMaintainer(tx *gorm.DB, m *models.Maintainer) error {
	return maintainerOrFault(tx.Create(m).Error, m.Name)
}

// UpdateMaintainer changes what is known of a maintainer.
func UpdateMaintainer(tx *gorm.DB, m models.Maintainer) error {
	err := tx.Exec(`UPDATE maintainers SET display_name = ?, email = ?, phone = ?, chat = ?, user_id = ?, version = version + 1, updated_at = now() WHERE id = ?`,
		m.DisplayName, m.Email, m.Phone, m.Chat, m.UserID, m.ID).Error
	return maintainerOrFault(err, m.Name)
}

func maintainerOrFault(err error, name string) error {
	return refused(err, map[string]*models.Fault{
		"maintainers_name": taken("maintainer", name, ""),
		"maintainers_user": models.Faultf(models.CodeInUse, "The user is another maintainer's account already. Every account is one maintainer's at most."),
	})
}

// DeleteMaintainer removes a maintainer who is responsible for nothing.
func DeleteMaintainer(tx *gorm.DB, m models.Maintainer) error {
	err := unused(tx, "maintainer", m.Name, m.ID,
		[2]string{"assignments", "SELECT count(*) FROM assignments WHERE maintainer_id = ?"},
		[2]string{"maintainer groups", "SELECT count(*) FROM maintainer_group_members WHERE maintainer_id = ?"})
	if err != nil {
		return err
	}
	return referenced(tx.Exec("DELETE FROM maintainers WHERE id = ?", m.ID).Error, "maintainer", m.Name)
}

// MaintainerGroup is a maintainer group with the names of its members.
type MaintainerGroup struct {
	models.MaintainerGroup
	Members models.Texts `gorm:"column:members"`
}

const maintainerGroupView = `
SELECT g.*, ARRAY(SELECT m.name FROM maintainer_group_members i JOIN maintainers m ON m.id = i.maintainer_id
	WHERE i.maintainer_group_id = g.id ORDER BY m.name) AS members
FROM maintainer_groups g WHERE `

// MaintainerGroups lists maintainer groups by their name, or the one of this name.
func (s *Store) MaintainerGroups(ctx context.Context, name string, p NamePage) ([]MaintainerGroup, error) {
	w := new(where).and("g.name > ?", p.After).given("g.name = ?", name)
	return rows[MaintainerGroup](s.DB.WithContext(ctx), maintainerGroupView+w.String()+" ORDER BY g.name LIMIT ?", append(w.args, p.Limit)...)
}

// FindMaintainerGroup finds a maintainer group by id or name.
func FindMaintainerGroup(tx *gorm.DB, ref string) (MaintainerGroup, error) {
	column, value := byName(ref)
	g, err := row[MaintainerGroup](tx, maintainerGroupView+"g."+column+" = ?", value)
	return found(g, err, "maintainer-group", ref)
}

// LockMaintainerGroup reads a maintainer group that is about to change.
func LockMaintainerGroup(tx *gorm.DB, id models.ID) (MaintainerGroup, error) {
	if err := locked(tx, "maintainer_groups", "id", id); err != nil {
		return found(MaintainerGroup{}, err, "maintainer-group", id.String())
	}
	return FindMaintainerGroup(tx, id.String())
}

// CreateMaintainerGroup adds a maintainer group with its members.
func CreateMaintainerGroup(tx *gorm.DB, g *models.MaintainerGroup, members []models.ID) error {
	if err := refused(tx.Create(g).Error, map[string]*models.Fault{"maintainer_groups_name": taken("maintainer group", g.Name, "")}); err != nil {
		return err
	}
	return setMembers(tx, g.ID, members)
}

// UpdateMaintainerGroup changes a maintainer group. Members are all that it shall have; nil leaves them as they are.
func UpdateMaintainerGroup(tx *gorm.DB, g models.MaintainerGroup, members []models.ID) error {
	err := tx.Exec("UPDATE maintainer_groups SET description = ?, version = version + 1, updated_at = now() WHERE id = ?", g.Description, g.ID).Error
	if err != nil || members == nil {
		return err
	}
	if err := tx.Exec("DELETE FROM maintainer_group_members WHERE maintainer_group_id = ?", g.ID).Error; err != nil {
		return fmt.Errorf("empty the maintainer group %s: %w", g.Name, err)
	}
	return setMembers(tx, g.ID, members)
}

func setMembers(tx *gorm.DB, group models.ID, members []models.ID) error {
	err := tx.Exec(`INSERT INTO maintainer_group_members (maintainer_group_id, maintainer_id)
		SELECT ?, m FROM unnest(?::uuid[]) m ON CONFLICT DO NOTHING`, group, IDs(members)).Error
	if err != nil {
		return fmt.Errorf("write the members of a maintainer group: %w", err)
	}
	return nil
}

// DeleteMaintainerGroup removes a maintainer group that is responsible for nothing.
func DeleteMaintainerGroup(tx *gorm.DB, g models.MaintainerGroup) error {
	err := unused(tx, "maintainer group", g.Name, g.ID, [2]string{"assignments", "SELECT count(*) FROM assignments WHERE maintainer_group_id = ?"})
	if err != nil {
		return err
	}
	return referenced(tx.Exec("DELETE FROM maintainer_groups WHERE id = ?", g.ID).Error, "maintainer group", g.Name)
}
