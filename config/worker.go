// Package config reads what the processes are told: a YAML file, then the environment.
package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/viper"

	"github.com/yunshu/yunshu/models"
)

// Worker is what a regional worker is told. It has no database, and never will.
type Worker struct {
	Temporal    Temporal          `mapstructure:"temporal"`
	Listen      string            `mapstructure:"listen"` // address of /metrics, /healthz and /readyz; empty is none
	PayloadKeys Secret            `mapstructure:"-"`      // from YUNSHU_PAYLOAD_KEYS alone
	Regions     map[string]Region `mapstructure:"regions"`
}

// Temporal says where the Temporal frontend is.
type Temporal struct {
	Address   string `mapstructure:"address"`
	Namespace string `mapstructure:"namespace"`
}

// Region is what a worker is told of one region. A part that is not there is not served.
type Region struct {
	VM *VM `mapstructure:"vm"`
	BM *BM `mapstructure:"bm"`
}

// VM says which provider makes a region's virtual machines.
type VM struct {
	Provider      string  `mapstructure:"provider"` // vsphere or memory
	VSphere       VSphere `mapstructure:"vsphere"`
	MaxConcurrent int     `mapstructure:"max_concurrent"` // changes that the provider is asked for at once
}

// VSphere says how to reach a vCenter. The password is read from its file at every login, so that it can be rotated.
type VSphere struct {
	URL             string        `mapstructure:"url"`
	Username        string        `mapstructure:"username"`
	PasswordFile    string        `mapstructure:"password_file"`
	CAFile          string        `mapstructure:"ca_file"`          // empty trusts the system's roots
	Folder          string        `mapstructure:"folder"`           // of our machines in each datacenter
	GuestTimeout    time.Duration `mapstructure:"guest_timeout"`    // how long a guest may take to report its address
	ShutdownTimeout time.Duration `mapstructure:"shutdown_timeout"` // how long a guest may take to shut down
}

// Providers of virtual machines. Of physical servers there is one in memory too.
const (
	ProviderVSphere = "vsphere"
	ProviderMemory  = "memory"
)

// Defaults of a worker.
const (
	defaultTemporalAddress = "127.0.0.1:7233"
	defaultNamespace       = "default"
	defaultMaxConcurrent   = 32
)

// ReadWorker reads the file and the environment and reports everything that is wrong with them at once.
func ReadWorker(file string) (Worker, error) {
	v := viper.New()
	v.SetConfigFile(file)
	v.SetConfigType("yaml")
	v.SetDefault("temporal.address", defaultTemporalAddress)
	v.SetDefault("temporal.namespace", defaultNamespace)
	if err := errors.Join(
		v.BindEnv("temporal.address", "YUNSHU_TEMPORAL_ADDRESS"),
		v.BindEnv("temporal.namespace", "YUNSHU_TEMPORAL_NAMESPACE"),
		v.BindEnv("listen", "YUNSHU_LISTEN"),
	); err != nil {
		return Worker{}, err
	}
	if err := v.ReadInConfig(); err != nil {
		return Worker{}, fmt.Errorf("read the configuration %s: %w", file, err)
	}
	var w Worker
	if err := v.UnmarshalExact(&w); err != nil {
		return Worker{}, fmt.Errorf("read the configuration %s: %w", file, err)
	}
	w.PayloadKeys = Secret(os.Getenv("YUNSHU_PAYLOAD_KEYS"))
	for name, r := range w.Regions {
		if r.VM != nil && r.VM.MaxConcurrent == 0 {
			r.VM.MaxConcurrent = defaultMaxConcurrent
		}
		if r.BM != nil && r.BM.MaxConcurrent == 0 {
			r.BM.MaxConcurrent = defaultBMCs
		}
		w.Regions[name] = r
	}
	if err := w.check(); err != nil {
		return Worker{}, fmt.Errorf("the configuration %s is not usable:\n%w", file, err)
	}
	return w, nil
}

// Only keeps the regions that are named; none keeps all.
func (w Worker) Only(names ...string) (Worker, error) {
	if len(names) == 0 {
		return w, nil
	}
	kept := map[string]Region{}
	for _, name := range names {
		r, known := w.Regions[name]
		if !known {
			return Worker{}, fmt.Errorf("the configuration has no region %q; it has %s", name, strings.Join(slices.Sorted(maps.Keys(w.Regions)), ", "))
		}
		kept[name] = r
	}
	w.Regions = kept
	return w, nil
}

// check lists everything that is wrong.
func (w Worker) check() error {
	var errs []error
	wrong := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: "+format, append([]any{field}, args...)...))
	}
	if _, _, err := net.SplitHostPort(w.Temporal.Address); err != nil {
		wrong("temporal.address", "%q is not host:port", w.Temporal.Address)
	}
	if w.Temporal.Namespace == "" {
		wrong("temporal.namespace", "is missing")
	}
	if w.Listen != "" {
		if _, _, err := net.SplitHostPort(w.Listen); err != nil {
			wrong("listen", "%q is not host:port", w.Listen)
		}
	}
	if w.PayloadKeys == "" {
		wrong("YUNSHU_PAYLOAD_KEYS", "is missing in the environment; it must be the same as the gateway's")
	}
	if len(w.Regions) == 0 {
		wrong("regions", "there is none, so this worker would have nothing to do")
	}
	for _, name := range slices.Sorted(maps.Keys(w.Regions)) {
		field := "regions." + name
		if !models.ValidName(name) {
			wrong(field, "a region's name is a DNS label")
		}
		r := w.Regions[name]
		if r.VM == nil && r.BM == nil {
			wrong(field, "has neither a vm nor a bm part, so this worker would have nothing to do there")
		}
		if r.VM != nil {
			r.VM.check(field+".vm", wrong)
		}
		if r.BM != nil {
			r.BM.check(field+".bm", wrong)
		}
	}
	return errors.Join(errs...)
}

// check reports what is wrong with the part.
func (vm VM) check(field string, wrong func(field, format string, args ...any)) {
	if vm.MaxConcurrent < 1 {
		wrong(field+".max_concurrent", "%d is not at least 1", vm.MaxConcurrent)
	}
	switch vm.Provider {
	case ProviderMemory:
	case ProviderVSphere:
		vm.VSphere.check(field+".vsphere", wrong)
	default:
		wrong(field+".provider", "%q is neither %s nor %s", vm.Provider, ProviderVSphere, ProviderMemory)
	}
}

// check reports what is wrong with the part.
func (v VSphere) check(field string, wrong func(field, format string, args ...any)) {
	u, err := url.Parse(v.URL)
	switch {
	case v.URL == "":
		wrong(field+".url", "is missing")
	case err != nil || u.Scheme != "https" || u.Host == "":
		wrong(field+".url", "is not an https:// address")
	case u.User != nil:
		wrong(field+".url", "must not hold credentials; use username and password_file")
	}
	if v.Username == "" {
		wrong(field+".username", "is missing")
	}
	if v.PasswordFile == "" {
		wrong(field+".password_file", "is missing")
	} else if _, err := os.Stat(v.PasswordFile); err != nil {
		wrong(field+".password_file", "%v", err)
	}
	if v.CAFile != "" {
		if _, err := os.Stat(v.CAFile); err != nil {
			wrong(field+".ca_file", "%v", err)
		}
	}
	if v.GuestTimeout < 0 {
		wrong(field+".guest_timeout", "%s is negative", v.GuestTimeout)
	}
	if v.ShutdownTimeout < 0 {
		wrong(field+".shutdown_timeout", "%s is negative", v.ShutdownTimeout)
	}
}
