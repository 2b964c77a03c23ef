package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// Report applies what a workflow reported: the operation's state, its steps, and the facts of its resource, in one
// transaction and one round trip. A report that is not newer than the last one changes nothing, and neither does one
// that the transition tables forbid, or one of another run of the workflow than the one that is heard: the first is a
// repetition, the others come from a workflow that was overtaken.
func (s *Store) Report(ctx context.Context, r contract.Report) (contract.Reported, error) {
	if err := s.keepInside(ctx, &r); err != nil {
		return contract.Reported{}, err
	}
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	if reshapes(r.Baremetal) {
		b.Queue(holdStructure)
	} else {
		b.Queue(ShareStructure)
	}
	var out contract.Reported
	var was models.OperationState
	var resource models.ID
	queueOperation(b, r).QueryRow(func(row pgx.Row) error { return row.Scan(&out.Applied, &was, &out.RunID, &resource) })
	queueSteps(b, r)
	queueVM(b, r)
	queueMove(b, r)
	queueBaremetal(b, r)
	queueReportAudit(b, r)
	b.Queue("COMMIT")
	if err := s.sendAtomically(ctx, b); err != nil {
		return contract.Reported{}, fmt.Errorf("apply report %d of operation %s: %w", r.Seq, r.OperationID, err)
	}
	out.Ended = was.Ended() && out.RunID != r.RunID
	// What a machine is now may put it into another group. A report that is told again sees to that again: the time before
	// may have ended right here.
	if reshapes(r.Baremetal) {
		if err := s.JoinByRule(ctx, resource); err != nil {
			return contract.Reported{}, fmt.Errorf("see which group the machine of operation %s belongs to: %w", r.OperationID, err)
		}
	}
	if !out.Ended {
		return out, nil
	}
	var home contract.Host
	err := s.Pool.QueryRow(ctx, homeOf, r.OperationID).Scan(&home.ID, &home.Name, &home.Ref)
	switch {
	case err == nil:
		out.Home = &home
	case !NotFound(err):
		return contract.Reported{}, fmt.Errorf("look where the machine of operation %s is: %w", r.OperationID, err)
	}
	return out, nil
}

// homeOf finds the host of the machine that an operation was about.
const homeOf = `SELECT b.id, b.name, b.provider_ref FROM operations o JOIN vms v ON v.id = o.resource_id JOIN baremetals b ON b.id = v.baremetal_id WHERE o.id = $1`

// Hear listens to another run of an operation's workflow from now on, which a reset made. It begins a generation: what
// the run before has still to say is stale, and the new one counts its reports from wherever it was reset to.
func (s *Store) Hear(ctx context.Context, operation models.ID, before, now string) (bool, error) {
	done, err := s.Pool.Exec(ctx, `UPDATE operations SET run_id = $3, generation = generation + 1, seq = 0, state = 'running', error_code = '', error = NULL, version = version + 1
		WHERE id = $1 AND run_id = $2 AND state IN `+active, operation, before, now)
	if err != nil {
		return false, fmt.Errorf("hear another run of operation %s: %w", operation, err)
	}
	return done.RowsAffected() == 1, nil
}

// sendAtomically sends a batch that begins and commits a transaction of its own, and leaves the connection clean.
func (s *Store) sendAtomically(ctx context.Context, b *pgx.Batch) error {
	conn, err := s.Pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		// The pool throws away a connection that is still in a transaction; rolling back keeps it.
		rollback, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_, _ = conn.Exec(rollback, "ROLLBACK") // the first error is the one that matters
		return err
	}
	return nil
}

const reportOperation = `
WITH changed AS (
	UPDATE operations SET seq = $2, state = $3, version = version + 1,
		error_code = $5, error = $6, result = coalesce($7, result),
		started_at = coalesce(started_at, now()),
		dispatched_at = coalesce(dispatched_at, now()), run_id = coalesce(nullif($9, ''), run_id),
		ended_at = CASE WHEN $8 THEN now() END
	WHERE id = $1 AND seq < $2 AND state = ANY ($4) AND (run_id IN ('', $9) OR $9 = '')
	RETURNING 1)
SELECT EXISTS (SELECT FROM changed), state, run_id, resource_id FROM operations WHERE id = $1`

func queueOperation(b *pgx.Batch, r contract.Report) *pgx.QueuedQuery {
	var code models.Code
	var fault []byte
	if r.Fault != nil {
		code = r.Fault.Code
		fault, _ = json.Marshal(r.Fault) // a struct of strings and numbers cannot fail
	}
	return b.Queue(reportOperation, r.OperationID, r.Seq, r.State, models.OperationTransitions.From(r.State),
		code, fault, []byte(r.Result), r.State.Ended(), r.RunID)
}

// The statements after the first apply only if the operation's row carries this very report.
const reportSteps = `
INSERT INTO operation_steps (operation_id, number, name, state, started_at, ended_at, message)
SELECT o.id, s.* FROM operations o,
	unnest($3::int[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::text[]) s
WHERE o.id = $1 AND o.seq = $2
ON CONFLICT (operation_id, number) DO UPDATE SET name = excluded.name, state = excluded.state,
	started_at = excluded.started_at, ended_at = excluded.ended_at, message = excluded.message`

func queueSteps(b *pgx.Batch, r contract.Report) {
	if len(r.Steps) == 0 {
		return
	}
	n := len(r.Steps)
	numbers, names, states, messages := make([]int32, n), make([]string, n), make([]string, n), make([]string, n)
	started, ended := make([]*time.Time, n), make([]*time.Time, n)
	for i, s := range r.Steps {
		numbers[i], names[i], states[i], messages[i] = int32(s.Number), s.Name, string(s.State), s.Message
		started[i], ended[i] = timeOrNil(s.Started), timeOrNil(s.Ended)
	}
	b.Queue(reportSteps, r.OperationID, r.Seq, numbers, names, states, started, ended, messages)
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

const reportRelease = `SELECT release(o.resource_id) FROM operations o WHERE o.id = $1 AND o.seq = $2`

const reportSize = `SELECT settle_size(o.resource_id, $3, $4, $5, $6) FROM operations o WHERE o.id = $1 AND o.seq = $2`

const reportMove = `SELECT settle_move(o.id, $3) FROM operations o WHERE o.id = $1 AND o.seq = $2`

// queueMove ends the move of an operation that has ended. It comes after the machine's own row, whose version counts
// the change of its host.
func queueMove(b *pgx.Batch, r contract.Report) {
	if !r.State.Ended() {
		return
	}
	host := ""
	if r.VM != nil {
		host = r.VM.HostRef
	}
	b.Queue(reportMove, r.OperationID, r.Seq, host)
}

const reportVM = `
UPDATE vms v SET version = v.version + 1, updated_at = now(),
	state = CASE WHEN v.state = ANY ($4) THEN $3 ELSE v.state END,
	provider_ref = coalesce(nullif($5, ''), v.provider_ref),
	hostname = coalesce(nullif($6, ''), v.hostname),
	guest_addresses = coalesce($7, v.guest_addresses),
	vcpu = coalesce($8, v.vcpu), memory_mib = coalesce($9, v.memory_mib),
	storage_gib = coalesce($10, v.storage_gib), gpu = coalesce($11, v.gpu)
FROM operations o WHERE o.id = $1 AND o.seq = $2 AND v.id = o.resource_id`

func queueVM(b *pgx.Batch, r contract.Report) {
	f := r.VM
	if f == nil {
		return
	}
	if f.State == models.VMGone {
		b.Queue(reportRelease, r.OperationID, r.Seq)
		return
	}
	var vcpu, memory, storage, gpu *int64
	if f.Size != nil {
		vcpu, memory, storage, gpu = &f.Size.VCPU, &f.Size.MemoryMiB, &f.Size.StorageGiB, &f.Size.GPU
		b.Queue(reportSize, r.OperationID, r.Seq, *vcpu, *memory, *storage, *gpu)
	}
	b.Queue(reportVM, r.OperationID, r.Seq, f.State, models.VMTransitions.From(f.State),
		f.Ref, f.Hostname, f.Addresses, vcpu, memory, storage, gpu)
}
