package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/client"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/activities/baremetal/bmclib"
	"github.com/yunshu/yunshu/activities/baremetal/memory"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/bmc/redfish"
)

// oneOf is how many servers there are for each whose BMC is dead: 2 %.
const oneOf = 50

// watched are servers that are looked at, and how to kill the BMCs of some.
type watched struct {
	name      string
	provider  baremetal.Provider
	addresses []string
	kill      func(i int) error
	ideal     func() time.Duration // what the calls since it was asked last take alone
}

// health measures a round over all servers of a region, from its start until what was seen is in the database, and the same round
// with dead BMCs among them: the first, which finds them, and the next, which knows of them. A short run cannot meet the target for the
// first: all of it takes hardly longer than one dead BMC is waited for.
func (b *bench) health(ctx context.Context) error {
	inMemory, real := pick(b.short, 200, 2000), pick(b.short, 50, 400)
	fmt.Printf("a health round over BMCs that take %s for a call, %d at a time and as many again of those that take long, beside the same round where one in %d never answers\n", bmcLatency, bmcsAtOnce, oneOf)
	t, err := b.temporal(ctx)
	if t == nil {
		return err
	}
	defer t.Close()
	if err := b.rounds(ctx, t, remembered(inMemory)); err != nil {
		return err
	}
	f, stop, err := fleet(real, bmcLatency)
	if err != nil {
		return err
	}
	defer stop()
	return b.rounds(ctx, t, simulated(f))
}

// remembered are servers in memory.
func remembered(n int) watched {
	p := memory.New(memory.Options{Latency: bmcLatency})
	w := watched{name: "in memory", provider: p, addresses: make([]string, n)}
	for i := range w.addresses {
		w.addresses[i] = fmt.Sprintf("https://10.1.%d.%d", i/250, i%250+1)
		p.Add(memory.Machine{Address: w.addresses[i], Username: "root", Password: bmcPassword})
	}
	w.ideal = func() time.Duration { return time.Duration(n*(memory.InspectCalls+4)) * bmcLatency / bmcsAtOnce } // two to log in, and the identity before and after
	w.kill = func(i int) error {
		p.SetFault(w.addresses[i], memory.Dead)
		return nil
	}
	return w
}

// simulated are servers whose BMCs are reached over Redfish and TLS.
func simulated(f *redfish.Fleet) watched {
	w := watched{name: "over Redfish", provider: bmclib.New(bmclib.Options{})}
	for _, m := range f.Machines {
		w.addresses = append(w.addresses, m.URL())
	}
	w.kill = func(i int) error { return f.Machines[i].Fail(redfish.Fault{Kind: redfish.Hang}) }
	before := 0
	w.ideal = func() time.Duration {
		all, _ := callsOf(f)
		calls := all - before
		before = all
		return time.Duration(calls) * bmcLatency / bmcsAtOnce
	}
	return w
}

// rounds looks at all once to know them, once more, and then with dead ones among them.
func (b *bench) rounds(ctx context.Context, t client.Client, w watched) error {
	s, err := b.yard(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := known(ctx, s, w.addresses); err != nil {
		return err
	}
	_, stop, err := whole(ctx, s, t, physical(s.Keys.Way, w.provider))
	if err != nil {
		return err
	}
	defer stop()
	if _, _, err := round(ctx, s, t, 0); err != nil {
		return fmt.Errorf("get to know them: %w", err)
	}
	w.ideal()
	healthy, id, err := round(ctx, s, t, 0)
	if err != nil {
		return err
	}
	n := len(w.addresses)
	fmt.Printf("  %4d %-12s %-24s   %12s   (the calls alone, %d at a time: %s)\n", n, w.name, "none dead", ms(healthy), bmcsAtOnce, ms(w.ideal()))
	for i := oneOf - 1; i < n; i += oneOf {
		if err := w.kill(i); err != nil {
			return err
		}
	}
	for _, when := range []string{"found dead", "known to be dead"} {
		took, _, err := round(ctx, s, t, n/oneOf)
		if err != nil {
			return err
		}
		ratio := took.Seconds() / healthy.Seconds()
		fmt.Printf("  %4d %-12s %3d %-20s   %12s   ratio %.2f (at most 1.20: %s)\n", n, w.name, n/oneOf, when, ms(took), ratio, verdict(ratio <= 1.2))
	}
	return history(ctx, t, id, "a page of a round", max(1, n/50))
}

// round looks at all servers of the region, and returns how long that took and which workflow it was. So many must have been unseen.
func round(ctx context.Context, s *store.Store, t client.Client, unseen int) (time.Duration, string, error) {
	id := models.NewID().String()
	begin := time.Now()
	run, err := t.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: contract.Gateway}, contract.BaremetalWatch.Name, contract.BaremetalWatchInput{Region: "tw"})
	if err == nil {
		err = run.Get(ctx, nil)
	}
	took := time.Since(begin)
	if err != nil {
		return 0, "", err
	}
	var missing int
	if err := s.Pool.QueryRow(ctx, `SELECT count(*) FROM bmcs m JOIN baremetals b ON b.id = m.baremetal_id WHERE b.seen_at IS NULL OR b.seen_at < $1`, begin).Scan(&missing); err != nil {
		return 0, "", err
	}
	if missing != unseen {
		return 0, "", fmt.Errorf("%d servers were not seen instead of %d", missing, unseen)
	}
	return took, id, nil
}

// known puts servers into the database that are enrolled already.
func known(ctx context.Context, s *store.Store, addresses []string) error {
	batch := &pgx.Batch{}
	for i, address := range addresses {
		id := models.NewID()
		sealed, err := s.Keys.SealPassword(id, bmcPassword)
		if err != nil {
			return err
		}
		batch.Queue(`INSERT INTO baremetals (id, region, name, role, state, hardware_uuid) VALUES ($1, 'tw', $2, 'spare', 'available', $2)`, id, fmt.Sprintf("bm-%04d", i))
		batch.Queue(`INSERT INTO bmcs (baremetal_id, region, address, protocol, username, key_id, password) VALUES ($1, 'tw', $2, 'redfish', 'root', $3, $4)`, id, address, sealed.KeyID, sealed.Data)
	}
	if err := s.Pool.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("fill the region: %w", err)
	}
	_, err := s.Pool.Exec(ctx, `VACUUM ANALYZE baremetals, bmcs`)
	return err
}
