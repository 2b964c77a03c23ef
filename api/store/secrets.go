package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/vault"
)

// Keys are what the passwords of BMCs are sealed with.
type Keys struct {
	Rest vault.Keys // in the table: YUNSHU_SECRET_KEYS
	Way  vault.Keys // on the way to a region: YUNSHU_PAYLOAD_KEYS
}

// SealPassword seals the password of a machine's BMC for the table.
func (k Keys) SealPassword(baremetal models.ID, password string) (vault.Sealed, error) {
	sealed, err := k.Rest.Seal(password, contract.SealedFor(baremetal))
	if err != nil {
		return vault.Sealed{}, fmt.Errorf("seal the password of the BMC of %s: %w", baremetal, err)
	}
	return sealed, nil
}

// forRegion seals what is in the table anew, for the way to a region.
func (k Keys) forRegion(baremetal models.ID, kept vault.Sealed) (vault.Sealed, error) {
	password, err := k.Rest.Open(kept, contract.SealedFor(baremetal))
	if err != nil {
		return vault.Sealed{}, fmt.Errorf("open the password of the BMC of %s: %w", baremetal, err)
	}
	sealed, err := k.Way.Seal(password, contract.SealedFor(baremetal))
	if err != nil {
		return vault.Sealed{}, fmt.Errorf("seal the password of the BMC of %s for its region: %w", baremetal, err)
	}
	return sealed, nil
}

// keptSecret is a row of secrets: the password, and the one that is about to be set, if there is one.
type keptSecret struct {
	ID     models.ID
	Now    vault.Sealed
	Staged vault.Sealed // without a key id: none
}

// secretsAtOnce is how many rows are sealed anew in one transaction.
const secretsAtOnce = 500

const (
	lockSecrets = `
SELECT baremetal_id, key_id, password, staged_key_id, coalesce(staged, '') FROM bmcs
WHERE baremetal_id > $1 AND (key_id <> $2 OR staged_key_id NOT IN ('', $2)) ORDER BY baremetal_id LIMIT $3 FOR UPDATE`
	readSecrets = `
SELECT baremetal_id, key_id, password, staged_key_id, coalesce(staged, '') FROM bmcs WHERE baremetal_id > $1 ORDER BY baremetal_id LIMIT $2`
	writeSecrets = `
UPDATE bmcs b SET key_id = n.key_id, password = n.password, staged_key_id = n.staged_key_id, staged = CASE WHEN n.staged_key_id <> '' THEN n.staged END
FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::bytea[]) AS n (id, key_id, password, staged_key_id, staged)
WHERE b.baremetal_id = n.id`
)

// RotateSecrets seals every password with the newest key that is not yet, and says how many. It may be stopped, and
// repeated: what is done is done.
func (s *Store) RotateSecrets(ctx context.Context) (rotated int, err error) {
	var after models.ID
	for {
		var some []keptSecret
		err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) (err error) {
			if some, err = secretsOf(tx.Query(ctx, lockSecrets, after, s.Keys.Rest.Current(), secretsAtOnce)); err != nil || len(some) == 0 {
				return err
			}
			return s.sealAnew(ctx, tx, some)
		})
		if err != nil {
			return rotated, fmt.Errorf("seal passwords with the newest key: %w", err)
		}
		if rotated += len(some); len(some) < secretsAtOnce {
			return rotated, nil
		}
		after = some[len(some)-1].ID
	}
}

func (s *Store) sealAnew(ctx context.Context, tx pgx.Tx, some []keptSecret) error {
	n := len(some)
	ids, keys, passwords, stagedKeys, staged := make([]models.ID, n), make([]string, n), make([][]byte, n), make([]string, n), make([][]byte, n)
	for i, one := range some {
		now, err := s.anew(one.ID, one.Now)
		if err != nil {
			return err
		}
		next, err := s.anew(one.ID, one.Staged)
		if err != nil {
			return err
		}
		ids[i], keys[i], passwords[i], stagedKeys[i], staged[i] = one.ID, now.KeyID, now.Data, next.KeyID, next.Data
	}
	_, err := tx.Exec(ctx, writeSecrets, ids, keys, passwords, stagedKeys, staged)
	return err
}

// anew opens a secret with its key, and seals it with the newest. There may be none.
func (s *Store) anew(baremetal models.ID, kept vault.Sealed) (vault.Sealed, error) {
	if kept.KeyID == "" {
		return vault.Sealed{}, nil
	}
	password, err := s.Keys.Rest.Open(kept, contract.SealedFor(baremetal))
	if err != nil {
		return vault.Sealed{}, fmt.Errorf("open the password of the BMC of %s: %w", baremetal, err)
	}
	return s.Keys.SealPassword(baremetal, password)
}

// SecretsChecked says how passwords are sealed.
type SecretsChecked struct {
	ByKey   map[string]int // how many with which key
	Current string         // the newest key
	Broken  []string       // why some cannot be opened, a sentence each
}

// CheckSecrets opens every password.
func (s *Store) CheckSecrets(ctx context.Context) (SecretsChecked, error) {
	out := SecretsChecked{ByKey: map[string]int{}, Current: s.Keys.Rest.Current()}
	var after models.ID
	for {
		some, err := secretsOf(s.Pool.Query(ctx, readSecrets, after, secretsAtOnce))
		if err != nil {
			return out, fmt.Errorf("read the passwords of BMCs: %w", err)
		}
		for _, one := range some {
			s.checkSecret(&out, one.ID, one.Now)
			s.checkSecret(&out, one.ID, one.Staged)
		}
		if len(some) < secretsAtOnce {
			return out, nil
		}
		after = some[len(some)-1].ID
	}
}

func (s *Store) checkSecret(out *SecretsChecked, baremetal models.ID, kept vault.Sealed) {
	if kept.KeyID == "" {
		return
	}
	out.ByKey[kept.KeyID]++
	if _, err := s.Keys.Rest.Open(kept, contract.SealedFor(baremetal)); err != nil {
		out.Broken = append(out.Broken, fmt.Sprintf("The password of the BMC of %s cannot be opened: %v.", baremetal, err))
	}
}

func secretsOf(rows pgx.Rows, err error) ([]keptSecret, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (k keptSecret, err error) {
		return k, row.Scan(&k.ID, &k.Now.KeyID, &k.Now.Data, &k.Staged.KeyID, &k.Staged.Data)
	})
}
