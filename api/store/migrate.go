package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	_ "github.com/jackc/pgx/v5/stdlib" // goose speaks database/sql
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the database at dsn to the newest schema, under a lock, so that several may try at once. It returns
// the version it left the database at.
func Migrate(ctx context.Context, dsn string) (int64, error) {
	provider, db, err := migrator(dsn)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	if _, err := provider.Up(ctx); err != nil {
		return 0, fmt.Errorf("migrate the database: %w", err)
	}
	return provider.GetDBVersion(ctx)
}

// CheckVersion returns an error unless the database has exactly the schema this program was built for.
func CheckVersion(ctx context.Context, dsn string) error {
	provider, db, err := migrator(dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	have, err := provider.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	sources := provider.ListSources()
	if want := sources[len(sources)-1].Version; have < want {
		return fmt.Errorf("the database is at schema version %d, this gateway needs %d: run `yunshu-gateway migrate` first", have, want)
	} else if have > want {
		return fmt.Errorf("the database is at schema version %d, this gateway only knows %d: run a newer gateway", have, want)
	}
	return nil
}

func migrator(dsn string) (*goose.Provider, *sql.DB, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, nil, fmt.Errorf("read the embedded migrations: %w", err)
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, nil, fmt.Errorf("make the migration lock: %w", err)
	}
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return nil, nil, fmt.Errorf("the database URL cannot be read: it must look like postgres://user:password@host:5432/name")
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	if err != nil {
		_ = db.Close() // the first error is the one that matters
		return nil, nil, fmt.Errorf("prepare the migrations: %w", err)
	}
	return provider, db, nil
}
