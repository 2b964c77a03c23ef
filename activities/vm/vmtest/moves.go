package vmtest

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/models"
)

// other is the second host: another one than that of every spec.
func (e *exercise) other() contract.Host {
	e.Helper()
	page, err := e.Provider.Hypervisors(e.ctx, contract.Page{Limit: 2})
	require.NoError(e, err)
	h := page.Hypervisors[1]
	return contract.Host{ID: models.NewID(), Name: h.Name, Ref: h.Ref}
}

// moves takes a machine to another host and back, running and off. Everything else about it stays as it is.
func (e *exercise) moves() {
	v, to := e.spec("web"), e.other()
	e.clone(v)
	for _, on := range []bool{true, false} {
		e.power(v, on)
		before := e.status(v)
		for range 2 {
			require.NoError(e, e.Provider.Migrate(e.ctx, of(v), to, vm.Task{}))
		}
		want := before
		want.Host = to.Ref
		require.Equal(e, want, e.status(v))
		require.NoError(e, e.Provider.Migrate(e.ctx, of(v), v.Host, vm.Task{}))
		require.Equal(e, before, e.status(v))
	}
	nowhere := to
	nowhere.Ref = "host-999999"
	e.code(e.Provider.Migrate(e.ctx, of(v), nowhere, vm.Task{}), models.CodeHostMissing)
	require.Equal(e, v.Host.Ref, e.status(v).Host)
}

// beginMove starts a move and returns as soon as the provider has a task for it.
func (e *exercise) beginMove(ctx context.Context, v contract.VM, to contract.Host) begun {
	e.Helper()
	e.Slow(while)
	started := make(chan string, 8)
	out := begun{ended: make(chan error, 1)}
	go func() {
		out.ended <- e.Provider.Migrate(ctx, of(v), to, vm.Task{Started: func(task string) { started <- task }})
	}()
	select {
	case out.task = <-started:
	case err := <-out.ended:
		require.FailNow(e, "the move ended before it began", "%v", err)
	}
	return out
}

// moveCancelled gives a move up half-way. When it returns nothing is under way any more, so that what is seen stays.
func (e *exercise) moveCancelled() {
	v, to := e.spec("web"), e.other()
	e.clone(v)
	ctx, cancel := context.WithCancel(e.ctx)
	move := e.beginMove(ctx, v, to)
	cancel()
	require.ErrorIs(e, <-move.ended, context.Canceled)
	require.Contains(e, []string{v.Host.Ref, to.Ref}, e.status(v).Host)
	e.Slow(0)
	require.NoError(e, e.Provider.Migrate(e.ctx, of(v), v.Host, vm.Task{}), "it can be taken back")
	require.Equal(e, v.Host.Ref, e.status(v).Host)
}

// moveResumed is a worker that vanished: another one goes on with its task.
func (e *exercise) moveResumed() {
	v, to := e.spec("web"), e.other()
	e.clone(v)
	move := e.beginMove(e.ctx, v, to)
	require.NoError(e, e.Another().Migrate(e.ctx, of(v), to, vm.Task{Resume: move.task}))
	require.Equal(e, to.Ref, e.status(v).Host)
	requireHarmless(e, <-move.ended)
	require.Equal(e, to.Ref, e.status(v).Host)
}

// moveBegunTwice is a worker that vanished before anybody learned of its task.
func (e *exercise) moveBegunTwice() {
	v, to := e.spec("web"), e.other()
	e.clone(v)
	move := e.beginMove(e.ctx, v, to)
	other := e.Another()
	// Temporal tries a step again by itself when the provider is busy; so does this.
	require.Eventually(e, func() bool {
		err := other.Migrate(e.ctx, of(v), to, vm.Task{})
		requireHarmless(e, err)
		return err == nil
	}, 20*time.Second, 50*time.Millisecond)
	requireHarmless(e, <-move.ended)
	require.Equal(e, to.Ref, e.status(v).Host)
}
