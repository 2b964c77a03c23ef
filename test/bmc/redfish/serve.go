package redfish

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"hash/crc64"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// calls counts what clients asked of a BMC.
type calls struct {
	mu  sync.Mutex
	all map[string]int
}

func (c *calls) count(method, path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[string]int{}
	}
	c.all[method+" "+path]++
}

// Calls returns how often each method and path was called, such as "GET /redfish/v1".
func (m *Machine) Calls() map[string]int {
	m.calls.mu.Lock()
	defer m.calls.mu.Unlock()
	out := map[string]int{}
	for k, n := range m.calls.all {
		out[k] = n
	}
	return out
}

// Called returns how many calls there were of a method to paths that a pattern fits, in which a * stands for anything.
func (m *Machine) Called(method, pattern string) int {
	n := 0
	for k, times := range m.Calls() {
		if did, path, _ := strings.Cut(k, " "); did == method && glob(pattern, path) {
			n += times
		}
	}
	return n
}

// answer is what a BMC says to a call. It is whole before the first byte leaves, so that a fault can spoil it anywhere.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// doc is one Redfish document.
type doc map[string]any

func say(status int, d doc) answer {
	a := answer{status: status, header: http.Header{"Odata-Version": {"4.0"}, "Cache-Control": {"no-store"}}}
	if d == nil {
		return a
	}
	raw, err := json.Marshal(d)
	if err != nil {
		panic(err) // documents hold nothing that has no JSON
	}
	a.body = raw
	a.header.Set("Content-Type", "application/json; charset=utf-8")
	return a
}

func (p *problem) answer() answer {
	a := say(p.status, p.doc())
	if p.status == http.StatusUnauthorized {
		a.header.Set("WWW-Authenticate", `Basic realm="Redfish"`)
	}
	if p.status == http.StatusServiceUnavailable {
		a.header.Set("Retry-After", "1")
	}
	return a
}

var crc = crc64.MakeTable(crc64.ECMA)

// etag of a document changes with all that it says.
func etag(body []byte) string { return fmt.Sprintf(`"%016x"`, crc64.Checksum(body, crc)) }

// call is one request to a BMC.
type call struct {
	*http.Request
	m    *Machine
	path string // without a slash at the end
	raw  []byte
	role string
}

// serve answers a call to whichever BMC the connection was made to.
func (f *Fleet) serve(w http.ResponseWriter, r *http.Request) {
	m, ok := r.Context().Value(machineKey{}).(*Machine)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	c := &call{Request: r, m: m, path: strings.TrimSuffix(r.URL.Path, "/"), raw: raw}
	m.calls.count(r.Method, c.path)
	m.faults.fire(r)
	if !m.wait(r) || m.gone() {
		panic(http.ErrAbortHandler)
	}
	fault := m.faults.meet(r, raw)
	if fault == nil {
		m.handle(c).write(w, r)
		return
	}
	m.spoil(w, c, fault)
}

// gone says that a connection from before has nobody to talk to.
func (m *Machine) gone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.listener == nil || m.restarting
}

// wait lets the latency of the BMC pass; it returns false when the client does not wait so long.
func (m *Machine) wait(r *http.Request) bool {
	m.mu.Lock()
	d := m.latency
	m.mu.Unlock()
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func (a answer) write(w http.ResponseWriter, r *http.Request) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body) // the client may have gone
	}
}

// spoil makes a call fail as its fault says.
func (m *Machine) spoil(w http.ResponseWriter, c *call, f *Fault) {
	switch f.Kind {
	case WrongPassword:
		unauthorized().answer().write(w, c.Request)
	case Refuse:
		_, name, _ := strings.Cut(c.path, "/Actions/")
		refused(name).answer().write(w, c.Request)
	case Unavailable:
		if f.After {
			m.handle(c)
		}
		unavailable().answer().write(w, c.Request)
	case HalfReply:
		half(w, m.handle(c))
	case Hang:
		if f.After {
			m.handle(c)
		}
		select {
		case <-m.faults.mended():
		case <-c.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case ResetMidway:
		if f.After {
			m.handle(c)
		}
		cut(w)
	default: // Dead, on a connection that was there before
		panic(http.ErrAbortHandler)
	}
}

// half declares the whole answer, writes half of it, and ends.
func half(w http.ResponseWriter, a answer) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	a.header.Set("Content-Length", fmt.Sprint(max(len(a.body), 64)))
	_ = a.header.Write(&out) // a buffer takes it
	out.WriteString("\r\n")
	out.Write(a.body[:len(a.body)/2])
	_, _ = conn.Write(out.Bytes()) // the client may have gone
}

// cut resets the connection, so that the client has an error instead of an end.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if t, ok := conn.(*tls.Conn); ok {
		if mc, ok := t.NetConn().(machineConn); ok {
			conn = mc.Conn
		}
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the end is only a quieter one
	}
	_ = conn.Close() // it was open
}

// decode reads the body of a call.
func (c *call) decode() (map[string]any, *problem) {
	in := map[string]any{}
	if len(c.raw) == 0 {
		return in, nil
	}
	if json.Unmarshal(c.raw, &in) != nil {
		return nil, malformed()
	}
	return in, nil
}

// anonymous calls need no login: the root and what leads to one.
func (c *call) anonymous() bool {
	if c.Method == http.MethodPost {
		return c.path == sessionsPath || c.path == sessionsPath+"/Members"
	}
	return (c.Method == http.MethodGet || c.Method == http.MethodHead) && (c.path == root || c.path == "/redfish" || c.path == root+"/odata")
}

// handle authenticates a call and carries it out.
func (m *Machine) handle(c *call) answer {
	if !c.anonymous() {
		role, ok := m.authenticate(c.Request)
		if !ok {
			return unauthorized().answer()
		}
		c.role = role
	}
	switch c.Method {
	case http.MethodGet, http.MethodHead:
		return m.get(c)
	case http.MethodPatch:
		return m.patch(c)
	case http.MethodPost:
		return m.post(c)
	case http.MethodDelete:
		return m.remove(c)
	}
	return notAllowed(c.Method).answer()
}

func (m *Machine) get(c *call) answer {
	m.mu.Lock()
	d := m.document(c.path)
	m.mu.Unlock()
	if d == nil {
		return notFound(c.path).answer()
	}
	a := say(http.StatusOK, d)
	a.header.Set("ETag", etag(a.body))
	if c.Header.Get("If-None-Match") == etag(a.body) {
		return answer{status: http.StatusNotModified, header: a.header}
	}
	return a
}
