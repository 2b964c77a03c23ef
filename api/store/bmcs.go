package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/vault"
)

// auditBaremetal writes down what a region asked or told of one physical server, besides reports.
const auditBaremetal = `
INSERT INTO audit_events (id, actor, on_behalf_of, action, resource_kind, resource_id, resource_name, operation_id, trace_id, outcome, before, detail)
SELECT $1, 'region/' || b.region, coalesce(o.actor, ''), $2, 'baremetal', b.id::text, b.name, o.id,
	coalesce(split_part(o.input ->> 'trace', '-', 2), ''), 'done', version_before('baremetal', b.id::text), $5::jsonb
FROM baremetals b LEFT JOIN operations o ON o.id = $4 WHERE b.id = $3`

func writeBaremetalAudit(ctx context.Context, db executes, action string, in contract.AccessInput, detail any) error {
	var raw *string
	if detail != nil {
		text, err := json.Marshal(detail)
		if err != nil {
			return fmt.Errorf("encode what was told of baremetal %s: %w", in.BaremetalID, err)
		}
		said := string(text)
		raw = &said
	}
	if _, err := db.Exec(ctx, auditBaremetal, models.NewID(), action, in.BaremetalID, in.OperationID, raw); err != nil {
		return fmt.Errorf("write down %s of baremetal %s: %w", action, in.BaremetalID, err)
	}
	return nil
}

const (
	bmcColumns = `SELECT m.baremetal_id, b.name, m.address, m.protocol, m.fingerprint, m.username, m.key_id, m.password FROM bmcs m JOIN baremetals b ON b.id = m.baremetal_id `
	bmcOf      = bmcColumns + `WHERE m.baremetal_id = $1`

	// bmcPage leaves out machines that come or go, and those whose password is being replaced at this moment: a look with
	// the one of before would be refused, and a BMC may lock who is refused.
	bmcPage = bmcColumns + `
WHERE m.region = $1 AND m.baremetal_id > $2 AND b.state NOT IN ('enrolling', 'retiring')
	AND NOT EXISTS (SELECT FROM operations o WHERE o.id = m.staged_for AND o.state IN ` + active + `)
ORDER BY m.baremetal_id LIMIT $3`
)

// underWay tells whether an operation has not ended. One that has, such as one whose workflow was reset after it was settled,
// has no business with the machine any more: it may be somebody else's by now.
const underWay = `SELECT EXISTS (SELECT FROM operations WHERE id = $1 AND resource_id = $2 AND state IN ` + active + `)`

// Access tells an operation under way how its machine's BMC is reached. The password is sealed for the way, and that it was
// read is written down before it is given.
func (s *Store) Access(ctx context.Context, in contract.AccessInput) (contract.BMC, error) {
	found, err := s.access(ctx, bmcOf, in.BaremetalID)
	if err != nil {
		return contract.BMC{}, err
	}
	if len(found) == 0 {
		return contract.BMC{}, noBMC(in.BaremetalID)
	}
	var may bool
	if err := s.Pool.QueryRow(ctx, underWay, in.OperationID, in.BaremetalID).Scan(&may); err != nil {
		return contract.BMC{}, fmt.Errorf("look whether operation %s has ended: %w", in.OperationID, err)
	}
	if !may {
		return contract.BMC{}, models.Faultf(models.CodeWrongState, "The operation %s has ended, so it may not speak to the BMC of the server %s any more.", in.OperationID, found[0].Name)
	}
	bmc := found[0]
	if bmc.Password, err = s.Keys.forRegion(bmc.ID, bmc.Password); err != nil {
		return contract.BMC{}, err
	}
	return bmc, writeBaremetalAudit(ctx, s.Pool, contract.BMCAccess.Name, in, nil)
}

// AccessPage tells how the BMCs of a page of a region's machines are reached.
func (s *Store) AccessPage(ctx context.Context, in contract.AccessPageInput) (contract.AccessPage, error) {
	found, err := s.access(ctx, bmcPage, in.Region, in.After, in.Limit)
	if err != nil {
		return contract.AccessPage{}, err
	}
	out := contract.AccessPage{BMCs: []contract.BMC{}}
	if len(found) == in.Limit && len(found) > 0 {
		out.Next = found[len(found)-1].ID
	}
	// A password whose key is gone keeps nobody from looking at the other machines. `secrets check` names it.
	for _, b := range found {
		if b.Password, err = s.Keys.forRegion(b.ID, b.Password); err == nil {
			out.BMCs = append(out.BMCs, b)
		}
	}
	return out, writeRegionAudit(ctx, s.Pool, in.Region, contract.BMCAccessPage.Name, models.NoID, map[string]any{"after": in.After, "bmcs": len(out.BMCs), "not_opened": len(found) - len(out.BMCs)})
}

// access reads rows with the passwords as they are kept.
func (s *Store) access(ctx context.Context, sql string, args ...any) ([]contract.BMC, error) {
	rows, err := s.Pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read how BMCs are reached: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (b contract.BMC, err error) {
		return b, row.Scan(&b.ID, &b.Name, &b.Address, &b.Protocol, &b.Fingerprint, &b.Username, &b.Password.KeyID, &b.Password.Data)
	})
	if err != nil {
		return nil, fmt.Errorf("read how BMCs are reached: %w", err)
	}
	return out, nil
}

func noBMC(baremetal models.ID) *models.Fault {
	return models.Faultf(models.CodeNoBMC, "Nobody has said how the BMC of the server %s is reached. Give it with yunshu baremetal set-bmc, then go on.", baremetal)
}

const (
	lockStaged = `SELECT staged_key_id, coalesce(staged, ''), coalesce(rotated_at >= (SELECT created_at FROM operations WHERE id = $2), false)
		FROM bmcs WHERE baremetal_id = $1 FOR UPDATE`
	setStaged  = `UPDATE bmcs SET staged_key_id = $2, staged = $3, staged_for = $4 WHERE baremetal_id = $1`
	takeStaged = `UPDATE bmcs SET key_id = staged_key_id, password = staged, staged_key_id = '', staged = NULL, staged_for = NULL, rotated_at = now(), updated_at = now()
		WHERE baremetal_id = $1 AND staged_for = $2`
	dropStaged = `UPDATE bmcs SET staged_key_id = '', staged = NULL, staged_for = NULL WHERE baremetal_id = $1 AND staged_for = $2`
)

// StagePassword generates a password for a BMC, and keeps it beside the present one until it is known whether the BMC took
// it. Where one is kept already it is that one, whoever generated it: the BMC may have it.
func (s *Store) StagePassword(ctx context.Context, in contract.AccessInput) (contract.Staged, error) {
	var out contract.Staged
	err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		var kept vault.Sealed
		err := tx.QueryRow(ctx, lockStaged, in.BaremetalID, in.OperationID).Scan(&kept.KeyID, &kept.Data, &out.Replaced)
		if errors.Is(err, pgx.ErrNoRows) {
			return noBMC(in.BaremetalID)
		}
		if err != nil {
			return err
		}
		if out.Fresh = kept.KeyID == ""; out.Fresh {
			if kept, err = s.generate(in.BaremetalID); err != nil {
				return err
			}
		}
		if out.Password, err = s.Keys.forRegion(in.BaremetalID, kept); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, setStaged, in.BaremetalID, kept.KeyID, kept.Data, in.OperationID); err != nil {
			return err
		}
		return writeBaremetalAudit(ctx, tx, contract.BMCStagePassword.Name, in, nil)
	})
	if err != nil {
		return contract.Staged{}, fmt.Errorf("stage a password of the BMC of %s: %w", in.BaremetalID, err)
	}
	return out, nil
}

func (s *Store) generate(baremetal models.ID) (vault.Sealed, error) {
	password, err := vault.Generate()
	if err != nil {
		return vault.Sealed{}, err
	}
	return s.Keys.SealPassword(baremetal, password)
}

// CommitPassword makes the staged password the present one. Repeated, it changes nothing.
func (s *Store) CommitPassword(ctx context.Context, in contract.AccessInput) (contract.None, error) {
	return contract.None{}, s.settlePassword(ctx, takeStaged, contract.BMCCommitPassword.Name, in)
}

// DropPassword forgets the staged password. Repeated, it changes nothing.
func (s *Store) DropPassword(ctx context.Context, in contract.AccessInput) (contract.None, error) {
	return contract.None{}, s.settlePassword(ctx, dropStaged, contract.BMCDropPassword.Name, in)
}

func (s *Store) settlePassword(ctx context.Context, sql, action string, in contract.AccessInput) error {
	err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		done, err := tx.Exec(ctx, sql, in.BaremetalID, in.OperationID)
		if err != nil || done.RowsAffected() == 0 {
			return err
		}
		return writeBaremetalAudit(ctx, tx, action, in, nil)
	})
	if err != nil {
		return fmt.Errorf("%s of %s: %w", action, in.BaremetalID, err)
	}
	return nil
}
