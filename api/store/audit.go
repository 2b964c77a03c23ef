package store

import (
	"context"
	"encoding/json"
	"fmt"

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

// AuditFilter chooses audit events. Empty fields choose all.
type AuditFilter struct {
	Actor      string
	Action     string
	TenantID   *models.ID // and everything below it
	ResourceID string
	Outcome    string
	Since      string // RFC 3339
	Until      string
}

// AuditEvents lists events, the newest first.
func (s *Store) AuditEvents(ctx context.Context, see Scope, f AuditFilter, p Page) ([]models.AuditEvent, error) {
	q := see.Of(s.DB.WithContext(ctx), "tenant_id")
	for column, value := range map[string]string{"actor": f.Actor, "action": f.Action, "resource_id": f.ResourceID, "outcome": f.Outcome} {
		if value != "" {
			q = q.Where(column+" = ?", value)
		}
	}
	if f.TenantID != nil {
		q = q.Where("tenant_id IN (SELECT id FROM tenants WHERE path @> ARRAY[?::uuid])", f.TenantID)
	}
	if f.Since != "" {
		q = q.Where("at >= ?::timestamptz", f.Since)
	}
	if f.Until != "" {
		q = q.Where("at < ?::timestamptz", f.Until)
	}
	var out []models.AuditEvent
	if err := p.Of(q, "id").Find(&out).Error; err != nil {
		return nil, fmt.Errorf("list audit events: %w", err)
	}
	return out, nil
}
