package gateway_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/yunshu/yunshu/test/temporal"
	"github.com/yunshu/yunshu/workers"
	"github.com/yunshu/yunshu/workers/gateway"
)

// TestEveryRegionIsWatched starts several replicas at once, one of which cannot reach its database at first, and once more
// after an operator paused a schedule.
func TestEveryRegionIsWatched(t *testing.T) {
	t.Parallel()
	address, namespace := temporal.Namespace(t)
	c, err := workers.Dial(t.Context(), workers.Options{Address: address, Namespace: namespace, Keys: "test=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	require.Eventually(t, func() bool { return gateway.Prepare(t.Context(), c, namespace) == nil }, 30*time.Second, 200*time.Millisecond,
		"a new namespace's search attributes are known to every part of the server by and by")
	keep := func(ctx context.Context) {
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				gateway.KeepSchedules(ctx, c, func(context.Context) ([]string, error) { return []string{"tw", "jp"}, nil }, slog.New(slog.DiscardHandler))
			})
		}
		all.Go(func() {
			gateway.KeepSchedules(ctx, c, func(context.Context) ([]string, error) { return nil, errors.New("no database") }, slog.New(slog.DiscardHandler))
		})
		all.Wait()
	}
	ctx, stop := context.WithCancel(t.Context())
	go keep(ctx)
	described := func(region string) *client.ScheduleDescription {
		d, err := c.ScheduleClient().GetHandle(t.Context(), "baremetal-watch-"+region).Describe(t.Context())
		if err != nil {
			return nil
		}
		return d
	}
	require.Eventually(t, func() bool { return described("tw") != nil && described("jp") != nil }, 30*time.Second, 100*time.Millisecond, "they are created beside the work")
	stop()
	require.NoError(t, c.ScheduleClient().GetHandle(t.Context(), "baremetal-watch-tw").Pause(t.Context(), client.SchedulePauseOptions{Note: "maintenance"}))

	ctx, stop = context.WithTimeout(t.Context(), 3*time.Second)
	defer stop()
	keep(ctx)
	require.True(t, described("tw").Schedule.State.Paused)
	require.Equal(t, "maintenance", described("tw").Schedule.State.Note)
	require.False(t, described("jp").Schedule.State.Paused)
}
