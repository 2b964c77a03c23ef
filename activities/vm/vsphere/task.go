package vsphere

import (
	"context"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"
)

// poll is how many seconds vCenter holds a question for changes. Below the call timeout, so that a vCenter that has
// gone silent is noticed.
const poll = int32(30)

// cleanup is how long a waiter may take to remove what it made in vCenter.
const cleanup = 10 * time.Second

// watch calls see with what changed of an object, beginning with everything as it is, until see is satisfied. Each
// watcher has a property collector of its own, since waiters that share one disturb each other.
func watch(ctx context.Context, c *vim25.Client, ref types.ManagedObjectReference, paths []string, see func([]types.PropertyChange) bool) error {
	collector, err := property.DefaultCollector(c).Create(ctx)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
		defer cancel()
		// vCenter drops the collector with the session if this does not get through.
		_ = collector.Destroy(ctx)
	}()
	filter := new(property.WaitFilter).Add(ref, ref.Type, paths)
	if _, err := collector.CreateFilter(ctx, filter.CreateFilter); err != nil {
		return err
	}
	options := property.WaitOptions{Options: &types.WaitOptions{MaxWaitSeconds: types.NewInt32(poll)}, PropagateMissing: true}
	for satisfied := false; !satisfied; {
		err := collector.WaitForUpdatesEx(ctx, &options, func(updates []types.ObjectUpdate) bool {
			for _, u := range updates {
				satisfied = satisfied || see(u.ChangeSet)
			}
			return satisfied
		})
		if ctx.Err() != nil {
			return ctx.Err() // the collector answers a cancelled wait without an error
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wait waits for a task and returns its result, or the error with which it ended.
func wait(ctx context.Context, c *vim25.Client, ref types.ManagedObjectReference) (types.AnyType, error) {
	var info types.TaskInfo
	err := watch(ctx, c, ref, []string{"info"}, func(changes []types.PropertyChange) bool {
		for _, change := range changes {
			if i, ok := change.Val.(types.TaskInfo); ok {
				info = i
			}
		}
		return info.State == types.TaskInfoStateSuccess || info.State == types.TaskInfoStateError
	})
	if err != nil {
		return nil, err
	}
	if info.State == types.TaskInfoStateError {
		return nil, task.Error{LocalizedMethodFault: info.Error, Description: info.Description}
	}
	return info.Result, nil
}

// finish waits for a task that was just begun.
func finish(ctx context.Context, c *vim25.Client, t *object.Task, err error) error {
	if err != nil {
		return err
	}
	_, err = wait(ctx, c, t.Reference())
	return err
}

// taskRef is a task as heartbeats carry it.
func taskRef(value string) types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "Task", Value: value}
}
