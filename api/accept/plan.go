package accept

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/yunshu/yunshu/models"
)

// Plan is what a create would do, without doing it.
type Plan struct {
	BaremetalID models.ID
	Baremetal   string
	RackID      *models.ID
	Address     models.Inet
	Size        models.Size
	Policy      models.Policy
	Reasons     []models.Reason // how many hosts of the group fit, and why the others do not
	Quotas      []PlannedQuota
}

// PlannedQuota is one limit that the create counts against.
type PlannedQuota struct {
	Where    string
	Resource string
	Limit    int64
	Before   int64
	After    int64
}

// PlanVM answers what CreateVM would do at this moment, by the same rules and the same code, and writes nothing.
func (a *Accepter) PlanVM(ctx context.Context, c VMCreate) (Plan, error) {
	c.Key = "" // a plan is never replayed
	return retry(ctx, func(ctx context.Context) (plan Plan, err error) {
		err = a.transaction(ctx, func(conn *pgxpool.Conn) error {
			plan, err = a.tryPlan(ctx, conn, &creation{VMCreate: c})
			return err
		})
		return plan, err
	})
}

func (a *Accepter) tryPlan(ctx context.Context, conn *pgxpool.Conn, c *creation) (Plan, error) {
	f, err := a.look(ctx, conn, []*creation{c})
	if err != nil {
		return Plan{}, err
	}
	if c.refused != nil {
		return Plan{}, c.refused
	}
	if err := a.lookFurther(ctx, conn, []*creation{c}, f); err != nil {
		return Plan{}, err
	}
	rows := f.quotas.of(c.Path, *c.GroupID)
	quotas := planned(rows, c.amount)
	if err := c.fit(f, true); models.IsCode(err, models.CodeCapacityExhausted) {
		fault, err := explain(ctx, conn, c)
		if err != nil {
			return Plan{}, err
		}
		return Plan{}, fault
	} else if err != nil {
		return Plan{}, err
	}
	why, _, err := reasons(ctx, conn, *c.GroupID, c.amount.Size, c.away())
	if err != nil {
		return Plan{}, fmt.Errorf("count the hosts that fit: %w", err)
	}
	return Plan{
		BaremetalID: c.host.ID, Baremetal: c.host.Name, RackID: c.host.Rack, Address: models.Inet{Addr: c.address},
		Size: c.amount.Size, Policy: c.policy(), Reasons: why, Quotas: quotas,
	}, nil
}

// planned lists every limit that an amount counts against, with its use before and after.
func planned(rows []*limit, a models.Amount) []PlannedQuota {
	var out []PlannedQuota
	for _, l := range rows {
		for i, v := range a.Values() {
			if v > 0 && l.Limits[i] != nil {
				out = append(out, PlannedQuota{Where: l.Where, Resource: models.Resources[i], Limit: *l.Limits[i], Before: l.Used[i], After: l.Used[i] + v})
			}
		}
	}
	return out
}
