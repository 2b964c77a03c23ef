// Package stack starts every part of Yunshu on this machine in order, tells how it goes, and stops everything at the
// end, however that comes.
package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/yunshu/yunshu/dev/seed"
	"github.com/yunshu/yunshu/dev/temporal"
	"github.com/yunshu/yunshu/test/postgres"
)

// regions are those of the development stack, with the port of each one's vCenter.
var regions = []struct {
	name string
	port int
}{{"tw", 8989}, {"jp", 8990}}

// stack is what runs, and what is known of it so far.
type stack struct {
	root string // of the checkout
	dir  string // .dev
	out  io.Writer

	children []*child // in the order of their start
	failed   chan *child
	stops    []func() // of the parts in this process, in the order of their start

	owner, dsn, keys, secretKeys, url, token string // owner is the database as its tables' owner sees it, dsn as the gateway does
	issuer, password                         string // of the OpenID provider, and of its people
	temporal                                 *temporal.Server
	vcenters                                 map[string]vcenter
	bmcs                                     map[string]bmcs
	network                                  network // of the BMCs; 0 until it is chosen
}

type vcenter struct{ url, user, passwordFile, ca string }

// Run starts everything, prints where it is, and stops it when ctx ends or a part does.
func Run(ctx context.Context, root string, out io.Writer) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	s := &stack{root: root, dir: filepath.Join(root, ".dev"), out: out, failed: make(chan *child, 16), vcenters: map[string]vcenter{}, bmcs: map[string]bmcs{}}
	if err := os.MkdirAll(filepath.Join(s.dir, "log"), 0o755); err != nil {
		return err
	}
	if err := lock(s.dir); err != nil {
		return err
	}
	defer s.stop()
	begin := time.Now()
	if err := s.up(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop on the way
		}
		return err
	}
	s.welcome(time.Since(begin))
	return s.supervise(ctx)
}

// supervise returns when ctx ends, or with the last words of the first part that died.
func (s *stack) supervise(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case c := <-s.failed:
		return c.died()
	}
}

// up starts the parts, each when what it stands on is ready.
func (s *stack) up(ctx context.Context) error {
	var err error
	if s.keys, err = secret(filepath.Join(s.dir, "payload.keys"), payloadKeys); err != nil {
		return fmt.Errorf("make the payload keys: %w", err)
	}
	if s.secretKeys, err = secret(filepath.Join(s.dir, "secret.keys"), payloadKeys); err != nil {
		return fmt.Errorf("make the keys of secrets: %w", err)
	}
	parts := []struct {
		name  string
		start func(context.Context) (string, error)
	}{
		{"postgres", s.startPostgres},
		{"temporal", s.startTemporal},
		{"vcenter tw", func(ctx context.Context) (string, error) { return s.startVCenter(ctx, 0) }},
		{"vcenter jp", func(ctx context.Context) (string, error) { return s.startVCenter(ctx, 1) }},
		{"identity", s.startIdentity},
		{"schema", s.migrate},
		{"gateway", s.startGateway},
		{"bmcs tw", func(ctx context.Context) (string, error) { return s.startBMCs(ctx, 0) }},
		{"bmcs jp", func(ctx context.Context) (string, error) { return s.startBMCs(ctx, 1) }},
		{"worker tw", func(ctx context.Context) (string, error) { return s.startWorker(ctx, 0) }},
		{"worker jp", func(ctx context.Context) (string, error) { return s.startWorker(ctx, 1) }},
		{"seed", s.seed},
	}
	for _, p := range parts {
		begin := time.Now()
		what, err := p.start(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Fprintf(s.out, "  ✓ %-12s %-44s %5.1f s\n", p.name, what, time.Since(begin).Seconds())
	}
	return s.writeEnv()
}

// stop ends the parts in the reverse of their order: first who asks, last who answers.
func (s *stack) stop() {
	if len(s.children)+len(s.stops) > 0 {
		fmt.Fprintln(s.out, "\nStopping.")
	}
	for i := len(s.children) - 1; i >= 0; i-- {
		s.children[i].stop(10 * time.Second)
	}
	for i := len(s.stops) - 1; i >= 0; i-- {
		s.stops[i]()
	}
}

// run starts a child and watches it.
func (s *stack) run(name string, env []string, program string, args ...string) (*child, error) {
	c, err := s.start(name, env, filepath.Join(s.root, "bin", program), args...)
	if err != nil {
		return nil, err
	}
	s.children = append(s.children, c)
	go func() {
		<-c.done
		s.failed <- c
	}()
	return c, nil
}

func (s *stack) startPostgres(ctx context.Context) (string, error) {
	port, err := s.port("PostgreSQL", 15432)
	if err != nil {
		return "", err
	}
	dir, why := postgresDir(s.dir)
	if why != "" {
		fmt.Fprintln(s.out, "  "+why+".")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log", "postgres.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	server, err := postgres.Start(ctx, postgres.Options{Dir: dir, Port: port, Log: log, Durable: true})
	if err != nil {
		return "", err
	}
	s.stops = append(s.stops, server.Stop)
	if err := ensureDatabase(ctx, server); err != nil {
		return "", err
	}
	s.owner = server.DSN("yunshu")
	s.dsn = strings.Replace(s.owner, "postgres://yunshu@", "postgres://yunshu_gateway@", 1)
	return fmt.Sprintf("127.0.0.1:%d", port), os.WriteFile(filepath.Join(s.dir, "postgres.dir"), []byte(dir+"\n"), 0o600)
}

func (s *stack) startTemporal(ctx context.Context) (string, error) {
	port, err := s.port("Temporal", 7233)
	if err != nil {
		return "", err
	}
	ui, err := s.port("the Temporal Web UI", 8233)
	if err != nil {
		return "", err
	}
	s.temporal, err = temporal.Start(ctx, temporal.Options{Port: port, UIPort: ui, File: filepath.Join(s.dir, "temporal.sqlite"), Keys: s.keys})
	if err != nil {
		return "", err
	}
	s.stops = append(s.stops, s.temporal.Stop)
	return s.temporal.Address + ", Web UI " + s.temporal.UI, nil
}

func (s *stack) startVCenter(ctx context.Context, i int) (string, error) {
	r := regions[i]
	port, err := s.port("the vCenter of "+r.name, r.port)
	if err != nil {
		return "", err
	}
	v := vcenter{user: "yunshu@vsphere.local", passwordFile: filepath.Join(s.dir, "vcenter-"+r.name+".password"), ca: filepath.Join(s.dir, "tls-"+r.name, "ca.pem")}
	if _, err := secret(v.passwordFile, password); err != nil {
		return "", err
	}
	c, err := s.run("vcenter-"+r.name, nil, "yunshu-vcsim", "--region", r.name, "--listen", fmt.Sprintf("127.0.0.1:%d", port),
		"--state", filepath.Join(s.dir, "vcenter-"+r.name+".state"), "--tls-dir", filepath.Dir(v.ca), "--username", v.user, "--password-file", v.passwordFile)
	if err != nil {
		return "", err
	}
	line, err := await(ctx, c, 30*time.Second)
	if err != nil {
		return "", err
	}
	_, v.url, _ = strings.Cut(line, "url=")
	s.vcenters[r.name] = v
	return v.url, nil
}

// await waits for a child's ready line.
func await(ctx context.Context, c *child, patience time.Duration) (string, error) {
	select {
	case line := <-c.tail.ready:
		return line, nil
	case <-c.done:
		return "", c.died()
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(patience):
		return "", fmt.Errorf("not ready within %s; see %s", patience, c.log)
	}
}

func (s *stack) gatewayEnv() []string {
	return []string{
		"YUNSHU_DATABASE_URL=" + s.dsn, "YUNSHU_PAYLOAD_KEYS=" + s.keys, "YUNSHU_SECRET_KEYS=" + s.secretKeys, "YUNSHU_TEMPORAL_ADDRESS=" + s.temporal.Address,
		"YUNSHU_TEMPORAL_NAMESPACE=default", "YUNSHU_TEMPORAL_UI_URL=" + s.temporal.UI, "YUNSHU_OIDC_ISSUER=" + s.issuer, "GOMEMLIMIT=120MiB",
		"YUNSHU_REQUESTS_PER_MACHINE=1000", // all simulated machines boot from one address
	}
}

// finish runs a program with more environment to its end and returns what it printed.
func (s *stack) finish(ctx context.Context, env []string, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.root, "bin", program), args...)
	cmd.Env = append(append(os.Environ(), s.gatewayEnv()...), env...)
	out, err := cmd.Output()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return nil, fmt.Errorf("%s %s: %s", program, strings.Join(args, " "), ended.Stderr)
	}
	return out, err
}

func (s *stack) migrate(ctx context.Context) (string, error) {
	out, err := s.finish(ctx, []string{"YUNSHU_MIGRATION_DATABASE_URL=" + s.owner}, "yunshu-gateway", "migrate")
	return strings.TrimSpace(string(out)), err
}

func (s *stack) startGateway(ctx context.Context) (string, error) {
	port, err := s.port("the API", 8080)
	if err != nil {
		return "", err
	}
	s.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	c, err := s.run("gateway", append(s.gatewayEnv(), fmt.Sprintf("YUNSHU_LISTEN=127.0.0.1:%d", port)), "yunshu-gateway", "serve")
	if err != nil {
		return "", err
	}
	if err := s.awaitHTTP(ctx, c, s.url+"/readyz"); err != nil {
		return "", err
	}
	return s.url, s.login(ctx)
}

// awaitHTTP polls until a URL answers 200.
func (s *stack) awaitHTTP(ctx context.Context, c *child, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for {
		if status, err := get(ctx, url, ""); err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-c.done:
			return c.died()
		case <-ctx.Done():
			return fmt.Errorf("%s did not answer 200 within a minute; see %s", url, c.log)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, url, token string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// login keeps the token of the last run while it is good, and makes a new one otherwise.
func (s *stack) login(ctx context.Context) error {
	path := filepath.Join(s.dir, "token")
	if raw, err := os.ReadFile(path); err == nil {
		s.token = strings.TrimSpace(string(raw))
		if status, err := get(ctx, s.url+"/v1/me", s.token); err == nil && status == http.StatusOK {
			return nil
		}
	}
	out, err := s.finish(ctx, nil, "yunshu-gateway", "bootstrap", "--ttl", "720h")
	if err != nil {
		return err
	}
	if s.token, err = firstLine(out); err != nil {
		return fmt.Errorf("make a token: %w", err)
	}
	return os.WriteFile(path, []byte(s.token+"\n"), 0o600)
}

func (s *stack) startWorker(ctx context.Context, i int) (string, error) {
	name := regions[i].name
	config, err := s.workerConfig(name)
	if err != nil {
		return "", err
	}
	ports, err := temporal.FreePorts(1)
	if err != nil {
		return "", err
	}
	listen := fmt.Sprintf("127.0.0.1:%d", ports[0])
	c, err := s.run("worker-"+name, []string{"YUNSHU_PAYLOAD_KEYS=" + s.keys, "YUNSHU_LISTEN=" + listen, "GOMEMLIMIT=120MiB"}, "yunshu-worker", "run", "--config", config, "--region", name)
	if err != nil {
		return "", err
	}
	return "queues vm." + name + " and bm." + name, s.awaitHTTP(ctx, c, "http://"+listen+"/readyz")
}

func (s *stack) seed(ctx context.Context) (string, error) {
	names := make([]string, len(regions))
	for i, r := range regions {
		names[i] = r.name
	}
	return seed.Run(ctx, s.url, s.token, names)
}
