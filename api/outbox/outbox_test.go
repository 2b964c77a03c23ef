package outbox_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/api/outbox"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/postgres"
	"github.com/yunshu/yunshu/test/temporal"
	"github.com/yunshu/yunshu/workers"
	"github.com/yunshu/yunshu/workers/gateway"
)

func TestMain(m *testing.M) { postgres.Main(m) }

const keys = "test=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

// bed is a real PostgreSQL and a real Temporal, with accepted operations.
type bed struct {
	*testing.T
	store     *store.Store
	temporal  client.Client
	namespace string
	address   string
}

func newBed(t *testing.T) *bed {
	t.Helper()
	s, err := store.Open(t.Context(), postgres.New(t, "store", func(ctx context.Context, dsn string) error {
		_, err := store.Migrate(ctx, dsn)
		return err
	}))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	address, namespace := temporal.Namespace(t)
	b := &bed{T: t, store: s, namespace: namespace, address: address, temporal: dial(t, address, namespace)}
	// A fresh namespace's search attributes are known to every part of the server by and by.
	require.Eventually(t, func() bool { return gateway.Prepare(context.Background(), b.temporal, namespace) == nil }, 30*time.Second, 200*time.Millisecond)
	return b
}

func dial(t *testing.T, address, namespace string) client.Client {
	t.Helper()
	c, err := workers.Dial(t.Context(), workers.Options{Address: address, Namespace: namespace, Keys: keys, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// accept writes the row of an accepted operation, as the accept transaction does.
func (b *bed) accept() contract.Operation {
	b.Helper()
	o := contract.Operation{ID: models.NewID(), Kind: "vm.provision", Tenant: "acme", Region: "tw", ResourceKind: "vm", ResourceID: models.NewID(), ResourceName: "web", Actor: "ann"}
	raw, err := json.Marshal(contract.VMDeleteInput{Operation: o})
	require.NoError(b, err)
	_, err = b.store.Pool.Exec(b.Context(), `INSERT INTO operations (id, kind, region, resource_kind, resource_id, resource_name, actor_id, actor, input) VALUES ($1, $2, 'tw', 'vm', $3, 'web', $4, 'ann', $5)`,
		o.ID, o.Kind, o.ResourceID, models.NewID(), raw)
	require.NoError(b, err)
	return o
}

func (b *bed) count(sql string) (n int) {
	b.Helper()
	require.NoError(b, b.store.Pool.QueryRow(context.Background(), sql).Scan(&n))
	return n
}

// run lets an outbox work until the test ends or stop is called.
func (b *bed) run(c client.Client) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { outbox.New(b.store, c, slog.New(slog.DiscardHandler)).Run(ctx) })
	stop = func() { cancel(); done.Wait() }
	b.Cleanup(stop)
	return stop
}

func (b *bed) awaitEmpty() {
	b.Helper()
	require.Eventually(b, func() bool { return b.count(`SELECT count(*) FROM operations WHERE dispatched_at IS NULL`) == 0 }, 30*time.Second, 50*time.Millisecond, "Temporal has them all")
}

func TestEightOutboxesStartEachWorkflowOnce(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	const n = 200
	for range n {
		b.accept()
	}
	for range 8 {
		b.run(b.temporal)
	}
	b.awaitEmpty()
	// Visibility follows the truth by and by.
	require.Eventually(t, func() bool {
		got, err := b.temporal.CountWorkflow(context.Background(), &workflowservice.CountWorkflowExecutionsRequest{Namespace: b.namespace, Query: `WorkflowType = "vm.provision" AND Tenant = "acme" AND Region = "tw"`})
		return err == nil && got.GetCount() == n
	}, 30*time.Second, 200*time.Millisecond, "every workflow once, to be found by tenant and region")
}

func TestWhatIsAcceptedWhileTemporalIsDownStartsLater(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	op := b.accept()
	stop := b.run(dial(t, "127.0.0.1:1", b.namespace))
	require.Eventually(t, func() bool { return b.count(`SELECT count(*) FROM operations WHERE dispatch_after > created_at`) == 1 }, 20*time.Second, 20*time.Millisecond, "it was tried")
	stop()
	require.Equal(t, 1, b.count(`SELECT count(*) FROM operations WHERE dispatched_at IS NULL AND state = 'accepted'`))
	_, err := b.store.Pool.Exec(t.Context(), `UPDATE operations SET dispatch_after = now()`) // the lease has run out
	require.NoError(t, err)
	b.run(b.temporal)
	b.awaitEmpty()
	_, err = b.temporal.DescribeWorkflowExecution(t.Context(), op.ID.String(), "")
	require.NoError(t, err)
}

func TestAStartWhoseAnswerGotLostIsNotASecondOne(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.accept()
	stop := b.run(b.temporal)
	b.awaitEmpty()
	stop()
	_, err := b.store.Pool.Exec(t.Context(), `UPDATE operations SET dispatched_at = NULL, dispatch_after = now()`) // killed before it was noted
	require.NoError(t, err)
	b.run(b.temporal)
	b.awaitEmpty()
	require.Equal(t, 1, b.count(`SELECT count(*) FROM operations`))
}

func TestIntentsFollowTheirOperationAndKeepTheRefusal(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	op := b.accept()
	intend := func(kind string) {
		_, err := b.store.Pool.Exec(t.Context(), `INSERT INTO operation_intents (id, operation_id, kind, actor_id, actor) VALUES ($1, $2, $3, $4, 'bob')`, models.NewID(), op.ID, kind, models.NewID())
		require.NoError(t, err)
	}
	intend("cancel") // before the start
	b.run(b.temporal)
	require.Eventually(t, func() bool {
		return b.count(`SELECT count(*) FROM operation_intents WHERE dispatched_at IS NOT NULL AND message = ''`) == 1
	}, 20*time.Second, 50*time.Millisecond, "the cancel arrived, after the start")
	got, err := b.temporal.DescribeWorkflowExecution(t.Context(), op.ID.String(), "")
	require.NoError(t, err)
	require.Positive(t, got.GetWorkflowExecutionInfo().GetHistoryLength())
	require.NoError(t, b.temporal.TerminateWorkflow(t.Context(), op.ID.String(), "", "the test ends it"))
	intend("resume") // of what has ended
	require.Eventually(t, func() bool {
		return b.count(`SELECT count(*) FROM operation_intents WHERE kind = 'resume' AND message <> ''`) == 1
	}, 20*time.Second, 50*time.Millisecond, "the refusal is kept")
}
