package accept

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/yunshu/yunshu/models"
)

// coalescer lets concurrent creates share a transaction. A create that finds no transaction under way starts one at
// once. Those that come meanwhile gather until there are half as many as are under way, or until these are done: what a
// transaction costs is mostly its own, so batches grow with the load, and a lone create is alone. A batch that cannot be
// committed whole falls apart into single creates. While one tenant fills the batches, the others have a lane of their
// own.
type coalescer struct {
	accepter *Accepter
	batch    int
	done     <-chan struct{}

	mu      sync.Mutex
	change  *sync.Cond // of what follows
	waiting []*ticket
	flying  int            // creates in transactions that are under way
	of      map[string]int // the same, of each tenant
	stopped bool
}

// ticket is a create that waits for its answer.
type ticket struct {
	create VMCreate
	answer chan outcome
}

type outcome struct {
	accepted Accepted
	err      error
}

func startCoalescer(ctx context.Context, a *Accepter, lanes, batch int) *coalescer {
	if lanes <= 0 {
		lanes = 2
	}
	if batch <= 0 {
		batch = 64
	}
	c := &coalescer{accepter: a, batch: batch, done: ctx.Done(), of: map[string]int{}}
	c.change = sync.NewCond(&c.mu)
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stopped = true
		c.change.Broadcast()
	})
	for range lanes {
		go c.lane(c.gather)
	}
	go c.lane(c.pass)
	return c
}

// submit queues a create and waits for its answer. A client that goes away does not take back what it asked for: the
// create may be committed already, and its idempotency key tells.
func (c *coalescer) submit(ctx context.Context, create VMCreate) (Accepted, error) {
	t := &ticket{create, make(chan outcome, 1)}
	c.mu.Lock()
	c.waiting = append(c.waiting, t)
	c.change.Broadcast()
	c.mu.Unlock()
	select {
	case o := <-t.answer:
		return o.accepted, o.err
	case <-ctx.Done():
		return Accepted{}, ctx.Err()
	case <-c.done:
		return Accepted{}, models.Faultf(models.CodeUnavailable, "The gateway is stopping. Try again with the same Idempotency-Key.")
	}
}

// lane serves one batch after the other, each as next gives it, until that gives none.
func (c *coalescer) lane(next func() []*ticket) {
	for batch := c.start(next); batch != nil; batch = c.start(next) {
		c.serve(batch)
		c.end(batch)
	}
}

func (c *coalescer) start(next func() []*ticket) []*ticket {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch := next()
	c.flying += len(batch)
	for _, t := range batch {
		c.of[t.create.Tenant]++
	}
	return batch
}

func (c *coalescer) end(batch []*ticket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flying -= len(batch)
	for _, t := range batch {
		if c.of[t.create.Tenant]--; c.of[t.create.Tenant] == 0 {
			delete(c.of, t.create.Tenant)
		}
	}
	c.change.Broadcast()
}

// gather waits for a batch that is worth a transaction. It returns nil when the gateway stops.
func (c *coalescer) gather() []*ticket {
	for !c.stopped && (len(c.waiting) == 0 || len(c.waiting) < c.flying/2) {
		c.change.Wait()
	}
	if c.stopped {
		return nil
	}
	return c.fairly()
}

// pass waits until one tenant has most of what is under way, and takes one create of each other tenant that waits behind
// it and has none under way. It returns nil when the gateway stops.
func (c *coalescer) pass() []*ticket {
	for !c.stopped {
		if batch := c.behind(c.hot()); batch != nil {
			return batch
		}
		c.change.Wait()
	}
	return nil
}

// hot is the tenant that has most of what is under way, if there is one, and if that is much.
func (c *coalescer) hot() string {
	for tenant, n := range c.of {
		if n >= c.batch/4 && n > c.flying*3/4 {
			return tenant
		}
	}
	return ""
}

func (c *coalescer) behind(hot string) (batch []*ticket) {
	if hot == "" {
		return nil
	}
	taken := map[string]bool{hot: true}
	c.waiting = slices.DeleteFunc(c.waiting, func(t *ticket) bool {
		tenant := t.create.Tenant
		if taken[tenant] || c.of[tenant] > 0 || len(batch) == c.batch {
			return false
		}
		taken[tenant] = true
		batch = append(batch, t)
		return true
	})
	return batch
}

// fairly takes a batch from those that wait: all of them, or, where they are too many, one of each tenant in turn, so
// that a tenant that asks for a thousand machines delays the one of another by a batch, not by a thousand.
func (c *coalescer) fairly() []*ticket {
	if len(c.waiting) <= c.batch {
		batch := c.waiting
		c.waiting = nil
		return batch
	}
	turns, order := map[string]int{}, make([]int, len(c.waiting))
	for i, t := range c.waiting {
		order[i] = turns[t.create.Tenant]
		turns[t.create.Tenant]++
	}
	var batch []*ticket
	for turn := 0; len(batch) < c.batch; turn++ {
		for i, t := range c.waiting {
			if order[i] == turn && len(batch) < c.batch {
				batch, order[i] = append(batch, t), -1
			}
		}
	}
	var rest []*ticket
	for i, t := range c.waiting {
		if order[i] >= 0 {
			rest = append(rest, t)
		}
	}
	c.waiting = rest
	return batch
}

// serve answers every ticket of a batch.
func (c *coalescer) serve(batch []*ticket) {
	defer c.accepter.wake()
	if len(batch) == 1 {
		batch[0].answer <- c.single(batch[0].create)
		return
	}
	cs := each(batch, func(t *ticket) *creation { return &creation{VMCreate: t.create} })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := c.accepter.createAll(ctx, cs)
	for i, t := range batch {
		switch {
		case cs[i].refused != nil:
			t.answer <- outcome{err: cs[i].refused}
		case err == nil && cs[i].answer != nil:
			t.answer <- outcome{accepted: *cs[i].answer}
		default:
			// Beside the lane, so that those who wait behind are not held up; the pool bounds how many at once.
			go func() { t.answer <- c.single(t.create) }()
		}
	}
}

// single gives one create a transaction of its own.
func (c *coalescer) single(create VMCreate) outcome {
	defer c.accepter.wake()
	ctx, cancel := context.WithTimeout(context.Background(), patience+time.Second)
	defer cancel()
	accepted, err := retry(ctx, func(ctx context.Context) (Accepted, error) {
		one := &creation{VMCreate: create}
		if err := c.accepter.createAll(ctx, []*creation{one}); err != nil {
			return Accepted{}, err
		}
		if one.refused != nil {
			return Accepted{}, one.refused
		}
		return *one.answer, nil
	})
	return outcome{accepted, err}
}
