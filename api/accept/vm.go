package accept

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
)

// VMCreate is what someone wants of a new virtual machine. Tenant, group, image, flavor and subnet are names or ids.
type VMCreate struct {
	Request
	Name, Tenant, Region, Group, Image, Flavor, Subnet string
	Size                                               models.Size // used where no flavor is named
	Placement                                          Placement
}

// Placement narrows where a machine may go.
type Placement struct {
	Policy       models.Policy // empty: the group's
	AntiAffinity []string      // names or ids of the tenant's machines to keep away from
	Scope        string        // host or rack
}

// CreateVM accepts a new machine.
func (a *Accepter) CreateVM(ctx context.Context, c VMCreate) (Accepted, error) {
	return a.creates.submit(ctx, c)
}

// creation is one create on its way through a transaction.
type creation struct {
	VMCreate
	named
	existing *models.ID // the tenant's machine of the same name
	near     []near
	answer   *Accepted
	refused  error
	again    bool // what it lacks may be there once it has a transaction of its own

	vm      models.ID
	op      models.Operation
	host    *host
	address netip.Addr
	amount  models.Amount
}

func (c *creation) open() bool { return c.answer == nil && c.refused == nil && !c.again }

// createAll decides several creates and commits the accepted ones in one transaction of two round trips: what there
// is, and the writes; a third comes before them where the meaning of the names is not remembered. Alone says that
// there is only one, so that a refusal for lack of something is final; in company what it lacks may have gone to a
// neighbour whose own fate is still open.
func (a *Accepter) createAll(ctx context.Context, cs []*creation) error {
	alone := len(cs) == 1
	return a.transaction(ctx, func(conn *pgxpool.Conn) error {
		free, err := a.look(ctx, conn, cs)
		if err != nil {
			return err
		}
		open := filter(cs, (*creation).open)
		if err := a.lookFurther(ctx, conn, open, free); err != nil {
			return err
		}
		done := a.busy.choose(free, func() {
			for _, c := range open {
				if err := c.fit(free, alone); err != nil {
					c.refused = err
				}
			}
		})
		defer done()
		if alone && models.IsCode(cs[0].refused, models.CodeCapacityExhausted) {
			if cs[0].refused, err = explain(ctx, conn, cs[0]); err != nil {
				return err
			}
		}
		placed := filter(open, func(c *creation) bool { return c.host != nil && c.refused == nil })
		if len(placed) == 0 {
			return nil
		}
		return write(ctx, conn, placed, free)
	})
}

func filter[T any](items []T, keep func(T) bool) []T {
	var out []T
	for _, item := range items {
		if keep(item) {
			out = append(out, item)
		}
	}
	return out
}

// look finds out who asks, whether it was asked before, what the names mean, and what is free, and refuses what cannot
// be. Names are looked up only if they are not remembered, or the catalogue has changed since.
func (a *Accepter) look(ctx context.Context, conn *pgxpool.Conn, cs []*creation) (*free, error) {
	reqs := each(cs, func(c *creation) Request { return c.Request })
	remembered, known := a.memory.recall(cs, a.sees)
	b := &pgx.Batch{}
	begin(b)
	version := queueVersion(b)
	standing := queueStanding(b, reqs)
	var f *free
	if known {
		f = a.queueFree(b, cs)
	}
	if err := send(ctx, conn, b); err != nil {
		return nil, fmt.Errorf("look who asks: %w", err)
	}
	if !known || *version != remembered {
		if err := a.lookUp(ctx, conn, *version, cs); err != nil {
			return nil, err
		}
		a.hide(cs, standing)
		b = &pgx.Batch{}
		f = a.queueFree(b, cs)
		if err := send(ctx, conn, b); err != nil {
			return nil, fmt.Errorf("look for what is free: %w", err)
		}
	}
	a.judge(cs, standing, f.used)
	return f, nil
}

// lookUp reads what the names mean, and remembers it.
func (a *Accepter) lookUp(ctx context.Context, conn *pgxpool.Conn, version int64, cs []*creation) error {
	b := &pgx.Batch{}
	found := queueNames(b, each(cs, (*creation).question))
	for _, c := range cs {
		if len(c.Placement.AntiAffinity) > 0 {
			queueNear(b, c)
		}
	}
	if err := send(ctx, conn, b); err != nil {
		return fmt.Errorf("look up what the requests name: %w", err)
	}
	for i, c := range cs {
		c.named = (*found)[i]
	}
	a.memory.learn(version, cs)
	return nil
}

// sees reports whether the actor of a request may know of the tenant that it names.
func (a *Accepter) sees(req Request, n *named) bool {
	return a.authz.Can(req.Actor, "tenant.read", authz.Resource{Kind: "tenant", Path: n.Path})
}

// hide makes a tenant that the actor does not see one that there is not, before anything is looked for in it: else the
// work would tell them apart.
func (a *Accepter) hide(cs []*creation, standing *standing) {
	for _, c := range cs {
		req, err := standing.current(c.Request)
		if err == nil && c.TenantID != nil && !a.sees(req, &c.named) {
			c.TenantID = nil
		}
	}
}

// judge answers what was asked before, and refuses what is not allowed or makes no sense.
func (a *Accepter) judge(cs []*creation, standing *standing, used map[keyed]earlier) {
	seen := map[string]bool{} // of two creates with the same key or name in one batch, the second waits for its own turn
	for _, c := range cs {
		if c.Request, c.refused = standing.current(c.Request); c.refused != nil {
			continue
		}
		if c.answer, c.refused = replay(used, c.Request); !c.open() {
			continue
		}
		if c.refused = c.check(a.authz); !c.open() {
			continue
		}
		name, key := c.TenantID.String()+"/"+c.Name, c.Actor.ID.String()+" "+c.Key
		c.again = seen[name] || (c.Key != "" && seen[key])
		seen[name], seen[key] = true, true
	}
}

// free is what was free when it was read, less what this transaction took since.
type free struct {
	used      map[keyed]earlier
	hosts     map[pool]*[]*host
	addresses map[models.ID]*freeAddresses
	quotas    limits
	busy      map[models.ID]int // hosts that another transaction is taking from

	tookHosts  map[models.ID]models.Size
	tookQuotas drawn
}

// pool is one search for hosts. A create with an anti-affinity searches on its own.
type pool struct {
	group  models.ID
	policy models.Policy
	own    *creation
}

func (c *creation) pool() pool {
	p := pool{group: *c.GroupID, policy: c.policy()}
	if len(c.near) > 0 {
		p.own = c
	}
	return p
}

// queueFree looks for machines of the same names, for what the keys were used for, and for hosts, addresses and quota.
func (a *Accepter) queueFree(b *pgx.Batch, cs []*creation) *free {
	f := &free{hosts: map[pool]*[]*host{}, addresses: map[models.ID]*freeAddresses{}, tookHosts: map[models.ID]models.Size{}, tookQuotas: drawn{}}
	queueExisting(b, cs)
	f.used = queueKeys(b, each(cs, func(c *creation) Request { return c.Request })) // after the names: who sees the machine of a request's twin also sees its key
	pools, subnets := map[pool][]*creation{}, map[models.ID][]*creation{}
	tenants, groups := map[models.ID]bool{}, map[models.ID]bool{}
	for _, c := range filter(cs, func(c *creation) bool { return c.complete() }) {
		c.amount = models.Amount{Size: c.size(), VMs: 1, IPAddresses: 1}
		pools[c.pool()] = append(pools[c.pool()], c)
		subnets[*c.SubnetID] = append(subnets[*c.SubnetID], c)
		groups[*c.GroupID] = true
		for _, t := range c.Path {
			tenants[t] = true
		}
	}
	for p, members := range pools {
		f.hosts[p] = queueCandidates(b, p.group, p.policy, least(members), members[0].away(), len(members)+8+a.busy.count())
	}
	for id, members := range subnets {
		f.addresses[id] = a.addresses.queueNear(b, &members[0].Net, len(members))
	}
	if len(tenants) > 0 {
		f.quotas = queueQuotas(b, keys(tenants), keys(groups))
	}
	return f
}

// lookFurther searches the whole range of subnets where nothing is free near the cursor.
func (a *Accepter) lookFurther(ctx context.Context, conn *pgxpool.Conn, cs []*creation, f *free) error {
	b := &pgx.Batch{}
	subnets := map[models.ID][]*creation{}
	for _, c := range cs {
		if len(f.addresses[*c.SubnetID].list) == 0 {
			subnets[*c.SubnetID] = append(subnets[*c.SubnetID], c)
		}
	}
	for id, members := range subnets {
		f.addresses[id] = queueAnywhere(b, &members[0].Net, len(members))
	}
	if b.Len() == 0 {
		return nil
	}
	if err := send(ctx, conn, b); err != nil {
		return fmt.Errorf("look for any free address: %w", err)
	}
	for id, members := range subnets {
		if list := f.addresses[id].list; len(list) > 0 {
			a.addresses.found(&members[0].Net, list[0])
		}
	}
	return nil
}

// least is the size that every member needs at least.
func least(cs []*creation) models.Size {
	size := cs[0].amount.Size
	for _, c := range cs[1:] {
		s := c.amount.Size
		size = models.Size{VCPU: min(size.VCPU, s.VCPU), MemoryMiB: min(size.MemoryMiB, s.MemoryMiB), StorageGiB: min(size.StorageGiB, s.StorageGiB), GPU: min(size.GPU, s.GPU)}
	}
	return size
}

// fit finds a place for one create in what is free and takes it. The cheapest refusal comes first.
func (c *creation) fit(f *free, alone bool) error {
	rows := f.quotas.of(c.Path, *c.GroupID)
	short := shortages(rows, c.amount)
	h := f.host(c)
	addresses := f.addresses[*c.SubnetID]
	lacking := short != nil || h == nil || len(addresses.list) == 0
	if lacking && !alone {
		c.again = true
		return nil
	}
	switch {
	case short != nil:
		return exceeded(short)
	case h == nil:
		return models.Faultf(models.CodeCapacityExhausted, "No host has room.") // explained by the caller
	case len(addresses.list) == 0:
		return noAddress(&c.Net)
	}
	for _, l := range rows {
		l.take(c.amount)
	}
	h.Free = h.Free.Sub(c.amount.Size)
	c.host = h
	c.address, _ = addresses.take()
	f.tookHosts[h.ID] = f.tookHosts[h.ID].Add(c.amount.Size)
	f.tookQuotas.add(rows, c.amount)
	return c.decide()
}

// host chooses a host for a create. Spreading has a choice, so it leaves out hosts that another transaction of this
// gateway is taking from; packing prefers to wait for the same host.
func (f *free) host(c *creation) *host {
	hosts := *f.hosts[c.pool()]
	if c.policy() == models.Spread && len(f.busy) > 0 {
		idle := filter(hosts, func(h *host) bool { return f.busy[h.ID] == 0 })
		if h := place(idle, models.Spread, c.amount.Size, c.away()); h != nil {
			return h
		}
	}
	return place(hosts, c.policy(), c.amount.Size, c.away())
}

// explain says why no host has room.
func explain(ctx context.Context, conn *pgxpool.Conn, c *creation) (fault, err error) {
	why, most, err := reasons(ctx, conn, *c.GroupID, c.amount.Size, c.away())
	if err != nil {
		return nil, fmt.Errorf("count why no host has room: %w", err)
	}
	return noHost(c.GroupName, c.Region, c.amount.Size, most, why), nil
}

// decide makes the operation of a create that found its place.
func (c *creation) decide() error {
	c.vm = models.NewID()
	o := contract.Operation{
		ID: models.NewID(), Kind: contract.VMProvision.Name, TenantID: *c.TenantID, Tenant: c.TenantName, Region: c.Region,
		ResourceKind: "vm", ResourceID: c.vm, ResourceName: c.Name, Actor: c.Actor.Name, Trace: c.Origin.Trace,
	}
	gateway := ""
	if c.Net.Gateway.IsValid() {
		gateway = c.Net.Gateway.String()
	}
	var err error
	c.op, err = operation(c.Request, o, contract.VMProvisionInput{Operation: o, VM: contract.VM{
		ID: c.vm, Name: c.Name, Tenant: c.TenantName, Size: c.amount.Size, Template: c.Template,
		Host: c.host.contract(),
		Network: contract.Network{
			Name: c.Net.Network, Address: netip.PrefixFrom(c.address, c.Net.CIDR.Bits()).String(),
			Gateway: gateway, DNS: c.Net.DNS, Hostname: c.Name,
		},
	}})
	c.answer = &Accepted{Operation: c.op}
	return err
}

const (
	insertAddresses = `
INSERT INTO ip_addresses (id, subnet_id, address, tenant_id, vm_id)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::inet[], $4::uuid[], $5::uuid[]) AS r (id, subnet_id, address, tenant_id, vm_id)
ORDER BY subnet_id, address`

	insertVMs = `
INSERT INTO vms (id, tenant_id, name, region, group_id, baremetal_id, image_id, flavor_id, subnet_id, address, state, vcpu, memory_mib, storage_gib, gpu, created_by, created_at, updated_at)
SELECT id, tenant_id, name, region, group_id, baremetal_id, image_id, flavor_id, subnet_id, address, 'provisioning', vcpu, memory_mib, storage_gib, gpu, created_by, at, at
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::uuid[], $8::uuid[], $9::uuid[], $10::inet[],
		$11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::text[], $16::timestamptz[])
	AS r (id, tenant_id, name, region, group_id, baremetal_id, image_id, flavor_id, subnet_id, address, vcpu, memory_mib, storage_gib, gpu, created_by, at)
ORDER BY tenant_id, name`

	insertAllocations = `
INSERT INTO allocations (resource_id, resource_kind, tenant_id, group_id, baremetal_id, vcpu, memory_mib, storage_gib, gpu, vms, ip_addresses)
SELECT r.id, 'vm', tenant_id, group_id, baremetal_id, vcpu, memory_mib, storage_gib, gpu, 1, 1
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
	AS r (id, tenant_id, group_id, baremetal_id, vcpu, memory_mib, storage_gib, gpu)`
)

// write is the third round trip. Everything that was read before is checked again by the statement that takes it.
func write(ctx context.Context, conn *pgxpool.Conn, cs []*creation, f *free) error {
	ids := each(cs, func(c *creation) models.ID { return c.vm })
	tenants := each(cs, func(c *creation) models.ID { return *c.TenantID })
	groups := each(cs, func(c *creation) models.ID { return *c.GroupID })
	hosts := each(cs, func(c *creation) models.ID { return c.host.ID })
	subnets := each(cs, func(c *creation) models.ID { return *c.SubnetID })
	addresses := each(cs, func(c *creation) netip.Addr { return c.address })
	vcpu := each(cs, func(c *creation) int64 { return c.amount.VCPU })
	memory := each(cs, func(c *creation) int64 { return c.amount.MemoryMiB })
	storage := each(cs, func(c *creation) int64 { return c.amount.StorageGiB })
	gpu := each(cs, func(c *creation) int64 { return c.amount.GPU })

	b := &pgx.Batch{}
	queueTakeHosts(b, f.tookHosts, false)
	b.Queue(insertAddresses, each(cs, func(*creation) models.ID { return models.NewID() }), subnets, addresses, tenants, ids)
	b.Queue(insertVMs, ids, tenants, each(cs, func(c *creation) string { return c.Name }), each(cs, func(c *creation) string { return c.Region }),
		groups, hosts, each(cs, func(c *creation) models.ID { return *c.ImageID }), each(cs, func(c *creation) pgtype.UUID { return optional(c.FlavorID) }),
		subnets, addresses, vcpu, memory, storage, gpu,
		each(cs, func(c *creation) string { return c.Actor.Name }), each(cs, func(c *creation) time.Time { return c.op.CreatedAt }))
	b.Queue(insertAllocations, ids, tenants, groups, hosts, vcpu, memory, storage, gpu)
	queueRecords(b, each(cs, func(c *creation) record {
		return record{Request: c.Request, op: c.op, action: "vm.create"}
	}))
	queueTakeQuotas(b, f.tookQuotas.draws())
	b.Queue("COMMIT")
	return send(ctx, conn, b)
}
