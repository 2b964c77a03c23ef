package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/yunshu/yunshu/api"
	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/store"
)

// placement measures lone creates, one after another, in groups of growing size.
func (b *bench) placement(ctx context.Context) error {
	fmt.Println("a create with 1,000, 10,000 and 100,000 hosts in the group")
	var first result
	for _, hosts := range pick(b.short, []int{1000, 10000}, []int{1000, 10000, 100000}) {
		r, err := b.creates(ctx, hosts, "lan", nil)
		if err != nil {
			return err
		}
		if first.n == 0 {
			first = r
		}
		grows := float64(r.p50) / float64(first.p50)
		fmt.Printf("  %7d hosts   %s   cost x %.2f (less than 1.30: %s)\n", hosts, r, grows, verdict(grows < 1.3))
	}
	return nil
}

// addresses measures lone creates from a /16 that is filled further and further, at random places.
func (b *bench) addresses(ctx context.Context) error {
	fmt.Println("a create with an address from a /16 that is so full")
	var first result
	for _, full := range []int{0, 50, 90} {
		r, err := b.creates(ctx, 1000, "small", func(s *store.Store) error {
			_, err := s.Pool.Exec(ctx, `INSERT INTO ip_addresses (id, subnet_id, address)
				SELECT gen_random_uuid(), s.id, s.range_start + n FROM subnets s, generate_series(0, 65533) n
				WHERE s.name = 'small' AND hashint4(n) % 100 BETWEEN -$1::int + 1 AND $1::int - 1`, full)
			return err
		})
		if err != nil {
			return err
		}
		if first.n == 0 {
			first = r
		}
		fmt.Printf("  %3d %% full   %s   cost x %.2f\n", full, r, float64(r.p50)/float64(first.p50))
	}
	return nil
}

// creates measures lone creates on a fresh world.
func (b *bench) creates(ctx context.Context, hosts int, subnet string, prepare func(*store.Store) error) (result, error) {
	s, _, err := b.database(ctx)
	if err != nil {
		return result{}, err
	}
	defer s.Close()
	admin, err := world(ctx, s, 1, hosts)
	if err != nil {
		return result{}, err
	}
	if prepare != nil {
		if err := prepare(s); err != nil {
			return result{}, err
		}
	}
	if _, err := s.Pool.Exec(ctx, `VACUUM ANALYZE`); err != nil {
		return result{}, err
	}
	policies, err := authz.New()
	if err != nil {
		return result{}, err
	}
	a := accept.New(ctx, accept.Options{Store: s, Authz: policies})
	create := func(ctx context.Context, c, i int) error {
		_, err := a.CreateVM(ctx, accept.VMCreate{Request: accept.Request{Actor: admin}, Name: fmt.Sprintf("vm-%d-%d", c, i), Tenant: "root/t-1",
			Region: "tw", Group: "general", Image: "ubuntu", Flavor: "small", Subnet: subnet})
		return err
	}
	d := pick(b.short, time.Second, 5*time.Second)
	if _, err := load(ctx, 1, d/5, func(ctx context.Context, c, i int) error { return create(ctx, 1000, i) }); err != nil {
		return result{}, err
	}
	return load(ctx, 1, d, create)
}

// lists measures pages of 50 machines of one tenant among few and among many.
func (b *bench) lists(ctx context.Context) error {
	fmt.Println("a page of 50 machines of one tenant, through HTTP, 4 clients")
	var first result
	for _, total := range pick(b.short, []int{1000, 20000}, []int{1000, 1000000}) {
		r, err := b.listAmong(ctx, total)
		if err != nil {
			return err
		}
		if first.n == 0 {
			first = r
		}
		grows := float64(r.p99) / float64(first.p99)
		fmt.Printf("  among %7d   %s   p99 x %.2f (at most 2.00: %s)\n", total, r, grows, verdict(grows <= 2))
	}
	return nil
}

func (b *bench) listAmong(ctx context.Context, total int) (result, error) {
	s, _, err := b.database(ctx)
	if err != nil {
		return result{}, err
	}
	defer s.Close()
	if _, err := world(ctx, s, 10, 1000); err != nil {
		return result{}, err
	}
	if _, err := s.Pool.Exec(ctx, `
		INSERT INTO vms (id, tenant_id, name, region, group_id, baremetal_id, image_id, subnet_id, address, state, vcpu, memory_mib, storage_gib, created_by)
		SELECT gen_random_uuid(), t.id, 'vm-' || n, 'tw', h.group_id, h.baremetal_id, im.id, sn.id, sn.range_start + n, 'running', 1, 1024, 10, 'bench'
		FROM generate_series(1, $1::int) n
		JOIN (SELECT id, row_number() OVER () AS k FROM tenants WHERE parent_id IS NOT NULL) t ON t.k = 1 + n % 10
		JOIN (SELECT *, row_number() OVER () AS k FROM hypervisors) h ON h.k = 1 + n % 1000
		CROSS JOIN (SELECT id FROM images LIMIT 1) im CROSS JOIN (SELECT * FROM subnets WHERE name = 'lan') sn`, total); err != nil {
		return result{}, fmt.Errorf("make %d machines: %w", total, err)
	}
	if _, err := s.Pool.Exec(ctx, `VACUUM ANALYZE vms`); err != nil {
		return result{}, err
	}
	url, stop, err := serve(ctx, s, api.RateLimits{})
	if err != nil {
		return result{}, err
	}
	defer stop()
	list := func(ctx context.Context, c, _ int) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/v1/vms?limit=50&tenant=root/t-%d", url, 1+c), nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", resp.Status, answer)
		}
		return err
	}
	d := pick(b.short, time.Second, 5*time.Second)
	if _, err := load(ctx, 4, d/5, list); err != nil {
		return result{}, err
	}
	return load(ctx, 4, d, list)
}
