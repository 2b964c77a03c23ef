package bmclib

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	library "github.com/bmc-toolbox/bmclib/v2"
	"github.com/go-logr/logr"
	"github.com/stmcginnis/gofish"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// redfish is a session with a BMC that speaks Redfish.
type redfish struct {
	t      baremetal.Target
	wire   *wire
	limit  time.Duration // of a call
	read   *gofish.APIClient
	basic  bool            // it knows no sessions
	change *library.Client // logged in when it is first needed; nil until then
	tree   tree
	etag   string // of the document that was read last
}

var _ baremetal.BMC = (*redfish)(nil)

// openRedfish logs in.
func (p *Provider) openRedfish(ctx context.Context, t baremetal.Target) (_ baremetal.BMC, err error) {
	ctx, end := span(ctx, t, "log in", rootPath)
	defer func() { end(err) }()
	r := &redfish{t: t, wire: newWire(t.Fingerprint), limit: p.options.CallTimeout}
	r.wire.begin(ctx)
	host, port := split(t.Address, "443")
	config := gofish.ClientConfig{
		Endpoint: "https://" + host + ":" + port, Username: t.Username, Password: t.Password,
		HTTPClient: client(reader{r.wire, r.wire.keeping()}),
	}
	// The context of each call is the wire's, for the client keeps the one that it is made with.
	read, err := gofish.ConnectContext(context.WithoutCancel(ctx), config)
	if status(err) == http.StatusNotFound || status(err) == http.StatusMethodNotAllowed {
		if read, err = r.sessionless(ctx, config); err != nil {
			return nil, err
		}
	}
	if err != nil {
		config.HTTPClient.CloseIdleConnections()
		return nil, fault(ctx, t, "log in", err)
	}
	r.read = read
	return r, nil
}

// sessionless tries a BMC that makes no session. It may be no BMC at all, which its root tells; and as nobody logs in, a
// wrong password is found out by the first reading.
func (r *redfish) sessionless(ctx context.Context, config gofish.ClientConfig) (*gofish.APIClient, error) {
	config.BasicAuth = true
	read, err := gofish.ConnectContext(context.WithoutCancel(ctx), config)
	if status(err) != 0 {
		return nil, r.t.Faultf(models.CodeUnreachable, "does not speak Redfish: its /redfish/v1/ answered with status %d. Correct its address, or give it as ipmi://; the step is tried again.", status(err))
	}
	if err != nil {
		return nil, fault(ctx, r.t, "log in", err)
	}
	r.read, r.basic = read, true
	if _, err := r.system(ctx); err != nil {
		return nil, fault(ctx, r.t, "log in", err)
	}
	return read, nil
}

// get reads a document.
func get[T any](ctx context.Context, r *redfish, path string) (out T, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	ctx, end := span(ctx, r.t, "GET", path)
	defer func() { end(err) }()
	r.wire.begin(ctx)
	res, err := r.read.Get(path)
	if err != nil {
		return out, err
	}
	defer res.Body.Close()
	r.etag = res.Header.Get("ETag")
	raw, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(raw, &out)
}

// using runs a change through bmclib, which is logged in when it is first needed.
func (r *redfish) using(ctx context.Context, doing string, change func(context.Context, *library.Client) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*r.limit) // bmclib looks around before it changes anything
	defer cancel()
	ctx, end := span(ctx, r.t, doing, "")
	defer func() { end(err) }()
	r.wire.begin(ctx)
	if r.change == nil {
		host, port := split(r.t.Address, "443")
		c := library.NewClient(host, r.t.Username, r.t.Password, library.WithRedfishPort(port), library.WithLogger(logr.Discard()),
			library.WithHTTPClient(client(r.wire.transport())), library.WithRedfishUseBasicAuth(r.basic),
			library.WithPerProviderTimeout(3*r.limit))
		c.Registry.Drivers = c.Registry.For("gofish")
		if err := c.Open(ctx); err != nil {
			return fault(ctx, r.t, doing, err)
		}
		r.change = c
	}
	return fault(ctx, r.t, doing, change(ctx, r.change))
}

// Close logs out.
func (r *redfish) Close(ctx context.Context) {
	r.wire.begin(ctx)
	if r.change != nil {
		// What could not be closed ends by itself some time, and there is nobody to tell.
		_ = r.change.Close(ctx)
	}
	if !r.basic {
		r.read.Logout()
	}
	r.read.HTTPClient.CloseIdleConnections()
}

// Probe tells who is there.
func (r *redfish) Probe(ctx context.Context) (contract.Probed, error) {
	s, err := r.system(ctx)
	if err != nil {
		return contract.Probed{}, fault(ctx, r.t, "identify the machine", err)
	}
	console, err := r.console(ctx, s)
	if err != nil {
		return contract.Probed{}, fault(ctx, r.t, "find the console", err)
	}
	return contract.Probed{Protocol: models.Redfish, Fingerprint: r.wire.fingerprint(), Identity: s.identity(), Console: console}, nil
}

// Identity reads who is there.
func (r *redfish) Identity(ctx context.Context) (models.HardwareIdentity, error) {
	s, err := r.system(ctx)
	if err != nil {
		return models.HardwareIdentity{}, fault(ctx, r.t, "identify the machine", err)
	}
	return s.identity(), nil
}

// Power reads whether the machine is on.
func (r *redfish) Power(ctx context.Context) (baremetal.PowerState, error) {
	s, err := r.system(ctx)
	if err != nil {
		return baremetal.StateUnknown, fault(ctx, r.t, "read the power", err)
	}
	return s.power(), nil
}

// console is where the BMC's own pages show the machine's screen, if it has that.
func (r *redfish) console(ctx context.Context, s system) (string, error) {
	m, err := r.manager(ctx, s)
	if err != nil || !m.GraphicalConsole.ServiceEnabled {
		return "", err
	}
	host, port := split(r.t.Address, "443")
	if port != "443" {
		host += ":" + port
	}
	return "https://" + host + "/", nil
}
