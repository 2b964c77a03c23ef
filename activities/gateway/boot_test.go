package gateway_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/gateway"
	"github.com/yunshu/yunshu/models"
)

// lateBoots is a database in which a report is there at the second look.
type lateBoots struct {
	gateway.Store
	looks  atomic.Int32
	closed atomic.Int32
	err    error
}

func (b *lateBoots) ExpectBoot(context.Context, contract.BootExpectInput) error { return b.err }

func (b *lateBoots) BootReported(context.Context, contract.BootRef) (contract.BootReport, error) {
	if b.looks.Add(1) < 2 {
		return contract.BootReport{}, nil
	}
	return contract.BootReport{Reported: true, Error: "no disk"}, nil
}

func (b *lateBoots) CloseBoot(context.Context, contract.BootRef) error {
	b.closed.Add(1)
	return nil
}

func TestABootIsExpectedAwaitedAndClosed(t *testing.T) {
	t.Parallel()
	boots := &lateBoots{}
	env := new(testsuite.WorkflowTestSuite).NewTestActivityEnvironment()
	gateway.Activities{Store: boots}.Register(env)
	ref := contract.BootRef{OperationID: models.NewID(), BaremetalID: models.NewID()}

	_, err := env.ExecuteActivity(contract.BootExpect.Name, contract.BootExpectInput{OperationID: ref.OperationID, BaremetalID: ref.BaremetalID})
	require.NoError(t, err)
	got, err := env.ExecuteActivity(contract.BootAwait.Name, ref)
	require.NoError(t, err)
	var report contract.BootReport
	require.NoError(t, got.Get(&report))
	require.Equal(t, contract.BootReport{Reported: true, Error: "no disk"}, report)
	_, err = env.ExecuteActivity(contract.BootClose.Name, ref)
	require.NoError(t, err)
	require.EqualValues(t, 1, boots.closed.Load())

	boots.err = models.Faultf(models.CodeTemplateMissing, "The image is gone.")
	_, err = env.ExecuteActivity(contract.BootExpect.Name, contract.BootExpectInput{})
	require.ErrorContains(t, err, "The image is gone.")
}

// crowd is a database in which nothing is reported until all have gone home.
type crowd struct {
	gateway.Store
	came  sync.Map
	looks chan struct{} // the first of each
	home  atomic.Bool
}

func (c *crowd) BootReported(_ context.Context, ref contract.BootRef) (contract.BootReport, error) {
	if _, before := c.came.LoadOrStore(ref.BaremetalID, true); !before {
		c.looks <- struct{}{}
	}
	return contract.BootReport{Reported: c.home.Load()}, nil
}

// TestWhoBootsLeavesRoomForReports has as many machines boot as may be waited for, and one more.
func TestWhoBootsLeavesRoomForReports(t *testing.T) {
	t.Parallel()
	const most = 128
	c := &crowd{looks: make(chan struct{}, most+1)}
	env := new(testsuite.WorkflowTestSuite).NewTestActivityEnvironment()
	gateway.Activities{Store: c}.Register(env)
	var all sync.WaitGroup
	errs := make([]error, most)
	for i := range errs {
		all.Go(func() {
			_, errs[i] = env.ExecuteActivity(contract.BootAwait.Name, contract.BootRef{BaremetalID: models.NewID()})
		})
	}
	for range most {
		<-c.looks
	}
	begun := time.Now()
	got, err := env.ExecuteActivity(contract.BootAwait.Name, contract.BootRef{BaremetalID: models.NewID()})
	require.NoError(t, err)
	var report contract.BootReport
	require.NoError(t, got.Get(&report))
	require.False(t, report.Reported)
	require.Less(t, time.Since(begun), 10*time.Second, "it has looked, and not waited")
	c.home.Store(true)
	all.Wait()
	require.NoError(t, errors.Join(errs...))
}
