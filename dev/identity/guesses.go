package identity

import (
	"time"

	"golang.org/x/time/rate"
)

// guesses limits how often one may try: passwords for each person, and codes of devices for everyone together. The
// names that nobody has share one limit, so that asking for many of them costs no memory.
type guesses struct {
	passwords map[string]*rate.Limiter // never changes
	unknown   *rate.Limiter
	codes     *rate.Limiter
}

func newGuesses(people directory) guesses {
	limit := func() *rate.Limiter { return rate.NewLimiter(rate.Every(6*time.Second), 10) }
	g := guesses{passwords: map[string]*rate.Limiter{}, unknown: limit(), codes: limit()}
	for name := range people.byName {
		g.passwords[name] = limit()
	}
	return g
}

// password reports whether another try for this name is allowed.
func (g guesses) password(name string) bool {
	if l, known := g.passwords[name]; known {
		return l.Allow()
	}
	return g.unknown.Allow()
}
