// Package bmclib speaks to real BMCs: over Redfish, and over IPMI where there is no Redfish. The library bmclib changes what
// there is to change; what it does not read, or reads without telling that something was missing, is read here.
package bmclib

import (
	"cmp"
	"context"
	"net"
	"os/exec"
	"strings"
	"time"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/models"
)

// Options describe the provider. The zero value is fine.
type Options struct {
	CallTimeout time.Duration // of every single call; zero is 20 seconds
	Ipmitool    string        // path of the program; empty looks for it where programs are
}

// Provider speaks to BMCs.
type Provider struct {
	options Options
}

var _ baremetal.Provider = (*Provider)(nil)

// New returns a provider.
func New(o Options) *Provider {
	o.CallTimeout = cmp.Or(o.CallTimeout, 20*time.Second)
	o.Ipmitool = cmp.Or(o.Ipmitool, "ipmitool")
	return &Provider{options: o}
}

// Check finds nothing to complain of: what speaks Redfish is in the worker, and whoever has no BMC that speaks IPMI needs
// no ipmitool.
func (p *Provider) Check(context.Context) error { return nil }

// IPMI reports whether BMCs that speak IPMI can be spoken to.
func (p *Provider) IPMI() bool {
	_, err := exec.LookPath(p.options.Ipmitool)
	return err == nil
}

// Open logs in. Where nobody said how the BMC is spoken to, Redfish is tried first, and then IPMI: but not where a certificate
// is pinned, for IPMI shows none, and whoever keeps Redfish from us would be told all that is wanted of the BMC.
func (p *Provider) Open(ctx context.Context, t baremetal.Target) (baremetal.BMC, error) {
	switch t.Protocol {
	case models.Redfish:
		return p.openRedfish(ctx, t)
	case models.IPMI:
		return p.openIPMI(ctx, t)
	}
	first, cancel := withShare(ctx)
	bmc, err := p.openRedfish(first, t)
	cancel()
	if err == nil || ctx.Err() != nil || t.Fingerprint != "" || !models.IsCode(err, models.CodeUnreachable) {
		return bmc, err
	}
	bmc, second := p.openIPMI(ctx, t)
	if second == nil || ctx.Err() != nil || !models.IsCode(second, models.CodeUnreachable) {
		return bmc, second
	}
	// Neither answers. What Redfish said is more telling, for that is what most BMCs should speak.
	return nil, err
}

// withShare gives Redfish two thirds of the time that there is, so that some is left for IPMI.
func withShare(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, limited := ctx.Deadline()
	if !limited {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)*2/3)
}

// split is the host and the port of an address as models.ParseBMCAddress writes it. An IPv6 host is in brackets.
func split(address, defaultPort string) (host, port string) {
	_, rest, found := strings.Cut(address, "://")
	if !found {
		rest = address
	}
	h, p, err := net.SplitHostPort(rest)
	if err != nil {
		return rest, defaultPort
	}
	if strings.Contains(h, ":") {
		h = "[" + h + "]"
	}
	return h, p
}
