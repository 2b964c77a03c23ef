package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/contrib/instrumentation/github.com/gin-gonic/gin/otelgin"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/tracing"
)

// maxBody is how large a request's body may be, and longBody where it is a list of thousands.
const (
	maxBody  = 1 << 20
	longBody = 8 << 20
)

// bodyLimit is how large the body of a request to a path may be.
func bodyLimit(path string) int64 {
	if path == "/v1/baremetal-imports" {
		return longBody
	}
	return maxBody
}

// passwordPaths are the paths whose bodies hold passwords.
var passwordPaths = map[string]bool{"/v1/baremetals": true, "/v1/baremetal-imports": true, "/v1/baremetals/:id/bmc": true}

var saneID = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

// identify gives the request an id, or takes over the client's.
func identify(c *gin.Context) {
	r := &request{id: c.GetHeader("X-Request-Id"), origin: originOf(c)}
	if !saneID.MatchString(r.id) {
		r.id = models.NewID().String()
	}
	c.Header("X-Request-Id", r.id)
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), requestKey{}, r))
	c.Next()
}

// traced makes the request part of a trace: the client's, if it says one.
func traced(by trace.TracerProvider) gin.HandlerFunc {
	return otelgin.Middleware("yunshu-gateway", otelgin.WithTracerProvider(by), otelgin.WithPropagators(propagation.TraceContext{}),
		otelgin.WithMeterProvider(noop.NewMeterProvider()), // there are metrics of our own
		otelgin.WithGinFilter(func(c *gin.Context) bool { return !unremarkable[c.FullPath()] }))
}

// noteTrace remembers where in its trace the request is, for the audit log and for the work that it begins.
func noteTrace(c *gin.Context) {
	ctx := c.Request.Context()
	scope(ctx).origin.Trace = tracing.Parent(ctx)
	c.Next()
}

// unremarkable are what watches the gateway itself, again and again.
var unremarkable = map[string]bool{"/healthz": true, "/readyz": true, "/metrics": true}

// recover answers a panic with a problem, and logs where it came from.
func (a *API) recover(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(v) // net/http's own way to give up on a client
		}
		if c.Writer.Written() && c.Request.Context().Err() != nil {
			return // the client left while it was answered
		}
		a.log.ErrorContext(c.Request.Context(), "request panicked", "request_id", scope(c).id, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		if c.Writer.Written() {
			c.Abort()
			return
		}
		refuse(c, models.Faultf(models.CodeInternal, "panic"))
	}()
	c.Next()
}

// logAccess writes one line for each request.
func (a *API) logAccess(c *gin.Context) {
	start := time.Now()
	c.Next()
	r := scope(c.Request.Context())
	level := slog.LevelInfo
	if unremarkable[c.FullPath()] {
		level = slog.LevelDebug
	}
	a.log.LogAttrs(c.Request.Context(), level, "request", slog.String("request_id", r.id), slog.String("method", c.Request.Method),
		slog.String("path", c.Request.URL.Path), slog.Int("status", c.Writer.Status()), slog.Int("bytes", max(0, c.Writer.Size())),
		slog.Float64("duration_ms", float64(time.Since(start).Microseconds())/1000), slog.String("actor", r.actor.Name))
}

// limitBody refuses bodies that are too large, announced or not.
func limitBody(c *gin.Context) {
	limit := bodyLimit(c.FullPath())
	if c.Request.ContentLength > limit {
		c.Header("Connection", "close") // rather than read the rest
		refuse(c, tooLarge(limit))
		return
	}
	if c.Request.Body != nil {
		c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, limit)
	}
	c.Next()
}

func tooLarge(limit int64) error {
	return models.Faultf(models.CodeBodyTooLarge, "The body is larger than %d MiB. Send less.", limit>>20)
}

// readBody reads a writing request's body, and makes the hash by which a repetition is recognised.
func (a *API) readBody(c *gin.Context) {
	// The server's deadline is for reading a request. Left on the connection it would end one that waits or streams.
	unhurried := func() { _ = http.NewResponseController(c.Writer).SetReadDeadline(time.Time{}) } // where there is none, none is in the way
	if c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead {
		unhurried()
		c.Next()
		return
	}
	body, err := io.ReadAll(c.Request.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		refuse(c, tooLarge(large.Limit))
		return
	case err != nil:
		refuse(c, models.Faultf(models.CodeMalformed, "The body could not be read to its end."))
		return
	}
	unhurried()
	c.Request.Body = io.NopCloser(bytes.NewReader(body))
	r := scope(c.Request.Context())
	if c.Request.Method == http.MethodPost {
		r.key = c.GetHeader("Idempotency-Key")
	}
	r.hash = a.hash(c, body)
	c.Set(bodyKey, body)
	c.Next()
}

// hash is what a request is recognised by. Where the body holds a password it takes a key to make one, so that nobody who
// sees the hash can try passwords until it fits.
func (a *API) hash(c *gin.Context, body []byte) []byte {
	said := append([]byte(c.Request.Method+" "+c.Request.URL.RequestURI()+"\n"), body...)
	if passwordPaths[c.FullPath()] {
		return a.store.Keys.Rest.MAC(said)
	}
	h := sha256.Sum256(said)
	return h[:]
}

const bodyKey = "body"

// checkText refuses what Postgres cannot keep: text that is not UTF-8, and NUL characters.
func checkText(c *gin.Context) {
	if !storable(c.Request.URL.Path) {
		refuse(c, models.Faultf(models.CodeNotFound, "There is no such path."))
		return
	}
	body, _ := c.Value(bodyKey).([]byte)
	if !utf8.Valid(body) {
		refuse(c, models.Faultf(models.CodeMalformed, "The body is not UTF-8."))
		return
	}
	if repeats(body) {
		refuse(c, models.Faultf(models.CodeMalformed, "An object in the body has the same name twice. Which of the two is meant cannot be known; send one."))
		return
	}
	fields := unstorableQuery(c.Request.URL.Query())
	if bytes.Contains(body, []byte(`\u0000`)) {
		var v any
		if json.Unmarshal(body, &v) == nil {
			fields = append(fields, unstorable(v)...)
		}
	}
	if len(fields) > 0 {
		f := models.Faultf(models.CodeInvalid, "The request is not valid. Correct what is listed under errors; nothing was changed.")
		f.Fields = fields
		refuse(c, f)
		return
	}
	c.Next()
}

// repeats reports whether an object in a body has a name twice. What validates the body believes the last one, but what
// reads it merges the two: something would be taken that nothing has looked at.
func repeats(body []byte) bool {
	type value struct {
		names map[string]bool // of an object that has begun; nil: a list
		named bool            // the value of the last name is next
	}
	around := []value{{}}
	for d := json.NewDecoder(bytes.NewReader(body)); ; {
		token, err := d.Token()
		if err != nil {
			return false // at its end, or not JSON, which is found out later
		}
		in := &around[len(around)-1]
		if name, ok := token.(string); ok && in.names != nil && !in.named {
			if in.names[name] {
				return true
			}
			in.names[name], in.named = true, true
			continue
		}
		in.named = false
		switch token {
		case json.Delim('{'):
			around = append(around, value{names: map[string]bool{}})
		case json.Delim('['):
			around = append(around, value{})
		case json.Delim('}'), json.Delim(']'):
			around = around[:len(around)-1]
		}
	}
}

func storable(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

const unstorableMessage = "must be UTF-8 without NUL characters"

func unstorableQuery(query map[string][]string) []models.FieldError {
	var out []models.FieldError
	for name, values := range query {
		if !storable(name) {
			out = append(out, models.FieldError{Field: "query", Message: unstorableMessage})
		} else if slices.ContainsFunc(values, func(v string) bool { return !storable(v) }) {
			out = append(out, models.FieldError{Field: "query." + name, Message: unstorableMessage})
		}
	}
	slices.SortFunc(out, func(a, b models.FieldError) int { return strings.Compare(a.Field, b.Field) })
	return out
}

// unstorable lists the strings in a decoded body that cannot be stored, up to mostUnstorable of them.
func unstorable(body any) []models.FieldError {
	s := search{at: []string{"body"}}
	s.in(body)
	slices.SortFunc(s.found, func(a, b models.FieldError) int { return strings.Compare(a.Field, b.Field) })
	return s.found
}

// mostUnstorable bounds the work and the answer: somebody who sends thousands deep within each other means no good.
const mostUnstorable = 100

// search goes through a decoded body. Where it is gets a name only where something is wrong: a body can be deep.
type search struct {
	at    []string
	found []models.FieldError
}

func (s *search) in(v any) {
	switch v := v.(type) {
	case string:
		s.judge(v)
	case []any:
		for i, item := range v {
			s.step("["+strconv.Itoa(i)+"]", item)
		}
	case map[string]any:
		for name, item := range v {
			if storable(name) {
				s.step("."+name, item)
			} else {
				s.judge(name)
			}
		}
	}
}

func (s *search) step(name string, v any) {
	s.at = append(s.at, name)
	s.in(v)
	s.at = s.at[:len(s.at)-1]
}

func (s *search) judge(text string) {
	if !storable(text) && len(s.found) < mostUnstorable {
		s.found = append(s.found, models.FieldError{Field: strings.Join(s.at, ""), Message: unstorableMessage})
	}
}

func noRoute(c *gin.Context) {
	refuse(c, models.Faultf(models.CodeNotFound, "There is no such path. See /docs for those there are."))
}

func noMethod(c *gin.Context) {
	refuse(c, models.Faultf(models.CodeMethodNotAllowed, "The path exists, but not with this method. See /docs."))
}
