package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// audit writes down a change, or a refused one.
func audit(db *gorm.DB, c Change, on Subject, outcome string, detail any) error {
	e := models.AuditEvent{
		ID: models.NewID(), Actor: c.Actor.Name, Action: c.Action, ResourceKind: on.Kind, ResourceID: on.ID, ResourceName: on.Name,
		TenantID: on.TenantID, RequestID: c.RequestID, Outcome: outcome,
	}
	if c.Actor.ID != models.NoID {
		e.ActorID = &c.Actor.ID
	}
	if detail != nil {
		raw, err := json.Marshal(detail)
		if err != nil {
			return fmt.Errorf("encode the detail of an audit event: %w", err)
		}
		e.Detail = raw
	}
	if err := db.Create(&e).Error; err != nil {
		return fmt.Errorf("write the audit event: %w", err)
	}
	return nil
}

// AuditRefusal writes down a write that was refused for lack of rights.
func (s *Store) AuditRefusal(ctx context.Context, c Change, on Subject) error {
	return audit(s.DB.WithContext(ctx), c, on, "refused", nil)
}

// AuditEvent is an audit event with the name of its tenant, if there still is one.
type AuditEvent struct {
	models.AuditEvent
	TenantName string `gorm:"column:tenant_name"`
}

// AuditFilter chooses audit events. Empty fields choose all.
type AuditFilter struct {
	Actor      string
	Action     string
	TenantID   *models.ID // and everything below it
	ResourceID string
	Outcome    string
	Since      time.Time
	Until      time.Time
}

const namedAuditEvents = `SELECT e.*, coalesce(t.full_name, '') AS tenant_name FROM (%s) e LEFT JOIN tenants t ON t.id = e.tenant_id ORDER BY e.id DESC`

// AuditEvents lists events, the newest first.
func (s *Store) AuditEvents(ctx context.Context, see Scope, f AuditFilter, p IDPage) ([]AuditEvent, error) {
	var w where
	w.given("t.actor = ?", f.Actor).given("t.action = ?", f.Action).given("t.resource_id = ?", f.ResourceID).given("t.outcome = ?", f.Outcome)
	if !f.Since.IsZero() {
		w.and("t.at >= ?", f.Since)
	}
	if !f.Until.IsZero() {
		w.and("t.at < ?", f.Until)
	}
	o := owned{table: "audit_events", page: p, newest: true}
	switch {
	case f.TenantID != nil:
		o.within = []models.ID{*f.TenantID}
	case !see.All:
		o.within = append([]models.ID{}, see.Tenants...)
	}
	page, args := o.sql(w)
	events, err := query[AuditEvent](ctx, s, fmt.Sprintf(namedAuditEvents, page), args...)
	if err != nil {
		return nil, fmt.Errorf("list audit events: %w", err)
	}
	return events, nil
}
