package accept

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
)

// Drain is what someone wants of a hypervisor that shall be empty.
type Drain struct {
	Request
	Baremetal models.ID
	Reason    string
	Until     *time.Time
	Stop      bool // turn off machines that cannot be moved
}

// DrainPlan is what a drain would do, without doing it.
type DrainPlan struct {
	BaremetalID models.ID
	Baremetal   string
	VMs         []DrainedVM
}

// DrainedVM is what would become of one machine.
type DrainedVM struct {
	ID       models.ID
	Name     string
	TenantID models.ID
	Tenant   string
	State    models.VMState
	Fate     Fate
	ToID     *models.ID // the host it moves to
	To       string
	Why      string
}

// DrainBaremetal accepts that a host shall be empty: it marks the host for maintenance, so that nothing new comes, and
// begins an operation for every machine that can be moved or be stopped, in one transaction. Machines that are being
// worked on come later: the drain's own workflow sees to that. If some can neither move nor be stopped, nothing changes.
func (a *Accepter) DrainBaremetal(ctx context.Context, d Drain) (Accepted, error) {
	defer a.wake()
	return retry(ctx, func(ctx context.Context) (out Accepted, err error) {
		err = a.transaction(ctx, func(conn *pgxpool.Conn) error {
			out, err = a.tryDrain(ctx, conn, &draining{Drain: d})
			return err
		})
		return out, err
	})
}

// PlanDrain answers what DrainBaremetal would do at this moment, by the same rules and the same code, and writes nothing.
func (a *Accepter) PlanDrain(ctx context.Context, d Drain) (DrainPlan, error) {
	d.Key = "" // a plan is never replayed
	return retry(ctx, func(ctx context.Context) (plan DrainPlan, err error) {
		err = a.transaction(ctx, func(conn *pgxpool.Conn) error {
			try := &draining{Drain: d}
			if _, err := a.lookAtDrain(ctx, conn, try); err != nil {
				return err
			}
			plan = try.plan()
			return nil
		})
		return plan, err
	})
}

// draining is a drain on its way through a transaction.
type draining struct {
	Drain
	drained
	busy *models.ID // the operation in the way
}

func (a *Accepter) tryDrain(ctx context.Context, conn *pgxpool.Conn, d *draining) (Accepted, error) {
	if again, err := a.lookAtDrain(ctx, conn, d); err != nil || again != nil {
		return deref(again), err
	}
	if stuck := having(d.residents, FateStuck); len(stuck) > 0 {
		return Accepted{}, d.cannot(stuck)
	}
	o := contract.Operation{ID: models.NewID(), Kind: contract.BaremetalDrain.Name, Region: d.region,
		ResourceKind: "baremetal", ResourceID: d.Baremetal, ResourceName: d.on.Name, Actor: d.Actor.Name, Trace: d.Origin.Trace}
	op, err := operation(d.Request, o, contract.BaremetalDrainInput{Operation: o, Machines: len(d.residents), Stop: d.Stop})
	if err != nil {
		return Accepted{}, err
	}
	works, err := d.works(d.Request, op.ID)
	if err != nil {
		return Accepted{}, err
	}
	return Accepted{Operation: op}, d.write(ctx, conn, op, works)
}

// lookAtDrain finds out who asks, what the host is, whether that may be, and what becomes of each machine. It returns
// the answer that the same request had before.
func (a *Accepter) lookAtDrain(ctx context.Context, conn *pgxpool.Conn, d *draining) (*Accepted, error) {
	b := &pgx.Batch{}
	begin(b)
	standing := queueStanding(b, []Request{d.Request})
	d.queueHost(b, d.Baremetal)
	b.Queue(activeOf, d.Baremetal).QueryRow(func(row pgx.Row) error { return ifAny(row.Scan(&d.busy), func() {}) })
	used := queueKeys(b, []Request{d.Request}) // after the operation in the way: it may be this very request's
	d.queueResidents(b, d.Baremetal, nil)
	if err := send(ctx, conn, b); err != nil {
		return nil, fmt.Errorf("look at baremetal %s: %w", d.Baremetal, err)
	}
	var err error
	if d.Request, err = standing.current(d.Request); err != nil {
		return nil, err
	}
	if err := a.authz.Check(d.Actor, "baremetal.drain", authz.Resource{Kind: "baremetal"}); err != nil {
		return nil, err
	}
	if again, err := replay(used, d.Request); err != nil || again != nil {
		return again, err
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	return nil, d.decide(ctx, conn, d.Baremetal, d.Stop, 0)
}

// check says why the host cannot be drained.
func (d *draining) check() error {
	switch {
	case d.on.ID == models.NoID:
		return invisible("baremetal", d.Baremetal.String())
	case d.role != "hypervisor":
		return models.Faultf(models.CodeWrongState, "The baremetal %s is %s; only a hypervisor carries machines and can be drained.", d.on.Name, d.role)
	case d.busy != nil:
		f := models.Faultf(models.CodeOperationInProgress, "The baremetal %s has an operation in progress, %s. Wait for it, or cancel it.", d.on.Name, *d.busy)
		f.Operation = d.busy
		return f
	}
	return nil
}

const namedStuck = 20 // of more machines the number is enough

// cannot refuses a drain that would not empty the host, and names every machine in its way.
func (d *draining) cannot(stuck []*resident) error {
	why := each(stuck[:min(len(stuck), namedStuck)], func(r *resident) string { return fmt.Sprintf("%s (%s)", r.name(), r.why) })
	if more := len(stuck) - len(why); more > 0 {
		why = append(why, fmt.Sprintf("and %d more", more))
	}
	remedy := "Make room on other hosts of the group, or see to the machines."
	if !d.Stop {
		remedy = "Make room on other hosts of the group, or allow machines to be stopped."
	}
	return models.Faultf(models.CodeCapacityExhausted, "The host %s cannot be emptied, so nothing was changed. %d of its %d machines can neither be moved nor be stopped: %s. %s",
		d.on.Name, len(stuck), len(d.residents), strings.Join(why, "; "), remedy)
}

func (d *draining) plan() DrainPlan {
	out := DrainPlan{BaremetalID: d.Baremetal, Baremetal: d.on.Name}
	for _, r := range d.residents {
		vm := DrainedVM{ID: r.ID, Name: r.Name, TenantID: r.TenantID, Tenant: r.tenant, State: r.State, Fate: r.fate, Why: r.why}
		if r.to != nil {
			vm.ToID, vm.To = &r.to.ID, r.to.Name
		}
		out.VMs = append(out.VMs, vm)
	}
	return out
}

const (
	// lockHosts locks hosts in the order in which everybody does, before any of them is changed.
	lockHosts = `SELECT baremetal_id FROM hypervisors WHERE baremetal_id = ANY ($1) ORDER BY baremetal_id FOR UPDATE`

	// closeHost takes a host out of placement at once; nothing else about it changes, so nothing has to be recomputed.
	closeHost = `UPDATE hypervisors SET placeable = false WHERE baremetal_id = $1`

	markMaintenance = `
WITH u AS (UPDATE baremetals SET maintenance = true, maintenance_reason = $3, maintenance_until = $4, maintenance_by = $5,
		version = version + 1, updated_at = $6 WHERE id = $1 AND version = $2 RETURNING 1)
SELECT must_touch((SELECT count(*) FROM u), 1, 'baremetals')`
)

func (d *draining) write(ctx context.Context, conn *pgxpool.Conn, op models.Operation, works []work) error {
	b := &pgx.Batch{}
	b.Queue(lockHosts, append(each(works, work.host), d.Baremetal))
	b.Queue(closeHost, d.Baremetal)
	b.Queue(markMaintenance, d.Baremetal, d.version, d.Reason, d.Until, d.Actor.Name, op.CreatedAt)
	queueWorks(b, works, record{Request: d.Request, op: op, action: "baremetal.drain"})
	b.Queue("COMMIT")
	return send(ctx, conn, b)
}
