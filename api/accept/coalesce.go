package accept

import (
	"context"
	"time"

	"github.com/yunshu/yunshu/models"
)

// coalescer lets concurrent creates share a transaction. Nothing waits for company: a lane takes whatever has queued
// up while its last transaction was under way, so batches grow with the load and a lone create is alone. A batch that
// cannot be committed whole falls apart into single creates.
type coalescer struct {
	accepter *Accepter
	queue    chan *ticket
	batch    int
	done     <-chan struct{}
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
	c := &coalescer{accepter: a, queue: make(chan *ticket, 4*batch), batch: batch, done: ctx.Done()}
	for range lanes {
		go c.lane()
	}
	return c
}

// submit queues a create and waits for its answer. A client that goes away does not take back what it asked for: the
// create may be committed already, and its idempotency key tells.
func (c *coalescer) submit(ctx context.Context, create VMCreate) (Accepted, error) {
	t := &ticket{create, make(chan outcome, 1)}
	stopping := models.Faultf(models.CodeUnavailable, "The gateway is stopping. Try again with the same Idempotency-Key.")
	select {
	case c.queue <- t:
	case <-ctx.Done():
		return Accepted{}, ctx.Err()
	case <-c.done:
		return Accepted{}, stopping
	}
	select {
	case o := <-t.answer:
		return o.accepted, o.err
	case <-ctx.Done():
		return Accepted{}, ctx.Err()
	case <-c.done:
		return Accepted{}, stopping
	}
}

func (c *coalescer) lane() {
	for {
		select {
		case first := <-c.queue:
			c.serve(c.gather(first))
		case <-c.done:
			return
		}
	}
}

// gather takes what has queued up behind the first, at most one batch.
func (c *coalescer) gather(first *ticket) []*ticket {
	batch := []*ticket{first}
	for len(batch) < c.batch {
		select {
		case t := <-c.queue:
			batch = append(batch, t)
		default:
			return batch
		}
	}
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
