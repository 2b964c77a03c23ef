// Package store is everything that touches Postgres besides the accept transaction: connection, migrations, reads,
// simple writes, and the one place where reports are applied.
package store

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Store reads and writes the central database. GORM and the hot paths share one pool.
type Store struct {
	Pool *pgxpool.Pool
	DB   *gorm.DB
	Keys Keys // of the passwords of BMCs; whoever opens the store sets them

	closed atomic.Bool
}

// Open connects lazily: it returns without an error while Postgres is down. What tunes the pool comes last.
func Open(ctx context.Context, dsn string, tune ...func(*pgxpool.Config)) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		// The parser's message repeats the DSN, and with it the password.
		return nil, fmt.Errorf("the database URL cannot be read: it must look like postgres://user:password@host:5432/name")
	}
	if cfg.MaxConns < 16 {
		cfg.MaxConns = 16
	}
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	cfg.ConnConfig.RuntimeParams["application_name"] = "yunshu-gateway"
	// Our statements are few, prepared, and written so that one plan serves every value; planning the joins of a list
	// again for each call costs several times what running them does.
	cfg.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	// Compiling a statement to machine code pays for reports over millions of rows; ours are short, and would be delayed.
	cfg.ConnConfig.RuntimeParams["jit"] = "off"
	cfg.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		pgxuuid.Register(conn.TypeMap()) // else every id goes through its text form
		return nil
	}
	for _, t := range tune {
		t(cfg)
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open the database pool: %w", err)
	}
	db, err := gorm.Open(postgres.New(postgres.Config{Conn: stdlib.OpenDBFromPool(pool)}), &gorm.Config{
		TranslateError:           true,
		SkipDefaultTransaction:   true,
		DisableNestedTransaction: true,
		DisableAutomaticPing:     true,
		Logger:                   logger.Discard, // errors are logged once, at the edge, and values never
	})
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("open gorm: %w", err)
	}
	return &Store{Pool: pool, DB: db}, nil
}

// Close closes every connection.
func (s *Store) Close() {
	s.closed.Store(true)
	s.Pool.Close()
}
