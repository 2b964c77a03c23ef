// Package client speaks with the Yunshu gateway: authentication, idempotent retries, problems as errors, and waiting
// for operations.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Client is a user of one gateway. The zero HTTP client is the default one.
type Client struct {
	URL   string // such as https://api.example
	Token string
	HTTP  *http.Client
}

// Problem is why the gateway refused a request.
type Problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Errors []struct {
		Field   string `json:"field"`
		Message string `json:"message"`
	} `json:"errors"`
	Shortages []struct {
		Resource string `json:"resource"`
		Where    string `json:"where"`
		Asked    int64  `json:"asked"`
		Free     int64  `json:"free"`
	} `json:"shortages"`
	Reasons []struct {
		Cause string `json:"cause"`
		Hosts int64  `json:"hosts"`
	} `json:"reasons"`
	OperationID string `json:"operation_id"`
	RequestID   string `json:"request_id"`
}

// Error tells the whole problem, a line for each thing that is wrong.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Title)
	if p.Detail != "" {
		b.Reset()
		b.WriteString(p.Detail)
	}
	for _, e := range p.Errors {
		fmt.Fprintf(&b, "\n  %s: %s", e.Field, e.Message)
	}
	for _, s := range p.Shortages {
		fmt.Fprintf(&b, "\n  %s of %s: %d asked, %d free", s.Resource, s.Where, s.Asked, s.Free)
	}
	for _, r := range p.Reasons {
		hosts := "hosts"
		if r.Hosts == 1 {
			hosts = "host"
		}
		fmt.Fprintf(&b, "\n  %d %s: %s", r.Hosts, hosts, r.Cause)
	}
	if p.RequestID != "" {
		fmt.Fprintf(&b, "\n  request %s", p.RequestID)
	}
	return b.String()
}

// Unreachable is a gateway that did not answer.
type Unreachable struct {
	URL string
	Err error
}

// Error says so.
func (u *Unreachable) Error() string {
	return fmt.Sprintf("The gateway at %s cannot be reached: %v", u.URL, u.Err)
}

// Unwrap returns the cause.
func (u *Unreachable) Unwrap() error { return u.Err }

// Call is one request.
type Call struct {
	Method, Path string
	Query        url.Values
	Header       http.Header
	Body         any // encoded as JSON; nil: none
}

// Answer is what the gateway answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

const tries = 5

// Do sends a request. Every POST carries an Idempotency-Key, so that it may be repeated when the answer got lost or the
// gateway is only starting: it is, a few times, with growing pauses.
func (c *Client) Do(ctx context.Context, call Call) (Answer, error) {
	var body []byte
	if call.Body != nil {
		var err error
		if body, err = json.Marshal(call.Body); err != nil {
			return Answer{}, fmt.Errorf("encode the request: %w", err)
		}
	}
	key := ""
	if call.Method == http.MethodPost {
		key = uuid.NewString()
	}
	pause := 200 * time.Millisecond
	for n := 1; ; n++ {
		answer, err := c.once(ctx, call, body, key)
		var away *Unreachable
		again := errors.As(err, &away) || answer.Status == http.StatusServiceUnavailable
		if !again || n == tries || (call.Method != http.MethodGet && key == "") || ctx.Err() != nil {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, err
		case <-time.After(pause):
			pause *= 2
		}
	}
}

func (c *Client) once(ctx context.Context, call Call, body []byte, key string) (Answer, error) {
	resp, err := c.request(ctx, call, body, key)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, &Unreachable{URL: c.URL, Err: err}
	}
	answer := Answer{Status: resp.StatusCode, Header: resp.Header, Body: raw}
	if resp.StatusCode < 400 {
		return answer, nil
	}
	return answer, c.problem(resp, raw)
}

// problem reads why the gateway refused.
func (c *Client) problem(resp *http.Response, raw []byte) *Problem {
	p := &Problem{Status: resp.StatusCode, Title: resp.Status}
	if err := json.Unmarshal(raw, p); err != nil {
		p.Detail = fmt.Sprintf("%s did not answer like a Yunshu gateway (%s).", c.URL, resp.Status)
	}
	return p
}

// request sends a call.
func (c *Client) request(ctx context.Context, call Call, body []byte, key string) (*http.Response, error) {
	target := strings.TrimRight(c.URL, "/") + call.Path
	if len(call.Query) > 0 {
		target += "?" + call.Query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, call.Method, target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	for k, v := range call.Header {
		req.Header[k] = v
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	h := c.HTTP
	if h == nil {
		h = http.DefaultClient
	}
	resp, err := h.Do(req)
	if err != nil {
		return nil, &Unreachable{URL: c.URL, Err: err}
	}
	return resp, nil
}

// Stream copies what the gateway answers to out while it comes. An answer that broke off is an error.
func (c *Client) Stream(ctx context.Context, path string, query url.Values, out io.Writer) error {
	resp, err := c.request(ctx, Call{Method: http.MethodGet, Path: path, Query: query}, nil, "")
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
	if _, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("The answer of %s broke off: %w", c.URL, err)
	}
	return nil
}

// Get reads one resource into out.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	answer, err := c.Do(ctx, Call{Method: http.MethodGet, Path: path, Query: query})
	if err != nil {
		return err
	}
	return json.Unmarshal(answer.Body, out)
}

// List reads every page of a list, at most limit items; 0: all.
func (c *Client) List(ctx context.Context, path string, query url.Values, limit int) ([]json.RawMessage, error) {
	var all []json.RawMessage
	q := url.Values{"limit": {"200"}}
	for k, v := range query {
		q[k] = v
	}
	for {
		if limit > 0 {
			q.Set("limit", strconv.Itoa(min(200, limit-len(all))))
		}
		var page struct {
			Items []json.RawMessage `json:"items"`
			Next  string            `json:"next_page_token"`
		}
		if err := c.Get(ctx, path, q, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == "" || limit > 0 && len(all) >= limit {
			return all, nil
		}
		q.Set("page_token", page.Next)
	}
}
