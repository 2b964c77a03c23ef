package store

import (
	"context"
	"fmt"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
)

// monthsAhead is how many months the audit log has room for in advance.
const monthsAhead = 3

// KeepAudit makes the audit log's partitions of the coming months, and removes those that are older than the owner of
// the tables wants to keep. It returns how many events were removed. Several gateways may do it at once.
func (s *Store) KeepAudit(ctx context.Context) (removed int64, err error) {
	if _, err := s.Pool.Exec(ctx, "SELECT audit_partitions_ahead($1)", monthsAhead); err != nil {
		return 0, fmt.Errorf("make the audit log's coming partitions: %w", err)
	}
	if err := s.Pool.QueryRow(ctx, "SELECT audit_expire()").Scan(&removed); err != nil {
		return 0, fmt.Errorf("remove the audit log's old partitions: %w", err)
	}
	if removed == 0 {
		return 0, nil
	}
	c := Change{Actor: authz.Actor{Name: "gateway"}, Action: "audit-event.expire"}
	return removed, audit(s.DB.WithContext(ctx), c, Subject{Kind: "audit-event"}, models.AuditDone, map[string]any{"events": removed})
}
