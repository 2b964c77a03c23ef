package store

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// SQLSTATEs that the accept transaction meets.
const (
	LostRace   = "YS001" // must_touch
	uniqueKey  = "23505"
	foreignKey = "23503"
	serialize  = "40001"
	deadlock   = "40P01"
)

// Violated returns the name of the unique or foreign-key constraint that err violated, or nothing.
func Violated(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == uniqueKey || pg.Code == foreignKey) {
		return pg.ConstraintName
	}
	return ""
}

// Contended reports whether err only means that another transaction was faster, so that trying again makes sense.
func Contended(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == LostRace || pg.Code == serialize || pg.Code == deadlock)
}

// Vanished reports whether err says that what a change refers to has gone since the change looked for it: looking again
// finds that out, and says so. What was refused in words stays refused.
func Vanished(err error) bool {
	var pg *pgconn.PgError
	return models.AsFault(err) == nil && errors.As(err, &pg) && pg.Code == foreignKey
}

// NotFound reports whether err says that there was no such row.
func NotFound(err error) bool {
	return errors.Is(err, pgx.ErrNoRows) || errors.Is(err, gorm.ErrRecordNotFound)
}

// Unavailable reports whether err means that Postgres cannot be reached or is stopping.
func Unavailable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return strings.HasPrefix(pg.Code, "57P") || strings.HasPrefix(pg.Code, "08") || pg.Code == "53300"
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) || pgconn.SafeToRetry(err)
}

// Fault turns a database error into one for people; faults pass through.
func Fault(err error) error {
	switch {
	case err == nil || models.AsFault(err) != nil:
		return err
	case NotFound(err):
		return models.Faultf(models.CodeNotFound, "There is no such resource.").Because(err)
	case Unavailable(err):
		return models.Faultf(models.CodeUnavailable, "The database cannot be reached at the moment. Nothing was changed; try again shortly.").Because(err)
	}
	return err
}
