package boot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"time"

	"github.com/yunshu/yunshu/cmd/agent/inventory"
	"github.com/yunshu/yunshu/cmd/agent/wipe"
)

// Report is what a machine tells about itself.
type Report struct {
	Purpose   string              `json:"purpose"`
	Inventory inventory.Inventory `json:"inventory"`
	Wiped     []wipe.Result       `json:"wiped"`
	Error     string              `json:"error"`
}

// ErrToken says that the token was spent or has expired: asking again does not help.
var ErrToken = errors.New("The gateway does not accept this machine's token (any more), so nothing more is reported. Boot the machine again to get another one")

// Client speaks with the boot service. A machine that has just booted has nothing else to do, so it asks until it is
// answered.
type Client struct {
	URL     string
	HTTP    *http.Client
	Pause   time.Duration // after the first attempt that failed; each next one is twice as long
	Longest time.Duration
	Log     *log.Logger
}

// Claim asks what this machine is to do, until the gateway knows the machine and has something for it.
func (c *Client) Claim(ctx context.Context, uuid string, macs []string) (Orders, error) {
	o := Orders{URL: c.URL}
	err := c.untilDone(ctx, func() (bool, error) {
		res, err := c.post(ctx, "/boot/claim", "", map[string]any{"uuid": uuid, "macs": macs})
		if err != nil {
			return false, err
		}
		defer res.Body.Close()
		switch res.StatusCode {
		case http.StatusOK:
			var answer struct{ Token, Purpose string }
			if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&answer); err != nil {
				return false, fmt.Errorf("The gateway's answer is not JSON: %w", err)
			}
			if answer.Token == "" {
				return false, errors.New("The gateway answered without a token.")
			}
			o.Token, o.Purpose = answer.Token, answer.Purpose
			return true, nil
		case http.StatusNotFound:
			return false, fmt.Errorf("The gateway has nothing for the machine %s.", uuid)
		}
		return false, fmt.Errorf("The gateway answered %s.", res.Status)
	})
	return o, err
}

// Report tells the gateway, until it has understood or does not want to hear it.
func (c *Client) Report(ctx context.Context, token string, r Report) error {
	return c.untilDone(ctx, func() (bool, error) {
		res, err := c.post(ctx, "/boot/report", token, r)
		if err != nil {
			return false, err
		}
		defer res.Body.Close()
		switch res.StatusCode {
		case http.StatusNoContent:
			return true, nil
		case http.StatusUnauthorized:
			return true, ErrToken
		}
		return false, fmt.Errorf("The gateway answered %s.", res.Status)
	})
}

func (c *Client) post(ctx context.Context, path, token string, body any) (*http.Response, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+path, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.HTTP.Do(req)
	if e, ok := errors.AsType[*url.Error](err); ok {
		return nil, fmt.Errorf("The gateway at %s cannot be reached: %w.", c.URL, e.Err)
	}
	return res, err
}

// untilDone repeats an attempt with growing pauses. What an attempt that is not done returns is only logged.
func (c *Client) untilDone(ctx context.Context, attempt func() (done bool, err error)) error {
	for pause := c.Pause; ; pause = min(2*pause, c.Longest) {
		done, err := attempt()
		if done {
			return err
		}
		c.Log.Printf("%v Trying again in %s.", err, pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
