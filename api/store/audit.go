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

// AuditEvents lists events, the newest first if the page descends.
func (s *Store) AuditEvents(ctx context.Context, see Scope, f AuditFilter, p Page) ([]AuditEvent, error) {
	q := s.DB.WithContext(ctx).Table("audit_events e").Select("e.*, (SELECT t.full_name FROM tenants t WHERE t.id = e.tenant_id) AS tenant_name")
	q = see.Of(q, "e.tenant_id")
	for column, value := range map[string]string{"e.actor": f.Actor, "e.action": f.Action, "e.resource_id": f.ResourceID, "e.outcome": f.Outcome} {
		if value != "" {
			q = q.Where(column+" = ?", value)
		}
	}
	if f.TenantID != nil {
		q = q.Where("e.tenant_id IN (SELECT id FROM tenants WHERE path @> ?::uuid[])", IDs{*f.TenantID})
	}
	if !f.Since.IsZero() {
		q = q.Where("e.at >= ?", f.Since)
	}
	if !f.Until.IsZero() {
		q = q.Where("e.at < ?", f.Until)
	}
	out := []AuditEvent{}
	if err := p.Of(q, "e.id").Scan(&out).Error; err != nil {
		return nil, fmt.Errorf("list audit events: %w", err)
	}
	return out, nil
}
