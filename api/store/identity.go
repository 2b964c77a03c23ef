package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
)

// Bearer is who a token belongs to, and until when it is good.
type Bearer struct {
	Actor     authz.Actor
	ExpiresAt time.Time
}

const bearerOf = `
SELECT t.id, t.expires_at, t.tenant_id IS NOT NULL OR t.roles IS NOT NULL, u.id, u.name,
	coalesce((SELECT json_agg(json_build_object('id', b.id, 'role', b.role, 'tenant_id', b.tenant_id) ORDER BY b.id)
		FROM token_bindings b WHERE b.token_id = t.id), '[]')
FROM tokens t JOIN users u ON u.id = t.actor_id
WHERE t.hash = $1 AND t.revoked_at IS NULL AND t.expires_at > now()`

// Bearer finds the actor of a token by its hash, with their roles. The hash is looked up by index, so that comparing
// it leaks nothing of the token. Not-found is a nil bearer.
func (s *Store) Bearer(ctx context.Context, hash []byte) (*Bearer, error) {
	var b Bearer
	var bindings []byte
	err := s.Pool.QueryRow(ctx, bearerOf, hash).Scan(&b.Actor.TokenID, &b.ExpiresAt, &b.Actor.Narrowed, &b.Actor.ID, &b.Actor.Name, &bindings)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up a token: %w", err)
	}
	var rows []struct {
		ID       models.ID   `json:"id"`
		Role     models.Role `json:"role"`
		TenantID *models.ID  `json:"tenant_id"`
	}
	if err := json.Unmarshal(bindings, &rows); err != nil {
		return nil, fmt.Errorf("read the roles of a token's actor: %w", err)
	}
	for _, r := range rows {
		b.Actor.Bindings = append(b.Actor.Bindings, models.RoleBinding{ID: r.ID, ActorID: b.Actor.ID, Role: r.Role, TenantID: r.TenantID})
	}
	return &b, nil
}

// TokensUsed writes down when tokens were last used.
func (s *Store) TokensUsed(ctx context.Context, at map[models.ID]time.Time) error {
	ids, times := make([]models.ID, 0, len(at)), make([]time.Time, 0, len(at))
	for id, t := range at {
		ids, times = append(ids, id), append(times, t)
	}
	_, err := s.Pool.Exec(ctx, `
		UPDATE tokens t SET last_used_at = greatest(t.last_used_at, u.at)
		FROM unnest($1::uuid[], $2::timestamptz[]) u (id, at) WHERE t.id = u.id`, ids, times)
	if err != nil {
		return fmt.Errorf("write down when tokens were used: %w", err)
	}
	return nil
}
