package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/yunshu/yunshu/api"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// What hot has: 200 clients, who share 20 tokens.
const hotClients, hotTokens = 200, 20

// fairness measures what a tenant that asks for one machine after another notices of a tenant that asks for as many as it
// can: without any limit, where only the order of the queue protects it, and with the limits that the gateway has unless
// it is told otherwise.
func (b *bench) fairness(ctx context.Context) error {
	fmt.Printf("a create of a calm tenant, alone and beside a hot one with %d clients\n", hotClients)
	s, _, err := b.database(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := world(ctx, s, 2, 1000); err != nil {
		return err
	}
	calm, err := member(ctx, s, "root/t-1", 0)
	if err != nil {
		return err
	}
	hot := make([]string, hotTokens)
	for i := range hot {
		if hot[i], err = member(ctx, s, "root/t-2", 1+i); err != nil {
			return err
		}
	}
	f := fairly{b: b, s: s, calm: calm, hot: hot, d: pick(b.short, 2*time.Second, 8*time.Second)}
	free, crowd, err := f.beside(ctx, "free", api.RateLimits{})
	if err != nil {
		return err
	}
	fmt.Printf("  no limits   beside  %s\n              hot     %s\n  the calm one's p50 is %.2f of the hot one's (at most 0.50: %s)\n",
		free, crowd, float64(free.p50)/float64(crowd.p50), verdict(2*free.p50 <= crowd.p50))
	limited, crowd, err := f.beside(ctx, "limited", api.RateLimits{PerToken: 200, PerTenant: 1000, Heavy: 4})
	if err != nil {
		return err
	}
	fmt.Printf("  limits      beside  %s\n              hot     %s\n  the calm one's p50 is x%.2f of alone (at most 3: %s)\n",
		limited, crowd, float64(limited.p50)/float64(f.alone.p50), verdict(limited.p50 <= 3*f.alone.p50))
	return nil
}

// fairly is a calm tenant and a hot one.
type fairly struct {
	b     *bench
	s     *store.Store
	calm  string   // its token
	hot   []string // its tokens
	d     time.Duration
	alone result
}

// beside measures the calm tenant's creates beside the hot one's. The first time it measures them alone as well.
func (f *fairly) beside(ctx context.Context, phase string, limits api.RateLimits) (calm, hot result, err error) {
	url, stop, err := serve(ctx, f.s, limits)
	if err != nil {
		return calm, hot, err
	}
	defer stop()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: hotClients + 1}}
	create := func(tenant, from string, tokens ...string) func(context.Context, int, int) error {
		return func(ctx context.Context, c, i int) error {
			name := fmt.Sprintf("%s-%s-%d-%d", phase, from, c, i)
			return patiently(ctx, func() error {
				return post(ctx, client, tokens[c%len(tokens)], url+"/v1/vms", name, fmt.Sprintf(`{"name":%q,"tenant":"root/%s","region":"tw","group":"general","image":"ubuntu","flavor":"small","subnet":"lan"}`, name, tenant))
			})
		}
	}
	if _, err := load(ctx, 2, f.d/5, create("t-1", "warm", f.calm)); err != nil {
		return calm, hot, err
	}
	if f.alone.n == 0 {
		if f.alone, err = load(ctx, 1, f.d, create("t-1", "alone", f.calm)); err != nil {
			return calm, hot, err
		}
		fmt.Printf("  alone               %s\n", f.alone)
	}
	var failed atomic.Pointer[error]
	done := make(chan struct{})
	go func() {
		defer close(done)
		var err error
		if hot, err = load(ctx, hotClients, f.d+time.Second, create("t-2", "hot", f.hot...)); err != nil {
			failed.Store(&err)
		}
	}()
	time.Sleep(500 * time.Millisecond) // until the queue is long
	calm, err = load(ctx, 1, f.d, create("t-1", "beside", f.calm))
	<-done
	if e := failed.Load(); e != nil {
		err = *e
	}
	return calm, hot, err
}

// tooMany is a refusal that says when to come again, in seconds.
type tooMany string

func (t tooMany) Error() string { return "429, Retry-After " + string(t) }

// patiently does as a refusal asks, as a good client does.
func patiently(ctx context.Context, f func() error) error {
	for {
		err := f()
		var refused tooMany
		if !errors.As(err, &refused) {
			return err
		}
		seconds, err := strconv.Atoi(string(refused))
		if err != nil {
			return fmt.Errorf("a refusal without a time: %w", refused)
		}
		select {
		case <-time.After(time.Duration(seconds) * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// member adds a member of a tenant, and returns their token.
func member(ctx context.Context, s *store.Store, tenant string, n int) (string, error) {
	token, id := fmt.Sprintf("ys_bench_%040d", n+1), models.NewID()
	hash := sha256.Sum256([]byte(token))
	_, err := s.Pool.Exec(ctx, `WITH u AS (INSERT INTO users (id, name) VALUES ($1, $2)),
		t AS (INSERT INTO tokens (id, actor_id, name, prefix, hash, expires_at) VALUES ($3, $1, 'bench', 'ys_bench', $4, now() + interval '1 day'))
		INSERT INTO role_bindings (id, actor_id, role, tenant_id) SELECT gen_random_uuid(), $1, 'member', id FROM tenants WHERE full_name = $5`,
		id, fmt.Sprintf("member-%d", n), models.NewID(), hash[:], tenant)
	return token, err
}
