package accept

import (
	"context"
	"sync"
	"time"

	"github.com/yunshu/yunshu/models"
)

// coalescer lets concurrent creates share a transaction. A create that finds no transaction under way starts one at
// once. Those that come meanwhile gather until there are half as many as are under way, or until these are done: what a
// transaction costs is mostly its own, so batches grow with the load, and a lone create is alone. A batch that cannot be
// committed whole falls apart into single creates.
type coalescer struct {
	accepter *Accepter
	batch    int
	done     <-chan struct{}

	mu      sync.Mutex
	change  *sync.Cond // of what follows
	waiting []*ticket
	flying  int // creates in transactions that are under way
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
	c := &coalescer{accepter: a, batch: batch, done: ctx.Done()}
	c.change = sync.NewCond(&c.mu)
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stopped = true
		c.change.Broadcast()
	})
	for range lanes {
		go c.lane()
	}
	return c
}

// submit queues a create and waits for its answer. A client that goes away does not take back what it asked for: the
// create may be committed already, and its idempotency key tells.
func (c *coalescer) submit(ctx context.Context, create VMCreate) (Accepted, error) {
	t := &ticket{create, make(chan outcome, 1)}
	c.mu.Lock()
	c.waiting = append(c.waiting, t)
	c.change.Signal()
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

func (c *coalescer) lane() {
	for batch := c.gather(); batch != nil; batch = c.gather() {
		c.serve(batch)
		c.mu.Lock()
		c.flying -= len(batch)
		c.change.Broadcast()
		c.mu.Unlock()
	}
}

// gather waits for a batch that is worth a transaction. It returns nil when the gateway stops.
func (c *coalescer) gather() []*ticket {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.stopped && (len(c.waiting) == 0 || len(c.waiting) < c.flying/2) {
		c.change.Wait()
	}
	if c.stopped {
		return nil
	}
	n := min(len(c.waiting), c.batch)
	batch := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	c.flying += n
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
