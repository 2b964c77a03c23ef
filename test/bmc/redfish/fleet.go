// Package redfish simulates the BMCs of many machines over their real API: a Redfish service over TLS, shaped as DMTF's
// schema says, with sessions, ETags and accounts, with power that takes its time, and with faults that can be switched
// on. Each machine's BMC has an address and a certificate of its own; all of them live in one process.
package redfish

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yunshu/yunshu/test/bmc"
)

// Options say what a fleet looks like.
type Options struct {
	Region string // part of the machines' names, serials and UUIDs; empty: tw
	Count  int    // of machines; 0: one
	// Listen is the first BMC's address. Those after it follow: 127.20.0.1:8443, 127.20.0.2:8443 and so on. With port 0
	// they share the address, and each has a free port. Empty: 127.0.0.1:0.
	Listen    string
	Username  string // empty: root
	Password  string
	TLSDir    string        // keeps the CA; ca.pem is what clients trust
	StateFile string        // keeps what was done to the machines; empty: it is gone at the end
	PoweredOn int           // how many are on at the very beginning
	Latency   time.Duration // of every call
	// Transition is how long power takes to come or go (0: 50 ms), Shutdown how long a guest takes to stop when it is
	// asked to (0: 200 ms; a Guest of your own takes its own time), Restart how long a BMC is away when it is reset (0: 200 ms).
	Transition, Shutdown, Restart time.Duration
	SessionTimeout                time.Duration // 0: 30 minutes
	Sessions                      int           // at a time, of one BMC; 0: 16
	// Guest makes what runs on a machine; nil: something that does nothing.
	Guest func(m *Machine) bmc.Guest
}

func (o Options) orDefaults() Options {
	if o.Region == "" {
		o.Region = "tw"
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Username == "" {
		o.Username = "root"
	}
	o.Count, o.Sessions = max(o.Count, 1), orInt(o.Sessions, 16)
	o.Transition, o.Shutdown = orDuration(o.Transition, 50*time.Millisecond), orDuration(o.Shutdown, 200*time.Millisecond)
	o.Restart, o.SessionTimeout = orDuration(o.Restart, 200*time.Millisecond), orDuration(o.SessionTimeout, 30*time.Minute)
	return o
}

func orDuration(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

func orInt(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// Fleet is the running BMCs of a region.
type Fleet struct {
	CAFile   string
	Machines []*Machine

	options Options
	ca      *authority
	server  *http.Server
	serving errgroup.Group
	keeper  *keeper
}

// machineKey finds the machine that a connection was made to.
type machineKey struct{}

// Start returns when every BMC answers and what was kept of them is back.
func Start(o Options) (*Fleet, error) {
	o = o.orDefaults()
	ca, err := newAuthority(o.TLSDir)
	if err != nil {
		return nil, fmt.Errorf("make certificates: %w", err)
	}
	f := &Fleet{CAFile: ca.file, options: o, ca: ca}
	f.server = &http.Server{
		Handler: http.HandlerFunc(f.serve), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 30 * time.Second,
		ErrorLog:     log.New(discard{}, "", 0), // clients that go away in the middle are what this is for
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if c, ok := c.(*tls.Conn).NetConn().(machineConn); ok {
				return context.WithValue(ctx, machineKey{}, c.machine)
			}
			return ctx
		},
	}
	first, err := netip.ParseAddrPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("the address must look like 127.20.0.1:8443: %w", err)
	}
	all, err := readState(o.StateFile)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.StateFile, err)
	}
	f.keeper = newKeeper(o.StateFile, all)
	for i := range o.Count {
		m := newMachine(f, i)
		f.Machines = append(f.Machines, m)
		was, known := all[m.Name]
		m.restore(was, known)
		if err := m.listen(address(first, i)); err != nil {
			f.Stop()
			return nil, fmt.Errorf("listen for the BMC of %s: %w", m.Name, err)
		}
	}
	return f, nil
}

// discard drops the HTTP server's own log.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func address(first netip.AddrPort, i int) string {
	if first.Port() == 0 {
		return first.String()
	}
	at := first.Addr()
	for range i {
		at = at.Next()
	}
	return net.JoinHostPort(at.String(), strconv.Itoa(int(first.Port())))
}

// Stop ends every BMC, cuts the power of what runs, and keeps what was done, if it has where.
func (f *Fleet) Stop() {
	if f.keeper != nil {
		f.keeper.stop()
	}
	for _, m := range f.Machines {
		m.stop()
	}
	_ = f.server.Close() // every listener is closed already
	_ = f.serving.Wait() // serving ends with its listener, which is no error
}

// Machine returns the machine that a name, serial, UUID, address or number belongs to, and nil where there is none.
func (f *Fleet) Machine(ref string) *Machine {
	if i, err := strconv.Atoi(ref); err == nil && i >= 0 && i < len(f.Machines) {
		return f.Machines[i]
	}
	for _, m := range f.Machines {
		h := m.Hardware()
		if ref == m.Name || ref == h.Serial || ref == h.UUID || ref == m.URL() || ref == m.Address() {
			return m
		}
	}
	return nil
}

// Pool returns the certificates that a client of these BMCs trusts.
func (f *Fleet) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(f.ca.certificate)
	return pool
}
