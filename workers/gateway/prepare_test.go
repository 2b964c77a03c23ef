package gateway_test

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/test/temporal"
	"github.com/yunshu/yunshu/workers"
	"github.com/yunshu/yunshu/workers/gateway"
)

// TestPrepareMayBeRepeated starts several replicas at once on an empty namespace, and once more on a prepared one.
func TestPrepareMayBeRepeated(t *testing.T) {
	t.Parallel()
	address, namespace := temporal.Namespace(t)
	c, err := workers.Dial(t.Context(), workers.Options{Address: address, Namespace: namespace, Keys: "test=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	require.Eventually(t, func() bool { return gateway.Prepare(t.Context(), c, namespace) == nil }, 30*time.Second, 200*time.Millisecond,
		"a new namespace's search attributes are known to every part of the server by and by")
	errs := make([]error, 4)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = gateway.Prepare(t.Context(), c, namespace) })
	}
	all.Wait()
	require.Equal(t, make([]error, 4), errs)
}
