package config

import "time"

// BM says how a region's physical servers are reached. Their addresses and passwords come with each step, from the gateway.
type BM struct {
	Provider        string        `mapstructure:"provider"`         // bmclib or memory
	MaxConcurrent   int           `mapstructure:"max_concurrent"`   // BMCs that quick steps speak to at once, that long ones do, and that health rounds do
	OpenTimeout     time.Duration `mapstructure:"open_timeout"`     // how long a BMC may take to log us in; zero is 20s
	RoundTimeout    time.Duration `mapstructure:"round_timeout"`    // the same in a health round; zero is 5s. Raise it if BMCs are slow rather than dead
	LookTimeout     time.Duration `mapstructure:"look_timeout"`     // how long a look at one machine may take in a health round; zero is 5m
	CallTimeout     time.Duration `mapstructure:"call_timeout"`     // how long a BMC may take to answer a single call; zero is 20s
	PowerTimeout    time.Duration `mapstructure:"power_timeout"`    // how long power may take to change; zero is 2m
	ShutdownTimeout time.Duration `mapstructure:"shutdown_timeout"` // how long an operating system may take to shut down; zero is 90s
	Ipmitool        string        `mapstructure:"ipmitool"`         // path of the program that IPMI needs; empty looks for it
}

// ProviderBmclib speaks to real BMCs.
const ProviderBmclib = "bmclib"

// defaultBMCs is how many BMCs are spoken to at once. Each is waited for far longer than worked with.
const defaultBMCs = 64

// check reports what is wrong with the part.
func (bm BM) check(field string, wrong func(field, format string, args ...any)) {
	if bm.MaxConcurrent < 1 {
		wrong(field+".max_concurrent", "%d is not at least 1", bm.MaxConcurrent)
	}
	if bm.Provider != ProviderBmclib && bm.Provider != ProviderMemory {
		wrong(field+".provider", "%q is neither %s nor %s", bm.Provider, ProviderBmclib, ProviderMemory)
	}
	for _, t := range []struct {
		name  string
		value time.Duration
	}{
		{"open_timeout", bm.OpenTimeout}, {"round_timeout", bm.RoundTimeout}, {"look_timeout", bm.LookTimeout}, {"call_timeout", bm.CallTimeout},
		{"power_timeout", bm.PowerTimeout}, {"shutdown_timeout", bm.ShutdownTimeout},
	} {
		if t.value < 0 {
			wrong(field+"."+t.name, "%s is negative", t.value)
		}
	}
}
