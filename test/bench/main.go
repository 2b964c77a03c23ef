// Command bench measures what the platform promises and prints each figure next to its floor. It starts a PostgreSQL
// of its own with durable settings; for the figures with workflows it uses the Temporal at
// YUNSHU_TEST_TEMPORAL_ADDRESS.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/test/postgres"
	"github.com/yunshu/yunshu/vault"
)

// bench is what every measurement stands on.
type bench struct {
	server  *postgres.Server
	short   bool
	profile bool
	serial  int
}

func main() {
	short := flag.Bool("short", false, "smaller numbers, to see that it works")
	only := flag.String("only", "", "run only the measurements whose name contains this")
	profile := flag.Bool("profile", false, "also print where PostgreSQL spent its time (needs its pg_stat_statements)")
	cpu := flag.String("cpuprofile", "", "write where the Go side spent its time to this file")
	flag.Parse()
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the figures are what is printed
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if *cpu != "" {
		f, err := os.Create(*cpu)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		defer pprof.StopCPUProfile()
	}
	if err := run(ctx, *short, *profile, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, short, profile bool, only string) error {
	dir, err := os.MkdirTemp("", "yunshu-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	options := postgres.Options{Dir: dir + "/data", Durable: true}
	if profile {
		options.Set = []string{"shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track=all"}
	}
	server, err := postgres.Start(ctx, options)
	if err != nil {
		return err
	}
	defer server.Stop()
	b := &bench{server: server, short: short, profile: profile}
	for _, m := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"accept", b.accepts},
		{"fairness", b.fairness},
		{"placement", b.placement},
		{"addresses", b.addresses},
		{"list", b.lists},
		{"running", b.running},
		{"rules", b.rules},
		{"enrol", b.enrol},
		{"health", b.health},
	} {
		if !strings.Contains(m.name, only) {
			continue
		}
		if err := m.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Println()
	}
	return nil
}

// database makes a fresh one with the schema.
func (b *bench) database(ctx context.Context) (*store.Store, string, error) {
	b.serial++
	name := fmt.Sprintf("bench_%d", b.serial)
	if err := execute(ctx, b.server.DSN("postgres"), "CREATE DATABASE "+name); err != nil {
		return nil, "", err
	}
	dsn := b.server.DSN(name)
	if _, err := store.Migrate(ctx, dsn); err != nil {
		return nil, "", err
	}
	s, err := store.Open(ctx, dsn)
	if err != nil {
		return nil, "", err
	}
	keys, err := vault.Parse(benchKeys)
	s.Keys = store.Keys{Rest: keys, Way: keys}
	return s, dsn, err
}

// pick returns the first in a short run and the second otherwise.
func pick[T any](short bool, small, full T) T {
	if short {
		return small
	}
	return full
}

// verdict compares a ratio with its target.
func verdict(ok bool) string {
	if ok {
		return "met"
	}
	return "MISSED"
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }
