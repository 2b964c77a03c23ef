package vsphere

import (
	"sync"
	"time"
)

// fresh is how long a look at the inventory is believed. What is behind a wrong belief fails and is looked up again.
const fresh = time.Minute

// cache keeps what seldom changes: where templates, networks and folders are. The zero value is empty.
type cache[T any] struct {
	mu    sync.Mutex
	items map[string]item[T]
}

// item is one remembered value.
type item[T any] struct {
	value T
	until time.Time
}

// get returns what is remembered under key, or looks it up.
func (c *cache[T]) get(key string, look func() (T, error)) (T, error) {
	c.mu.Lock()
	have, found := c.items[key]
	c.mu.Unlock()
	if found && time.Now().Before(have.until) {
		return have.value, nil
	}
	value, err := look()
	if err != nil {
		return value, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.items == nil {
		c.items = map[string]item[T]{}
	}
	c.items[key] = item[T]{value, time.Now().Add(fresh)}
	return value, nil
}

// clear forgets everything.
func (c *cache[T]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.items)
}

// forget drops what the provider believes of the inventory.
func (p *Provider) forget() {
	p.places.clear()
	p.templates.clear()
	p.networks.clear()
	p.folders.clear()
}
