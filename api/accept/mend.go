package accept

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// mended is a machine that is to be made anew, with something changed.
type mended struct {
	vm     models.VM
	net    subnet
	group  string
	policy models.Policy
	input  contract.VMProvisionInput
}

const lockMended = `
SELECT v.tenant_id, v.name, v.region, v.group_id, v.baremetal_id, v.vcpu, v.memory_mib, v.storage_gib, v.gpu, v.state, host(v.address)::inet, g.name, g.policy,
	s.id, s.name, s.cidr, s.gateway, s.dns, s.network, s.range_start, s.range_end
FROM vms v JOIN groups g ON g.id = v.group_id JOIN subnets s ON s.id = v.subnet_id
WHERE v.id = $1 FOR UPDATE OF v`

// mend chooses another host, image or address for a machine that could not be made, queues taking it and giving back
// what it had, and returns the machine as it shall be made now. What was chosen is chosen again if another is faster.
func (a *Accepter) mend(ctx context.Context, conn *pgxpool.Conn, b *pgx.Batch, i *intended) (*contract.VM, error) {
	m := &mended{}
	if err := json.Unmarshal(i.op.Input, &m.input); err != nil || i.op.Kind != contract.VMProvision.Name {
		return nil, models.Faultf(models.CodeWrongState, "Only the making of a machine can begin again with something changed; this operation is %s.", i.op.Kind)
	}
	if err := m.look(ctx, conn, i.op.ResourceID); err != nil {
		return nil, err
	}
	var err error
	switch i.Way {
	case models.WayHost:
		err = m.moveHost(ctx, conn, b, i.To)
	case models.WayImage:
		err = m.changeImage(ctx, conn, b, i.To)
	case models.WayAddress:
		err = m.changeAddress(ctx, conn, b, a.addresses, i.To)
	}
	if err != nil {
		return nil, err
	}
	// The next change begins where this one ends.
	b.Queue(`UPDATE operations SET input = $2 WHERE id = $1`, i.op.ID, m.input)
	return &m.input.VM, nil
}

func (m *mended) look(ctx context.Context, conn *pgxpool.Conn, id models.ID) error {
	var address netip.Addr
	var gateway *netip.Addr
	b := &pgx.Batch{}
	b.Queue(lockMended, id).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&m.vm.TenantID, &m.vm.Name, &m.vm.Region, &m.vm.GroupID, &m.vm.BaremetalID, &m.vm.VCPU, &m.vm.MemoryMiB, &m.vm.StorageGiB, &m.vm.GPU, &m.vm.State, &address,
			&m.group, &m.policy, &m.net.ID, &m.net.Name, &m.net.CIDR, &gateway, &m.net.DNS, &m.net.Network, &m.net.First, &m.net.Last)
		return ifAny(err, func() { m.vm.ID = id })
	})
	if err := send(ctx, conn, b); err != nil {
		return fmt.Errorf("look at vm %s: %w", id, err)
	}
	if m.vm.ID == models.NoID || m.vm.State != models.VMProvisioning {
		return models.Faultf(models.CodeWrongState, "The machine of this operation is not being made any more.")
	}
	m.vm.Address = models.Inet{Addr: address}
	if gateway != nil {
		m.net.Gateway = *gateway
	}
	return nil
}

const (
	// moveRoom gives one host its room back and takes that of another, or fails the transaction.
	moveRoom = `
WITH l AS (SELECT baremetal_id FROM hypervisors WHERE baremetal_id IN ($1, $2) ORDER BY baremetal_id FOR UPDATE),
	u AS (UPDATE hypervisors h SET vcpu_free = h.vcpu_free + s.sign * $3, memory_mib_free = h.memory_mib_free + s.sign * $4,
		storage_gib_free = h.storage_gib_free + s.sign * $5, gpu_free = h.gpu_free + s.sign * $6
	FROM l CROSS JOIN LATERAL (SELECT CASE WHEN l.baremetal_id = $1 THEN 1 ELSE -1 END AS sign) s
	WHERE h.baremetal_id = l.baremetal_id AND (h.baremetal_id = $1
		OR h.placeable AND h.vcpu_free >= $3 AND h.memory_mib_free >= $4 AND h.storage_gib_free >= $5 AND h.gpu_free >= $6)
	RETURNING 1)
SELECT must_touch((SELECT count(*) FROM u), 2, 'hosts')`

	moveVM         = `UPDATE vms SET baremetal_id = $2, version = version + 1, updated_at = now() WHERE id = $1`
	moveAllocation = `UPDATE allocations SET baremetal_id = $2 WHERE resource_id = $1`
)

// moveHost takes another host of the group: the one that was named, or the best.
func (m *mended) moveHost(ctx context.Context, conn *pgxpool.Conn, b *pgx.Batch, to string) error {
	h, err := otherHost(ctx, conn, m.vm, m.group, m.policy, to)
	if err != nil {
		return err
	}
	s := m.vm.Size
	b.Queue(moveRoom, m.vm.BaremetalID, h.ID, s.VCPU, s.MemoryMiB, s.StorageGiB, s.GPU)
	b.Queue(moveVM, m.vm.ID, h.ID)
	b.Queue(moveAllocation, m.vm.ID, h.ID)
	m.input.VM.Host = h.contract()
	return nil
}

const imageByRef = `SELECT id, name, min_storage_gib, coalesce(templates ->> $3, '') FROM images WHERE id = $1 OR name = $2`

// changeImage takes the image that was named.
func (m *mended) changeImage(ctx context.Context, conn *pgxpool.Conn, b *pgx.Batch, to string) error {
	if to == "" {
		return invalid("body.to", "name the image to begin again from")
	}
	var image models.Image
	var template string
	id, name := ref(to)
	look := &pgx.Batch{}
	look.Queue(imageByRef, id, name, m.vm.Region).QueryRow(func(row pgx.Row) error {
		return ifAny(row.Scan(&image.ID, &image.Name, &image.MinStorageGiB, &template), func() {})
	})
	if err := send(ctx, conn, look); err != nil {
		return fmt.Errorf("look up the image: %w", err)
	}
	switch {
	case image.ID == models.NoID:
		return invalid("body.to", "there is no such image")
	case template == "":
		return invalid("body.to", "the image has no template in region "+m.vm.Region)
	case image.MinStorageGiB > m.vm.StorageGiB:
		return invalid("body.to", fmt.Sprintf("the image needs %d GiB of storage, the vm has %d", image.MinStorageGiB, m.vm.StorageGiB))
	}
	b.Queue(`UPDATE vms SET image_id = $2, version = version + 1, updated_at = now() WHERE id = $1`, m.vm.ID, image.ID)
	m.input.VM.Template = template
	return nil
}

const (
	moveAddress = `UPDATE ip_addresses SET address = $2 WHERE vm_id = $1`
	setAddress  = `UPDATE vms SET address = $2, version = version + 1, updated_at = now() WHERE id = $1`
	addressUsed = `SELECT EXISTS (SELECT FROM ip_addresses WHERE subnet_id = $1 AND address = $2)`
)

// changeAddress takes another address of the subnet: the one that was named, or the next. That it is free is for the
// constraint to say.
func (m *mended) changeAddress(ctx context.Context, conn *pgxpool.Conn, b *pgx.Batch, c *cursors, to string) error {
	address, err := m.chooseAddress(ctx, conn, c, to)
	if err != nil {
		return err
	}
	b.Queue(moveAddress, m.vm.ID, address)
	b.Queue(setAddress, m.vm.ID, address)
	m.input.VM.Network.Address = netip.PrefixFrom(address, m.net.CIDR.Bits()).String()
	return nil
}

func (m *mended) chooseAddress(ctx context.Context, conn *pgxpool.Conn, c *cursors, to string) (netip.Addr, error) {
	look := &pgx.Batch{}
	if to != "" {
		address, err := netip.ParseAddr(to)
		if err != nil || !m.net.CIDR.Contains(address) || address == m.net.Gateway || address == m.net.CIDR.Masked().Addr() {
			return netip.Addr{}, invalid("body.to", fmt.Sprintf("must be an address of the subnet %s, %s, other than its gateway", m.net.Name, m.net.CIDR))
		}
		var used bool
		look.Queue(addressUsed, m.net.ID, address).QueryRow(func(row pgx.Row) error { return row.Scan(&used) })
		if err := send(ctx, conn, look); err != nil {
			return netip.Addr{}, fmt.Errorf("look at address %s: %w", address, err)
		}
		if used {
			return netip.Addr{}, models.Faultf(models.CodeInUse, "The address %s is taken. Choose another one, or none.", address)
		}
		return address, nil
	}
	near, anywhere := c.queueNear(look, &m.net, 1), queueAnywhere(look, &m.net, 1)
	if err := send(ctx, conn, look); err != nil {
		return netip.Addr{}, fmt.Errorf("look for a free address: %w", err)
	}
	for _, free := range []*freeAddresses{near, anywhere} {
		if address, ok := free.take(); ok {
			return address, nil
		}
	}
	return netip.Addr{}, noAddress(&m.net)
}
