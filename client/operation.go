package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// Operation is an accepted intent and how it goes.
type Operation struct {
	ID           string `json:"id"`
	Kind         string `json:"kind"`
	State        string `json:"state"`
	ResourceKind string `json:"resource_kind"`
	ResourceID   string `json:"resource_id"`
	ResourceName string `json:"resource_name"`
	Steps        []Step `json:"steps"`
	Tenant       string `json:"tenant"`
	Waiting      string `json:"waiting"`
	Attempt      *struct {
		Activity string     `json:"activity"`
		Number   int        `json:"number"`
		Failure  string     `json:"failure"`
		NextAt   *time.Time `json:"next_at"`
	} `json:"attempt"`
	Error *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Step    string `json:"step"`
	} `json:"error"`
	Result   json.RawMessage `json:"result"`
	Temporal struct {
		URL string `json:"url"`
	} `json:"temporal"`
	Version int64 `json:"version"`
}

// Step is one line of an operation's story.
type Step struct {
	Number  int        `json:"number"`
	Name    string     `json:"name"`
	State   string     `json:"state"`
	Message string     `json:"message"`
	Started *time.Time `json:"started_at"`
	Ended   *time.Time `json:"ended_at"`
}

// Ended reports whether nothing more will happen.
func (o Operation) Ended() bool {
	return o.State == "succeeded" || o.State == "failed" || o.State == "cancelled"
}

// Watch calls see with the operation each time it changed, until it has ended. It reads the gateway's stream of events,
// connects again when that breaks off, and asks again and again where no more streams are to be had.
func (c *Client) Watch(ctx context.Context, id string, see func(Operation)) (Operation, error) {
	path := "/v1/operations/" + id + "/events"
	var op Operation
	last := ""
	for {
		err := c.Events(ctx, path, nil, last, func(e Event) error {
			op = Operation{}
			if err := json.Unmarshal(e.Data, &op); err != nil {
				return err
			}
			last = e.ID
			see(op)
			return nil
		})
		var away *Unreachable
		var refused *Problem
		switch {
		case ctx.Err() != nil:
			return op, ctx.Err()
		case op.Ended():
			return op, nil
		case errors.Is(err, errNoStream), errors.As(err, &refused) && refused.Status == http.StatusTooManyRequests:
			return c.poll(ctx, id, last, see)
		case err == nil, errors.As(err, &away), refused != nil && refused.Status == http.StatusServiceUnavailable:
			if err := rest(ctx, time.Second); err != nil {
				return op, err
			}
		default:
			return op, err
		}
	}
}

func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// poll watches by asking. The gateway holds each question until there is something new, so that is cheap, too; one that
// restarts meanwhile is asked again.
func (c *Client) poll(ctx context.Context, id, etag string, see func(Operation)) (Operation, error) {
	var op Operation
	for {
		header := http.Header{"Prefer": {"wait=20"}}
		if etag != "" {
			header.Set("If-None-Match", etag)
		}
		answer, err := c.Do(ctx, Call{Method: http.MethodGet, Path: "/v1/operations/" + id, Header: header})
		var away *Unreachable
		if errors.As(err, &away) && ctx.Err() == nil {
			continue // Do has paused already
		}
		if err != nil {
			return op, err
		}
		if answer.Status == http.StatusNotModified {
			continue
		}
		op = Operation{}
		if err := json.Unmarshal(answer.Body, &op); err != nil {
			return op, err
		}
		etag = answer.Header.Get("Etag")
		see(op)
		if op.Ended() {
			return op, nil
		}
	}
}
