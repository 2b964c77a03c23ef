package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/yunshu/yunshu/test/bmc"
	"github.com/yunshu/yunshu/test/bmc/guest"
	"github.com/yunshu/yunshu/test/bmc/redfish"
)

// settings are the flags of serve.
type settings struct {
	redfish.Options
	control string
	bootURL string
	boots   time.Duration // how long a machine takes
	ipmi    int
	ipmiAt  string
	ipmiDir string
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("yunshu-bmcsim", flag.ExitOnError)
	flags.IntVar(&s.Count, "count", 48, "machines with a Redfish BMC")
	flags.StringVar(&s.Listen, "listen", "127.20.0.1:8443", "address of the first BMC; the others follow it, or with port 0 have free ports")
	flags.StringVar(&s.Region, "region", "tw", "part of the machines' names; the first 48 are the hosts of the region's simulated vCenter")
	flags.StringVar(&s.Username, "username", "root", "who may log in")
	file := flags.String("password-file", "", "with what")
	flags.StringVar(&s.TLSDir, "tls-dir", "", "directory of the CA; made the first time")
	flags.StringVar(&s.StateFile, "state", "", "file that keeps what was done to the machines")
	flags.IntVar(&s.PoweredOn, "on", 0, "machines that are on at the very beginning")
	flags.DurationVar(&s.Latency, "latency", 0, "of every call")
	flags.DurationVar(&s.Transition, "transition", 2*time.Second, "how long power takes to come or go")
	flags.DurationVar(&s.Shutdown, "shutdown", 5*time.Second, "how long a machine takes to stop when it is asked to")
	flags.DurationVar(&s.Restart, "restart", 5*time.Second, "how long a BMC is away when it is reset")
	flags.DurationVar(&s.boots, "boot", 3*time.Second, "how long a machine takes to boot")
	flags.StringVar(&s.bootURL, "boot-url", "", "URL of the boot service; PUT /boot-url of the control endpoint sets it later")
	flags.IntVar(&s.ipmi, "ipmi", 0, "more machines, with an IPMI BMC only")
	flags.StringVar(&s.ipmiAt, "ipmi-listen", "127.21.0.1:9623", "address of the first IPMI BMC; the others follow it, or with port 0 have free ports")
	flags.StringVar(&s.ipmiDir, "ipmi-dir", "", "directory that keeps them")
	flags.StringVar(&s.control, "control", "127.0.0.1:0", "address of the control endpoint")
	_ = flags.Parse(args) // it exits on an error
	var err error
	s.Password, err = password(*file)
	return s, err
}

// password reads a secret from a file, without the line's end.
func password(file string) (string, error) {
	raw, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return "", fmt.Errorf("read the password file: %w", err)
	}
	secret := strings.TrimRight(string(raw), "\r\n")
	if secret == "" {
		return "", errors.New("the password file is empty")
	}
	return secret, nil
}

// serve runs the BMCs until it is told to stop.
func serve(ctx context.Context, out io.Writer, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	var base atomic.Pointer[string]
	base.Store(&s.bootURL)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	runs := func(name string, inventory func() bmc.Hardware) bmc.Guest {
		return guest.New(guest.Options{
			Base: func() string { return *base.Load() }, Inventory: inventory, BootDelay: s.boots, ShutdownDelay: s.Shutdown, Pause: time.Second, Log: log.With("machine", name),
		})
	}
	s.Guest = func(m *redfish.Machine) bmc.Guest { return runs(m.Name, m.Hardware) }
	f, err := redfish.Start(s.Options)
	if err != nil {
		return err
	}
	defer f.Stop()
	others, err := startIPMI(ctx, s, runs)
	defer others.stop()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", s.control)
	if err != nil {
		return fmt.Errorf("listen for the control endpoint: %w", err)
	}
	server := &http.Server{Handler: control(f, others, &base), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	defer server.Close()
	fmt.Fprintf(out, "ready url=%s first=%s control=http://%s\n", f.Machines[0].URL(), f.Machines[0].Name, l.Addr())
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// control adds to the fleet's endpoint what is this command's own.
func control(f *redfish.Fleet, others ipmiMachines, base *atomic.Pointer[string]) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/machines", f.Control())
	mux.Handle("/machines/", f.Control())
	mux.HandleFunc("GET /ipmi", others.show)
	mux.HandleFunc("PUT /boot-url", setBootURL(base))
	return mux
}

// setBootURL tells the machines where the boot service is; those that wait for it find it by themselves.
func setBootURL(base *atomic.Pointer[string]) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			URL string `json:"url"`
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if u, err := url.Parse(in.URL); in.URL != "" && (err != nil || u.Host == "") {
			http.Error(w, "The URL must look like http://127.0.0.1:8080.", http.StatusBadRequest)
			return
		}
		base.Store(&in.URL)
		w.WriteHeader(http.StatusNoContent)
	}
}
