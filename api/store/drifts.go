package store

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// DriftFilter narrows a list of drifts.
type DriftFilter struct {
	Region, Kind, State, Policy string
	Resource                    *models.ID
	Maintainer                  *models.ID // the user who is responsible for the resource
	IDPage
}

// maintained is the condition that a user ($1) is responsible for the resource of a drift, itself or through what it stands
// in. Who looks after the tenant that leases a machine is not: a drift names its BMC and its parts, as MaintainsBaremetal says.
const maintained = `EXISTS (SELECT FROM resources r JOIN assigned_to(?) a ON a.resource = ANY (r.chain)
	WHERE r.kind = d.resource_kind AND r.uid = d.resource_id AND a.resource_kind <> 'tenant')`

// Drifts lists differences, the newest first.
func (s *Store) Drifts(ctx context.Context, f DriftFilter) ([]models.Drift, error) {
	w := new(where).given("d.region = ?", f.Region).given("d.kind = ?", f.Kind).given("d.state = ?", f.State).given("d.policy = ?", f.Policy)
	if f.After != models.NoID {
		w.and("d.id < ?", f.After)
	}
	if f.Resource != nil {
		w.and("d.resource_id = ?", *f.Resource)
	}
	if f.Maintainer != nil {
		w.and(maintained, *f.Maintainer)
	}
	out, err := rows[models.Drift](s.DB.WithContext(ctx), "SELECT d.* FROM drifts d WHERE "+w.String()+" ORDER BY d.id DESC LIMIT ?", append(w.args, f.Limit)...)
	if err != nil {
		return nil, fmt.Errorf("list drifts: %w", err)
	}
	return out, nil
}

// Drift reads one difference.
func (s *Store) Drift(ctx context.Context, id models.ID) (models.Drift, error) {
	d, err := row[models.Drift](s.DB.WithContext(ctx), "SELECT * FROM drifts WHERE id = ?", id)
	return found(d, err, "drift", id.String())
}

// LockDrift reads a difference that is about to change.
func LockDrift(tx *gorm.DB, id models.ID) (models.Drift, error) {
	d, err := row[models.Drift](tx, "SELECT * FROM drifts WHERE id = ? FOR NO KEY UPDATE", id)
	return found(d, err, "drift", id.String())
}

// UpdateDrift ignores a difference, or opens it again.
func UpdateDrift(tx *gorm.DB, d models.Drift) (models.Drift, error) {
	return row[models.Drift](tx, "UPDATE drifts SET state = ?, reason = ?, version = version + 1, updated_at = now() WHERE id = ? RETURNING *", d.State, d.Reason, d.ID)
}

// maintainsDrift reports whether a user is responsible for the resource of a difference. For one that there is not, it says no.
func maintainsDrift(tx *gorm.DB, user models.ID, drift string) (maintains bool, err error) {
	id, ok := parseID(drift)
	if !ok {
		return false, nil
	}
	err = tx.Raw("SELECT EXISTS (SELECT FROM drifts d WHERE d.id = ? AND "+maintained+")", id, user).Scan(&maintains).Error
	if err != nil {
		return false, fmt.Errorf("ask who maintains what drift %s is about: %w", drift, err)
	}
	return maintains, nil
}
