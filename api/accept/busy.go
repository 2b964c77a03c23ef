package accept

import (
	"sync"

	"github.com/yunshu/yunshu/models"
)

// busy counts the transactions of this gateway that are taking room from a host at this moment. Another one that
// takes from the same host would wait for the first one's commit; where the policy has a choice, it takes from others.
type busy struct {
	mu    sync.Mutex
	hosts map[models.ID]int
}

func newBusy() *busy { return &busy{hosts: map[models.ID]int{}} }

// choose lets fit choose hosts while no other transaction does, marks those that it took, and returns what takes the
// marks away again.
func (b *busy) choose(f *free, fit func()) (done func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f.busy = b.hosts
	fit()
	f.busy = nil
	for id := range f.tookHosts {
		b.hosts[id]++
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for id := range f.tookHosts {
			if b.hosts[id]--; b.hosts[id] == 0 {
				delete(b.hosts, id)
			}
		}
	}
}

// count is how many hosts are marked.
func (b *busy) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.hosts)
}
