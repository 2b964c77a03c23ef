package accept

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// PowerBaremetal accepts a change of a machine's power. Who leases it may do that too. What carries running virtual
// machines is taken from under them only by force.
func (a *Accepter) PowerBaremetal(ctx context.Context, req Request, id models.ID, action contract.BMPower, force bool, version *int64) (Accepted, error) {
	c := machineChange{Request: req, id: id, version: version, kind: contract.BaremetalPower.Name, bmc: true, from: inService, tenants: true,
		input: func(_ machine, o contract.Operation) any {
			return contract.BaremetalPowerInput{Operation: o, Action: action}
		}}
	if action != contract.BMPowerOn && !force {
		c.allows = func(m machine) error {
			if m.Running == 0 {
				return nil
			}
			return models.Faultf(models.CodeInUse, "The baremetal %s carries %d running vms, which would stop. Move or stop them first, or say force.", m.Name, m.Running)
		}
	}
	return a.changeMachine(ctx, c)
}

// BootBaremetal accepts what a machine shall boot from.
func (a *Accepter) BootBaremetal(ctx context.Context, req Request, id models.ID, device models.BootDevice, persistent bool, version *int64) (Accepted, error) {
	return a.changeMachine(ctx, machineChange{Request: req, id: id, version: version, kind: contract.BaremetalBoot.Name, bmc: true, from: inService,
		input: func(_ machine, o contract.Operation) any {
			return contract.BaremetalBootInput{Operation: o, Device: device, Persistent: persistent}
		}})
}

// MediaBaremetal accepts an image for a machine's virtual drive; an empty address takes out what is in it.
func (a *Accepter) MediaBaremetal(ctx context.Context, req Request, id models.ID, url string, version *int64) (Accepted, error) {
	return a.changeMachine(ctx, machineChange{Request: req, id: id, version: version, kind: contract.BaremetalMedia.Name, bmc: true, from: inService,
		input: func(_ machine, o contract.Operation) any {
			return contract.BaremetalMediaInput{Operation: o, URL: url}
		}})
}

// LocateBaremetal accepts what a machine's identify LED shall do.
func (a *Accepter) LocateBaremetal(ctx context.Context, req Request, id models.ID, on bool, version *int64) (Accepted, error) {
	return a.changeMachine(ctx, machineChange{Request: req, id: id, version: version, kind: contract.BaremetalLocate.Name, bmc: true, from: inService,
		input: func(_ machine, o contract.Operation) any {
			return contract.BaremetalLocateInput{Operation: o, On: on}
		}})
}

// InspectBaremetal accepts a look at a machine.
func (a *Accepter) InspectBaremetal(ctx context.Context, req Request, id models.ID, version *int64) (Accepted, error) {
	return a.changeMachine(ctx, machineChange{Request: req, id: id, version: version, kind: contract.BaremetalInspect.Name, bmc: true, from: inService,
		input: func(_ machine, o contract.Operation) any {
			return contract.BaremetalInspectInput{Operation: o}
		}})
}

// ReturnBaremetal accepts that a machine shall be used again if a look at it finds it healthy: one that failed, or one that
// was kept for maintenance.
func (a *Accepter) ReturnBaremetal(ctx context.Context, req Request, id models.ID, version *int64) (Accepted, error) {
	return a.changeMachine(ctx, machineChange{Request: req, id: id, version: version, kind: contract.BaremetalInspect.Name, action: "baremetal.maintain", bmc: true,
		allows: func(m machine) error {
			if m.Maintenance || slices.Contains([]models.BaremetalState{models.BaremetalFailed, models.BaremetalMaintenance}, m.State) {
				return nil
			}
			return models.Faultf(models.CodeWrongState, "The baremetal %s is %s and not in maintenance; this is possible when it is failed, or in maintenance.", m.Name, m.State)
		},
		input: func(_ machine, o contract.Operation) any {
			return contract.BaremetalInspectInput{Operation: o, Return: true}
		}})
}

// RotateBaremetal accepts that a machine's BMC gets another password.
func (a *Accepter) RotateBaremetal(ctx context.Context, req Request, id models.ID, version *int64) (Accepted, error) {
	return a.changeMachine(ctx, machineChange{Request: req, id: id, version: version, kind: contract.BaremetalRotate.Name, bmc: true, from: inService,
		input: func(_ machine, o contract.Operation) any { return contract.BaremetalRotateInput{Operation: o} }})
}

// JoinBaremetal accepts that a spare machine becomes a hypervisor.
func (a *Accepter) JoinBaremetal(ctx context.Context, req Request, id models.ID, version *int64) (Accepted, error) {
	return a.changeMachine(ctx, machineChange{Request: req, id: id, version: version, kind: contract.BaremetalJoin.Name,
		from: []models.BaremetalState{models.BaremetalAvailable},
		allows: func(m machine) error {
			switch {
			case m.Role != models.RoleSpare:
				return models.Faultf(models.CodeWrongState, "The baremetal %s is a %s; only a spare one becomes a hypervisor.", m.Name, m.Role)
			case m.HardwareUUID == "":
				return models.Faultf(models.CodeWrongState, "The hardware UUID of the baremetal %s is not known, so that it cannot be found in the region's vCenter. Run a health check first.", m.Name)
			}
			return nil
		},
		input: func(m machine, o contract.Operation) any {
			return contract.BaremetalJoinInput{Operation: o, UUID: m.HardwareUUID}
		}})
}

// RetireBaremetal accepts that a machine goes for good. Nobody may have it.
func (a *Accepter) RetireBaremetal(ctx context.Context, req Request, id models.ID, version *int64) (Accepted, error) {
	return a.changeMachine(ctx, machineChange{Request: req, id: id, version: version, kind: contract.BaremetalRetire.Name, to: models.BaremetalRetiring,
		from: []models.BaremetalState{models.BaremetalAvailable, models.BaremetalMaintenance, models.BaremetalFailed},
		allows: func(m machine) error {
			switch {
			case m.VMs > 0:
				return models.Faultf(models.CodeInUse, "The baremetal %s carries %d vms. Move or delete them first.", m.Name, m.VMs)
			case m.Coming > 0:
				return models.Faultf(models.CodeInUse, "%d vms are on their way to the baremetal %s. Wait until they have moved, then move them away.", m.Coming, m.Name)
			case m.Tenant != nil:
				return models.Faultf(models.CodeInUse, "The baremetal %s is leased to %s. Release it first.", m.Name, m.TenantName)
			}
			return nil
		},
		input: func(m machine, o contract.Operation) any {
			return contract.BaremetalRetireInput{Operation: o, From: m.State, BMC: m.BMC}
		}})
}

// inService are the states of a machine that neither comes nor goes.
var inService = []models.BaremetalState{models.BaremetalAvailable, models.BaremetalInUse, models.BaremetalMaintenance, models.BaremetalFailed}

// machine is a physical server as an intent finds it.
type machine struct {
	ID                               models.ID
	Region, Name, Role, HardwareUUID string
	State                            models.BaremetalState
	Maintenance, BMC, Frozen         bool
	Version, Running, VMs, Coming    int64 // Running are those of its VMs that would notice if it stopped
	Tenant                           *models.ID
	TenantName                       string
	Path                             []models.ID // of the tenant that leases it
	Busy                             *models.ID  // the operation in the way
}

// machineChange is an intent on a physical server on its way through a transaction.
type machineChange struct {
	Request
	id      models.ID
	version *int64
	kind    string                  // of the operation, and what it is called in the audit log
	action  string                  // for the authoriser, where that is another one
	tenants bool                    // who leases the machine is asked for too
	bmc     bool                    // it takes a BMC
	from    []models.BaremetalState // states in which it is possible; nil: any
	to      models.BaremetalState   // empty: it stays as it is
	allows  func(machine) error     // what else there may be against it; nil: nothing
	input   func(machine, contract.Operation) any

	machine    machine
	maintained bool // the actor is responsible for it; asked only where their roles say no
}

func (a *Accepter) changeMachine(ctx context.Context, c machineChange) (Accepted, error) {
	defer a.wake()
	if c.action == "" {
		c.action = c.kind
	}
	return retry(ctx, func(ctx context.Context) (out Accepted, err error) {
		try := c
		err = a.transaction(ctx, func(conn *pgxpool.Conn) error {
			out, err = a.tryMachine(ctx, conn, &try)
			return err
		})
		return out, err
	})
}

const lockMachine = `
SELECT b.id, b.region, b.name, b.role, b.hardware_uuid, b.state, b.maintenance, EXISTS (SELECT FROM bmcs m WHERE m.baremetal_id = b.id), coalesce(t.frozen, false), b.version,
	(SELECT count(*) FROM vms v WHERE v.baremetal_id = b.id AND v.state IN ('provisioning', 'running', 'updating')),
	(SELECT count(*) FROM vms v WHERE v.baremetal_id = b.id), (SELECT count(*) FROM moves m WHERE m.baremetal_id = b.id),
	b.tenant_id, coalesce(t.full_name, ''), t.path,
	(SELECT o.id FROM operations o WHERE o.resource_id = b.id AND o.state IN ('accepted', 'running', 'blocked', 'cancelling'))
FROM baremetals b LEFT JOIN tenants t ON t.id = b.tenant_id
WHERE b.id = $1 FOR UPDATE OF b`

func (c *machineChange) queueLook(b *pgx.Batch) {
	m := &c.machine
	if c.to != "" { // before the row, as everybody does: what placement puts on the host meanwhile is then seen, or comes no more
		b.Queue(lockHosts, []models.ID{c.id})
	}
	b.Queue(lockMachine, c.id).QueryRow(func(row pgx.Row) error {
		return ifAny(row.Scan(&m.ID, &m.Region, &m.Name, &m.Role, &m.HardwareUUID, &m.State, &m.Maintenance, &m.BMC, &m.Frozen, &m.Version,
			&m.Running, &m.VMs, &m.Coming, &m.Tenant, &m.TenantName, &m.Path, &m.Busy), func() {})
	})
}

func (a *Accepter) tryMachine(ctx context.Context, conn *pgxpool.Conn, c *machineChange) (Accepted, error) {
	var again *Accepted
	var err error
	if c.Request, again, err = look(ctx, conn, c.Request, c.queueLook); err != nil || again != nil {
		return deref(again), err
	}
	if err := a.judgeMachine(ctx, conn, c); err != nil {
		return Accepted{}, err
	}
	m := c.machine
	o := contract.Operation{
		ID: models.NewID(), Kind: c.kind, Tenant: m.TenantName, Region: m.Region, ResourceKind: "baremetal", ResourceID: m.ID, ResourceName: m.Name,
		Actor: c.Actor.Name, Trace: c.Origin.Trace,
	}
	if m.Tenant != nil {
		o.TenantID = *m.Tenant
	}
	op, err := operation(c.Request, o, c.input(m, o))
	if err != nil {
		return Accepted{}, err
	}
	b := &pgx.Batch{}
	if c.to != "" {
		b.Queue(closeHost, m.ID)
		b.Queue(`UPDATE baremetals SET state = $2, version = version + 1, updated_at = $3 WHERE id = $1`, m.ID, c.to, op.CreatedAt)
	}
	queueRecords(b, []record{{Request: c.Request, op: op, action: c.action}})
	b.Queue("COMMIT")
	return Accepted{Operation: op}, send(ctx, conn, b)
}

// judgeMachine judges an intent as judgeChange does.
func (a *Accepter) judgeMachine(ctx context.Context, conn *pgxpool.Conn, c *machineChange) error {
	err := c.check(a.authz)
	if !models.IsCode(err, models.CodeForbidden, models.CodeNotFound) {
		return err
	}
	if asked := conn.QueryRow(ctx, store.MaintainsBaremetal, c.Actor.Answerable(), c.id).Scan(&c.maintained); asked != nil {
		return fmt.Errorf("ask who maintains baremetal %s: %w", c.id, asked)
	}
	if !c.maintained {
		return err
	}
	return c.check(a.authz)
}

// check judges the intent: rights first, then whether it is possible. What its tenant may do is judged at the tenant that
// leases the machine; where nobody does, nowhere, so that it looks like a machine that there is not.
func (c *machineChange) check(auth *authz.Authorizer) error {
	m := c.machine
	on := authz.Resource{Kind: "baremetal", Maintained: c.maintained}
	if c.tenants {
		if on.Path, on.Frozen = m.Path, m.Frozen; m.Path == nil {
			on.Path = authz.Nowhere
		}
	}
	if err := auth.Check(c.Actor, c.action, on); err != nil {
		if models.IsCode(err, models.CodeNotFound) {
			return invisible("baremetal", c.id.String())
		}
		return err
	}
	if m.ID == models.NoID {
		return invisible("baremetal", c.id.String())
	}
	if err := unchanged("baremetal", m.Name, c.version, m.Version); err != nil {
		return err
	}
	if m.Busy != nil {
		return inTheWay("baremetal", m.Name, *m.Busy)
	}
	if c.from != nil && !slices.Contains(c.from, m.State) {
		return possibleWhen("baremetal", m.Name, m.State, c.from)
	}
	if c.bmc && !m.BMC {
		return c.unreached()
	}
	if c.allows != nil {
		return c.allows(m)
	}
	return nil
}

// unreached is the refusal because nobody knows the machine's BMC. A mark of maintenance ends without one, if nobody wants a
// look at the machine.
func (c *machineChange) unreached() error {
	m := c.machine
	otherwise := ""
	if c.action == "baremetal.maintain" && m.Maintenance && slices.Contains([]models.BaremetalState{models.BaremetalAvailable, models.BaremetalInUse}, m.State) {
		otherwise = fmt.Sprintf(" Or end its maintenance without a look at it: yunshu baremetal update %s --maintenance=false.", m.Name)
	}
	return models.Faultf(models.CodeNoBMC, "Nobody has said how the BMC of the baremetal %s is reached. Give it with PUT /v1/baremetals/%s/bmc, or yunshu baremetal set-bmc %s.%s", m.Name, m.ID, m.Name, otherwise)
}
