// Package vcenter simulates a region's vCenter over its real API, on govmomi's simulator: two clusters of hosts that
// look like real ones, templates, port groups, datastores, logins and TLS. It is stricter than the simulator alone, so
// that a bug cannot hide there, and it keeps its machines over a restart.
package vcenter

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	_ "github.com/vmware/govmomi/vapi/simulator" // tags and the content library
)

// Options say what a simulated vCenter looks like.
type Options struct {
	Region       string // part of the hosts' names
	Listen       string // address on loopback; empty: a free port
	Clusters     int    // 0: two
	Hosts        int    // in each cluster; 0: 24
	Username     string // empty: yunshu@vsphere.local
	Password     string
	TLSDir       string        // keeps the certificates; ca.pem is what clients trust
	StateFile    string        // keeps the machines; empty: they are gone at the end
	TaskDuration time.Duration // of every clone; see Slow
}

// Server is a running vCenter.
type Server struct {
	URL    *url.URL // without credentials
	CAFile string
	User   *url.Userinfo

	options Options
	model   *simulator.Model
	server  *simulator.Server
	rules   rules
	keeper  *keeper
}

// Start returns when the vCenter answers and its kept machines are back.
func Start(ctx context.Context, o Options) (*Server, error) {
	o = o.orDefaults()
	ca, certificate, err := certificates(o.TLSDir)
	if err != nil {
		return nil, fmt.Errorf("make certificates: %w", err)
	}
	s := &Server{options: o, CAFile: ca, User: url.UserPassword(o.Username, o.Password), model: simulator.VPX()}
	s.model.Host, s.model.Machine, s.model.Datastore = 0, 0, 2
	s.model.Cluster, s.model.ClusterHost, s.model.Portgroup, s.model.Autostart = o.Clusters, o.Hosts, 0, false
	if err := s.model.Create(); err != nil {
		return nil, fmt.Errorf("build the inventory: %w", err)
	}
	s.model.Service.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	s.model.Service.Listen = &url.URL{Host: o.Listen, User: s.User}
	s.model.Service.RegisterEndpoints = true
	s.server = s.model.Service.NewServer()
	s.URL = &url.URL{Scheme: "https", Host: s.server.URL.Host, Path: "/sdk"}
	if err := s.furnish(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("furnish the inventory: %w", err)
	}
	if err := s.remember(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("bring back the machines of %s: %w", o.StateFile, err)
	}
	s.Slow(o.TaskDuration)
	s.model.Map().Handler = s.rules.judge
	return s, nil
}

func (o Options) orDefaults() Options {
	if o.Region == "" {
		o.Region = "tw"
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Clusters == 0 {
		o.Clusters = 2
	}
	if o.Hosts == 0 {
		o.Hosts = 24
	}
	if o.Username == "" {
		o.Username = "yunshu@vsphere.local"
	}
	return o
}

// Stop ends the vCenter and keeps its machines, if it has where.
func (s *Server) Stop() {
	if s.keeper != nil {
		s.keeper.stop()
	}
	s.server.Close()
	s.model.Remove()
}

// Client logs in to the vCenter as any client would.
func (s *Server) Client(ctx context.Context) (*govmomi.Client, error) {
	return Login(ctx, s.URL, s.User, s.CAFile)
}

// Login connects to a vCenter whose certificate a CA file vouches for.
func Login(ctx context.Context, at *url.URL, user *url.Userinfo, caFile string) (*govmomi.Client, error) {
	u := *at
	u.User = user
	sc := soap.NewClient(&u, false)
	if err := sc.SetRootCAs(caFile); err != nil {
		return nil, fmt.Errorf("read the CA file %s: %w", caFile, err)
	}
	c, err := newClient(ctx, sc)
	if err != nil {
		return nil, err
	}
	return c, c.Login(ctx, user)
}

// Fail makes the next calls of a method, such as CloneVM_Task, fail with the fault.
func (s *Server) Fail(method string, times int, fault types.BaseMethodFault) {
	s.rules.fail(method, times, fault)
}

// Mend forgets the faults that have not happened yet.
func (s *Server) Mend() { s.rules.mend() }

// rules are the checks that the simulator alone does not make, and the faults that tests ask for.
type rules struct {
	mu     sync.Mutex
	faults map[string][]types.BaseMethodFault
	slow   atomic.Int64 // how long a clone or a move takes
	moving sync.Map     // machines that a slow move is under way of, by their reference
	dirty  func()       // told of every call that may change a machine
}

func (r *rules) fail(method string, times int, fault types.BaseMethodFault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.faults == nil {
		r.faults = map[string][]types.BaseMethodFault{}
	}
	for range times {
		r.faults[method] = append(r.faults[method], fault)
	}
}

func (r *rules) mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

// wanted takes the next fault that a test asked for.
func (r *rules) wanted(method string) types.BaseMethodFault {
	r.mu.Lock()
	defer r.mu.Unlock()
	queue := r.faults[method]
	if len(queue) == 0 {
		return nil
	}
	r.faults[method] = queue[1:]
	return queue[0]
}

// Password reads a secret from a file, without the line's end.
func Password(file string) (string, error) {
	raw, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return "", fmt.Errorf("read the password file: %w", err)
	}
	for len(raw) > 0 && (raw[len(raw)-1] == '\n' || raw[len(raw)-1] == '\r') {
		raw = raw[:len(raw)-1]
	}
	if len(raw) == 0 {
		return "", errors.New("the password file is empty")
	}
	return string(raw), nil
}
