package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// appendOnly are the tables whose rows the gateway may write and read, and never change.
var appendOnly = []string{"audit_events", "audit_events_rest", "audit_seals", "audit_removals", "resource_versions"}

// readOnly are the tables that only their owner writes, or a function of theirs.
var readOnly = []string{"audit_settings", "audit_removals", "audit_events_rest", "resource_versions", "goose_db_version"}

// Setup is what the owner of the tables decides besides their shape.
type Setup struct {
	Runtime      string // the database URL that the gateway runs with; empty or the owner's own: one role for everything
	RetainMonths int    // how long audit events are kept; 0: for ever
}

// SetUp gives the gateway's role what it needs and no more, and stores the settings that the gateway must not change.
// Owner is the database URL that migrates. Separate says whether the gateway has a role of its own.
func SetUp(ctx context.Context, owner string, o Setup) (separate bool, err error) {
	conn, err := pgx.Connect(ctx, owner)
	if err != nil {
		return false, fmt.Errorf("connect as the owner of the tables: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	role, password, err := login(o.Runtime)
	if err != nil {
		return false, err
	}
	if separate = role != "" && role != conn.Config().User; separate {
		if err := ensureRole(ctx, conn, role, password); err != nil {
			return false, err
		}
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE audit_settings SET retain_months = nullif($1::int, 0)", o.RetainMonths); err != nil {
			return fmt.Errorf("set how long audit events are kept: %w", err)
		}
		if !separate {
			return nil
		}
		return grant(ctx, tx, role)
	})
	return separate, err
}

// login reads the role out of a database URL.
func login(dsn string) (role, password string, err error) {
	u, err := url.Parse(dsn)
	if err != nil {
		// The parser's message repeats the URL, and with it the password.
		return "", "", fmt.Errorf("the gateway's database URL cannot be read: it must look like postgres://user:password@host:5432/name")
	}
	password, _ = u.User.Password()
	return u.User.Username(), password, nil
}

// ensureRole makes the gateway's role where there is none, and gives it the password of its URL. Roles belong to the
// whole server, so that somebody in another database may be faster.
func ensureRole(ctx context.Context, conn *pgx.Conn, role, password string) error {
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role).Scan(&exists); err != nil {
		return fmt.Errorf("look for the role %s: %w", role, err)
	}
	if exists {
		return nil
	}
	sql := "CREATE ROLE " + pgx.Identifier{role}.Sanitize() + " LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT"
	if password != "" {
		sql += " PASSWORD '" + strings.ReplaceAll(password, "'", "''") + "'"
	}
	if _, err := conn.Exec(ctx, sql); err != nil && !madeMeanwhile(err) {
		return fmt.Errorf("make the gateway's role %s; make it by hand if the owner of the tables may not: %w", role, err)
	}
	return nil
}

// madeMeanwhile reports whether somebody else made the role at the same moment.
func madeMeanwhile(err error) bool {
	const duplicate = "42710"
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == duplicate || pg.Code == uniqueKey)
}

// grant starts from nothing each time, so that a right that is no longer meant is gone.
func grant(ctx context.Context, tx pgx.Tx, role string) error {
	who := pgx.Identifier{role}.Sanitize()
	for _, sql := range []string{
		"GRANT USAGE ON SCHEMA public TO " + who,
		"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM " + who,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO " + who,
		"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO " + who,
		"REVOKE UPDATE, DELETE, TRUNCATE ON " + strings.Join(appendOnly, ", ") + " FROM " + who,
		"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON " + strings.Join(readOnly, ", ") + " FROM " + who,
		"REVOKE INSERT, DELETE, TRUNCATE ON audit_chain FROM " + who,
		"GRANT EXECUTE ON FUNCTION audit_partitions_ahead(integer), audit_expire() TO " + who,
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("give the role %s its rights: %w", role, err)
		}
	}
	return revokePartitions(ctx, tx, who)
}

// revokePartitions leaves the months to the log: they are written and read through it alone.
func revokePartitions(ctx context.Context, tx pgx.Tx, who string) error {
	rows, err := tx.Query(ctx, `SELECT format('%I', c.relname) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'audit_events'::regclass`)
	if err != nil {
		return fmt.Errorf("list the months of the audit log: %w", err)
	}
	months, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list the months of the audit log: %w", err)
	}
	if _, err := tx.Exec(ctx, "REVOKE ALL ON "+strings.Join(months, ", ")+" FROM "+who); err != nil {
		return fmt.Errorf("leave the months of the audit log to the log: %w", err)
	}
	return nil
}
