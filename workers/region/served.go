package region

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"go.temporal.io/sdk/worker"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/activities/baremetal/bmclib"
	bmmemory "github.com/yunshu/yunshu/activities/baremetal/memory"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm"
	"github.com/yunshu/yunshu/activities/vm/memory"
	"github.com/yunshu/yunshu/activities/vm/vsphere"
	"github.com/yunshu/yunshu/config"
	"github.com/yunshu/yunshu/vault"
)

// served is one part of one region: its virtual machines or its physical servers.
type served struct {
	region   string
	queue    string
	limit    int // activities at once
	register func(worker.ActivityRegistry)
	check    func(context.Context) (sentence string, err error)

	mu    sync.Mutex
	ready bool
}

// parts prepares what the configuration wants to be served of a region.
func parts(name string, r config.Region, keys string, logger *slog.Logger) ([]*served, error) {
	var out []*served
	if r.VM != nil {
		part, err := servedVM(name, *r.VM, logger)
		if err != nil {
			return nil, err
		}
		out = append(out, part)
	}
	if r.BM != nil {
		part, err := servedBM(name, *r.BM, keys, logger)
		if err != nil {
			return nil, err
		}
		out = append(out, part)
	}
	return out, nil
}

// servedVM is a region's virtual machines.
func servedVM(name string, c config.VM, logger *slog.Logger) (*served, error) {
	h, err := hypervisor(name, c, logger)
	if err != nil {
		return nil, err
	}
	return &served{
		region: name, queue: contract.VMQueue(name), limit: activitiesPerChange * c.MaxConcurrent,
		register: func(r worker.ActivityRegistry) { vm.Register(r, vm.Activities{Hypervisor: h}) },
		check: func(ctx context.Context) (string, error) {
			return "the provider answers and takes our login.", h.Check(ctx)
		},
	}, nil
}

// hypervisor returns the provider that the configuration names.
func hypervisor(region string, c config.VM, logger *slog.Logger) (vm.Hypervisor, error) {
	if c.Provider == config.ProviderMemory {
		return memory.New(memory.Options{Region: region}), nil
	}
	return vsphere.New(vsphere.Options{
		Region:          region,
		URL:             c.VSphere.URL,
		Username:        c.VSphere.Username,
		PasswordFile:    c.VSphere.PasswordFile,
		CAFile:          c.VSphere.CAFile,
		Folder:          c.VSphere.Folder,
		GuestTimeout:    c.VSphere.GuestTimeout,
		ShutdownTimeout: c.VSphere.ShutdownTimeout,
		MaxConcurrent:   c.MaxConcurrent,
		Logger:          logger,
	})
}

// servedBM is a region's physical servers. Passwords come sealed with the payload keys.
func servedBM(name string, c config.BM, payloadKeys string, logger *slog.Logger) (*served, error) {
	keys, err := vault.Parse(payloadKeys)
	if err != nil {
		return nil, fmt.Errorf("read YUNSHU_PAYLOAD_KEYS: %w", err)
	}
	provider, sentence := bmcs(c)
	all := baremetal.New(baremetal.Options{
		Provider: provider, Keys: keys, MaxConcurrent: c.MaxConcurrent, OpenTimeout: c.OpenTimeout, RoundTimeout: c.RoundTimeout,
		LookTimeout: c.LookTimeout, PowerTimeout: c.PowerTimeout, ShutdownTimeout: c.ShutdownTimeout, Logger: logger.With("region", name),
	})
	return &served{
		region: name, queue: contract.BMQueue(name), limit: activitiesPerChange * c.MaxConcurrent,
		register: func(r worker.ActivityRegistry) { baremetal.Register(r, all) },
		check:    func(ctx context.Context) (string, error) { return sentence, provider.Check(ctx) },
	}, nil
}

// bmcs returns the provider that the configuration names, and what can be said of it before anybody speaks to a BMC.
func bmcs(c config.BM) (baremetal.Provider, string) {
	if c.Provider == config.ProviderMemory {
		return bmmemory.New(bmmemory.Options{Anything: true}), "physical servers are kept in memory."
	}
	p := bmclib.New(bmclib.Options{CallTimeout: c.CallTimeout, Ipmitool: c.Ipmitool})
	if !p.IPMI() {
		return p, "BMCs are spoken to over Redfish. Those that speak only IPMI cannot be: install ipmitool, if there are any."
	}
	return p, "BMCs are spoken to over Redfish, and over IPMI where there is no Redfish."
}

// setReady remembers whether the part is served.
func (r *served) setReady(ready bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready = ready
}

// isReady reports whether the part is served.
func (r *served) isReady() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready
}
