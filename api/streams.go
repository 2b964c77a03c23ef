package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/yunshu/yunshu/models"
)

const (
	// eventStream is the type of server-sent events.
	eventStream = "text/event-stream"
	// mostStreams and streamsEach bound the streams of this gateway, and of one token.
	mostStreams, streamsEach = 200, 20
	// keepAlive is how often a stream that has nothing to say says so: proxies drop what is silent for long.
	keepAlive = 15 * time.Second
	// sendWithin is how long a reader may take to accept an event.
	sendWithin = 10 * time.Second
)

// streams counts the streams of events that are open.
type streams struct {
	renew time.Duration // how often a stream asks whether its reader may still read

	mu   sync.Mutex
	all  int
	each map[models.ID]int // by token
}

func newStreams() *streams { return &streams{renew: 10 * time.Second, each: map[models.ID]int{}} }

// enter opens a stream; leave closes it.
func (s *streams) enter(token models.ID) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.each[token] >= streamsEach:
		return nil, models.Faultf(models.CodeTooManyRequests, "Your token has %d streams of events open already. Close one, or watch several operations in one stream.", streamsEach)
	case s.all >= mostStreams:
		return nil, models.Faultf(models.CodeTooManyRequests, "This gateway has %d streams of events open, and opens no more. Try again shortly, or read with Prefer: wait=N.", mostStreams)
	}
	s.all++
	s.each[token]++
	return sync.OnceFunc(func() { s.close(token) }), nil
}

func (s *streams) close(token models.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.each[token]--; s.each[token] == 0 {
		delete(s.each, token)
	}
}

// open is how many streams there are.
func (s *streams) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// events writes server-sent events.
type events struct {
	w       io.Writer
	control *http.ResponseController
	said    time.Time // when something was written last
}

// send writes one event. Its data is one line of JSON.
func (e *events) send(name, id string, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode an event: %w", err)
	}
	if id != "" {
		name += "\nid: " + id
	}
	return e.write("event: %s\ndata: %s\n\n", name, raw)
}

// rest says that the stream is alive, if nothing was said for long.
func (e *events) rest() error {
	if time.Since(e.said) < keepAlive {
		return nil
	}
	return e.write(": nothing new\n\n")
}

func (e *events) write(format string, args ...any) error {
	e.said = time.Now()
	_ = e.control.SetWriteDeadline(e.said.Add(sendWithin)) // where there is no deadline, there is no slow connection either
	if _, err := fmt.Fprintf(e.w, format, args...); err != nil {
		return err
	}
	return e.control.Flush()
}

// stream answers with events until serve returns, the reader leaves, or the gateway stops. What ends it early is no
// event: the reader connects again, with Last-Event-ID.
func (a *API) stream(ctx context.Context, serve func(context.Context, *events) error) (*huma.StreamResponse, error) {
	leave, err := a.streams.enter(actor(ctx).TokenID)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, leave) // also where the body is never asked for
	return &huma.StreamResponse{Body: func(h huma.Context) {
		defer leave()
		ctx, done := a.patient(h.Context())
		defer done()
		h.SetHeader("Content-Type", eventStream)
		h.SetHeader("X-Accel-Buffering", "no")
		h.SetStatus(http.StatusOK)
		w, ok := h.BodyWriter().(http.ResponseWriter)
		if !ok {
			panic("the adapter's body writer is not a response writer")
		}
		out := &events{w: w, control: http.NewResponseController(w)}
		if err := out.write("retry: 1000\n\n"); err != nil {
			return
		}
		if err := serve(ctx, out); err != nil && ctx.Err() == nil {
			a.log.InfoContext(ctx, "stream of events ended", "request_id", scope(ctx).id, "error", err)
		}
		_ = out.control.SetWriteDeadline(time.Time{}) // the connection may serve other requests
	}}, nil
}

// renew reads again, now and then, who the reader of a stream is and what they may: it lasts longer than any answer.
func (a *API) renew(ctx context.Context, last *time.Time) error {
	if time.Since(*last) < a.streams.renew {
		return nil
	}
	*last = time.Now()
	who, err := a.store.Standing(ctx, actor(ctx))
	if err == nil {
		scope(ctx).actor = who
	}
	return err
}

// registerStream adds an endpoint that answers with events of one kind of data.
func registerStream[I, T any](h huma.API, e endpoint, event, about string, handler func(context.Context, *I) (*huma.StreamResponse, error)) {
	register(h, e, handler)
	data := h.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, event)
	item := h.OpenAPI().Paths[e.Path]
	item.Get.Responses["200"] = &huma.Response{
		Description: fmt.Sprintf("Server-sent events %q, %s.", event, about),
		Content:     map[string]*huma.MediaType{eventStream: {Schema: data}},
	}
}
