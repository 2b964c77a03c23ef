package gateway_test

import (
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/yunshu/yunshu/test/temporal"
	"github.com/yunshu/yunshu/workers/gateway"
)

// TestPreparingAgainChangesNothing prepares a namespace several times at once, as gateways that start together do, and
// once more after an operator has paused the schedule.
func TestPreparingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	address, namespace := temporal.Namespace(t)
	c, err := client.Dial(client.Options{HostPort: address, Namespace: namespace})
	require.NoError(t, err)
	defer c.Close()

	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = gateway.Prepare(t.Context(), c, namespace) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	attributes := func() map[string]string {
		got, err := c.OperatorService().ListSearchAttributes(t.Context(), &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
		require.NoError(t, err)
		out := map[string]string{}
		for name, kind := range got.GetCustomAttributes() {
			out[name] = kind.String()
		}
		return out
	}
	before := attributes()
	require.ElementsMatch(t, []string{"Tenant", "Region", "ResourceKind", "ResourceID", "Actor"}, slices.Collect(maps.Keys(before)))
	schedule := c.ScheduleClient().GetHandle(t.Context(), "operation-sweep")
	require.NoError(t, schedule.Pause(t.Context(), client.SchedulePauseOptions{Note: "maintenance"}))
	require.NoError(t, gateway.Prepare(t.Context(), c, namespace))
	require.Equal(t, before, attributes())
	got, err := schedule.Describe(t.Context())
	require.NoError(t, err)
	require.True(t, got.Schedule.State.Paused, "what an operator did to it is left alone")
	require.Equal(t, "maintenance", got.Schedule.State.Note)
}
