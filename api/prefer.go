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

// await returns when the operation has ended or blocked, or when the client does not prefer to wait any longer. What
// it then is must be read anew.
func (a *API) await(ctx context.Context, operation models.ID, p Preference) error {
	ctx, cancel := context.WithTimeout(ctx, p.wait())
	defer cancel()
	pause := 50 * time.Millisecond
	for {
		var state models.OperationState
		err := a.store.Pool.QueryRow(ctx, "SELECT state FROM operations WHERE id = $1", operation).Scan(&state)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("wait for operation %s: %w", operation, err)
		case state.Ended() || state == models.OperationBlocked:
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
			pause = min(pause*2, 500*time.Millisecond)
		}
	}
}
