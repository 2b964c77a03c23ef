package vsphere

import (
	"slices"
	"sync"
	"time"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

const (
	// listingsKept is how many listings may be under way at once; one more makes the oldest begin again.
	listingsKept = 4
	// listingAge is how long a look is good for. A listing that was blocked for hours looks again.
	listingAge = 10 * time.Minute
)

// listings keeps what a look at the inventory found until its last page was handed out, so that a listing of a hundred
// thousand machines asks vCenter once and not once a page. Pages of different listings never share a look: each sees
// the inventory as it was after it began. The zero value is empty.
type listings[T any] struct {
	mu   sync.Mutex
	kept []kept[T] // the oldest first
}

// kept is one listing that is under way.
type kept[T any] struct {
	id    models.ID
	items []T
	until time.Time
}

// listing returns the items of which the page is a part. Callers may sort what they get.
func (l *listings[T]) listing(page contract.Page, look func() ([]T, error)) ([]T, error) {
	if items, found := l.find(page.Listing); found {
		return items, nil
	}
	items, err := look()
	if err != nil || page.Listing == models.NoID {
		return items, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(page.Listing)
	if len(l.kept) == listingsKept {
		l.kept = slices.Delete(l.kept, 0, 1)
	}
	l.kept = append(l.kept, kept[T]{page.Listing, slices.Clone(items), time.Now().Add(listingAge)})
	return items, nil
}

// served forgets a listing whose last page was handed out.
func (l *listings[T]) served(page contract.Page, next string) {
	if next != "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(page.Listing)
}

// find returns a copy of what is kept of a listing.
func (l *listings[T]) find(id models.ID) ([]T, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.kept {
		if k.id == id && time.Now().Before(k.until) {
			return slices.Clone(k.items), true
		}
	}
	return nil, false
}

// drop removes a listing. The lock is held.
func (l *listings[T]) drop(id models.ID) {
	l.kept = slices.DeleteFunc(l.kept, func(k kept[T]) bool { return k.id == id })
}
