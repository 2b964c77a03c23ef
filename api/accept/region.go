package accept

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/models"
)

// namespace makes ids for things that have only a name, so that they too have one active operation at a time.
var namespace = uuid.MustParse("0190a000-7975-7e73-8875-000000000001")

// RegionID is the id under which a region's operations are found.
func RegionID(name string) models.ID { return uuid.NewSHA1(namespace, []byte("region/"+name)) }

// LeakCheckID is the id under which leak checks are found.
var LeakCheckID = uuid.NewSHA1(namespace, []byte("leak-check"))

// ImportRegion accepts reading a region's hypervisors into the inventory.
func (a *Accepter) ImportRegion(ctx context.Context, req Request, region string) (Accepted, error) {
	return a.platformWork(ctx, req, "region.import", func(regions map[string]bool) (contract.Operation, func(contract.Operation) any, error) {
		if _, is := regions[region]; !is {
			return contract.Operation{}, nil, invisible("region", region)
		}
		return contract.Operation{Kind: contract.RegionImport.Name, Region: region, ResourceKind: "region", ResourceID: RegionID(region), ResourceName: region},
			func(o contract.Operation) any { return contract.RegionImportInput{Operation: o} }, nil
	})
}

// LeakCheck accepts comparing the database with the world; without regions, with all of it. A region of physical servers
// alone has no machines to compare, nor a worker who could list them.
func (a *Accepter) LeakCheck(ctx context.Context, req Request, only []string) (Accepted, error) {
	return a.platformWork(ctx, req, "leak-check.create", func(regions map[string]bool) (contract.Operation, func(contract.Operation) any, error) {
		compared := []string{}
		for _, r := range only {
			if _, is := regions[r]; !is {
				return contract.Operation{}, nil, invalid("body.regions", fmt.Sprintf("there is no region %q", r))
			}
		}
		for r, machines := range regions {
			if machines && (len(only) == 0 || slices.Contains(only, r)) {
				compared = append(compared, r)
			}
		}
		slices.Sort(compared)
		return contract.Operation{Kind: contract.LeakCheck.Name, ResourceKind: "leak-check", ResourceID: LeakCheckID, ResourceName: "leak-check"},
			func(o contract.Operation) any { return contract.LeakCheckInput{Operation: o, Regions: compared} }, nil
	})
}

// plan makes the operation of a platform's intent, and its input, from the names of all regions, and whether there are
// virtual machines in each, or could be.
type plan func(regions map[string]bool) (contract.Operation, func(contract.Operation) any, error)

// platformWork accepts an intent that belongs to no tenant.
func (a *Accepter) platformWork(ctx context.Context, req Request, action string, p plan) (Accepted, error) {
	defer a.wake()
	return retry(ctx, func(ctx context.Context) (out Accepted, err error) {
		err = a.transaction(ctx, func(conn *pgxpool.Conn) error {
			out, err = a.tryPlatformWork(ctx, conn, req, action, p)
			return err
		})
		return out, err
	})
}

const (
	allRegions = `SELECT name, 'vm' = ANY (capabilities) OR EXISTS (SELECT FROM vms v WHERE v.region = regions.name) FROM regions`
	activeOf   = `SELECT id FROM operations WHERE resource_id = $1 AND state IN ('accepted', 'running', 'blocked', 'cancelling')`
)

func (a *Accepter) tryPlatformWork(ctx context.Context, conn *pgxpool.Conn, req Request, action string, p plan) (Accepted, error) {
	regions := map[string]bool{}
	b := &pgx.Batch{}
	begin(b)
	standing := queueStanding(b, []Request{req})
	b.Queue(allRegions).Query(func(rows pgx.Rows) error {
		var name string
		var machines bool
		_, err := pgx.ForEachRow(rows, []any{&name, &machines}, func() error {
			regions[name] = machines
			return nil
		})
		return err
	})
	if err := send(ctx, conn, b); err != nil {
		return Accepted{}, fmt.Errorf("look up the regions: %w", err)
	}
	req, err := standing.current(req)
	if err != nil {
		return Accepted{}, err
	}
	o, input, err := p(regions)
	if err != nil {
		return Accepted{}, err
	}
	if err := a.authz.Check(req.Actor, action, authz.Resource{Kind: o.ResourceKind}); err != nil {
		return Accepted{}, err
	}
	o.ID, o.Actor, o.Trace = models.NewID(), req.Actor.Name, req.Origin.Trace
	op, err := operation(req, o, input(o))
	if err != nil {
		return Accepted{}, err
	}
	b = &pgx.Batch{}
	var busy *models.ID
	b.Queue(activeOf, o.ResourceID).QueryRow(func(row pgx.Row) error {
		return ifAny(row.Scan(&busy), func() {})
	})
	used := queueKeys(b, []Request{req}) // after the operation in the way: it may be this very request's
	if err := send(ctx, conn, b); err != nil {
		return Accepted{}, fmt.Errorf("look for an operation in the way: %w", err)
	}
	if again, err := replay(used, req); err != nil || again != nil {
		return deref(again), err
	}
	if busy != nil {
		return Accepted{}, inTheWay(o.ResourceKind, o.ResourceName, *busy)
	}
	b = &pgx.Batch{}
	queueRecords(b, []record{{Request: req, op: op, action: action}})
	b.Queue("COMMIT")
	return Accepted{Operation: op}, send(ctx, conn, b)
}
