package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"
)

// evil are texts that mean something to SQL, to HTTP, to formats, to shells, to terminals, or to a browser.
var evil = []string{
	`'; DROP TABLE tenants; --`, `' OR '1'='1`, `") OR true --`, `$1 ? @id :name %s %n`, `{a,"b"}`, `\'; SELECT pg_sleep(10); --`, `%27%00`, `%`, `_`, `\`, `\x00`, `"`,
	"a\r\nX-Evil: yes", "a\nSet-Cookie: evil=1", "\t\v\x7f\x1b[2J\x1b]0;evil\a", "a\u2028b\u2029\u0085", "\u202egnp.exe", "\u0000", "\ufeff\ufffd", "🦄", "İ",
	`<script>alert(1)</script>`, `{{7*7}} ${jndi:ldap://x} $(reboot) ` + "`reboot`", `../../etc/passwd`, `{"role":"admin"}`, `null`, `9223372036854775808`, strings.Repeat("ü", 20_000),
}

// lines is a log that can be written to and read at the same time.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends to the log.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// injector sends evil texts, and looks at what comes back.
type injector struct {
	*world
	log    lines
	calls  int
	serial int
	kept   map[string]bool // fields whose text was kept as it is
}

// TestTextIsOnlyText puts evil texts into every text of every body, every query parameter, every header and every part of
// a path: no answer is a failure of ours, none has a header of theirs, what is kept comes back as it was sent, each
// request is one line in the log, and every table is still there.
func TestTextIsOnlyText(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	in := &injector{world: e.world(), kept: map[string]bool{}}
	e.api.log = slog.New(slog.NewJSONHandler(&in.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	tables := slices.Sorted(maps.Keys(e.written()))
	for _, op := range endpoints(e.api) {
		for _, text := range evil {
			in.intoPath(op, text)
			in.intoQuery(op, text)
			in.intoHeaders(op, text)
			in.intoBody(op, text)
		}
	}
	require.Equal(t, tables, slices.Sorted(maps.Keys(e.written())))
	t.Logf("%d requests; kept as they were sent: %v", in.calls, slices.Sorted(maps.Keys(in.kept)))
	require.Subset(t, slices.Sorted(maps.Keys(in.kept)), []string{"create-tenant body.description", "update-tenant body.description", "create-user body.email"})
	in.requireOneLineEach()
}

// send sends a request of an admin, for whom no right stands between the text and the database.
func (in *injector) send(say string, op *huma.Operation, where string, body any, headers ...string) answer {
	t := in.t
	in.calls++
	token := in.admin
	if op.OperationID == "sign-out" {
		token = in.spare(token)
	}
	a := in.call(token, op.Method, where, body, append(headers, "X-Request-Id", fmt.Sprintf("evil-%d", in.calls))...)
	require.Less(t, a.Status, 500, "%s: %s", say, a.Body)
	require.Empty(t, a.Header.Get("X-Evil"), say)
	require.Empty(t, a.Header.Get("Set-Cookie"), say)
	for name, values := range a.Header {
		require.False(t, strings.ContainsAny(strings.Join(values, ""), "\r\n\x00\x1b"), "%s %s", say, name)
	}
	return a
}

func (in *injector) intoPath(op *huma.Operation, text string) {
	for i, part := range strings.Split(op.Path, "/") {
		if strings.HasPrefix(part, "{") {
			parts := strings.Split(in.fill(op), "/")
			parts[i] = escape(text)
			in.send(op.OperationID+" at "+text, op, strings.Join(parts, "/"), in.body(op), in.harmless(op)...)
		}
	}
}

// harmless is a version that nothing has, for what would be gone otherwise.
func (in *injector) harmless(op *huma.Operation) []string {
	if hasHeader(op, "If-Match") {
		return []string{"If-Match", `"999"`}
	}
	return nil
}

func (in *injector) intoQuery(op *huma.Operation, text string) {
	where := in.fill(op)
	for _, p := range parameters(op, "query") {
		if p.Schema.Type != huma.TypeString && !strings.ContainsAny(text, "'\x00\r") {
			continue // what is no number is no number
		}
		in.send(op.OperationID+"?"+p.Name+"="+text, op, where+asQuery([]string{p.Name, text}), in.body(op), in.harmless(op)...)
	}
	in.send(op.OperationID+"?"+text, op, where+"?"+escape(text)+"="+escape(text), in.body(op), in.harmless(op)...)
}

func (in *injector) intoHeaders(op *huma.Operation, text string) {
	where := in.fill(op)
	for _, p := range parameters(op, "header") {
		in.send(op.OperationID+" "+p.Name+": "+text, op, where+in.dry(op), in.body(op), append(in.harmless(op), p.Name, text)...)
	}
	if op.OperationID != "list-vms" {
		return // what follows is the same for all
	}
	for _, name := range []string{"Accept", "Accept-Language", "User-Agent", "X-Forwarded-For", "Cookie", "Origin", "Traceparent"} {
		in.send(op.OperationID+" "+name+": "+text, op, where, nil, name, text)
	}
}

func (in *injector) dry(op *huma.Operation) string {
	if takes(op, "dry_run") {
		return "?dry_run=true"
	}
	return ""
}

// intoBody writes the text into each field that takes text, and reads it again where it was taken.
func (in *injector) intoBody(op *huma.Operation, text string) {
	s := bodySchema(in.api, op)
	if s == nil {
		return
	}
	for _, f := range in.api.fields(s) {
		if !f.text() {
			continue
		}
		say := op.OperationID + " " + f.String() + ": " + text
		where := in.fill(op)
		a := in.send(say, op, where, f.in(in.another(op), text))
		if a.Status >= 300 || a.Status == http.StatusAccepted {
			continue
		}
		if l := a.Header.Get("Location"); l != "" {
			where = l
		}
		made := a
		if op.Method != http.MethodPost || a.Status == http.StatusCreated {
			made = in.call(in.admin, "GET", where, nil).is(200)
		}
		if got, kept := f.of(anything(in.t, made)).(string); kept && f.of(anything(in.t, a)) != nil {
			require.Equal(in.t, text, got, "%s: it does not come back as it was sent", say)
			in.kept[op.OperationID+" "+f.String()] = true
		}
	}
}

// another is a good body whose name is not taken yet.
func (in *injector) another(op *huma.Operation) any {
	in.serial++
	body := in.body(op)
	for _, f := range in.api.fields(bodySchema(in.api, op)) {
		switch f.String() {
		case "body.name":
			body = f.in(body, fmt.Sprintf("n-%d", in.serial))
		case "body.cidr":
			body = f.in(body, fmt.Sprintf("172.%d.%d.0/24", 16+in.serial/256%16, in.serial%256))
		}
	}
	return body
}

// requireOneLineEach reads the log: no text breaks out of its line, and none hides a request.
func (in *injector) requireOneLineEach() {
	t := in.t
	of := map[string]int{}
	for line := range strings.Lines(in.log.buf.String()) {
		var entry struct {
			Msg       string `json:"msg"`
			RequestID string `json:"request_id"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &entry), line)
		require.NotContains(t, line, "\x1b", "a terminal would obey")
		if entry.Msg == "request" && strings.HasPrefix(entry.RequestID, "evil-") {
			of[entry.RequestID]++
		}
	}
	require.Len(t, of, in.calls)
	for id, n := range of {
		require.Equal(t, 1, n, id)
	}
}
