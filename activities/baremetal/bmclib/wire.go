package bmclib

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// wire is the connection with one BMC. It knows the BMC by its certificate: by the one that is pinned, and where none is, by
// the first that it shows, for as long as the wire is used. BMCs sign their own certificates, so nothing else would tell
// one from whoever stands in between.
//
// The libraries that speak through it keep no context of the single call. The wire does, and cuts what is under way when
// that context ends.
type wire struct {
	mu   sync.Mutex
	pin  string
	call context.Context // of the call under way
}

// mismatch is a certificate that is not the pinned one.
type mismatch struct{ pinned, shown string }

func (m *mismatch) Error() string {
	return fmt.Sprintf("the certificate has the fingerprint %s instead of %s", m.shown, m.pinned)
}

// newWire pins a fingerprint, in whatever spelling it was given.
func newWire(fingerprint string) *wire {
	return &wire{pin: strings.ToLower(strings.ReplaceAll(fingerprint, ":", ""))}
}

// begin makes calls from now on belong to ctx.
func (w *wire) begin(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.call = ctx
}

func (w *wire) current() context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.call
}

// fingerprint is that of the certificate that was shown.
func (w *wire) fingerprint() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pin
}

// verify accepts the pinned certificate alone, and pins the first.
func (w *wire) verify(s tls.ConnectionState) error {
	sum := sha256.Sum256(s.PeerCertificates[0].Raw)
	shown := hex.EncodeToString(sum[:])
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pin == "" {
		w.pin = shown
	}
	if subtle.ConstantTimeCompare([]byte(w.pin), []byte(shown)) != 1 {
		return &mismatch{pinned: w.pin, shown: shown}
	}
	return nil
}

// transport returns a transport of the form that bmclib wants. It makes a connection for each call, which is cut when the
// context of that call ends.
func (w *wire) transport() *http.Transport {
	t := w.keeping()
	t.DisableKeepAlives = true
	t.DialContext = func(_ context.Context, network, address string) (net.Conn, error) {
		ctx := w.current()
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() }) // it may be closed already
		return conn, nil
	}
	return t
}

// keeping returns a transport that keeps its connections.
func (w *wire) keeping() *http.Transport {
	return &http.Transport{
		DialContext: dialer.DialContext,
		// The chain is not verified, for there is none: VerifyConnection compares the certificate itself, at every
		// handshake.
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true, VerifyConnection: w.verify, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 15 * time.Second,
		IdleConnTimeout:     30 * time.Second,
	}
}

// client returns a client that follows a BMC to no other host, and never out of TLS: it would take the session's token along.
func client(transport http.RoundTripper) *http.Client {
	return &http.Client{Transport: transport, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if first := via[0].URL; req.URL.Scheme != first.Scheme || req.URL.Host != first.Host {
			return fmt.Errorf("it sent us on to %s://%s", req.URL.Scheme, req.URL.Host)
		}
		if len(via) >= mostRedirects {
			return fmt.Errorf("it sent us on %d times", len(via))
		}
		return nil
	}}
}

const mostRedirects = 3

var dialer = &net.Dialer{Timeout: 10 * time.Second}

// reader is a transport for our own reading. It keeps the connection from one call to the next, which gofish asks not to: a
// BMC's processor is small, and a handshake takes it longer than the call.
type reader struct {
	wire *wire
	next *http.Transport
}

// RoundTrip makes one call.
func (r reader) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(r.wire.current())
	req.Close = false
	return r.next.RoundTrip(req)
}

// CloseIdleConnections hangs up.
func (r reader) CloseIdleConnections() { r.next.CloseIdleConnections() }
