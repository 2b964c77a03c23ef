package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"
)

// session is a transaction, of GORM or of pgx, for what both kinds of callers need. Arguments are numbered; lists are
// passed as texts, which both write alike.
type session interface {
	query(ctx context.Context, sql string, args []any, each func(scan func(...any) error) error) error
	exec(ctx context.Context, sql string, args ...any) error
}

type gormSession struct{ tx *gorm.DB }

func (s gormSession) query(ctx context.Context, sql string, args []any, each func(scan func(...any) error) error) (err error) {
	rows, err := s.tx.Statement.ConnPool.QueryContext(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s gormSession) exec(ctx context.Context, sql string, args ...any) error {
	_, err := s.tx.Statement.ConnPool.ExecContext(ctx, sql, args...)
	return err
}

type pgxSession struct{ tx pgx.Tx }

func (s pgxSession) query(ctx context.Context, sql string, args []any, each func(scan func(...any) error) error) error {
	rows, err := s.tx.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return fmt.Errorf("read a row: %w", err)
		}
	}
	return rows.Err()
}

func (s pgxSession) exec(ctx context.Context, sql string, args ...any) error {
	_, err := s.tx.Exec(ctx, sql, args...)
	return err
}
