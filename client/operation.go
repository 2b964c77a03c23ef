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
	Waiting      string `json:"waiting"`
	Error        *struct {
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

// Watch calls see with the operation each time it changed, until it has ended. The gateway holds each question until
// there is something new, so watching is cheap; one that restarts meanwhile is asked again.
func (c *Client) Watch(ctx context.Context, id string, see func(Operation)) (Operation, error) {
	var op Operation
	etag := ""
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
