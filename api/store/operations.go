package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/models"
)

// Operation is an operation with the names of what it refers to.
type Operation struct {
	models.Operation
	Tenant        *string
	TenantPath    []models.ID
	DispatchAfter time.Time
	Intent        *string // what a person wants of it that was not delivered yet: cancel, resume or abort
}

// OperationFilter narrows a list of operations.
type OperationFilter struct {
	Tenant     *models.ID
	Within     []models.ID // nil: of all, the platform's own included
	States     []string    // nil: any
	Kind       string
	Region     string
	Resource   string // kind of the resource
	ResourceID *models.ID
	Before     models.ID // made before this id would have been; none: at any time
	Since      models.ID // not before this id would have been
	Error      models.Code
	IDPage
}

const namedOperations = `
SELECT o.*, t.full_name AS tenant, t.path AS tenant_path,
	(SELECT i.kind FROM operation_intents i WHERE i.operation_id = o.id AND i.dispatched_at IS NULL ORDER BY i.id DESC LIMIT 1) AS intent
FROM (%s) o LEFT JOIN tenants t ON t.id = o.tenant_id
ORDER BY o.id DESC`

// Operations lists operations, the newest first.
func (s *Store) Operations(ctx context.Context, f OperationFilter) ([]Operation, error) {
	var w where
	w.given("t.kind = ?", f.Kind).given("t.region = ?", f.Region).given("t.resource_kind = ?", f.Resource).given("t.error_code = ?", string(f.Error))
	if f.Before != models.NoID {
		w.and("t.id < ?", f.Before)
	}
	if f.Since != models.NoID {
		w.and("t.id >= ?", f.Since)
	}
	if f.States != nil {
		w.and("t.state = ANY (?)", f.States)
		if !slices.ContainsFunc(f.States, func(s string) bool { return models.OperationState(s).Ended() }) {
			w.and("t.state IN " + active) // said once more, so that Postgres sees that the index of active ones will do
		}
	}
	if f.ResourceID != nil {
		w.and("t.resource_id = ?", *f.ResourceID)
	}
	page, args := owned{table: "operations", tenant: f.Tenant, within: f.Within, page: f.IDPage, newest: true}.sql(w)
	return query[Operation](ctx, s, fmt.Sprintf(namedOperations, page), args...)
}

// Operation reads one operation.
func (s *Store) Operation(ctx context.Context, id models.ID) (Operation, error) {
	ops, err := query[Operation](ctx, s, fmt.Sprintf(namedOperations, "SELECT * FROM operations WHERE id = ?"), id)
	if err == nil && len(ops) == 0 {
		err = pgx.ErrNoRows
	}
	if err != nil {
		return Operation{}, err
	}
	return ops[0], nil
}

// OperationsByID reads several operations.
func (s *Store) OperationsByID(ctx context.Context, ids []models.ID) ([]Operation, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return query[Operation](ctx, s, fmt.Sprintf(namedOperations, "SELECT * FROM operations WHERE id = ANY (?)"), ids)
}

// StepsOf reads the stories of several operations.
func (s *Store) StepsOf(ctx context.Context, ids []models.ID) (map[models.ID][]models.OperationStep, error) {
	steps, err := query[models.OperationStep](ctx, s, "SELECT * FROM operation_steps WHERE operation_id = ANY (?) ORDER BY operation_id, number", ids)
	out := map[models.ID][]models.OperationStep{}
	for _, step := range steps {
		out[step.OperationID] = append(out[step.OperationID], step)
	}
	return out, err
}

// OperationSteps reads an operation's story.
func (s *Store) OperationSteps(ctx context.Context, id models.ID) ([]models.OperationStep, error) {
	return query[models.OperationStep](ctx, s, "SELECT * FROM operation_steps WHERE operation_id = ? ORDER BY number", id)
}

// OperationVersions reads the versions of several operations at once: what those who wait for a change look at.
func (s *Store) OperationVersions(ctx context.Context, ids []models.ID) (map[models.ID]int64, error) {
	got, err := s.Pool.Query(ctx, "SELECT id, version FROM operations WHERE id = ANY ($1)", ids)
	if err != nil {
		return nil, err
	}
	out := make(map[models.ID]int64, len(ids))
	var id models.ID
	var version int64
	_, err = pgx.ForEachRow(got, []any{&id, &version}, func() error {
		out[id] = version
		return nil
	})
	return out, err
}
