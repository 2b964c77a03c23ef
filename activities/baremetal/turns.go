package baremetal

import (
	"context"
	"sync"
)

// turns gives each BMC to one caller at a time: they are small computers, which many questions at once bring down.
type turns struct {
	mu   sync.Mutex
	bmcs map[string]*turn // by address; only those that somebody has or waits for
}

// turn is one BMC's.
type turn struct {
	free  chan struct{} // holds one token while nobody has the BMC
	users int           // who has it or waits for it
}

// take waits for the BMC at an address, for as long as ctx allows.
func (t *turns) take(ctx context.Context, address string) (release func(), err error) {
	t.mu.Lock()
	if t.bmcs == nil {
		t.bmcs = map[string]*turn{}
	}
	one := t.bmcs[address]
	if one == nil {
		one = &turn{free: make(chan struct{}, 1)}
		one.free <- struct{}{}
		t.bmcs[address] = one
	}
	one.users++
	t.mu.Unlock()

	select {
	case <-one.free:
		return func() {
			one.free <- struct{}{}
			t.leave(address, one)
		}, nil
	case <-ctx.Done():
		t.leave(address, one)
		return nil, ctx.Err()
	}
}

// leave forgets a BMC that nobody has or waits for.
func (t *turns) leave(address string, one *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one.users--; one.users == 0 {
		delete(t.bmcs, address)
	}
}
