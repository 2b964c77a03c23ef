package memory

import (
	"time"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// Live is how many machines of ours there are.
func (p *Provider) Live() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.machines)
}

// HostOf is the name of the host that a machine is on; empty if there is no such machine.
func (p *Provider) HostOf(id models.ID) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.machines[id]; m != nil {
		return m.vm.Host.Name
	}
	return ""
}

// Fail makes the next calls of step fail, one with each of the errors.
func (p *Provider) Fail(step string, errs ...error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults[step] = append(p.faults[step], errs...)
}

// Mend forgets the faults that have not happened yet.
func (p *Provider) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.faults)
}

// SetDelay changes how long steps take from now on.
func (p *Provider) SetDelay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.options.Delay = d
}

// SetHost changes what a host looks like; the zero value removes it.
func (p *Provider) SetHost(ref string, h contract.Hypervisor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h == (contract.Hypervisor{}) {
		delete(p.hosts, ref)
		return
	}
	p.hosts[ref] = h
}

// AddForeign puts a machine there that somebody else made.
func (p *Provider) AddForeign(label string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.foreign[label] = true
}

// HasForeign reports whether somebody else's machine is still there.
func (p *Provider) HasForeign(label string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.foreign[label]
}

// SetHotAdd says whether a machine can grow while it runs.
func (p *Provider) SetHotAdd(id models.ID, hotAdd bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machines[id].hotAdd = hotAdd
}

// Silence makes a machine's guest never report an address.
func (p *Provider) Silence(id models.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machines[id].silent = true
}
