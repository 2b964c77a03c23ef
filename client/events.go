package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Event is one server-sent event.
type Event struct {
	Name string
	ID   string
	Data []byte
}

// longestEvent bounds the memory of one event.
const longestEvent = 4 << 20

// silence is how long a stream may say nothing: the gateway says at least that it is there, far more often.
const silence = time.Minute

// Events reads a stream of events until it ends, see fails, or the connection breaks. lastID is the id of the last
// event that was seen before; empty: none.
func (c *Client) Events(ctx context.Context, path string, query url.Values, lastID string, see func(Event) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	header := http.Header{"Accept": {"text/event-stream"}}
	if lastID != "" {
		header.Set("Last-Event-ID", lastID)
	}
	resp, err := c.request(ctx, Call{Method: http.MethodGet, Path: path, Query: query, Header: header}, nil, "")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			return &Unreachable{URL: c.URL, Err: err}
		}
		return c.problem(resp, raw)
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return errNoStream
	}
	watchdog := time.AfterFunc(silence, func() { cancel(fmt.Errorf("the gateway said nothing for %s", silence)) })
	defer watchdog.Stop()
	err = readEvents(resp.Body, func() { watchdog.Reset(silence) }, see)
	var broken *brokenStream
	if errors.As(err, &broken) {
		if cause := context.Cause(ctx); cause != nil {
			broken.err = cause
		}
		return &Unreachable{URL: c.URL, Err: broken.err}
	}
	return err
}

// errNoStream is a gateway that answers something else than events.
var errNoStream = errors.New("the gateway does not stream events")

// brokenStream is a connection that broke off, as opposed to a reader who had enough.
type brokenStream struct{ err error }

func (b *brokenStream) Error() string { return b.err.Error() }

func readEvents(from io.Reader, alive func(), see func(Event) error) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, longestEvent)
	var e Event
	for lines.Scan() {
		alive()
		line := lines.Text()
		if line == "" {
			if e.Data != nil {
				if err := see(e); err != nil {
					return err
				}
			}
			e = Event{}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			e.Name = value
		case "id":
			e.ID = value
		case "data":
			e.Data = append(e.Data, value...)
		}
	}
	if err := lines.Err(); err != nil {
		return &brokenStream{err}
	}
	return nil
}
