package api

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/yunshu/yunshu/models"
)

// Preference is the input of what answers with an operation. Embed it.
type Preference struct {
	Prefer string `header:"Prefer" maxLength:"200" doc:"wait=N waits up to N seconds, at most 60, for the operation to end." example:"wait=30"`
}

// longestWait bounds how long a request may wait for its operation.
const longestWait = 60 * time.Second

var waitPreference = regexp.MustCompile(`^wait=([0-9]{1,9})$`)

// wait is how long the client prefers to wait. A preference that is not understood is none, as RFC 7240 wants it.
func (p Preference) wait() time.Duration {
	for item := range strings.FieldsFuncSeq(p.Prefer, func(r rune) bool { return r == ',' || r == ';' }) {
		if m := waitPreference.FindStringSubmatch(strings.ToLower(strings.TrimSpace(item))); m != nil {
			seconds, _ := strconv.Atoi(m[1]) // nine digits
			return min(longestWait, time.Duration(seconds)*time.Second)
		}
	}
	return 0
}

// applied is the Preference-Applied header of an answer that waited.
func (p Preference) applied() string {
	if w := p.wait(); w > 0 {
		return fmt.Sprintf("wait=%d", int(w.Seconds()))
	}
	return ""
}

// await returns when the operation has ended or blocked, when the client does not prefer to wait any longer, or when
// the gateway stops. What the operation then is must be read anew.
func (a *API) await(ctx context.Context, operation models.ID, p Preference) error {
	ctx, done := a.patient(ctx)
	defer done()
	until := time.Now().Add(p.wait())
	for {
		var state models.OperationState
		var version int64
		err := a.store.Pool.QueryRow(ctx, "SELECT state, version FROM operations WHERE id = $1", operation).Scan(&state, &version)
		left := time.Until(until)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("wait for operation %s: %w", operation, err)
		case state.Ended() || state == models.OperationBlocked || left <= 0:
			return nil
		}
		a.watcher.changed(ctx, operation, version, left)
	}
}

// patient is a context for waiting: it ends with the request's, and as soon as the gateway begins to stop.
func (a *API) patient(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(a.stopping, cancel)
	return ctx, func() { stop(); cancel() }
}

// Stop answers all requests that wait for an operation with what there is. It does not end any other.
func (a *API) Stop() { a.stop() }
