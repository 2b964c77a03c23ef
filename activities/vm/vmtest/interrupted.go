package vmtest

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/models"
)

// while is how long the provider works on a clone that is interrupted.
const while = 700 * time.Millisecond

// begun is a clone that is under way.
type begun struct {
	task  string
	ended chan error
}

// begin starts a clone and returns as soon as the provider has a task for it.
func (e *exercise) begin(ctx context.Context, v contract.VM) begun {
	e.Helper()
	e.Slow(while)
	started := make(chan string, 8)
	out := begun{ended: make(chan error, 1)}
	go func() {
		out.ended <- e.Provider.Clone(ctx, v, models.NewID(), vm.Task{Started: func(task string) { started <- task }})
	}()
	select {
	case out.task = <-started:
	case err := <-out.ended:
		require.FailNow(e, "the clone ended before it began", "%v", err)
	}
	return out
}

// machineCount is how many machines of ours there are.
func (e *exercise) machineCount() int {
	e.Helper()
	page, err := e.Provider.Machines(e.ctx, contract.Page{})
	require.NoError(e, err)
	return len(page.Machines)
}

// cancelled gives a clone up half-way. When it returns nothing is under way any more, so that one undo is enough.
func (e *exercise) cancelled() {
	v := e.spec("web")
	ctx, cancel := context.WithCancel(e.ctx)
	clone := e.begin(ctx, v)
	cancel()
	require.ErrorIs(e, <-clone.ended, context.Canceled)
	require.NoError(e, e.Provider.Destroy(e.ctx, of(v), vm.Task{}))
	require.Zero(e, e.machineCount())
	e.Slow(0)
	e.clone(v)
	require.Equal(e, 1, e.machineCount(), "it can be made again")
}

// resumed is a worker that vanished: another one goes on with its task, and the machine is there once.
func (e *exercise) resumed() {
	v := e.spec("web")
	clone := e.begin(e.ctx, v)
	require.NoError(e, e.Another().Clone(e.ctx, v, models.NewID(), vm.Task{Resume: clone.task}))
	require.Equal(e, 1, e.machineCount())
	require.Equal(e, small, e.status(v).Size)
	requireHarmless(e, <-clone.ended)
	require.Equal(e, 1, e.machineCount())
}

// begunTwice is a worker that vanished before anybody learned of its task: the next attempt must find or wait for what
// it began, and never make a second machine.
func (e *exercise) begunTwice() {
	v := e.spec("web")
	clone := e.begin(e.ctx, v)
	other := e.Another()
	// Temporal tries a step again by itself when the provider is busy; so does this.
	require.Eventually(e, func() bool {
		err := other.Clone(e.ctx, v, models.NewID(), vm.Task{})
		requireHarmless(e, err)
		return err == nil
	}, 20*time.Second, 50*time.Millisecond)
	requireHarmless(e, <-clone.ended)
	require.Equal(e, 1, e.machineCount())
	require.Equal(e, small, e.status(v).Size)
	require.NoError(e, e.Provider.Destroy(e.ctx, of(v), vm.Task{}))
	require.Zero(e, e.machineCount())
}

// requireHarmless accepts success and what the step is tried again after.
func requireHarmless(e *exercise, err error) {
	e.Helper()
	if err != nil {
		f := models.AsFault(err)
		require.NotNil(e, f, "%v", err)
		require.True(e, f.Code.Info().Retryable, "%s: %s", f.Code, f.Message)
	}
}
