package store

import (
	"database/sql/driver"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
)

// IDs is a uuid[] column.
type IDs []models.ID

// Value writes Postgres' text form of an array.
func (ids IDs) Value() (driver.Value, error) {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	return "{" + strings.Join(texts, ",") + "}", nil
}

// Scan reads Postgres' text form of an array.
func (ids *IDs) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("scan uuid[] from %T", v)
	}
	*ids = IDs{}
	for text := range strings.SplitSeq(strings.Trim(s, "{}"), ",") {
		if text == "" {
			continue
		}
		id, err := uuid.Parse(text)
		if err != nil {
			return fmt.Errorf("scan uuid[]: %w", err)
		}
		*ids = append(*ids, id)
	}
	return nil
}

// GormDataType names the column's type.
func (IDs) GormDataType() string { return "uuid[]" }

// Scope is what an actor may see: everything, or the tenants that they have a role on and all below these.
type Scope struct {
	All     bool
	Tenants IDs
}

// ScopeOf is the scope of an actor: any role on the platform shows everything.
func ScopeOf(a authz.Actor) Scope { return Scope{All: a.Platform(), Tenants: a.Tenants()} }

// Of adds the scope to a query. column is that of the owning tenant.
func (s Scope) Of(q *gorm.DB, column string) *gorm.DB {
	switch {
	case s.All:
		return q
	case len(s.Tenants) == 0:
		return q.Where("false")
	}
	return q.Where(column+" IN (SELECT id FROM tenants WHERE path && ?::uuid[])", s.Tenants)
}

// Sees reports whether a resource of the tenant with this path is in the scope.
func (s Scope) Sees(path []models.ID) bool {
	if s.All {
		return true
	}
	for _, id := range path {
		for _, mine := range s.Tenants {
			if id == mine {
				return true
			}
		}
	}
	return false
}
