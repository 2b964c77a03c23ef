package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// result is what a load measured.
type result struct {
	perSecond float64
	p50, p99  time.Duration
	n         int
}

// load lets clients call f one after another for a while, and counts.
func load(ctx context.Context, clients int, d time.Duration, f func(ctx context.Context, client, i int) error) (result, error) {
	var mu sync.Mutex
	var all []time.Duration
	var first atomic.Pointer[error]
	begin := time.Now()
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			var mine []time.Duration
			for i := 0; time.Since(begin) < d && ctx.Err() == nil && first.Load() == nil; i++ {
				t := time.Now()
				if err := f(ctx, c, i); err != nil {
					first.CompareAndSwap(nil, &err)
					break
				}
				mine = append(mine, time.Since(t))
			}
			mu.Lock()
			all = append(all, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	took := time.Since(begin)
	if err := first.Load(); err != nil {
		return result{}, *err
	}
	return summarise(all, took), ctx.Err()
}

func summarise(all []time.Duration, took time.Duration) result {
	if len(all) == 0 {
		return result{}
	}
	slices.Sort(all)
	return result{perSecond: float64(len(all)) / took.Seconds(), p50: all[len(all)/2], p99: all[len(all)*99/100], n: len(all)}
}

func (r result) String() string {
	return fmt.Sprintf("%7.0f/s  p50 %9s  p99 %9s", r.perSecond, ms(r.p50), ms(r.p99))
}
