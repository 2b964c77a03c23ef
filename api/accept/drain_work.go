package accept

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// drained is a host that is to be empty, and what is on it.
type drained struct {
	on        contract.Host
	region    string
	role      string
	group     *models.ID
	groupName string
	policy    models.Policy
	marked    bool
	version   int64
	residents []*resident
}

const (
	drainedHost = `
SELECT b.id, b.name, b.provider_ref, b.region, b.role, b.group_id, coalesce(g.name, ''), coalesce(g.policy, 'spread'), b.maintenance, b.version
FROM baremetals b LEFT JOIN groups g ON g.id = b.group_id WHERE b.id = $1`

	// What a drain has tried before is in the inputs of its operations.
	residentsOf = `
SELECT v.id, v.name, v.tenant_id, t.full_name, v.region, v.state, v.vcpu, v.memory_mib, v.storage_gib, v.gpu, v.version,
	o.id, coalesce(o.state = 'blocked', false), v.baremetal_id <> $1, coalesce(e.n, 0), coalesce(e.tried, '{}'), coalesce(e.failure, '')
FROM vms v JOIN tenants t ON t.id = v.tenant_id
LEFT JOIN operations o ON o.resource_id = v.id AND o.state IN ('accepted', 'running', 'blocked', 'cancelling')
LEFT JOIN LATERAL (
	SELECT count(*) AS n, array_agg((p.input -> 'to' ->> 'id')::uuid) FILTER (WHERE p.kind = 'vm.migrate') AS tried,
		(array_agg(coalesce(p.error ->> 'message', 'It did not stay on the host to which it was moved.') ORDER BY p.id DESC))[1] AS failure
	FROM operations p WHERE p.resource_id = v.id AND p.input ->> 'drain_id' = $2::text
		AND (p.state IN ('failed', 'cancelled') OR p.kind = 'vm.migrate' AND p.state = 'succeeded')) e ON $2::text IS NOT NULL
WHERE v.id IN (SELECT id FROM vms WHERE baremetal_id = $1 UNION ALL SELECT vm_id FROM moves WHERE baremetal_id = $1)
ORDER BY v.id`

	// Every host of the group that takes machines: a host has tens of machines, and their best places may be anywhere.
	otherHosts = `
SELECT h.baremetal_id, b.name, b.provider_ref, h.group_id, h.rack_id,
	h.vcpu_total, h.memory_mib_total, h.storage_gib_total, h.gpu_total, h.vcpu_free, h.memory_mib_free, h.storage_gib_free, h.gpu_free
FROM hypervisors h JOIN baremetals b ON b.id = h.baremetal_id
WHERE h.placeable AND h.group_id = $1 AND h.baremetal_id <> $2 ORDER BY h.baremetal_id`
)

func (d *drained) queueHost(b *pgx.Batch, id models.ID) {
	b.Queue(drainedHost, id).QueryRow(func(row pgx.Row) error {
		return ifAny(row.Scan(&d.on.ID, &d.on.Name, &d.on.Ref, &d.region, &d.role, &d.group, &d.groupName, &d.policy, &d.marked, &d.version), func() {})
	})
}

// queueResidents reads the machines of a host, and how often the drain has tried each; nil: it has not begun yet.
func (d *drained) queueResidents(b *pgx.Batch, host models.ID, drain *models.ID) {
	var id *string
	if drain != nil {
		text := drain.String()
		id = &text
	}
	b.Queue(residentsOf, host, id).Query(collect(&d.residents, func(row pgx.CollectableRow) (*resident, error) {
		r := &resident{}
		return r, row.Scan(&r.ID, &r.Name, &r.TenantID, &r.tenant, &r.Region, &r.State, &r.VCPU, &r.MemoryMiB, &r.StorageGiB, &r.GPU, &r.Version,
			&r.busy, &r.waits, &r.arriving, &r.tries, &r.tried, &r.failure)
	}))
}

// decide plans what becomes of every machine.
func (d *drained) decide(ctx context.Context, conn *pgxpool.Conn, host models.ID, stop bool, attempts int) error {
	if len(d.residents) == 0 {
		return nil
	}
	b := &pgx.Batch{}
	hosts := queueOtherHosts(b, d.group, host)
	if err := send(ctx, conn, b); err != nil {
		return fmt.Errorf("look for other hosts: %w", err)
	}
	planDrain(d.residents, *hosts, drainRules{group: d.groupName, policy: d.policy, stop: stop, attempts: attempts})
	return nil
}

func queueOtherHosts(b *pgx.Batch, group *models.ID, but models.ID) *[]*host {
	out := &[]*host{}
	b.Queue(otherHosts, group, but).Query(collect(out, scanHost))
	return out
}

// work is an operation that a drain begins on one machine.
type work struct {
	*resident
	record
}

// host is the one that the work takes room of, or none.
func (w work) host() models.ID {
	if w.to == nil {
		return models.NoID
	}
	return w.to.ID
}

// works makes the operations of the machines that can be moved or be stopped now.
func (d *drained) works(req Request, drain models.ID) ([]work, error) {
	req.Key, req.Hash = "", nil // the key is the drain's
	var out []work
	for _, r := range having(d.residents, FateMove, FateStop) {
		o := contract.Operation{ID: models.NewID(), TenantID: r.TenantID, Tenant: r.tenant, Region: r.Region,
			ResourceKind: "vm", ResourceID: r.ID, ResourceName: r.Name, Actor: req.Actor.Name, Trace: req.Origin.Trace}
		var input any
		if r.fate == FateMove {
			o.Kind = contract.VMMigrate.Name
			input = contract.VMMigrateInput{Operation: o, From: d.on, To: r.to.contract(), State: r.State, Drain: drain}
		} else {
			o.Kind = contract.VMPower.Name
			input = contract.VMPowerInput{Operation: o, Action: contract.PowerOff, From: r.State, Drain: drain}
		}
		op, err := operation(req, o, input)
		if err != nil {
			return nil, err
		}
		out = append(out, work{r, record{Request: req, op: op, action: o.Kind}})
	}
	return out, nil
}

// workOn begins the work on machines that are still as they were seen.
const workOn = `
WITH u AS (UPDATE vms v SET state = 'updating', version = v.version + 1, updated_at = now()
	FROM (SELECT * FROM unnest($1::uuid[], $2::bigint[]) AS s (id, version) ORDER BY id) s
	WHERE v.id = s.id AND v.version = s.version AND v.state IN ('running', 'stopped', 'failed') RETURNING 1)
SELECT must_touch((SELECT count(*) FROM u), cardinality($1), 'vms')`

// queueWorks writes the operations, and takes room for what moves. Others are records to be written with them.
func queueWorks(b *pgx.Batch, works []work, others ...record) {
	taken := map[models.ID]models.Size{}
	var moves []moving
	for _, w := range works {
		if w.to != nil {
			taken[w.to.ID] = taken[w.to.ID].Add(w.Size)
			moves = append(moves, moving{vm: w.ID, operation: w.op.ID, to: w.to.ID, size: w.Size})
		}
	}
	queueTakeHosts(b, taken, false)
	if len(works) > 0 {
		b.Queue(workOn, each(works, func(w work) models.ID { return w.ID }), each(works, func(w work) int64 { return w.Version }))
	}
	queueRecords(b, append(others, each(works, func(w work) record { return w.record })...))
	queueMoves(b, moves)
}

// ContinueDrain looks at what is left on a host, and begins what can be begun: of machines that nobody works on any more,
// and of those whose move failed. Once the drain shall end, or the mark of maintenance is taken away, it only looks.
func (a *Accepter) ContinueDrain(ctx context.Context, in contract.DrainInput) (contract.Drained, error) {
	begun := false
	out, err := retry(ctx, func(ctx context.Context) (out contract.Drained, err error) {
		err = a.transaction(ctx, func(conn *pgxpool.Conn) error {
			out, begun, err = a.tryContinue(ctx, conn, in)
			return err
		})
		return out, err
	})
	if begun {
		a.wake()
	}
	return out, err
}

// drainOf is in whose name a drain acts, and whether it goes on.
const drainOf = `
SELECT o.actor_id, o.actor, o.input, o.state IN ('accepted', 'running', 'blocked')
	AND NOT EXISTS (SELECT FROM operation_intents i WHERE i.operation_id = o.id AND i.kind = 'cancel')
FROM operations o WHERE o.id = $1`

func (a *Accepter) tryContinue(ctx context.Context, conn *pgxpool.Conn, in contract.DrainInput) (out contract.Drained, begun bool, err error) {
	d := &drained{}
	var actor authz.Actor
	var input []byte
	var goesOn bool
	b := &pgx.Batch{}
	begin(b)
	b.Queue(drainOf, in.OperationID).QueryRow(func(row pgx.Row) error {
		return ifAny(row.Scan(&actor.ID, &actor.Name, &input, &goesOn), func() {})
	})
	d.queueHost(b, in.BaremetalID)
	d.queueResidents(b, in.BaremetalID, &in.OperationID)
	if err := send(ctx, conn, b); err != nil {
		return out, false, fmt.Errorf("look at the drain %s: %w", in.OperationID, err)
	}
	if err := d.decide(ctx, conn, in.BaremetalID, in.Stop, max(1, in.Attempts)); err != nil {
		return out, false, err
	}
	out = d.left()
	if !goesOn || !d.marked {
		return out, false, nil
	}
	var o contract.Operation
	if err := json.Unmarshal(input, &o); err != nil {
		return out, false, fmt.Errorf("read the input of the drain %s: %w", in.OperationID, err)
	}
	works, err := d.works(Request{Actor: actor, Origin: store.Origin{Trace: o.Trace}}, in.OperationID)
	if err != nil || len(works) == 0 {
		return out, false, err
	}
	b = &pgx.Batch{}
	queueWorks(b, works)
	b.Queue("COMMIT")
	return out, true, send(ctx, conn, b)
}

// left sums up what becomes of the machines.
func (d *drained) left() contract.Drained {
	told := func(r *resident, why string) contract.Stuck { return contract.Stuck{Name: r.name(), Reason: why} }
	out := contract.Drained{Left: len(d.residents), Marked: d.marked}
	for _, r := range d.residents {
		switch r.fate {
		case FateStay:
			out.Stopped++
		case FateStuck:
			out.Stuck = append(out.Stuck, told(r, r.why))
		default:
			out.Moving++
			if r.waits {
				out.Waiting = append(out.Waiting, told(r, fmt.Sprintf("operation %s waits for a person's decision", *r.busy)))
			}
		}
	}
	return out
}
