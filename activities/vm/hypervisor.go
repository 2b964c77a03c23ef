// Package vm carries out what workflows want of virtual machines in one region.
package vm

import (
	"context"
	"strings"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// Hypervisor makes and changes virtual machines. It is what the activities need of a provider, and no more.
//
// Every method knows a machine by our id alone, may be called again after it was interrupted anywhere, and returns
// faults: a provider classifies its errors itself. Package vmtest says in tests what each method must do.
type Hypervisor interface {
	// Status tells what the machine is like. Found is false if there is none.
	Status(ctx context.Context, m Machine) (contract.VMStatus, error)
	// Clone makes the machine, off. If it is there already it does nothing.
	Clone(ctx context.Context, vm contract.VM, operation models.ID, task Task) error
	// Reconfigure changes the machine's size. Storage that is larger than asked stays as it is.
	Reconfigure(ctx context.Context, m Machine, size models.Size, task Task) error
	// Migrate moves the machine to another host, running or not. If it is there already it does nothing.
	Migrate(ctx context.Context, m Machine, to contract.Host, task Task) error
	// SetPower turns the machine on or off. Off asks the guest first and pulls the plug when it does not listen.
	SetPower(ctx context.Context, m Machine, on bool, task Task) error
	// AwaitGuest returns once the guest has reported the address, or gives up with guest_silent.
	AwaitGuest(ctx context.Context, m Machine, address string) error
	// Destroy removes the machine, running or not, and a half-made one too. Of what is absent it succeeds.
	Destroy(ctx context.Context, m Machine, task Task) error
	// Hypervisors lists physical hosts.
	Hypervisors(ctx context.Context, page contract.Page) (contract.HypervisorPage, error)
	// Machines lists what carries our mark, by id.
	Machines(ctx context.Context, page contract.Page) (contract.MachinePage, error)
	// Check reports why the provider cannot be worked with, if so.
	Check(ctx context.Context) error
}

// Machine names a virtual machine to a provider.
type Machine struct {
	ID   models.ID
	Name string // as its tenant calls it
}

// Task lets an interrupted call go on where it was instead of beginning again.
type Task struct {
	Resume  string            // what an earlier attempt passed to Started
	Started func(task string) // is told the provider's task as soon as there is one; may be nil
}

// Start tells whoever listens that the provider has begun the task.
func (t Task) Start(task string) {
	if t.Started != nil {
		t.Started(task)
	}
}

// Label is the machine's name in the provider's inventory. It is unique there, and the same each time it is computed,
// so that a machine whose making was interrupted is found by it.
func (m Machine) Label() string {
	id := strings.ReplaceAll(m.ID.String(), "-", "")
	return m.Name + "-" + id[len(id)-8:]
}
