// Package vsphere makes virtual machines in a vCenter.
package vsphere

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/vmware/govmomi/vim25"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/activities/vm"
)

// Options describe a region's vCenter.
type Options struct {
	Region       string
	URL          string // such as https://vcenter.example/sdk
	Username     string
	PasswordFile string // read at every login, so that the password can be rotated
	CAFile       string // PEM; empty trusts the system's roots
	Folder       string // of our machines in each datacenter; empty is yunshu

	GuestTimeout    time.Duration // how long a guest may take to report its address; zero is 15 minutes
	ShutdownTimeout time.Duration // how long a guest may take to shut down before the plug is pulled; zero is 2 minutes
	MaxConcurrent   int           // changes that vCenter is asked for at once; zero is 32
	Logger          *slog.Logger
}

// Keys of the extra configuration by which we know our machines.
const (
	markID        = "yunshu.id"
	markOperation = "yunshu.operation"
)

// Provider is a hypervisor made of a vCenter's hosts.
type Provider struct {
	options Options
	host    string // of the URL, for sentences
	session *session
	slots   chan struct{}

	places    cache[place]
	templates cache[template]
	networks  cache[networks]
	folders   cache[[]datacenter]

	hosts    listings[contract.Hypervisor]
	machines listings[contract.Machine]
}

var _ vm.Hypervisor = (*Provider)(nil)

// New returns a provider. It logs in when it is first used.
func New(o Options) (*Provider, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("the address of the vCenter of region %s is not an https:// address", o.Region)
	}
	o.Folder = cmp.Or(o.Folder, "yunshu")
	o.GuestTimeout = cmp.Or(o.GuestTimeout, 15*time.Minute)
	o.ShutdownTimeout = cmp.Or(o.ShutdownTimeout, 2*time.Minute)
	o.MaxConcurrent = cmp.Or(o.MaxConcurrent, 32)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Logger = o.Logger.With("region", o.Region, "vcenter", u.Host)
	return &Provider{
		options: o,
		host:    u.Host,
		session: &session{url: u, options: o},
		slots:   make(chan struct{}, o.MaxConcurrent),
	}, nil
}

// Check logs in and lists a host.
func (p *Provider) Check(ctx context.Context) error {
	c, err := p.client(ctx, "check")
	if err != nil {
		return err
	}
	_, err = p.datacenters(ctx, c)
	return p.fault("list datacenters", err)
}

// client returns a client that is logged in.
func (p *Provider) client(ctx context.Context, doing string) (*vim25.Client, error) {
	c, err := p.session.client(ctx)
	if err != nil {
		return nil, p.fault(doing, err)
	}
	return c, nil
}

// acquire waits for a slot. A vCenter that is asked for too much at once gets slower for everybody.
func (p *Provider) acquire(ctx context.Context) (release func(), err error) {
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
