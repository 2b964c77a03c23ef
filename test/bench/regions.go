package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/activities/vm/memory"
	"github.com/yunshu/yunshu/activities/vm/vsphere"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/vcenter"
)

// anyHost is the in-memory provider with the hosts that world made.
type anyHost struct{ *memory.Provider }

func (h anyHost) adopt(context.Context, *store.Store) error {
	for i := range 48 {
		ref := fmt.Sprintf("host-%d", i+1)
		h.SetHost(ref, contract.Hypervisor{Ref: ref, UUID: ref, Name: fmt.Sprintf("h%d", i+1), Capacity: models.Size{VCPU: 1 << 20, MemoryMiB: 1 << 30, StorageGiB: 1 << 30}, Connected: true})
	}
	return nil
}

// center is a vCenter simulator over TLS, and the provider that talks to it.
type center struct {
	*vsphere.Provider
	server *vcenter.Server
	dir    string
}

func startVCenter(ctx context.Context) (*center, error) {
	dir, err := os.MkdirTemp("", "yunshu-bench-vcenter-")
	if err != nil {
		return nil, err
	}
	c := &center{dir: dir}
	if c.server, err = vcenter.Start(ctx, vcenter.Options{Password: "secret", TLSDir: dir}); err != nil {
		return nil, err
	}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("secret"), 0o600); err != nil {
		return nil, err
	}
	c.Provider, err = vsphere.New(vsphere.Options{Region: "tw", URL: c.server.URL.String(), Username: c.server.User.Username(), PasswordFile: password, CAFile: c.server.CAFile})
	return c, err
}

func (c *center) stop() {
	c.server.Stop()
	_ = os.RemoveAll(c.dir) // the figures are printed already
}

// hosts are the first hosts of the vCenter.
func (c *center) hosts(ctx context.Context) ([]contract.Hypervisor, error) {
	page, err := c.Hypervisors(ctx, contract.Page{})
	if err == nil && len(page.Hypervisors) == 0 {
		err = fmt.Errorf("the vCenter has no hosts")
	}
	return page.Hypervisors, err
}

func (c *center) adopt(ctx context.Context, s *store.Store) error {
	hosts, err := c.hosts(ctx)
	if err != nil {
		return err
	}
	for i := range 48 {
		h := hosts[i%len(hosts)]
		if _, err := s.Pool.Exec(ctx, `UPDATE baremetals SET provider_ref = $2 WHERE name = $1`, fmt.Sprintf("h%d", i+1), h.Ref); err != nil {
			return err
		}
	}
	return nil
}

// alone makes n machines with nothing but the provider.
func (c *center) alone(ctx context.Context, n int) (time.Duration, error) {
	hosts, err := c.hosts(ctx)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	err = atOnce(n, n, func(i int) error {
		h, m := hosts[i%len(hosts)], vm.Machine{ID: models.NewID(), Name: fmt.Sprintf("alone-%d", i)}
		address := fmt.Sprintf("10.9.%d.%d", i/250, 1+i%250)
		err := c.Clone(ctx, contract.VM{ID: m.ID, Name: m.Name, Tenant: "bench", Template: "ubuntu-24.04", Size: models.Size{VCPU: 1, MemoryMiB: 1024, StorageGiB: 10},
			Host: contract.Host{Ref: h.Ref, Name: h.Name}, Network: contract.Network{Name: "vlan-100", Address: address + "/16", Hostname: m.Name}}, models.NewID(), vm.Task{})
		if err == nil {
			err = c.SetPower(ctx, m, true, vm.Task{})
		}
		if err == nil {
			err = c.AwaitGuest(ctx, m, address)
		}
		return err
	})
	return time.Since(begin), err
}
