package gateway

import (
	"context"
	"errors"
	"log/slog"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/yunshu/yunshu/activities/contract"
)

const (
	watchEvery   = 5 * time.Minute
	regionsEvery = 30 * time.Second // how soon a new region is watched
)

// Regions names the regions that there are.
type Regions func(ctx context.Context) ([]string, error)

// KeepSchedules makes sure until ctx ends that every region is watched, also those that come later. Several gateways may do
// it at once.
func KeepSchedules(ctx context.Context, c client.Client, regions Regions, log *slog.Logger) {
	watched := map[string]bool{}
	failing := false
	for {
		err := watchRegions(ctx, c, regions, watched)
		if err != nil && ctx.Err() == nil && !failing {
			log.ErrorContext(ctx, "regions not scheduled", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-time.After(regionsEvery):
		}
	}
}

// watchRegions creates the schedules of the regions that are not known to be watched.
func watchRegions(ctx context.Context, c client.Client, regions Regions, watched map[string]bool) error {
	ctx, cancel := context.WithTimeout(ctx, regionsEvery)
	defer cancel()
	names, err := regions(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if watched[name] {
			continue
		}
		if err := watchRegion(ctx, c, name); err != nil {
			return err
		}
		watched[name] = true
	}
	return nil
}

// watchRegion creates the schedule of one region, unless there is one: an operator may have paused or changed it. A round has
// no time limit, because a region without a worker is waited for, and no other begins meanwhile.
func watchRegion(ctx context.Context, c client.Client, region string) error {
	id := "baremetal-watch-" + region
	_, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID:      id,
		Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP,
		Spec:    client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: watchEvery}}, Jitter: watchEvery / 6},
		Action: &client.ScheduleWorkflowAction{
			ID: id, Workflow: contract.BaremetalWatch.Name, TaskQueue: contract.Gateway, Args: []any{contract.BaremetalWatchInput{Region: region}},
			StaticSummary:         "look at the physical servers of region " + region,
			TypedSearchAttributes: temporal.NewSearchAttributes(contract.AttrRegion.ValueSet(region)),
		},
	})
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return nil
	}
	return err
}
