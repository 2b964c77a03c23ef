package accept

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
)

// VMResize is the size that someone wants a machine to have: a flavor, or the fields of Size that are not zero.
type VMResize struct {
	Flavor       string
	Size         models.Size
	AllowRestart bool // power the machine off and on where it cannot grow while it runs
}

// DeleteVM accepts the end of a machine. Version is the one it must still have; nil: any.
func (a *Accepter) DeleteVM(ctx context.Context, req Request, id models.ID, version *int64) (Accepted, error) {
	return a.changeVM(ctx, change{Request: req, id: id, version: version, action: "vm.delete", to: models.VMDeleting,
		input: func(c *change, o contract.Operation) (any, error) { return contract.VMDeleteInput{Operation: o}, nil }})
}

// PowerVM accepts a change of a machine's power.
func (a *Accepter) PowerVM(ctx context.Context, req Request, id models.ID, action contract.PowerAction, version *int64) (Accepted, error) {
	return a.changeVM(ctx, change{Request: req, id: id, version: version, action: "vm.power", to: models.VMUpdating,
		from: map[contract.PowerAction][]models.VMState{contract.PowerOn: {models.VMStopped, models.VMFailed}, contract.PowerOff: {models.VMRunning, models.VMFailed}, contract.Reboot: {models.VMRunning}}[action],
		input: func(c *change, o contract.Operation) (any, error) {
			return contract.VMPowerInput{Operation: o, Action: action, From: c.vm.State}, nil
		}})
}

// ResizeVM accepts another size of a machine. What it grows by is taken now; what it shrinks by is given back when it
// has shrunk.
func (a *Accepter) ResizeVM(ctx context.Context, req Request, id models.ID, r VMResize, version *int64) (Accepted, error) {
	return a.changeVM(ctx, change{Request: req, id: id, version: version, action: "vm.resize", to: models.VMUpdating, resize: &r,
		from: []models.VMState{models.VMRunning, models.VMStopped},
		input: func(c *change, o contract.Operation) (any, error) {
			if err := c.size(r); err != nil {
				return nil, err
			}
			return contract.VMResizeInput{Operation: o, From: c.vm.Size, To: c.target, State: c.vm.State, AllowRestart: r.AllowRestart}, nil
		}})
}

// change is an intent on an existing machine on its way through a transaction.
type change struct {
	Request
	id      models.ID
	version *int64
	action  string           // for the authoriser, the audit, and as the operation's kind
	from    []models.VMState // states in which it is possible; nil: any
	to      models.VMState
	resize  *VMResize
	input   func(*change, contract.Operation) (any, error)

	vm      models.VM
	tenant  string
	path    []models.ID
	frozen  bool
	group   string
	busy    *models.ID // the operation in the way
	flavor  *models.Flavor
	minimum int64 // storage that the image needs
	target  models.Size
	draws   drawn

	maintained bool // the actor is responsible for it; asked only where their roles say no
}

func (a *Accepter) changeVM(ctx context.Context, c change) (Accepted, error) {
	defer a.wake()
	return retry(ctx, func(ctx context.Context) (out Accepted, err error) {
		try := c
		err = a.transaction(ctx, func(conn *pgxpool.Conn) error {
			out, err = a.tryChange(ctx, conn, &try)
			return err
		})
		return out, err
	})
}

const lockVM = `
SELECT v.tenant_id, v.name, v.region, v.group_id, v.baremetal_id, v.state, v.vcpu, v.memory_mib, v.storage_gib, v.gpu, v.version,
	t.full_name, t.path, t.frozen, g.name, im.min_storage_gib,
	(SELECT o.id FROM operations o WHERE o.resource_id = v.id AND o.state IN ('accepted', 'running', 'blocked', 'cancelling'))
FROM vms v JOIN tenants t ON t.id = v.tenant_id JOIN groups g ON g.id = v.group_id JOIN images im ON im.id = v.image_id
WHERE v.id = $1 FOR UPDATE OF v`

const flavorByRef = `SELECT id, name, vcpu, memory_mib, storage_gib, gpu FROM flavors WHERE id = $1 OR name = $2`

func (c *change) queueLook(b *pgx.Batch) {
	b.Queue(lockVM, c.id).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&c.vm.TenantID, &c.vm.Name, &c.vm.Region, &c.vm.GroupID, &c.vm.BaremetalID, &c.vm.State,
			&c.vm.VCPU, &c.vm.MemoryMiB, &c.vm.StorageGiB, &c.vm.GPU, &c.vm.Version, &c.tenant, &c.path, &c.frozen, &c.group, &c.minimum, &c.busy)
		return ifAny(err, func() { c.vm.ID = c.id })
	})
	if c.resize == nil || c.resize.Flavor == "" {
		return
	}
	id, name := ref(c.resize.Flavor)
	b.Queue(flavorByRef, id, name).QueryRow(func(row pgx.Row) error {
		var f models.Flavor
		err := row.Scan(&f.ID, &f.Name, &f.VCPU, &f.MemoryMiB, &f.StorageGiB, &f.GPU)
		return ifAny(err, func() { c.flavor = &f })
	})
}

// ifAny calls found unless the query had no row, which is no error here.
func ifAny(err error, found func()) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err == nil {
		found()
	}
	return err
}

// tryChange takes two round trips: look at everything, write everything.
func (a *Accepter) tryChange(ctx context.Context, conn *pgxpool.Conn, c *change) (Accepted, error) {
	var again *Accepted
	var err error
	if c.Request, again, err = look(ctx, conn, c.Request, c.queueLook); err != nil || again != nil {
		return deref(again), err
	}
	if err := a.judgeChange(ctx, conn, c); err != nil {
		return Accepted{}, err
	}
	o := contract.Operation{
		ID: models.NewID(), Kind: c.action, TenantID: c.vm.TenantID, Tenant: c.tenant, Region: c.vm.Region,
		ResourceKind: "vm", ResourceID: c.id, ResourceName: c.vm.Name, Actor: c.Actor.Name, Trace: c.Origin.Trace,
	}
	input, err := c.input(c, o)
	if err != nil {
		return Accepted{}, err
	}
	op, err := operation(c.Request, o, input)
	if err != nil {
		return Accepted{}, err
	}
	if err := c.grow(ctx, conn); err != nil {
		return Accepted{}, err
	}
	return Accepted{Operation: op}, c.write(ctx, conn, op)
}

func deref(a *Accepted) Accepted {
	if a == nil {
		return Accepted{}
	}
	return *a
}

// check judges the intent: rights first, then whether it is possible.
func (c *change) check(auth *authz.Authorizer) error {
	if c.vm.ID == models.NoID {
		return invisible("vm", c.id.String())
	}
	if err := auth.Check(c.Actor, c.action, authz.Resource{Kind: "vm", Path: c.path, Frozen: c.frozen, Maintained: c.maintained}); err != nil {
		if models.IsCode(err, models.CodeNotFound) {
			return invisible("vm", c.id.String())
		}
		return err
	}
	if err := unchanged("vm", c.vm.Name, c.version, c.vm.Version); err != nil {
		return err
	}
	if c.busy != nil {
		return inTheWay("vm", c.vm.Name, *c.busy)
	}
	if c.from != nil && !slices.Contains(c.from, c.vm.State) || !models.VMTransitions.Allows(c.vm.State, c.to) {
		return possibleWhen("vm", c.vm.Name, c.vm.State, c.from)
	}
	return nil
}

// size works out what the machine is to become, and says everything that is wrong with it.
func (c *change) size(r VMResize) error {
	if r.Flavor != "" {
		if c.flavor == nil {
			return invalid("body.flavor", "there is no such flavor")
		}
		c.target = c.flavor.Size
	} else {
		c.target = c.vm.Size
		for _, f := range []struct{ to, from *int64 }{{&c.target.VCPU, &r.Size.VCPU}, {&c.target.MemoryMiB, &r.Size.MemoryMiB}, {&c.target.StorageGiB, &r.Size.StorageGiB}, {&c.target.GPU, &r.Size.GPU}} {
			if *f.from != 0 {
				*f.to = *f.from
			}
		}
	}
	if c.target.StorageGiB < c.vm.StorageGiB {
		return invalid("body.storage_gib", fmt.Sprintf("storage never shrinks: the vm has %d GiB", c.vm.StorageGiB))
	}
	if c.target == c.vm.Size {
		return invalid("body", "the vm already has this size")
	}
	return nil
}

func invalid(field, message string) *models.Fault {
	f := models.Faultf(models.CodeInvalid, "The request is not valid: %s.", message)
	f.Fields = []models.FieldError{{Field: field, Message: message}}
	return f
}

// growth is what the target has more than the machine.
func (c *change) growth() models.Size {
	if c.resize == nil {
		return models.Size{}
	}
	return c.target.Max(c.vm.Size).Sub(c.vm.Size)
}

const hostRoom = `SELECT vcpu_free, memory_mib_free, storage_gib_free, gpu_free, b.name FROM hypervisors h JOIN baremetals b ON b.id = h.baremetal_id WHERE h.baremetal_id = $1`

// grow looks whether quota and host have room for the growth. It is the third round trip of a resize.
func (c *change) grow(ctx context.Context, conn *pgxpool.Conn) error {
	growth := c.growth()
	if growth == (models.Size{}) {
		return nil
	}
	b := &pgx.Batch{}
	quotas := queueQuotas(b, c.path, []models.ID{c.vm.GroupID})
	var room models.Size
	var name string
	b.Queue(hostRoom, c.vm.BaremetalID).QueryRow(func(row pgx.Row) error {
		return row.Scan(&room.VCPU, &room.MemoryMiB, &room.StorageGiB, &room.GPU, &name)
	})
	if err := send(ctx, conn, b); err != nil {
		return fmt.Errorf("look for room to grow: %w", err)
	}
	rows := quotas.of(c.path, c.vm.GroupID)
	if short := shortages(rows, models.Amount{Size: growth}); short != nil {
		return exceeded(short)
	}
	c.draws = drawn{}
	c.draws.add(rows, models.Amount{Size: growth})
	if !growth.Fits(room) {
		return noGrowth(name, c.vm.Region, growth, room)
	}
	return nil
}

func noGrowth(name, region string, asked, room models.Size) *models.Fault {
	f := models.Faultf(models.CodeCapacityExhausted, "The host %s in %s has too little room for the machine to grow. Ask for less, or make room there.", name, region)
	want, have := models.Amount{Size: asked}.Values(), models.Amount{Size: room}.Values()
	for i, resource := range models.Resources[:4] {
		if want[i] > have[i] {
			f.Shortages = append(f.Shortages, models.Shortage{Resource: resource, Where: "host " + name, Asked: want[i], Free: max(0, have[i])})
		}
	}
	return f
}

const (
	setVMState = `UPDATE vms SET state = $2, version = version + 1, updated_at = $3 WHERE id = $1`
	growLedger = `UPDATE allocations SET vcpu = vcpu + $2, memory_mib = memory_mib + $3, storage_gib = storage_gib + $4, gpu = gpu + $5 WHERE resource_id = $1`
)

func (c *change) write(ctx context.Context, conn *pgxpool.Conn, op models.Operation) error {
	b := &pgx.Batch{}
	g := c.growth()
	if g != (models.Size{}) {
		queueTakeHosts(b, map[models.ID]models.Size{c.vm.BaremetalID: g}, true)
		b.Queue(growLedger, c.id, g.VCPU, g.MemoryMiB, g.StorageGiB, g.GPU)
	}
	b.Queue(setVMState, c.id, c.to, op.CreatedAt)
	queueRecords(b, []record{{Request: c.Request, op: op, action: c.action}})
	queueTakeQuotas(b, c.draws.draws())
	b.Queue("COMMIT")
	return send(ctx, conn, b)
}
