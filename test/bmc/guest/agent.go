package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/yunshu/yunshu/test/bmc"
)

// orders are what the boot service wants of the machine.
type orders struct{ url, token, purpose string }

// errDisk says that the machine is to boot from its disk.
var errDisk = errors.New("boot from the disk")

// orders asks for them: over the network there is a script, and a medium only knows where to claim.
func (g *Guest) orders(ctx context.Context, b bmc.Boot) (orders, error) {
	if b.Device == bmc.CD {
		return orders{url: g.base()}, nil
	}
	var script string
	err := g.untilDone(ctx, func() (bool, error) {
		base := g.base()
		if base == "" {
			return false, errors.New("no boot service")
		}
		res, err := g.do(ctx, http.MethodGet, base+"/boot/ipxe/"+strings.ToLower(b.MAC), "", nil)
		if err != nil {
			return false, err
		}
		defer res.Body.Close()
		if res.StatusCode == http.StatusNotFound {
			return true, errDisk // so does the firmware when nobody serves it
		}
		if res.StatusCode != http.StatusOK {
			return false, fmt.Errorf("the boot script: %s", res.Status)
		}
		raw, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		script = string(raw)
		return err == nil, err
	})
	if err != nil {
		return orders{}, err
	}
	return parse(script)
}

func (g *Guest) base() string { return strings.TrimRight(g.options.Base(), "/") }

// parse reads an iPXE script: its kernel's command line, or an exit.
func parse(script string) (orders, error) {
	for line := range strings.Lines(script) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "exit":
			return orders{}, errDisk
		case "kernel":
			return parseKernel(words)
		}
	}
	return orders{}, errors.New("the boot script has neither a kernel nor an exit")
}

func parseKernel(words []string) (orders, error) {
	var o orders
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "yunshu.url":
			o.url = strings.TrimRight(value, "/")
		case "yunshu.token":
			o.token = value
		case "yunshu.purpose":
			o.purpose = value
		}
	}
	if o.url == "" {
		return o, errors.New("the boot script's kernel has no yunshu.url")
	}
	return o, nil
}

// claim asks for a token until the service knows the machine and has something for it.
func (g *Guest) claim(ctx context.Context, url string, b bmc.Boot) (orders, error) {
	o := orders{url: url}
	in := struct {
		UUID string   `json:"uuid"`
		MACs []string `json:"macs"`
	}{UUID: b.UUID, MACs: []string{}}
	for _, n := range g.options.Inventory().NICs {
		in.MACs = append(in.MACs, n.MAC)
	}
	return o, g.untilDone(ctx, func() (bool, error) {
		if o.url == "" {
			o.url = g.base()
			return false, errors.New("no boot service")
		}
		res, err := g.do(ctx, http.MethodPost, o.url+"/boot/claim", "", in)
		if err != nil {
			return false, err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return false, fmt.Errorf("the claim: %s", res.Status)
		}
		var answer struct{ Token, Purpose string }
		if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&answer); err != nil {
			return false, err
		}
		o.token, o.purpose = answer.Token, answer.Purpose
		return o.token != "", nil
	})
}

// wiped is a disk that was made empty.
type wiped struct {
	Name     string `json:"name"`
	Serial   string `json:"serial"`
	SizeGiB  int    `json:"size_gib"`
	Method   string `json:"method"`
	Verified bool   `json:"verified"`
}

type report struct {
	Purpose   string       `json:"purpose"`
	Inventory bmc.Hardware `json:"inventory"`
	Wiped     []wiped      `json:"wiped"`
}

// report tells, until the service has understood or does not want to hear it.
func (g *Guest) report(ctx context.Context, o orders) error {
	r := report{Purpose: o.purpose, Inventory: g.options.Inventory(), Wiped: []wiped{}}
	g.mu.Lock()
	lie := g.lie
	g.mu.Unlock()
	if lie != nil {
		r.Inventory = lie(r.Inventory)
	}
	if o.purpose == "wipe" {
		for _, d := range r.Inventory.Disks {
			r.Wiped = append(r.Wiped, wiped{Name: d.Name, Serial: d.Serial, SizeGiB: d.SizeGiB, Method: method(d), Verified: true})
		}
	}
	return g.untilDone(ctx, func() (bool, error) {
		res, err := g.do(ctx, http.MethodPost, o.url+"/boot/report", o.token, r)
		if err != nil {
			return false, err
		}
		defer res.Body.Close()
		if res.StatusCode/100 == 2 {
			return true, nil
		}
		err = fmt.Errorf("the boot service answered %s", res.Status)
		return res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden, err
	})
}

// method is how a disk is wiped: what can forget all at once does.
func method(d bmc.Drive) string {
	if d.Kind == "hdd" {
		return "zero"
	}
	return "discard"
}

func (g *Guest) do(ctx context.Context, method, url, token string, body any) (*http.Response, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return g.options.HTTP.Do(req)
}

// untilDone repeats an attempt with growing pauses: a machine that has just booted has nothing else to do.
func (g *Guest) untilDone(ctx context.Context, attempt func() (done bool, err error)) error {
	for pause := g.options.Pause; ; pause = min(2*pause, 5*time.Second) {
		done, err := attempt()
		if done {
			return err
		}
		if err != nil {
			g.options.Log.Debug("guest tries again", "error", err)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}
