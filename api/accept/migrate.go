package accept

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// VMMove says where a machine shall go.
type VMMove struct {
	To string // a host of the machine's group, by name or id; empty: the one that placement chooses
}

// MigrateVM accepts the move of a machine to another host of its group. Its room there is taken now; it keeps that on
// its present host until the move has ended.
func (a *Accepter) MigrateVM(ctx context.Context, req Request, id models.ID, m VMMove, version *int64) (Accepted, error) {
	return a.changeVM(ctx, change{Request: req, id: id, version: version, action: "vm.migrate", to: models.VMUpdating, move: &m,
		from: []models.VMState{models.VMRunning, models.VMStopped},
		input: func(c *change, o contract.Operation) (any, error) {
			return contract.VMMigrateInput{Operation: o, From: c.on, To: c.goal.contract(), State: c.vm.State}, nil
		}})
}

// chooseGoal looks for the host that a machine shall move to. It is one more round trip of a move.
func (c *change) chooseGoal(ctx context.Context, conn *pgxpool.Conn) (err error) {
	if c.move != nil {
		c.goal, err = otherHost(ctx, conn, c.vm, c.group, c.policy, c.move.To)
	}
	return err
}

// contract is the host as regions know it.
func (h *host) contract() contract.Host { return contract.Host{ID: h.ID, Name: h.Name, Ref: h.Ref} }

// otherHost finds another host of a machine's group for it: the one that is named, or the best by the policy.
func otherHost(ctx context.Context, conn *pgxpool.Conn, vm models.VM, group string, policy models.Policy, to string) (*host, error) {
	look := &pgx.Batch{}
	found := &[]*host{}
	present := away{hosts: []models.ID{vm.BaremetalID}}
	if to == "" {
		found = queueCandidates(look, vm.GroupID, policy, vm.Size, present, 8)
	} else {
		id, name := ref(to)
		look.Queue(hostByRef, vm.GroupID, id, name).Query(collect(found, scanHost))
	}
	if err := send(ctx, conn, look); err != nil {
		return nil, fmt.Errorf("look for another host: %w", err)
	}
	h := place(*found, policy, vm.Size, present)
	switch {
	case h == nil && to != "":
		return nil, models.Faultf(models.CodeCapacityExhausted, "The host %s cannot take the machine: it must be another one of group %s, take machines, and have room for %d vcpu, %d MiB memory and %d GiB storage.",
			to, group, vm.VCPU, vm.MemoryMiB, vm.StorageGiB)
	case h == nil:
		why, most, err := reasons(ctx, conn, vm.GroupID, vm.Size, present)
		if err != nil {
			return nil, fmt.Errorf("count why no host has room: %w", err)
		}
		return nil, noHost(group, vm.Region, vm.Size, most, why)
	}
	return h, nil
}

const hostByRef = `
SELECT h.baremetal_id, b.name, b.provider_ref, h.group_id, h.rack_id,
	h.vcpu_total, h.memory_mib_total, h.storage_gib_total, h.gpu_total, h.vcpu_free, h.memory_mib_free, h.storage_gib_free, h.gpu_free
FROM hypervisors h JOIN baremetals b ON b.id = h.baremetal_id
WHERE h.placeable AND h.group_id = $1 AND (b.id = $2 OR b.name = $3)`

// moving is a machine that takes room on a second host until its operation has ended.
type moving struct {
	vm, operation, to models.ID
	size              models.Size
}

const insertMoves = `
INSERT INTO moves (vm_id, operation_id, baremetal_id, vcpu, memory_mib, storage_gib, gpu)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])`

// queueMoves writes the room that machines take where they go. It is taken from the hosts by queueTakeHosts.
func queueMoves(b *pgx.Batch, ms []moving) {
	if len(ms) == 0 {
		return
	}
	b.Queue(insertMoves, each(ms, func(m moving) models.ID { return m.vm }), each(ms, func(m moving) models.ID { return m.operation }), each(ms, func(m moving) models.ID { return m.to }),
		each(ms, func(m moving) int64 { return m.size.VCPU }), each(ms, func(m moving) int64 { return m.size.MemoryMiB }),
		each(ms, func(m moving) int64 { return m.size.StorageGiB }), each(ms, func(m moving) int64 { return m.size.GPU }))
}
