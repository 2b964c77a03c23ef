package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
)

// Change is a simple write: who wants it, how a repetition of the same request is recognised, and what it is called.
type Change struct {
	Actor       authz.Actor
	RequestID   string
	Origin      Origin
	Key         string // Idempotency-Key; empty: none
	Hash        []byte // of method, path and body
	Action      string // as the policies call it, such as tenant.create
	DryRun      bool   // do everything, then take it all back
	Restructure bool   // changes the shape of things: holds the structure lock alone
}

// Tx is the transaction of a change. Its actor has the roles of this very moment: authorise by them.
type Tx struct {
	*gorm.DB
	Actor authz.Actor
}

// Subject is what a change was about, for the audit log.
type Subject struct {
	Kind     string
	ID       string
	Name     string
	TenantID *models.ID
}

// Answer is what a change answers.
type Answer[T any] struct {
	Status   int    // HTTP status
	Location string // path of what was created
	Body     T
	Remember *T // kept for repetitions instead of Body, where Body has a secret that is shown once
	Subject  Subject
	Detail   any  // what the audit log keeps of the change; no secrets
	Replayed bool // the same request had been answered before
}

// errTakeBack ends the transaction of a dry run.
var errTakeBack = errors.New("dry run")

// Write runs fn in one transaction with what belongs to every write: the standing of the actor, the idempotency key,
// and the audit event. fn may run again when another transaction was faster, so it must have no effect but on tx.
func Write[T any](ctx context.Context, s *Store, c Change, fn func(tx Tx) (Answer[T], error)) (Answer[T], error) {
	const attempts = 5
	for n := 1; ; n++ {
		answer, err := write(ctx, s, c, fn)
		if n == attempts || !Contended(err) {
			return answer, Fault(err)
		}
	}
}

// write takes its locks in the agreed order: structure, idempotency key, and then what fn touches.
func write[T any](ctx context.Context, s *Store, c Change, fn func(tx Tx) (Answer[T], error)) (answer Answer[T], err error) {
	err = s.DB.WithContext(ctx).Transaction(func(db *gorm.DB) error {
		if c.Restructure {
			if err := db.Exec(holdStructure).Error; err != nil {
				return fmt.Errorf("take the structure lock: %w", err)
			}
		}
		tx := Tx{DB: db}
		if tx.Actor, err = standing(db, c.Actor); err != nil {
			return err
		}
		if answer, err = claim[T](db, c); err != nil || answer.Replayed {
			return err
		}
		if answer, err = fn(tx); err != nil {
			return err
		}
		if c.DryRun {
			return errTakeBack
		}
		if err := remember(db, c, answer); err != nil {
			return err
		}
		return audit(db, c, answer.Subject, models.AuditDone, answer.Detail)
	})
	if errors.Is(err, errTakeBack) {
		err = nil
	}
	return answer, err
}

// standing returns the actor with the roles of this moment. The edge may have cached both token and roles for seconds.
func standing(db *gorm.DB, who authz.Actor) (authz.Actor, error) {
	var valid bool
	if err := db.Raw("SELECT EXISTS (SELECT FROM tokens WHERE id = ? AND revoked_at IS NULL AND expires_at > now())", who.TokenID).Scan(&valid).Error; err != nil {
		return who, fmt.Errorf("read the token's standing: %w", err)
	}
	if !valid {
		return who, models.Faultf(models.CodeUnauthenticated, "Your token was revoked or has expired. Ask for another one.")
	}
	who.Bindings = nil
	if err := db.Where("actor_id = ?", who.ID).Find(&who.Bindings).Error; err != nil {
		return who, fmt.Errorf("read the actor's roles: %w", err)
	}
	return who, nil
}

// used is what an idempotency key was used for.
type used struct {
	RequestHash []byte     `gorm:"column:request_hash"`
	OperationID *models.ID `gorm:"column:operation_id"`
	Status      int        `gorm:"column:status"`
	Response    []byte     `gorm:"column:response"`
	Location    string     `gorm:"column:location"`
}

// claim takes the idempotency key for this transaction, or finds the answer that it got before. Of two transactions
// with one key, the second waits on the key's row for the end of the first.
func claim[T any](db *gorm.DB, c Change) (answer Answer[T], err error) {
	if c.Key == "" || c.DryRun {
		return answer, nil
	}
	insert := db.Exec("INSERT INTO idempotency_keys (actor_id, key, request_hash) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", c.Actor.ID, c.Key, c.Hash)
	if insert.Error != nil || insert.RowsAffected == 1 {
		return answer, insert.Error
	}
	var u used
	err = db.Raw("SELECT request_hash, operation_id, status, response, location FROM idempotency_keys WHERE actor_id = ? AND key = ?", c.Actor.ID, c.Key).Scan(&u).Error
	if err != nil {
		return answer, fmt.Errorf("read the idempotency key: %w", err)
	}
	if !bytes.Equal(u.RequestHash, c.Hash) || u.OperationID != nil {
		return answer, models.Faultf(models.CodeKeyReused, "The Idempotency-Key %q was used for another request before. Use a new key for a new request.", c.Key)
	}
	answer.Status, answer.Location, answer.Replayed = u.Status, u.Location, true
	if len(u.Response) == 0 {
		return answer, nil
	}
	if err := json.Unmarshal(u.Response, &answer.Body); err != nil {
		return answer, fmt.Errorf("read the answer kept for an idempotency key: %w", err)
	}
	return answer, nil
}

// remember keeps the answer for repetitions.
func remember[T any](db *gorm.DB, c Change, answer Answer[T]) error {
	if c.Key == "" {
		return nil
	}
	body := &answer.Body
	if answer.Remember != nil {
		body = answer.Remember
	}
	response, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	err = db.Exec("UPDATE idempotency_keys SET status = ?, response = ?::jsonb, location = ? WHERE actor_id = ? AND key = ?",
		answer.Status, string(response), answer.Location, c.Actor.ID, c.Key).Error
	if err != nil {
		return fmt.Errorf("keep the answer: %w", err)
	}
	return nil
}

// ForgetKeys removes idempotency keys that are older than age, a few at a time, so that nobody waits for it.
func (s *Store) ForgetKeys(ctx context.Context, age time.Duration) error {
	const some = 1000
	for {
		done, err := s.Pool.Exec(ctx, `DELETE FROM idempotency_keys WHERE (actor_id, key) IN (
			SELECT actor_id, key FROM idempotency_keys WHERE created_at < now() - $1::interval ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, age, some)
		if err != nil {
			return fmt.Errorf("forget idempotency keys: %w", err)
		}
		if done.RowsAffected() < some {
			return nil
		}
	}
}

// Created is the answer of a create.
func Created[T any](location string, body T, subject Subject) Answer[T] {
	return Answer[T]{Status: http.StatusCreated, Location: location, Body: body, Subject: subject, Detail: body}
}

// Changed is the answer of a change of something that exists.
func Changed[T any](body T, subject Subject) Answer[T] {
	return Answer[T]{Status: http.StatusOK, Body: body, Subject: subject, Detail: body}
}
