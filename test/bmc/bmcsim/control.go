package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/yunshu/yunshu/test/bmc/redfish"
)

const timeout = 30 * time.Second

// list shows the machines of a simulator that runs.
func list(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("yunshu-bmcsim ls", flag.ExitOnError)
	control := flags.String("control", "", "URL that the simulator printed as control")
	asJSON := flags.Bool("json", false, "all there is to know of the machines with Redfish")
	_ = flags.Parse(args) // it exits on an error
	raw, err := ask(ctx, *control, http.MethodGet, "/machines", nil)
	if err != nil {
		return err
	}
	if *asJSON {
		_, err := out.Write(raw)
		return err
	}
	var all []redfish.Seen
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	if raw, err = ask(ctx, *control, http.MethodGet, "/ipmi", nil); err != nil {
		return err
	}
	var others []seen
	if err := json.Unmarshal(raw, &others); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tBMC\tSERIAL\tUUID\tMODEL\tPOWER\tFAULTS")
	for _, m := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s %s\t%s\t%s\n", m.Name, m.URL, m.Serial, m.UUID, m.Vendor, m.Model, m.Power, wrong(m.Faults))
	}
	for _, m := range others {
		fmt.Fprintf(w, "%s\tipmi://%s\t%s\t%s\t%s %s\t%s\t\n", m.Name, m.Address, m.Serial, m.UUID, m.Vendor, m.Model, m.Power)
	}
	return w.Flush()
}

func wrong(faults []redfish.Fault) string {
	var out []string
	for _, f := range faults {
		out = append(out, f.Kind)
	}
	return strings.Join(out, ",")
}

// fault switches one on, or all off.
func fault(ctx context.Context, _ io.Writer, args []string) error {
	flags := flag.NewFlagSet("yunshu-bmcsim fault", flag.ExitOnError)
	control := flags.String("control", "", "URL that the simulator printed as control")
	machine := flags.String("machine", "", "its name, serial, UUID, address or number; all: every one")
	mend := flags.Bool("mend", false, "make it well again instead")
	var f redfish.Fault
	flags.StringVar(&f.Kind, "kind", "", "wrong-password, unavailable, hang, half-reply, reset, dead or refuse")
	flags.StringVar(&f.Method, "method", "", "only such calls")
	flags.StringVar(&f.Path, "path", "", "only calls of paths that fit; a * stands for anything")
	flags.StringVar(&f.Action, "action", "", "only such an action, such as ComputerSystem.Reset, or such a way of it, such as ForceOff")
	flags.IntVar(&f.Skip, "skip", 0, "let so many calls through first")
	flags.IntVar(&f.Times, "times", 0, "only so many calls")
	flags.DurationVar(&f.For, "for", 0, "only so long")
	flags.BoolVar(&f.After, "after", false, "the call takes effect, its answer is lost")
	_ = flags.Parse(args) // it exits on an error
	if *machine == "" {
		return errors.New("--machine must say which; all is every one")
	}
	path := "/machines/" + url.PathEscape(*machine) + "/faults"
	if *mend {
		_, err := ask(ctx, *control, http.MethodDelete, path, nil)
		return err
	}
	_, err := ask(ctx, *control, http.MethodPost, path, f)
	return err
}

// ask speaks to the control endpoint.
func ask(ctx context.Context, control, method, path string, body any) ([]byte, error) {
	if u, err := url.Parse(control); err != nil || u.Host == "" {
		return nil, errors.New("--control must look like http://127.0.0.1:8990")
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(control, "/")+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 != 2 {
		return nil, errors.New(strings.TrimSpace(string(answer)))
	}
	return answer, nil
}
