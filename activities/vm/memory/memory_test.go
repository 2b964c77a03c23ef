package memory_test

import (
	"testing"

	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/activities/vm/memory"
	"github.com/yunshu/yunshu/activities/vm/vmtest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	vmtest.Exercise(t, func(t *testing.T) vmtest.Fixture {
		p := memory.New(memory.Options{Templates: []string{"ubuntu-24.04"}, Networks: []string{"vlan-100"}})
		return vmtest.Fixture{Provider: p, Template: "ubuntu-24.04", Network: "vlan-100", Hosts: 48,
			Foreign: p.AddForeign, HasName: p.HasForeign, NoHotAdd: func(m vm.Machine) { p.SetHotAdd(m.ID, false) },
			Slow: p.SetDelay, Another: func() vm.Hypervisor { return p }}
	})
}
