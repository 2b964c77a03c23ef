package vmtest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/models"
)

// Slow is a provider whose clones take a while, and another worker's provider of the same region.
type Slow struct {
	Fixture
	Another vm.Hypervisor
}

// Interrupt runs what must hold when a clone is cut off half-way. The parts run one after another: what makes a clone
// slow may be shared by a whole process.
func Interrupt(t *testing.T, fresh func(t *testing.T) Slow) {
	for name, part := range map[string]func(*exercise, Slow){
		"a cancelled clone leaves nothing":                     (*exercise).cancelled,
		"another worker goes on with the task":                 (*exercise).resumed,
		"another worker that knows of no task makes no second": (*exercise).unknown,
	} {
		t.Run(name, func(t *testing.T) {
			s := fresh(t)
			part(&exercise{T: t, Fixture: s.Fixture, ctx: t.Context()}, s)
		})
	}
}

// begun starts a clone and returns when the provider works on it, with its task and what tells how it ends.
func (e *exercise) begun(ctx context.Context, v contract.VM) (task string, end chan error) {
	e.Helper()
	started, end := make(chan string, 1), make(chan error, 1)
	go func() {
		end <- e.Provider.Clone(ctx, v, models.NewID(), vm.Task{Started: func(task string) { started <- task }})
	}()
	select {
	case task = <-started:
	case err := <-end:
		require.Fail(e, "the clone ended before it could be cut off", "%v", err)
	case <-time.After(20 * time.Second):
		require.Fail(e, "the clone never began")
	}
	return task, end
}

// alone requires that there is exactly this machine, or none.
func (e *exercise) alone(v *contract.VM) {
	e.Helper()
	page, err := e.Provider.Machines(e.ctx, contract.Page{})
	require.NoError(e, err)
	var got []models.ID
	for _, m := range page.Machines {
		got = append(got, m.ID)
	}
	if v == nil {
		require.Empty(e, got)
		return
	}
	require.Equal(e, []models.ID{v.ID}, got)
}

func (e *exercise) cancelled(_ Slow) {
	v := e.spec("web")
	ctx, cancel := context.WithCancel(e.ctx)
	_, end := e.begun(ctx, v)
	cancel()
	require.Error(e, <-end)
	require.NoError(e, e.Provider.Destroy(e.ctx, of(v), vm.Task{}))
	require.False(e, e.status(v).Found)
	e.alone(nil)
}

func (e *exercise) resumed(s Slow) {
	v := e.spec("web")
	task, end := e.begun(e.ctx, v)
	require.NoError(e, s.Another.Clone(e.ctx, v, models.NewID(), vm.Task{Resume: task}))
	require.NoError(e, <-end, "the first worker was only slow")
	require.True(e, e.status(v).Found)
	e.alone(&v)
}

func (e *exercise) unknown(s Slow) {
	v := e.spec("web")
	_, end := e.begun(e.ctx, v)
	// As Temporal does: again, as long as the fault says that trying again may help.
	require.Eventually(e, func() bool {
		err := s.Another.Clone(e.ctx, v, models.NewID(), vm.Task{})
		if err != nil {
			e.code(err, models.CodeBusy)
		}
		return err == nil
	}, 20*time.Second, 50*time.Millisecond)
	require.NoError(e, <-end)
	e.alone(&v)
}
