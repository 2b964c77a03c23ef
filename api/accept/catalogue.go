package accept

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
)

// named is what the database has under the names and ids of a request; a nil id says that there is no such thing.
type named struct {
	TenantID     *models.ID
	TenantName   string
	Path         []models.ID
	Frozen       bool
	RegionState  *string
	Capabilities []string
	GroupID      *models.ID
	GroupName    string
	Policy       models.Policy
	ImageID      *models.ID
	ImageName    string
	MinStorage   int64
	Template     string
	FlavorID     *models.ID
	FlavorSize   models.Size
	SubnetID     *models.ID
	Net          subnet
	SubnetRegion string
	SubnetOpen   bool // the tenant may use it
}

// complete reports whether there is everything that a search for a place needs. A subnet that is closed to the tenant is
// as good as none.
func (n *named) complete() bool {
	return n.TenantID != nil && n.GroupID != nil && n.SubnetID != nil && n.SubnetOpen
}

// near is a machine that the new one must keep away from.
type near struct {
	VM   string
	Host models.ID
	Rack *models.ID
}

const names = `
SELECT t.id, coalesce(t.full_name, ''), coalesce(t.path, '{}'), coalesce(t.frozen, false),
	rg.state, coalesce(rg.capabilities, '{}'),
	g.id, coalesce(g.name, ''), coalesce(g.policy, ''),
	im.id, coalesce(im.name, ''), coalesce(im.min_storage_gib, 0), coalesce(im.templates ->> r.region, ''),
	f.id, coalesce(f.vcpu, 0), coalesce(f.memory_mib, 0), coalesce(f.storage_gib, 0), coalesce(f.gpu, 0),
	s.id, coalesce(s.name, ''), s.cidr, s.gateway, coalesce(s.dns, '{}'), coalesce(s.network, ''), s.range_start, s.range_end,
	coalesce(s.region, ''), coalesce(s.tenant_id IS NULL OR s.tenant_id = ANY (t.path), false)
FROM unnest($1::int[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::uuid[], $8::text[],
		$9::uuid[], $10::text[], $11::uuid[], $12::text[])
	AS r (i, tenant_id, tenant, region, group_id, grp, image_id, image, flavor_id, flavor, subnet_id, subnet)
LEFT JOIN tenants t ON t.id = coalesce(r.tenant_id, (SELECT x.id FROM tenants x WHERE x.full_name = r.tenant))
LEFT JOIN regions rg ON rg.name = r.region
LEFT JOIN groups g ON g.id = coalesce(r.group_id, (SELECT x.id FROM groups x WHERE x.region = r.region AND x.name = r.grp)) AND g.region = r.region
LEFT JOIN images im ON im.id = coalesce(r.image_id, (SELECT x.id FROM images x WHERE x.name = r.image))
LEFT JOIN flavors f ON f.id = coalesce(r.flavor_id, (SELECT x.id FROM flavors x WHERE x.name = r.flavor))
LEFT JOIN subnets s ON s.id = coalesce(r.subnet_id, (SELECT x.id FROM subnets x WHERE x.region = r.region AND x.name = r.subnet))
ORDER BY r.i`

// queueNames looks up what the questions name. The result has one entry for each question.
func queueNames(b *pgx.Batch, asked []question) *[]named {
	out := make([]named, 0, len(asked))
	order := make([]int32, len(asked))
	for i := range order {
		order[i] = int32(i)
	}
	args := []any{order}
	add := func(f func(question) string) {
		args = append(args,
			each(asked, func(q question) *models.ID { id, _ := ref(f(q)); return id }),
			each(asked, func(q question) string { _, name := ref(f(q)); return name }))
	}
	add(func(q question) string { return q.tenant })
	args = append(args, each(asked, func(q question) string { return q.region }))
	add(func(q question) string { return q.group })
	add(func(q question) string { return q.image })
	add(func(q question) string { return q.flavor })
	add(func(q question) string { return q.subnet })
	b.Queue(names, args...).Query(collect(&out, scanNamed))
	return &out
}

func scanNamed(row pgx.CollectableRow) (named, error) {
	var n named
	var cidr *netip.Prefix
	var gateway, first, last *netip.Addr
	err := row.Scan(&n.TenantID, &n.TenantName, &n.Path, &n.Frozen, &n.RegionState, &n.Capabilities, &n.GroupID, &n.GroupName, &n.Policy,
		&n.ImageID, &n.ImageName, &n.MinStorage, &n.Template,
		&n.FlavorID, &n.FlavorSize.VCPU, &n.FlavorSize.MemoryMiB, &n.FlavorSize.StorageGiB, &n.FlavorSize.GPU,
		&n.SubnetID, &n.Net.Name, &cidr, &gateway, &n.Net.DNS, &n.Net.Network, &first, &last, &n.SubnetRegion, &n.SubnetOpen)
	if n.SubnetID != nil {
		n.Net.ID, n.Net.CIDR, n.Net.First, n.Net.Last = *n.SubnetID, *cidr, *first, *last
		if gateway != nil {
			n.Net.Gateway = *gateway
		}
	}
	return n, err
}

// The comparison of rows and the order can only be served by the index on both columns: a planner that knows little of
// a young table would else walk all machines of a tenant.
const existing = `
SELECT r.i, v.id
FROM unnest($1::int[], $2::uuid[], $3::text[]) AS r (i, tenant_id, name)
CROSS JOIN LATERAL (
	SELECT x.id, x.tenant_id, x.name FROM vms x
	WHERE (x.tenant_id, x.name) >= (r.tenant_id, r.name) ORDER BY x.tenant_id, x.name LIMIT 1) v
WHERE v.tenant_id = r.tenant_id AND v.name = r.name`

// queueExisting looks whether the tenants already have machines of these names.
func queueExisting(b *pgx.Batch, cs []*creation) {
	order := make([]int32, len(cs))
	for i := range order {
		order[i] = int32(i)
	}
	b.Queue(existing, order, each(cs, func(c *creation) pgtype.UUID { return optional(c.TenantID) }), each(cs, func(c *creation) string { return c.Name })).Query(func(rows pgx.Rows) error {
		var i int32
		var id models.ID
		_, err := pgx.ForEachRow(rows, []any{&i, &id}, func() error {
			found := id
			cs[i].existing = &found
			return nil
		})
		return err
	})
}

const nearMachines = `
SELECT n.ref, v.baremetal_id, h.rack_id
FROM unnest($1::text[], $2::uuid[]) n (ref, id)
JOIN tenants t ON t.id = coalesce($3::uuid, (SELECT x.id FROM tenants x WHERE x.full_name = $4))
JOIN vms v ON v.tenant_id = t.id AND v.id = coalesce(n.id, (SELECT x.id FROM vms x WHERE x.tenant_id = t.id AND x.name = n.ref))
JOIN hypervisors h ON h.baremetal_id = v.baremetal_id`

// queueNear looks where the machines are that a create keeps away from.
func queueNear(b *pgx.Batch, c *creation) {
	refs := c.Placement.AntiAffinity
	ids := each(refs, func(s string) *models.ID { id, _ := ref(s); return id })
	id, name := ref(c.Tenant)
	b.Queue(nearMachines, refs, ids, id, name).Query(func(rows pgx.Rows) error {
		return collect(&c.near, pgx.RowToStructByPos[near])(rows)
	})
}

// check judges a create against what it names: rights first, so that nothing is told to those who may not know, then
// every mistake at once.
func (c *creation) check(a *authz.Authorizer) error {
	n := &c.named
	if n.TenantID == nil {
		return invisible("tenant", c.Tenant)
	}
	if err := a.Check(c.Actor, "vm.create", authz.Resource{Kind: "vm", Path: n.Path, Frozen: n.Frozen}); err != nil {
		if models.IsCode(err, models.CodeNotFound) {
			return invisible("tenant", c.Tenant) // the same words as for a tenant that does not exist
		}
		return err
	}
	if err := c.mistakes(); err != nil {
		return err
	}
	if *n.RegionState != "ready" || !slices.Contains(n.Capabilities, "vm") {
		return models.Faultf(models.CodeRegionNotReady, "The region %s takes no new machines at the moment. Use another region, or wait.", c.Region)
	}
	if c.existing != nil {
		return models.Faultf(models.CodeNameTaken, "The tenant %s already has a vm named %s. Choose another name.", n.TenantName, c.Name)
	}
	return nil
}

// mistakes lists everything that is wrong with the fields of a create.
func (c *creation) mistakes() error {
	n := &c.named
	var wrong []models.FieldError
	say := func(field, format string, args ...any) {
		wrong = append(wrong, models.FieldError{Field: "body." + field, Message: fmt.Sprintf(format, args...)})
	}
	if n.RegionState == nil {
		say("region", "there is no such region")
	} else {
		if n.GroupID == nil {
			say("group", "there is no such group in region %s", c.Region)
		}
		if n.SubnetID == nil || !n.SubnetOpen || n.SubnetRegion != c.Region {
			say("subnet", "there is no such subnet for this tenant in region %s", c.Region)
		}
	}
	switch {
	case n.ImageID == nil:
		say("image", "there is no such image")
	case n.Template == "" && n.RegionState != nil:
		say("image", "the image %s is not available in region %s", n.ImageName, c.Region)
	}
	if c.Flavor != "" && n.FlavorID == nil {
		say("flavor", "there is no such flavor")
	} else if size := c.size(); n.ImageID != nil && size.StorageGiB < n.MinStorage {
		say("storage_gib", "the image %s needs at least %d GiB", n.ImageName, n.MinStorage)
	}
	for i, name := range c.Placement.AntiAffinity {
		if !slices.ContainsFunc(c.near, func(m near) bool { return m.VM == name }) {
			say(fmt.Sprintf("placement.anti_affinity.vms[%d]", i), "the tenant has no such vm")
		}
	}
	if wrong == nil {
		return nil
	}
	f := models.Faultf(models.CodeInvalid, "The request is not valid: %d of its fields must be corrected.", len(wrong))
	f.Fields = wrong
	return f
}

func (c *creation) size() models.Size {
	if c.FlavorID != nil {
		return c.FlavorSize
	}
	return c.Size
}

// policy is the request's own, or the group's.
func (c *creation) policy() models.Policy {
	if c.Placement.Policy != "" {
		return c.Placement.Policy
	}
	return c.Policy
}

// away lists the hosts and racks that the create keeps away from.
func (c *creation) away() away {
	var out away
	for _, m := range c.near {
		out.hosts = append(out.hosts, m.Host)
		if c.Placement.Scope == "rack" && m.Rack != nil {
			out.racks = append(out.racks, *m.Rack)
		}
	}
	return out
}

// invisible is what one is told of a thing that does not exist, or that one may not know of.
func invisible(kind, name string) *models.Fault {
	return models.Faultf(models.CodeNotFound, "There is no %s %q that you can see.", kind, name)
}
