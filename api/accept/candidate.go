package accept

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// leaseNames is what the database has under the names and ids of a lease.
type leaseNames struct {
	TenantID     *models.ID
	TenantName   string
	Path         []models.ID
	Frozen       bool
	Region       string
	RegionState  *string
	Capabilities []string
	GroupID      *models.ID
	GroupName    string
	ImageID      *models.ID
	ImageName    string
	Purpose      models.BootPurpose
	Netboot      models.Netboot
}

const leaseNamed = `
SELECT t.id, coalesce(t.full_name, ''), coalesce(t.path, '{}'), coalesce(t.frozen, false), r.region, rg.state, coalesce(rg.capabilities, '{}'),
	g.id, coalesce(g.name, ''), im.id, coalesce(im.name, ''), coalesce(im.purpose, ''), coalesce(im.boot -> r.region, '{}')
FROM (SELECT coalesce((SELECT b.region FROM baremetals b WHERE b.id = $1), $2) AS region) r
LEFT JOIN tenants t ON t.id = coalesce($3::uuid, (SELECT x.id FROM tenants x WHERE x.full_name = $4))
LEFT JOIN regions rg ON rg.name = r.region
LEFT JOIN groups g ON g.id = coalesce($5::uuid, (SELECT x.id FROM groups x WHERE x.region = r.region AND x.name = $6)) AND g.region = r.region
LEFT JOIN images im ON im.id = coalesce($7::uuid, (SELECT x.id FROM images x WHERE x.name = $8))`

func (l *leasing) queueNames(b *pgx.Batch) {
	tenant, tenantName := ref(l.Tenant)
	group, groupName := ref(l.Group)
	image, imageName := ref(l.Image)
	n := &l.named
	b.Queue(leaseNamed, l.Machine, l.Region, tenant, tenantName, group, groupName, image, imageName).QueryRow(func(row pgx.Row) error {
		return row.Scan(&n.TenantID, &n.TenantName, &n.Path, &n.Frozen, &n.Region, &n.RegionState, &n.Capabilities,
			&n.GroupID, &n.GroupName, &n.ImageID, &n.ImageName, &n.Purpose, &n.Netboot)
	})
}

// candidate is a physical server as a lease sees it.
type candidate struct {
	ID       models.ID
	Name     string
	Region   string
	GroupID  *models.ID
	Version  int64
	Protocol models.BMCProtocol
	Cause    string     // why it cannot be leased, or fits
	Busy     *models.ID // the operation in the way
}

const fits = "fits"

// The first cause that keeps a machine from being leased. $1 says whether the image can be booted from the network, which is
// all that machines without Redfish can do; $2 are labels.
const leaseCause = `CASE
	WHEN b.role = 'leased' THEN 'is leased'
	WHEN b.role <> 'spare' THEN 'is not spare'
	WHEN b.maintenance OR b.provider_maintenance OR b.state = 'maintenance' THEN 'is in maintenance'
	WHEN b.state <> 'available' THEN 'is not available'
	WHEN b.unfit OR b.health = 'critical' THEN 'is unhealthy'
	WHEN c.baremetal_id IS NULL THEN 'has no BMC'
	WHEN c.protocol = 'ipmi' AND NOT $1 THEN 'has no virtual drive'
	WHEN NOT b.labels @> $2 THEN 'has other labels'
	WHEN o.id IS NOT NULL THEN 'has an operation in progress'
	ELSE 'fits' END`

const machines = `
SELECT b.id, b.name, b.region, b.group_id, b.version, coalesce(c.protocol, ''), ` + leaseCause + `, o.id
FROM baremetals b
LEFT JOIN bmcs c ON c.baremetal_id = b.id
LEFT JOIN operations o ON o.resource_id = b.id AND o.state IN ('accepted', 'running', 'blocked', 'cancelling')
WHERE `

// Two who look for a machine at once get two: the one that the other holds is passed over, and waited for only where it is
// the last. A plan holds none.
const (
	skipLocked  = " FOR UPDATE OF b SKIP LOCKED"
	awaitLocked = " FOR UPDATE OF b"
)

func (l *leasing) args(more ...any) []any {
	labels, _ := json.Marshal(l.Labels) // a map of texts cannot fail
	if l.Labels == nil {
		labels = []byte("{}")
	}
	return append([]any{l.named.Netboot.Network(), labels}, more...)
}

func (l *leasing) scan(row pgx.Row) error {
	var m candidate
	err := row.Scan(&m.ID, &m.Name, &m.Region, &m.GroupID, &m.Version, &m.Protocol, &m.Cause, &m.Busy)
	return ifAny(err, func() { l.machine = &m })
}

// queueMachine reads the machine that the lease names, and keeps it as it is. Whether it can boot the image is not known
// yet: the names are read by the same batch.
func (l *leasing) queueMachine(b *pgx.Batch) {
	b.Queue(machines+"b.id = $3"+l.lock(awaitLocked), true, []byte("{}"), *l.Machine).QueryRow(l.scan)
}

// queueCandidate takes the first machine of the group that can be leased, in the order in which they came.
func (l *leasing) queueCandidate(b *pgx.Batch, lock string) {
	b.Queue(machines+"b.group_id = $3 AND "+leaseCause+" = 'fits' ORDER BY b.id LIMIT 1"+l.lock(lock), l.args(*l.named.GroupID)...).QueryRow(l.scan)
}

func (l *leasing) lock(how string) string {
	if l.plan {
		return ""
	}
	return how
}

const leaseReasons = `
SELECT ` + leaseCause + ` AS cause, count(*)
FROM baremetals b LEFT JOIN bmcs c ON c.baremetal_id = b.id
LEFT JOIN operations o ON o.resource_id = b.id AND o.state IN ('accepted', 'running', 'blocked', 'cancelling')
WHERE b.group_id = $3 GROUP BY 1 ORDER BY 2 DESC, 1`

// reasons counts the machines of the group by the first cause that keeps each from being leased.
func (l *leasing) reasons(ctx context.Context, conn *pgxpool.Conn) ([]models.Reason, error) {
	rows, err := conn.Query(ctx, leaseReasons, l.args(*l.named.GroupID)...)
	if err != nil {
		return nil, fmt.Errorf("count the machines of a group: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[models.Reason])
	if err != nil {
		return nil, fmt.Errorf("count the machines of a group: %w", err)
	}
	return out, nil
}

// leasable refuses a machine that cannot be leased as it is.
func (m *candidate) leasable(image models.Netboot) error {
	switch {
	case m.Cause == fits && m.Protocol == models.IPMI && !image.Network():
		return models.Faultf(models.CodeWrongState, "The baremetal %s has no virtual drive, and the image has no kernel to boot from the network. Use another image or machine.", m.Name)
	case m.Cause == fits:
		return nil
	case m.Busy != nil:
		return inTheWay("baremetal", m.Name, *m.Busy)
	case m.Cause == "has no BMC":
		return noBMC(m.Name)
	}
	return models.Faultf(models.CodeWrongState, "The baremetal %s %s. A machine can be leased when it is spare, available, healthy and not in maintenance.", m.Name, m.Cause)
}

func noBMC(name string) error {
	return models.Faultf(models.CodeNoBMC, "The baremetal %s has no BMC, so nothing can boot it. Say how it is reached: yunshu baremetal set-bmc %s.", name, name)
}

// bootOf is how a machine boots an image: from a virtual drive where it has one and the image an ISO, else from the network.
func bootOf(purpose models.BootPurpose, image string, n models.Netboot, by models.BMCProtocol) contract.Boot {
	b := contract.Boot{Purpose: purpose, Image: image}
	if by != models.IPMI {
		b.Media = n.ISO
	}
	return b
}
