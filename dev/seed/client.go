package seed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// client speaks JSON with the public API.
type client struct{ url, token string }

// problem is why the API refused.
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Errors []struct {
		Field   string `json:"field"`
		Message string `json:"message"`
	} `json:"errors"`
}

func (p *problem) Error() string {
	out := fmt.Sprintf("%d %s: %s", p.Status, p.Title, p.Detail)
	for _, e := range p.Errors {
		out += fmt.Sprintf("; %s: %s", e.Field, e.Message)
	}
	return out
}

// call sends in as the body and reads the answer into out; either may be nil.
func (c client) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 400 {
		p := &problem{Status: resp.StatusCode}
		if err := json.Unmarshal(raw, p); err != nil {
			p.Detail = string(raw)
		}
		return fmt.Errorf("%s %s: %w", method, path, p)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(raw, out)
}

// list reads every page.
func list[T any](ctx context.Context, c client, path string, filter url.Values) ([]T, error) {
	var all []T
	query := url.Values{"limit": {"200"}}
	for k, v := range filter {
		query[k] = v
	}
	for {
		var page struct {
			Items []T    `json:"items"`
			Next  string `json:"next_page_token"`
		}
		if err := c.call(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all, nil
		}
		query.Set("page_token", page.Next)
	}
}
