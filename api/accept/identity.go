package accept

import (
	"bytes"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/models"
)

func parseID(s string) (models.ID, error) {
	if len(s) != 36 {
		return models.NoID, errNotID
	}
	return uuid.Parse(s)
}

var errNotID = errors.New("not an id")

// standing is what the database says of the actors of a transaction right now: the tokens they came with and the
// roles they have. The HTTP edge may have cached both for seconds; a write goes by these.
type standing struct {
	tokens   map[models.ID]bool
	bindings map[models.ID][]models.RoleBinding // by token, which may be narrower than its owner
}

const (
	validTokens      = `SELECT id FROM tokens WHERE id = ANY ($1) AND revoked_at IS NULL AND expires_at > now()`
	bindingsByTokens = `SELECT token_id, id, actor_id, role, tenant_id FROM token_bindings WHERE token_id = ANY ($1)`
)

// queueStanding reads the standing of the requests' actors.
func queueStanding(b *pgx.Batch, reqs []Request) *standing {
	s := &standing{tokens: map[models.ID]bool{}, bindings: map[models.ID][]models.RoleBinding{}}
	tokens := map[models.ID]bool{}
	for _, r := range reqs {
		tokens[r.Actor.TokenID] = true
	}
	b.Queue(validTokens, keys(tokens)).Query(func(rows pgx.Rows) error {
		var id models.ID
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error { s.tokens[id] = true; return nil })
		return err
	})
	b.Queue(bindingsByTokens, keys(tokens)).Query(func(rows pgx.Rows) error {
		var token models.ID
		var r models.RoleBinding
		_, err := pgx.ForEachRow(rows, []any{&token, &r.ID, &r.ActorID, &r.Role, &r.TenantID}, func() error {
			got := r
			s.bindings[token] = append(s.bindings[token], got)
			return nil
		})
		return err
	})
	return s
}

func keys[K comparable](m map[K]bool) []K {
	out := make([]K, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}

// current returns the request with what its actor may do at this moment.
func (s *standing) current(r Request) (Request, error) {
	if !s.tokens[r.Actor.TokenID] {
		return r, models.Faultf(models.CodeUnauthenticated, "Your token was revoked or has expired.")
	}
	r.Actor.Bindings = s.bindings[r.Actor.TokenID]
	return r, nil
}

// earlier is what an idempotency key was used for before.
type earlier struct {
	Actor     models.ID
	Key       string
	Hash      []byte
	Operation *models.Operation
}

const usedKeys = `
SELECT k.actor_id, k.key, k.request_hash, o.id, o.kind, o.tenant_id, o.region, o.resource_kind, o.resource_id,
	o.resource_name, o.actor_id, o.actor, o.state, o.version, o.created_at, o.started_at, o.ended_at
FROM unnest($1::uuid[], $2::text[]) r (actor_id, key)
CROSS JOIN LATERAL (SELECT * FROM idempotency_keys i WHERE i.actor_id = r.actor_id AND i.key = r.key LIMIT 1) k
LEFT JOIN LATERAL (SELECT * FROM operations i WHERE i.id = k.operation_id LIMIT 1) o ON true`

type keyed struct {
	Actor models.ID
	Key   string
}

// queueKeys reads what the requests' idempotency keys were used for.
func queueKeys(b *pgx.Batch, reqs []Request) map[keyed]earlier {
	used := map[keyed]earlier{}
	var actors []models.ID
	var names []string
	for _, r := range reqs {
		if r.Key != "" {
			actors, names = append(actors, r.Actor.ID), append(names, r.Key)
		}
	}
	if len(names) == 0 {
		return used
	}
	b.Queue(usedKeys, actors, names).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var e earlier
			var o nullableOperation
			if err := rows.Scan(&e.Actor, &e.Key, &e.Hash, &o.ID, &o.Kind, &o.TenantID, &o.Region, &o.ResourceKind, &o.ResourceID,
				&o.ResourceName, &o.ActorID, &o.Actor, &o.State, &o.Version, &o.CreatedAt, &o.StartedAt, &o.EndedAt); err != nil {
				return err
			}
			e.Operation = o.operation()
			used[keyed{e.Actor, e.Key}] = e
		}
		return rows.Err()
	})
	return used
}

// replay answers a request whose key was used before. It returns nil if the key is new.
func replay(used map[keyed]earlier, r Request) (*Accepted, error) {
	e, ok := used[keyed{r.Actor.ID, r.Key}]
	if r.Key == "" || !ok {
		return nil, nil
	}
	if !bytes.Equal(e.Hash, r.Hash) || e.Operation == nil {
		return nil, models.Faultf(models.CodeKeyReused, "The Idempotency-Key %q was used for another request before. Use a new key for a new request.", r.Key)
	}
	return &Accepted{Operation: *e.Operation, Replayed: true}, nil
}
