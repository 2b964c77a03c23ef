package api

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
)

// authenticate finds out who asks.
func (a *API) authenticate(c *gin.Context) {
	token, ok := bearerToken(c.GetHeader("Authorization"))
	if !ok {
		refuse(c, models.Faultf(models.CodeUnauthenticated, "The request has no token. Send the header Authorization: Bearer, followed by a token."))
		return
	}
	bearer, err := a.tokens.bearer(c.Request.Context(), token)
	if err != nil {
		refuse(c, err)
		return
	}
	if bearer == nil {
		refuse(c, models.Faultf(models.CodeUnauthenticated, "The token is unknown, revoked or expired. Ask for another one."))
		return
	}
	scope(c.Request.Context()).actor = bearer.Actor
	c.Header("Cache-Control", "private, no-cache") // ask again each time, with If-None-Match
	if c.Request.Method != http.MethodGet {
		c.Header("Cache-Control", "no-store") // a new token is in an answer
	}
	c.Next()
}

// bearerToken reads the header. The scheme's case does not matter.
func bearerToken(header string) (string, bool) {
	scheme, token, _ := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "bearer") && token != ""
}

const (
	// tokenTTL is how long a token and its roles are believed without asking. It bounds how late another gateway's
	// revocation is noticed by reads; writes look again in their transaction.
	tokenTTL = 4 * time.Second
	// tokenCacheSize bounds the memory; a fuller cache starts over.
	tokenCacheSize = 10_000
	// usedEvery is how often the time of last use is written down, away from requests.
	usedEvery = time.Minute
)

// tokenCache remembers for seconds whom tokens belong to.
type tokenCache struct {
	store *store.Store

	mu         sync.Mutex
	known      map[[sha256.Size]byte]knownToken
	generation int // counts what was forgotten, so that no answer from before is kept
	used       map[models.ID]time.Time
	flushAt    time.Time
}

type knownToken struct {
	bearer store.Bearer
	until  time.Time
}

func newTokenCache(s *store.Store) *tokenCache {
	return &tokenCache{store: s, known: map[[sha256.Size]byte]knownToken{}, used: map[models.ID]time.Time{}}
}

// bearer returns whom a token belongs to; nil says to nobody.
func (t *tokenCache) bearer(ctx context.Context, token string) (*store.Bearer, error) {
	hash := sha256.Sum256([]byte(token))
	now := time.Now()
	t.mu.Lock()
	known, ok := t.known[hash]
	generation := t.generation
	t.mu.Unlock()
	if ok && now.Before(known.until) {
		t.touch(known.bearer.Actor.TokenID, now)
		return &known.bearer, nil
	}
	bearer, err := t.store.Bearer(ctx, hash[:])
	if err != nil || bearer == nil {
		return nil, err
	}
	t.keep(hash, *bearer, now, generation)
	t.touch(bearer.Actor.TokenID, now)
	return bearer, nil
}

func (t *tokenCache) keep(hash [sha256.Size]byte, b store.Bearer, now time.Time, generation int) {
	until := now.Add(tokenTTL)
	if b.ExpiresAt.Before(until) {
		until = b.ExpiresAt
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if generation != t.generation {
		return
	}
	if len(t.known) >= tokenCacheSize {
		clear(t.known)
	}
	t.known[hash] = knownToken{bearer: b, until: until}
}

// forget drops everything that is known. Whoever changes tokens, users or roles calls it after the commit.
func (t *tokenCache) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.generation++
	clear(t.known)
}

// touch notes that a token was used, and hands the notes to the database once a minute.
func (t *tokenCache) touch(token models.ID, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used[token] = now
	if now.Before(t.flushAt) {
		return
	}
	used := t.used
	t.used, t.flushAt = map[models.ID]time.Time{}, now.Add(usedEvery)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := t.store.TokensUsed(ctx, used); err != nil {
			slog.WarnContext(ctx, "last use of tokens not written down", "error", err)
		}
	}()
}
