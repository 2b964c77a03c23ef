package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/yunshu/yunshu/api"
	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/test/postgres"
)

// accepts measures accepted creates per second through HTTP, beside pgbench writing the same rows in one hand-written
// statement each, alternating on the same server.
func (b *bench) accepts(ctx context.Context) error {
	fmt.Println("accepted creates per second, through HTTP, beside the same rows written by pgbench in one statement")
	d := pick(b.short, 2*time.Second, 10*time.Second)
	for _, tenants := range []int{1, 100} {
		for _, clients := range []int{16, 64} {
			floor, err := b.floor(ctx, tenants, clients, d)
			if err != nil {
				return fmt.Errorf("floor: %w", err)
			}
			ours, err := b.throughHTTP(ctx, tenants, clients, d)
			if err != nil {
				return err
			}
			ratio, want := ours.perSecond/floor.perSecond, 0.85
			if tenants == 1 {
				want = 3
			}
			fmt.Printf("  %3d tenants %2d clients   ours %s\n                         floor %7.0f/s  p99 %9s   ratio %.2f (at least %.2f: %s)",
				tenants, clients, ours, floor.perSecond, ms(floor.p99), ratio, want, verdict(ratio >= want))
			if clients == 16 {
				p := float64(ours.p99) / float64(floor.p99)
				fmt.Printf("   p99 ratio %.2f (at most 3: %s)", p, verdict(p <= 3))
			}
			fmt.Println()
		}
	}
	return nil
}

// throughHTTP runs the real gateway's HTTP side in this process and loads it over loopback.
func (b *bench) throughHTTP(ctx context.Context, tenants, clients int, d time.Duration) (result, error) {
	s, _, err := b.database(ctx)
	if err != nil {
		return result{}, err
	}
	defer s.Close()
	if _, err := world(ctx, s, tenants, 1000); err != nil {
		return result{}, err
	}
	url, stop, err := serve(ctx, s, api.RateLimits{})
	if err != nil {
		return result{}, err
	}
	defer stop()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	create := func(ctx context.Context, c, i int) error {
		body := fmt.Sprintf(`{"name":"vm-%d-%d","tenant":"root/t-%d","region":"tw","group":"general","image":"ubuntu","flavor":"small","subnet":"lan"}`, c, i, 1+(c*7919+i)%tenants)
		return post(ctx, client, token, url+"/v1/vms", fmt.Sprintf("k-%d-%d", c, i), body)
	}
	if _, err := load(ctx, clients, d/5, func(ctx context.Context, c, i int) error { return create(ctx, c+1000, i) }); err != nil {
		return result{}, err
	}
	if err := b.watchStatements(ctx, s); err != nil {
		return result{}, err
	}
	r, err := load(ctx, clients, d, create)
	if err != nil {
		return result{}, err
	}
	return r, b.printStatements(ctx, s, r.n)
}

func serve(ctx context.Context, s *store.Store, limits api.RateLimits) (string, func(), error) {
	policies, err := authz.New()
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	edge := api.New(api.Options{Store: s, Authz: policies, Logger: slog.New(slog.DiscardHandler), Version: "bench", Limits: limits,
		Accept: accept.New(ctx, accept.Options{Store: s, Authz: policies})})
	url, stop, err := listen(edge.Handler())
	return url, func() { stop(); cancel() }, err
}

// listen serves on loopback until stopped.
func listen(h http.Handler) (string, func(), error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }() // it returns when it is closed
	return "http://" + l.Addr().String(), func() { _ = server.Close() }, nil
}

func post(ctx context.Context, c *http.Client, token, url, key, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusTooManyRequests {
		return tooMany(resp.Header.Get("Retry-After"))
	}
	if err == nil && resp.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return err
}

// floorStatement writes what one accepted create writes: the same tables, the same indexes, the same conditions.
const floorStatement = `\set t random(1, :tenants)
\set h random(1, 1000)
WITH t AS (SELECT id, path FROM tenants WHERE full_name = 'root/t-' || :t),
  x AS (SELECT gen_random_uuid() AS vm, gen_random_uuid() AS op, nextval('floor_seq') AS n),
  hy AS (UPDATE hypervisors SET vcpu_free = vcpu_free - 1, memory_mib_free = memory_mib_free - 1024, storage_gib_free = storage_gib_free - 10
    WHERE baremetal_id = (SELECT id FROM baremetals WHERE region = 'tw' AND name = 'h' || :h) AND vcpu_free >= 1 AND memory_mib_free >= 1024 AND storage_gib_free >= 10 RETURNING baremetal_id, group_id),
  ip AS (INSERT INTO ip_addresses (id, subnet_id, address, tenant_id, vm_id) SELECT gen_random_uuid(), s.id, s.range_start + x.n, t.id, x.vm FROM subnets s, t, x WHERE s.region = 'tw' AND s.name = 'lan' RETURNING subnet_id, address),
  v AS (INSERT INTO vms (id, tenant_id, name, region, group_id, baremetal_id, image_id, flavor_id, subnet_id, address, state, vcpu, memory_mib, storage_gib, created_by)
    SELECT x.vm, t.id, 'vm-' || x.n, 'tw', hy.group_id, hy.baremetal_id, im.id, f.id, ip.subnet_id, ip.address, 'provisioning', 1, 1024, 10, 'bench' FROM x, t, hy, ip, images im, flavors f WHERE im.name = 'ubuntu' AND f.name = 'small'),
  al AS (INSERT INTO allocations (resource_id, resource_kind, tenant_id, group_id, baremetal_id, vcpu, memory_mib, storage_gib, vms, ip_addresses)
    SELECT x.vm, 'vm', t.id, hy.group_id, hy.baremetal_id, 1, 1024, 10, 1, 1 FROM x, t, hy),
  op AS (INSERT INTO operations (id, kind, tenant_id, region, resource_kind, resource_id, resource_name, actor_id, actor, input)
    SELECT x.op, 'vm.provision', t.id, 'tw', 'vm', x.vm, 'vm-' || x.n, u.id, 'bench',
      jsonb_build_object('operation_id', x.op, 'kind', 'vm.provision', 'tenant_id', t.id, 'tenant', 'root/t-1', 'region', 'tw', 'resource_kind', 'vm', 'resource_id', x.vm, 'resource_name', 'vm-' || x.n, 'actor', 'bench',
        'vm', jsonb_build_object('id', x.vm, 'name', 'vm-' || x.n, 'tenant', 'root/t-1', 'size', jsonb_build_object('vcpu', 1, 'memory_mib', 1024, 'storage_gib', 10, 'gpu', 0), 'template', 'ubuntu-24.04',
          'host', jsonb_build_object('id', hy.baremetal_id, 'name', 'h1', 'ref', 'host-1'), 'network', jsonb_build_object('name', 'vlan-100', 'address', ip.address, 'hostname', 'vm-' || x.n)))
    FROM x, t, hy, ip, users u WHERE u.name = 'bench'),
  au AS (INSERT INTO audit_events (id, actor_id, actor, action, resource_kind, resource_id, resource_name, tenant_id, operation_id, request_id, outcome)
    SELECT gen_random_uuid(), u.id, 'bench', 'vm.create', 'vm', x.vm, 'vm-' || x.n, t.id, x.op, 'r', 'accepted' FROM x, t, users u WHERE u.name = 'bench'),
  ke AS (INSERT INTO idempotency_keys (actor_id, key, request_hash, operation_id, status) SELECT u.id, 'k' || x.n, sha256('x'), x.op, 202 FROM x, users u WHERE u.name = 'bench')
UPDATE quotas q SET vcpu_used = vcpu_used + 1, memory_mib_used = memory_mib_used + 1024, storage_gib_used = storage_gib_used + 10, vms_used = vms_used + 1, ip_addresses_used = ip_addresses_used + 1
  FROM t WHERE q.tenant_id = ANY (t.path) AND (vcpu_limit IS NULL OR vcpu_used + 1 <= vcpu_limit) AND (vms_limit IS NULL OR vms_used + 1 <= vms_limit);
`

// floor lets pgbench write the rows.
func (b *bench) floor(ctx context.Context, tenants, clients int, d time.Duration) (result, error) {
	s, dsn, err := b.database(ctx)
	if err != nil {
		return result{}, err
	}
	defer s.Close()
	if _, err := world(ctx, s, tenants, 1000); err != nil {
		return result{}, err
	}
	if _, err := s.Pool.Exec(ctx, `CREATE SEQUENCE floor_seq CACHE 100`); err != nil {
		return result{}, err
	}
	dir, err := os.MkdirTemp("", "yunshu-pgbench-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	script := filepath.Join(dir, "accept.sql")
	if err := os.WriteFile(script, []byte(floorStatement), 0o600); err != nil {
		return result{}, err
	}
	bin, err := postgres.Binary(ctx, "pgbench")
	if err != nil {
		return result{}, err
	}
	cmd := exec.CommandContext(ctx, bin, "-n", "-M", "prepared", "-f", script, "-D", fmt.Sprintf("tenants=%d", tenants),
		"-c", strconv.Itoa(clients), "-j", "2", "-T", strconv.Itoa(int(d.Seconds())), "-l", "--log-prefix="+filepath.Join(dir, "log"), dsn)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return result{}, fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	tps := regexp.MustCompile(`tps = ([0-9.]+)`).FindSubmatch(out)
	if tps == nil {
		return result{}, errors.New("pgbench printed no rate")
	}
	rate, err := strconv.ParseFloat(string(tps[1]), 64)
	if err != nil {
		return result{}, err
	}
	times, err := latencies(dir)
	if err != nil {
		return result{}, err
	}
	r := summarise(times, d)
	r.perSecond = rate
	return r, nil
}

// latencies reads pgbench's log: the third field of a line is a transaction's time in microseconds.
func latencies(dir string) ([]time.Duration, error) {
	files, err := filepath.Glob(filepath.Join(dir, "log*"))
	if err != nil {
		return nil, err
	}
	var out []time.Duration
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		for line := range bytes.Lines(raw) {
			fields := bytes.Fields(line)
			if len(fields) < 3 {
				continue
			}
			us, err := strconv.ParseInt(string(fields[2]), 10, 64)
			if err != nil {
				return nil, err
			}
			out = append(out, time.Duration(us)*time.Microsecond)
		}
	}
	return out, nil
}
