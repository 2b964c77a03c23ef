package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// callback is the door on loopback through which the browser brings back the code (RFC 8252).
type callback struct {
	url     string
	state   string
	server  *http.Server
	answers chan answer
}

// answer is what the provider sent the browser back with.
type answer struct {
	code string
	err  error
}

const (
	pageGood = "Back to the command line: it says how the sign-in ended. You can close this page.\n"
	pageBad  = "This does not belong to the sign-in that the command line waits for.\n"
)

// receive opens the door on a free port, for the sign-in with this state.
func receive(state string) (*callback, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("The answer of the sign-in cannot be received on this machine; use yunshu login --device: %w", err)
	}
	c := &callback{url: "http://" + l.Addr().String() + "/callback", state: state, answers: make(chan answer, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /callback", c.serve)
	c.server = &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	go func() { _ = c.server.Serve(l) }() // it ends when it is closed
	return c, nil
}

// serve takes the first answer that knows the state. Others, which any page in the browser could send, change nothing.
func (c *callback) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Referrer-Policy", "no-referrer") // the address has the code
	q := r.URL.Query()
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(c.state)) != 1 {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, pageBad)
		return
	}
	got := answer{code: q.Get("code")}
	if got.code == "" {
		got.err = refuse("The sign-in was refused: %s %s", q.Get("error"), q.Get("error_description"))
	}
	select {
	case c.answers <- got:
	default: // somebody was first
	}
	fmt.Fprint(w, pageGood)
}

// code waits for the browser.
func (c *callback) code(ctx context.Context) (string, error) {
	select {
	case got := <-c.answers:
		return got.code, got.err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return "", refuse("Nobody signed in within %s. Try again; where no browser can reach this machine, use yunshu login --device.", signInPatience)
		}
		return "", errInterrupted
	}
}

// close lets the browser have its page, and shuts the door.
func (c *callback) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.server.Shutdown(ctx) // a browser that keeps its connection is cut off with the process
}
