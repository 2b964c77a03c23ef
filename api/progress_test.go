package api

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/temporal"
	"github.com/yunshu/yunshu/workers"
)

// keys encrypt what goes to Temporal, as in production.
var keys = "test=" + base64.StdEncoding.EncodeToString(make([]byte, 32))

// connect lets the edge ask a real Temporal, and returns a client of it.
func (c *cloud) connect() client.Client {
	c.t.Helper()
	address, namespace := temporal.Namespace(c.t)
	codec, err := workers.NewCodec(keys)
	require.NoError(c.t, err)
	t, err := workers.Dial(c.t.Context(), workers.Options{Address: address, Namespace: namespace, Keys: keys, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(c.t, err)
	_, failures := workers.Converters(codec)
	c.t.Cleanup(t.Close)
	c.api.progress, c.api.workers = newProgressWatch(t, failures), newWorkerWatch(t)
	c.api.temporalUI, c.api.namespace = "http://ui", namespace
	return t
}

// begin starts a workflow of one vm step for an operation, as the outbox would.
func (c *cloud) begin(t client.Client, op Operation) {
	c.t.Helper()
	w := worker.New(t, contract.Gateway, worker.Options{})
	contract.VMDelete.Register(w, func(ctx workflow.Context, in contract.VMDeleteInput) error {
		_, err := contract.VMRead.Do(ctx, contract.VMQueue("tw"), "look", contract.VMRef{ID: in.ResourceID})
		return err
	})
	require.NoError(c.t, w.Start())
	c.t.Cleanup(w.Stop)
	_, err := t.ExecuteWorkflow(c.t.Context(), client.StartWorkflowOptions{ID: op.ID.String(), TaskQueue: contract.Gateway}, contract.VMDelete.Name,
		contract.VMDeleteInput{Operation: contract.Operation{ID: op.ID, ResourceID: op.ResourceID}})
	require.NoError(c.t, err)
	c.exec("UPDATE operations SET dispatched_at = now(), state = 'running' WHERE id = $1", op.ID)
}

func TestAnOperationSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	temporal := c.connect()
	op := c.createVM(c.admin, "web")
	require.Equal(t, "http://ui/namespaces/"+c.api.namespace+"/workflows/"+op.ID.String(), op.Temporal.URL)
	show := func() Operation { return decode[Operation](c.get(op.Links.Self)) }
	c.exec("UPDATE operations SET created_at = now() - interval '1 minute' WHERE id = $1", op.ID)
	require.Equal(t, "temporal", show().WaitingFor)

	require.Equal(t, "none", decode[Region](c.get("/v1/regions/tw")).Workers)
	c.begin(temporal, op)
	// Work counts as waiting only after a moment, and what Temporal said is believed for another.
	require.Eventually(t, func() bool { return show().WaitingFor == "region tw" }, 20*time.Second, 100*time.Millisecond)
	require.Equal(t, "Waiting for a worker of region tw to take up vm.read.", show().Waiting)
	tag := c.get(op.Links.Self).Header.Get("ETag")
	require.Regexp(t, `^"1-[0-9a-f]{8}"$`, tag)

	w := worker.New(temporal, contract.VMQueue("tw"), worker.Options{})
	contract.VMRead.Register(w, func(context.Context, contract.VMRef) (contract.VMStatus, error) {
		return contract.VMStatus{}, contract.Error(models.Faultf(models.CodeUnreachable, "The vCenter of tw does not answer.").Because(errors.New("dial")))
	})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	// Retries are a second and more apart; the watch sees the first that failed.
	require.Eventually(t, func() bool {
		a := c.call(c.admin, "GET", op.Links.Self, nil, "Prefer", "wait=5", "If-None-Match", tag)
		return a.Status == 200 && decode[Operation](a).Attempt != nil
	}, 20*time.Second, 100*time.Millisecond)
	got := show()
	require.Equal(t, []any{"vm.read", "The vCenter of tw does not answer.", ""}, []any{got.Attempt.Activity, got.Attempt.Failure, got.WaitingFor})
	require.GreaterOrEqual(t, got.Attempt.Number, int32(2))
	require.Eventually(t, func() bool { return decode[Region](c.get("/v1/regions/tw")).Workers == "polling" }, 20*time.Second, 100*time.Millisecond)
}

func TestASilentTemporalCostsItsPatienceOnce(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	nobody, err := client.NewLazyClient(client.Options{HostPort: "127.0.0.1:1"}) // nobody listens on port 1
	require.NoError(t, err)
	t.Cleanup(nobody.Close)
	c.api.progress, c.api.workers = newProgressWatch(nobody, nil), newWorkerWatch(nobody)
	op := c.createVM(c.admin, "web")
	c.exec("UPDATE operations SET dispatched_at = now() WHERE id = $1", op.ID)
	start := time.Now()
	require.Empty(t, decode[Operation](c.get(op.Links.Self)).WaitingFor)
	for _, r := range decode[List[Region]](c.get("/v1/regions")).Items {
		require.Equal(t, "unknown", r.Workers)
	}
	c.get("/v1/regions/tw")
	c.get(op.Links.Self)
	require.Less(t, time.Since(start), 10*temporalPatience)
}
