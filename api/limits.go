package api

import (
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"github.com/yunshu/yunshu/models"
)

// RateLimits bound what one client may ask of this gateway, so that nobody keeps others from being served. They hold for
// each replica by itself; zero is no limit.
type RateLimits struct {
	PerToken  float64 // requests a second; for a moment twice as many
	PerTenant float64 // of all who have a role on the tenant together, unless they have one on the platform
	Heavy     int     // expensive reads at once

	PerMachine float64 // requests a second of machines that boot, from one address
}

// limiter counts requests by token and by tenant.
type limiter struct {
	limits RateLimits
	heavy  chan struct{}

	mu      sync.Mutex
	buckets map[models.ID]*rate.Limiter
	noted   map[models.ID]time.Time // when the audit log last heard of a token that asks too often
}

func newLimiter(l RateLimits) *limiter {
	return &limiter{limits: l, heavy: make(chan struct{}, max(1, l.Heavy)), buckets: map[models.ID]*rate.Limiter{}, noted: map[models.ID]time.Time{}}
}

// mostBuckets bounds the memory; a fuller limiter starts over, with everyone's share whole.
const mostBuckets = 50_000

// wait takes one request from the share of id, and returns how long to wait where nothing is left of it.
func (l *limiter) wait(id models.ID, perSecond float64, now time.Time) time.Duration {
	if perSecond <= 0 {
		return 0
	}
	l.mu.Lock()
	b := l.buckets[id]
	if b == nil {
		if len(l.buckets) >= mostBuckets {
			clear(l.buckets)
		}
		b = rate.NewLimiter(rate.Limit(perSecond), int(math.Ceil(2*perSecond)))
		l.buckets[id] = b
	}
	l.mu.Unlock()
	r := b.ReserveN(now, 1)
	delay := r.DelayFrom(now)
	if delay > 0 {
		r.CancelAt(now) // what is refused costs nothing
	}
	return delay
}

// note says whether the audit log shall hear of a token that asks too often: once in a while, since a row for each of its
// requests would be what the limit is there to prevent.
func (l *limiter) note(id models.ID, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.noted[id]) < 10*time.Second {
		return false
	}
	if len(l.noted) >= mostBuckets {
		clear(l.noted)
	}
	l.noted[id] = now
	return true
}

// admit refuses a request of someone who asks too often.
func (a *API) admit(c *gin.Context) {
	who, now := scope(c.Request.Context()).actor, time.Now()
	if open[c.FullPath()] {
		a.admitStranger(c, now)
		return
	}
	if d := a.limits.wait(who.TokenID, a.limits.limits.PerToken, now); d > 0 {
		tooMany(c, d, "Your token sends more requests than its share.")
		return
	}
	if !who.Platform() {
		for _, tenant := range who.Tenants() {
			if d := a.limits.wait(tenant, a.limits.limits.PerTenant, now); d > 0 {
				tooMany(c, d, "The people of one of your tenants together send more requests than its share.")
				return
			}
		}
	}
	if a.limits.limits.Heavy > 0 && heavy[c.FullPath()] {
		select {
		case a.limits.heavy <- struct{}{}:
			defer func() { <-a.limits.heavy }()
		default:
			tooMany(c, 2*time.Second, "Others are reading at this cost already.")
			return
		}
	}
	c.Next()
}

// admitStranger refuses a request without a token whose address sends too many of them.
func (a *API) admitStranger(c *gin.Context, now time.Time) {
	perSecond := min(a.limits.limits.PerToken, mostStrangers)
	if d := a.limits.wait(uuid.NewSHA1(uuid.NameSpaceURL, []byte(c.ClientIP())), perSecond, now); d > 0 {
		tooMany(c, d, "Too many try to sign in from your address.")
		return
	}
	c.Next()
}

// mostStrangers is how many requests without a token an address may send in a second.
const mostStrangers = 10

// heavy are reads that go through much of the database.
var heavy = map[string]bool{
	"/v1/ledger-check":               true,
	"/v1/audit-events/verification":  true,
	"/v1/tenants/:id/usage":          true,
	"/v1/tenants/:id/usage-days.csv": true,
}

func tooMany(c *gin.Context, wait time.Duration, why string) {
	seconds := int(math.Ceil(wait.Seconds()))
	c.Header("Retry-After", strconv.Itoa(seconds))
	refuse(c, models.Faultf(models.CodeTooManyRequests, "%s Wait %d s and try again, with the same Idempotency-Key.", why, seconds))
}
