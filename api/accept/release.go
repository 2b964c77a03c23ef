package accept

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
)

// Release is the end of a lease.
type Release struct {
	Request
	Machine  models.ID
	Version  *int64 // that the machine must still have; nil: any
	SkipWipe bool   // leave the disks as they are
	Reason   string
}

// ReleaseBaremetal accepts that a machine is taken back from its tenant, and wiped.
func (a *Accepter) ReleaseBaremetal(ctx context.Context, r Release) (Accepted, error) {
	return a.bootMachine(ctx, reboot{Request: r.Request, id: r.Machine, version: r.Version, purpose: models.BootWipe, skip: r.SkipWipe,
		kind: contract.BaremetalRelease.Name, detail: map[string]any{"skip_wipe": r.SkipWipe, "reason": r.Reason},
		check: func(auth *authz.Authorizer, b *reboot) error { return b.releasable(auth) },
		input: func(o contract.Operation, boot contract.Boot) any {
			return contract.BaremetalReleaseInput{Operation: o, Boot: boot}
		}})
}

// DiscoverBaremetal accepts that a machine boots the discovery image, and tells what it is made of.
func (a *Accepter) DiscoverBaremetal(ctx context.Context, req Request, id models.ID, version *int64) (Accepted, error) {
	return a.bootMachine(ctx, reboot{Request: req, id: id, version: version, purpose: models.BootDiscovery, kind: contract.BaremetalDiscover.Name,
		check: func(auth *authz.Authorizer, b *reboot) error { return b.discoverable(auth) },
		input: func(o contract.Operation, boot contract.Boot) any {
			return contract.BaremetalDiscoverInput{Operation: o, Boot: boot}
		}})
}

// reboot is an intent to boot a machine into an image of the platform's own, on its way through a transaction.
type reboot struct {
	Request
	id      models.ID
	version *int64
	purpose models.BootPurpose
	skip    bool // without the image
	kind    string
	detail  any
	check   func(*authz.Authorizer, *reboot) error // rights and state
	input   func(contract.Operation, contract.Boot) any

	found    bool
	machine  models.Baremetal
	tenant   string
	path     []models.ID
	frozen   bool
	hasBMC   bool
	protocol models.BMCProtocol
	busy     *models.ID
	images   []platformImage
}

// platformImage is an image of the platform's own that the machine's region has.
type platformImage struct {
	Name    string
	Netboot models.Netboot
}

const (
	lockBooted = `
SELECT b.name, b.region, b.role, b.state, b.version, b.tenant_id, coalesce(t.full_name, ''), coalesce(t.path, '{}'), coalesce(t.frozen, false),
	c.baremetal_id IS NOT NULL, coalesce(c.protocol, ''),
	(SELECT o.id FROM operations o WHERE o.resource_id = b.id AND o.state IN ('accepted', 'running', 'blocked', 'cancelling'))
FROM baremetals b LEFT JOIN tenants t ON t.id = b.tenant_id LEFT JOIN bmcs c ON c.baremetal_id = b.id
WHERE b.id = $1 FOR UPDATE OF b`

	// The newest is the one of the highest name.
	platformImages = `
SELECT i.name, i.boot -> b.region FROM baremetals b JOIN images i ON jsonb_exists(i.boot, b.region)
WHERE b.id = $1 AND i.purpose = $2 ORDER BY i.name DESC`
)

func (a *Accepter) bootMachine(ctx context.Context, r reboot) (Accepted, error) {
	defer a.wake()
	return retry(ctx, func(ctx context.Context) (out Accepted, err error) {
		try := r
		err = a.transaction(ctx, func(conn *pgxpool.Conn) error {
			out, err = a.tryBoot(ctx, conn, &try)
			return err
		})
		return out, err
	})
}

// tryBoot takes two round trips: look at everything, write everything.
func (a *Accepter) tryBoot(ctx context.Context, conn *pgxpool.Conn, r *reboot) (Accepted, error) {
	var again *Accepted
	var err error
	m := &r.machine
	r.Request, again, err = look(ctx, conn, r.Request, func(b *pgx.Batch) {
		b.Queue(lockBooted, r.id).QueryRow(func(row pgx.Row) error {
			err := row.Scan(&m.Name, &m.Region, &m.Role, &m.State, &m.Version, &m.TenantID, &r.tenant, &r.path, &r.frozen, &r.hasBMC, &r.protocol, &r.busy)
			return ifAny(err, func() { r.found = true })
		})
		b.Queue(platformImages, r.id, r.purpose).Query(collect(&r.images, pgx.RowToStructByPos[platformImage]))
	})
	if err != nil || again != nil {
		return deref(again), err
	}
	if err := r.check(a.authz, r); err != nil {
		return Accepted{}, err
	}
	boot, err := r.boot()
	if err != nil {
		return Accepted{}, err
	}
	o := contract.Operation{
		ID: models.NewID(), Kind: r.kind, Tenant: r.tenant, Region: m.Region,
		ResourceKind: "baremetal", ResourceID: r.id, ResourceName: m.Name, Actor: r.Actor.Name, Trace: r.Origin.Trace,
	}
	if m.TenantID != nil {
		o.TenantID = *m.TenantID
	}
	op, err := operation(r.Request, o, r.input(o, boot))
	if err != nil {
		return Accepted{}, err
	}
	b := &pgx.Batch{}
	queueRecords(b, []record{{Request: r.Request, op: op, action: r.kind, detail: r.detail}})
	b.Queue("COMMIT")
	return Accepted{Operation: op}, send(ctx, conn, b)
}

// releasable judges a release: rights first. A machine that nobody leases is nowhere, so that it answers a tenant's people
// like one that is somebody else's.
func (r *reboot) releasable(auth *authz.Authorizer) error {
	on := authz.Resource{Kind: "baremetal", Path: r.path, Frozen: r.frozen}
	if len(r.path) == 0 {
		on.Path = authz.Nowhere
	}
	if err := auth.Check(r.Actor, "baremetal.release", on); err != nil {
		return r.unseen(err)
	}
	if r.skip {
		if err := auth.Check(r.Actor, "baremetal-wipe.skip", authz.Resource{Kind: "baremetal"}); err != nil {
			return err
		}
	}
	if err := r.ready(); err != nil {
		return err
	}
	if r.machine.Role != models.RoleLeased {
		return models.Faultf(models.CodeWrongState, "The baremetal %s is not leased, so there is nothing to release.", r.machine.Name)
	}
	return nil
}

// discoverable judges a discovery, which turns the machine off and on: nothing may be on it.
func (r *reboot) discoverable(auth *authz.Authorizer) error {
	if err := auth.Check(r.Actor, "baremetal.discover", authz.Resource{Kind: "baremetal"}); err != nil {
		return err
	}
	if err := r.ready(); err != nil {
		return err
	}
	calm := []models.BaremetalState{models.BaremetalAvailable, models.BaremetalMaintenance, models.BaremetalFailed}
	if r.machine.Role != models.RoleSpare || !slices.Contains(calm, r.machine.State) {
		return models.Faultf(models.CodeWrongState, "The baremetal %s is %s and %s. A discovery turns it off and on, so it must be spare, and available, in maintenance or failed.",
			r.machine.Name, r.machine.Role, r.machine.State)
	}
	return nil
}

// unseen gives a machine that the actor may not know of the words for one that there is not.
func (r *reboot) unseen(err error) error {
	if models.IsCode(err, models.CodeNotFound) {
		return invisible("baremetal", r.id.String())
	}
	return err
}

// ready refuses what cannot be booted now.
func (r *reboot) ready() error {
	if !r.found {
		return invisible("baremetal", r.id.String())
	}
	if err := unchanged("baremetal", r.machine.Name, r.version, r.machine.Version); err != nil {
		return err
	}
	switch {
	case r.busy != nil:
		return inTheWay("baremetal", r.machine.Name, *r.busy)
	case !r.hasBMC:
		return noBMC(r.machine.Name)
	}
	return nil
}

// boot chooses the newest image of the region that the machine can boot.
func (r *reboot) boot() (contract.Boot, error) {
	if r.skip {
		return contract.Boot{}, nil
	}
	for _, i := range r.images {
		if i.Netboot.Network() || r.protocol != models.IPMI {
			return bootOf(r.purpose, i.Name, i.Netboot, r.protocol), nil
		}
	}
	remedy := "Add one: yunshu image create NAME --purpose " + string(r.purpose) + " --kernel " + r.machine.Region + "=ADDRESS."
	if r.purpose == models.BootWipe {
		remedy += " An operator may also release it without wiping it (--skip-wipe)."
	}
	return contract.Boot{}, models.Faultf(models.CodeWrongState, "The region %s has no %s image that the baremetal %s can boot. %s", r.machine.Region, r.purpose, r.machine.Name, remedy)
}
