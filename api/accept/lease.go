package accept

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
)

// Lease is what someone wants of a whole machine: this very one, or any of a group.
type Lease struct {
	Request
	Tenant, Image string // names or ids
	Hostname      string // what the machine shall be called; may be empty

	Machine *models.ID // nil: any of the group
	Version *int64     // that the machine must still have; nil: any

	Region, Group string            // where no machine is named
	Labels        map[string]string // that the machine has; where none is named
}

// handOver is the right to give a machine by its id, and a machine of any group, to a tenant.
const handOver = "baremetal.assign"

// one machine is what a lease takes of every quota.
var oneMachine = models.Amount{Baremetals: 1}

// LeasePlan is what a lease would do, without doing it.
type LeasePlan struct {
	BaremetalID models.ID
	Baremetal   string
	Boot        contract.Boot
	Reasons     []models.Reason // how many machines of the group fit, and why the others do not
	Quotas      []PlannedQuota
}

// LeaseBaremetal accepts that a tenant gets a machine.
func (a *Accepter) LeaseBaremetal(ctx context.Context, l Lease) (Accepted, error) {
	defer a.wake()
	return retry(ctx, func(ctx context.Context) (out Accepted, err error) {
		err = a.transaction(ctx, func(conn *pgxpool.Conn) error {
			out, err = a.tryLease(ctx, conn, &leasing{Lease: l})
			return err
		})
		return out, err
	})
}

// PlanLease answers what LeaseBaremetal would do at this moment, by the same rules and the same code, and writes nothing.
func (a *Accepter) PlanLease(ctx context.Context, l Lease) (LeasePlan, error) {
	l.Key = "" // a plan is never replayed
	return retry(ctx, func(ctx context.Context) (plan LeasePlan, err error) {
		err = a.transaction(ctx, func(conn *pgxpool.Conn) error {
			plan, err = a.tryPlanLease(ctx, conn, &leasing{Lease: l, plan: true})
			return err
		})
		return plan, err
	})
}

// leasing is one lease on its way through a transaction.
type leasing struct {
	Lease
	plan bool // nothing is locked or written

	named   leaseNames
	machine *candidate
	quotas  []*limit
	boot    contract.Boot
}

// tryLease takes three round trips: what the names mean; quota and a machine; the writes. A machine that others hold at
// this moment is waited for only where no other fits.
func (a *Accepter) tryLease(ctx context.Context, conn *pgxpool.Conn, l *leasing) (Accepted, error) {
	again, err := a.lookLease(ctx, conn, l)
	if err != nil || again != nil {
		return deref(again), err
	}
	if err := a.choose(ctx, conn, l); err != nil {
		return Accepted{}, err
	}
	o := contract.Operation{
		ID: models.NewID(), Kind: contract.BaremetalLease.Name, TenantID: *l.named.TenantID, Tenant: l.named.TenantName, Region: l.machine.Region,
		ResourceKind: "baremetal", ResourceID: l.machine.ID, ResourceName: l.machine.Name, Actor: l.Actor.Name, Trace: l.Origin.Trace,
	}
	op, err := operation(l.Request, o, contract.BaremetalLeaseInput{Operation: o, Boot: l.boot})
	if err != nil {
		return Accepted{}, err
	}
	return Accepted{Operation: op}, l.write(ctx, conn, op)
}

func (a *Accepter) tryPlanLease(ctx context.Context, conn *pgxpool.Conn, l *leasing) (LeasePlan, error) {
	if _, err := a.lookLease(ctx, conn, l); err != nil {
		return LeasePlan{}, err
	}
	if err := a.choose(ctx, conn, l); err != nil {
		return LeasePlan{}, err
	}
	plan := LeasePlan{BaremetalID: l.machine.ID, Baremetal: l.machine.Name, Boot: l.boot, Quotas: planned(l.quotas, oneMachine)}
	if l.Machine != nil {
		return plan, nil
	}
	var err error
	plan.Reasons, err = l.reasons(ctx, conn)
	return plan, err
}

// lookLease finds out who asks, whether it was asked before and what the names mean, and refuses what may not be.
func (a *Accepter) lookLease(ctx context.Context, conn *pgxpool.Conn, l *leasing) (*Accepted, error) {
	var again *Accepted
	var err error
	l.Request, again, err = look(ctx, conn, l.Request, func(b *pgx.Batch) {
		l.queueNames(b)
		if l.Machine != nil {
			l.queueMachine(b)
		}
	})
	if err != nil || again != nil {
		return again, err
	}
	if err := l.check(a.authz); err != nil {
		return nil, err
	}
	return nil, l.mistakes()
}

// check judges a lease by the rights of its actor, so that nothing is told to those who may not know.
func (l *leasing) check(auth *authz.Authorizer) error {
	if l.Machine != nil {
		if err := auth.Check(l.Actor, handOver, authz.Resource{Kind: "baremetal"}); err != nil {
			return err
		}
	}
	n := &l.named
	if n.TenantID == nil {
		return invisible("tenant", l.Tenant)
	}
	err := auth.Check(l.Actor, "baremetal.lease", authz.Resource{Kind: "baremetal", Path: n.Path, Frozen: n.Frozen})
	if models.IsCode(err, models.CodeNotFound) {
		return invisible("tenant", l.Tenant) // the same words as for a tenant that does not exist
	}
	if err == nil && l.Machine != nil && l.machine == nil {
		return invisible("baremetal", l.Machine.String())
	}
	return err
}

// mistakes lists everything that is wrong with what a lease names.
func (l *leasing) mistakes() error {
	n := &l.named
	var wrong []models.FieldError
	say := func(field, format string, args ...any) {
		wrong = append(wrong, models.FieldError{Field: "body." + field, Message: fmt.Sprintf(format, args...)})
	}
	if n.RegionState == nil {
		say("region", "there is no such region")
	} else if l.Machine == nil && n.GroupID == nil {
		say("group", "there is no such group in region %s", n.Region)
	}
	switch {
	case n.ImageID == nil:
		say("image", "there is no such image")
	case n.Purpose != models.BootProvision:
		say("image", "the image %s is not for machines of tenants, but for %s", n.ImageName, n.Purpose)
	case n.RegionState != nil && n.Netboot == (models.Netboot{}):
		say("image", "the image %s cannot be booted by physical machines of region %s", n.ImageName, n.Region)
	}
	if wrong != nil {
		f := models.Faultf(models.CodeInvalid, "The request is not valid: %d of its fields must be corrected.", len(wrong))
		f.Fields = wrong
		return f
	}
	if *n.RegionState != "ready" || !slices.Contains(n.Capabilities, "bm") {
		return models.Faultf(models.CodeRegionNotReady, "The region %s hands out no physical machines at the moment. Use another region, or wait.", n.Region)
	}
	if l.machine == nil {
		return nil
	}
	return unchanged("baremetal", l.machine.Name, l.Version, l.machine.Version)
}

// choose finds a machine, and the quota for it.
func (a *Accepter) choose(ctx context.Context, conn *pgxpool.Conn, l *leasing) error {
	b := &pgx.Batch{}
	group := l.group()
	quotas := queueQuotas(b, l.named.Path, group)
	if l.Machine == nil {
		l.queueCandidate(b, skipLocked)
	}
	if err := send(ctx, conn, b); err != nil {
		return fmt.Errorf("look for a machine and quota: %w", err)
	}
	l.quotas = quotas.of(l.named.Path, first(group))
	if err := l.promised(a.authz); err != nil {
		return err
	}
	if short := shortages(l.quotas, oneMachine); short != nil {
		return exceeded(short)
	}
	if l.Machine == nil && l.machine == nil {
		if err := l.await(ctx, conn); err != nil {
			return err
		}
	}
	if err := l.machine.leasable(l.named.Netboot); err != nil {
		return err
	}
	l.boot = bootOf(models.BootProvision, l.named.ImageName, l.named.Netboot, l.machine.Protocol)
	l.boot.Hostname = l.Hostname
	return nil
}

// group is the group that the machine counts in, if any.
func (l *leasing) group() []models.ID {
	switch {
	case l.Machine == nil:
		return []models.ID{*l.named.GroupID}
	case l.machine.GroupID != nil:
		return []models.ID{*l.machine.GroupID}
	}
	return []models.ID{}
}

func first(ids []models.ID) models.ID {
	if len(ids) == 0 {
		return models.NoID
	}
	return ids[0]
}

// promised refuses a lease to those who may not hand over any machine, unless somebody promised machines of the group to the
// tenant, or to one above it: a tenant without a quota takes what VMs it likes, but no whole machine.
func (l *leasing) promised(auth *authz.Authorizer) error {
	if auth.Can(l.Actor, handOver, authz.Resource{Kind: "baremetal"}) {
		return nil
	}
	machines := slices.Index(models.Resources[:], "baremetals")
	for _, q := range l.quotas {
		if limit := q.Limits[machines]; limit != nil && *limit > 0 {
			return nil
		}
	}
	none := int64(0)
	f := models.Faultf(models.CodeQuotaExceeded, "No quota promises physical machines of group %s in %s to tenant %s. Ask for a quota of baremetals, there or everywhere.",
		l.named.GroupName, l.named.Region, l.named.TenantName)
	f.Shortages = []models.Shortage{{Resource: "baremetals", Where: "tenant " + l.named.TenantName, Limit: &none, Asked: 1}}
	return f
}

// await takes a machine that others hold at this moment, when they are done with it and it still fits, or says why there is
// none.
func (l *leasing) await(ctx context.Context, conn *pgxpool.Conn) error {
	b := &pgx.Batch{}
	l.queueCandidate(b, awaitLocked)
	if err := send(ctx, conn, b); err != nil {
		return fmt.Errorf("wait for a machine: %w", err)
	}
	if l.machine != nil {
		return nil
	}
	why, err := l.reasons(ctx, conn)
	if err != nil {
		return err
	}
	f := models.Faultf(models.CodeCapacityExhausted, "No machine of group %s in %s can be leased now. Use another group, wait until one is released, or ask an operator for more.", l.named.GroupName, l.named.Region)
	f.Reasons = why
	f.Shortages = []models.Shortage{{Resource: "baremetals", Where: fmt.Sprintf("group %s in %s", l.named.GroupName, l.named.Region), Asked: 1}}
	return f
}

const (
	// The row is locked, or was judged by a statement that still holds: that it is spare is asked again all the same.
	takeMachine = `
WITH u AS (UPDATE baremetals SET role = 'leased', tenant_id = $2, state = 'in_use', version = version + 1, updated_at = $3
	WHERE id = $1 AND role = 'spare' AND state = 'available' RETURNING 1)
SELECT must_touch((SELECT count(*) FROM u), 1, 'machines')`

	insertLease = `INSERT INTO allocations (resource_id, resource_kind, tenant_id, group_id, baremetals) VALUES ($1, 'baremetal', $2, $3, 1)`
)

func (l *leasing) write(ctx context.Context, conn *pgxpool.Conn, op models.Operation) error {
	b := &pgx.Batch{}
	b.Queue(takeMachine, l.machine.ID, *l.named.TenantID, op.CreatedAt)
	b.Queue(insertLease, l.machine.ID, *l.named.TenantID, optional(l.machine.GroupID))
	queueRecords(b, []record{{Request: l.Request, op: op, action: "baremetal.lease", detail: map[string]any{"image": l.named.ImageName, "hostname": l.Hostname}}})
	took := drawn{}
	took.add(l.quotas, oneMachine)
	queueTakeQuotas(b, took.draws())
	b.Queue("COMMIT")
	return send(ctx, conn, b)
}
