// Package gateway runs the gateway's own Temporal worker: all workflows, and the activities that touch the database.
package gateway

import (
	"context"
	"fmt"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/yunshu/yunshu/activities/contract"
	activities "github.com/yunshu/yunshu/activities/gateway"
	"github.com/yunshu/yunshu/workflows"
)

// activitiesAtOnce leaves room for reports beside many activities that wait for machines to boot. How many use the database at
// once its pool bounds.
const activitiesAtOnce = 256

// New returns a worker on the gateway's queue. It does not run yet.
func New(c client.Client, a activities.Activities, w workflows.Set) worker.Worker {
	out := worker.New(c, contract.Gateway, worker.Options{
		DisableRegistrationAliasing:            true,
		MaxConcurrentActivityExecutionSize:     activitiesAtOnce,
		MaxConcurrentWorkflowTaskExecutionSize: 32,
		MaxConcurrentActivityTaskPollers:       4,
		MaxConcurrentWorkflowTaskPollers:       4,
	})
	w.Register(out)
	a.Register(out)
	return out
}

// Prepare makes sure that Temporal has the search attributes and the schedules. Doing it again changes nothing.
func Prepare(ctx context.Context, c client.Client, namespace string) error {
	if err := ensureAttributes(ctx, c, namespace); err != nil {
		return fmt.Errorf("register the search attributes: %w", err)
	}
	if err := ensureSchedules(ctx, c); err != nil {
		return fmt.Errorf("create the schedules: %w", err)
	}
	return nil
}
