package accept

import (
	"slices"

	"github.com/yunshu/yunshu/models"
)

// host is a hypervisor as placement sees it.
type host struct {
	ID    models.ID
	Name  string
	Ref   string
	Group models.ID
	Rack  *models.ID
	Total models.Size
	Free  models.Size
}

// away is what an anti-affinity keeps a machine away from.
type away struct {
	hosts []models.ID
	racks []models.ID
}

// takes reports whether the machine may go to h.
func (w away) takes(h *host) bool {
	if slices.Contains(w.hosts, h.ID) {
		return false
	}
	return h.Rack == nil || !slices.Contains(w.racks, *h.Rack)
}

// place chooses a host for a machine of this size, or none. Spread takes the host that is left with the largest share
// of free vcpu, then memory; pack the one that is left with the smallest.
func place(hosts []*host, policy models.Policy, size models.Size, away away) *host {
	var best *host
	var room float64
	for _, h := range hosts {
		if !size.Fits(h.Free) || !away.takes(h) {
			continue
		}
		left := share(h.Free.Sub(size), h.Total)
		if best == nil || (policy == models.Spread && left > room) || (policy == models.Pack && left < room) {
			best, room = h, left
		}
	}
	return best
}

// share is how much of a host is free: the scarcer of vcpu and memory, with the other to settle ties.
func share(free, total models.Size) float64 {
	cpu, mem := part(free.VCPU, total.VCPU), part(free.MemoryMiB, total.MemoryMiB)
	return min(cpu, mem) + max(cpu, mem)/1024
}

func part(free, total int64) float64 {
	if total <= 0 {
		return 0
	}
	return float64(free) / float64(total)
}
