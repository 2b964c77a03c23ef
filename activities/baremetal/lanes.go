package baremetal

import (
	"context"
	"time"
)

// lanes let many looks go on at once, and keep those that wait in vain out of the others' way: a look that takes longer than
// patience gives its place in the main lane to the next one and goes on in the side lane, and one that was in vain the last
// time begins there. So a dead BMC costs a round no more than patience, and the next round nothing. Both lanes are bounded:
// where very many are dead, the main lane gets slower too.
type lanes struct {
	main, side chan struct{}
	patience   time.Duration
}

func newLanes(width int, patience time.Duration) *lanes {
	return &lanes{main: make(chan struct{}, width), side: make(chan struct{}, width), patience: patience}
}

// run waits for a place and looks. It fails only if ctx ended before that.
func (l *lanes) run(ctx context.Context, inVain bool, look func()) error {
	lane := l.main
	if inVain {
		lane = l.side
	}
	select {
	case lane <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		look()
	}()
	if lane == l.main {
		lane = l.yield(done)
	}
	<-done
	<-lane
	return nil
}

// yield waits until the look is done, or gives its place in the main lane up for one in the side lane. It returns the lane
// that the look is in now.
func (l *lanes) yield(done <-chan struct{}) chan struct{} {
	timer := time.NewTimer(l.patience)
	defer timer.Stop()
	select {
	case <-done:
		return l.main
	case <-timer.C:
	}
	select {
	case <-done:
		return l.main
	case l.side <- struct{}{}:
		<-l.main
		return l.side
	}
}
