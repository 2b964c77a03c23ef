package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	activities "github.com/yunshu/yunshu/activities/gateway"
	"github.com/yunshu/yunshu/api"
	"github.com/yunshu/yunshu/api/accept"
	"github.com/yunshu/yunshu/api/authz"
	"github.com/yunshu/yunshu/api/outbox"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/config"
	"github.com/yunshu/yunshu/tracing"
	"github.com/yunshu/yunshu/vault"
	"github.com/yunshu/yunshu/workers"
)

// parts says which of the gateway's parts run in this process.
type parts struct{ http, outbox, worker bool }

// grace is how long requests under way may take after the signal to stop.
const grace = 20 * time.Second

// memoryLimit is where the garbage collector begins to work harder, unless GOMEMLIMIT says otherwise.
const memoryLimit = 104 << 20

// gatewayProcess is what the parts share.
type gatewayProcess struct {
	config   config.Gateway
	store    *store.Store
	temporal client.Client
	metrics  *prometheus.Registry
	steps    *activities.Metrics
	policies *authz.Authorizer
	log      *slog.Logger
}

// serve runs the parts until ctx ends or one of them fails.
func serve(ctx context.Context, c config.Gateway, p parts) error {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	stopTracing, err := tracing.Setup(ctx, "yunshu-gateway")
	if err != nil {
		return err
	}
	defer stopTracing(context.WithoutCancel(ctx)) //nolint:errcheck // spans that a collector did not take are lost
	log := slog.Default()
	s, err := openStore(ctx, c.DatabaseURL.Reveal())
	if err != nil {
		return err
	}
	defer s.Close()
	if s.Keys, err = keys(c); err != nil {
		return err
	}
	temporal, err := workers.Dial(ctx, workers.Options{Address: c.Temporal.Address, Namespace: c.Temporal.Namespace, Keys: c.PayloadKeys.Reveal(), Logger: log})
	if err != nil {
		return err
	}
	defer temporal.Close()
	g := &gatewayProcess{config: c, store: s, temporal: temporal, metrics: prometheus.NewRegistry(), log: log}
	g.steps = activities.NewMetrics(g.metrics)

	if g.policies, err = authz.New(); err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	wake := func() {} // another process has the outbox, and polls
	if p.outbox {
		o := outbox.New(s, temporal, log)
		wake = o.Wake
		all.Go(func() error { o.Run(ctx); return nil })
	}
	if p.worker {
		all.Go(func() error { return g.runWorker(ctx, wake) })
	}
	all.Go(func() error { g.forgetKeys(ctx); return nil })
	all.Go(func() error { g.sealAudit(ctx); return nil })
	all.Go(func() error { g.keepAudit(ctx); return nil })
	if p.http {
		all.Go(func() error { return g.serveHTTP(ctx, wake) })
	}
	err = all.Wait()
	log.Info("stopped")
	return err
}

// keys are those of the passwords of BMCs: in the database, and on the way to a region.
func keys(c config.Gateway) (k store.Keys, err error) {
	if k.Rest, err = vault.Parse(c.SecretKeys.Reveal()); err != nil {
		return k, fmt.Errorf("YUNSHU_SECRET_KEYS: %w", err)
	}
	if k.Way, err = vault.Parse(c.PayloadKeys.Reveal()); err != nil {
		return k, fmt.Errorf("YUNSHU_PAYLOAD_KEYS: %w", err)
	}
	return k, nil
}

// serveHTTP answers the API, and at the end lets the requests under way finish.
func (g *gatewayProcess) serveHTTP(ctx context.Context, wake func()) error {
	codec, err := workers.NewCodec(g.config.PayloadKeys.Reveal())
	if err != nil {
		return err
	}
	_, failures := workers.Converters(codec)
	signIn, err := signIn(g.config.SignIn)
	if err != nil {
		return err
	}
	accepting, stopAccepting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAccepting() // after the last request
	edge := api.New(api.Options{
		Store: g.store, Authz: g.policies, Temporal: g.temporal, TemporalUI: g.config.TemporalUIURL, Namespace: g.config.Temporal.Namespace, Failures: failures, Codec: codec, Logger: g.log, Metrics: g.metrics, Tracer: otel.GetTracerProvider(), Version: version(), TrustedProxies: g.config.TrustedProxies,
		Limits: api.RateLimits{PerToken: g.config.RequestsPerToken, PerTenant: g.config.RequestsPerTenant, Heavy: g.config.HeavyReads, PerMachine: g.config.RequestsPerMachine},
		SignIn: signIn, BootURL: g.config.BootURL,
		Accept: accept.New(accepting, accept.Options{Store: g.store, Authz: g.policies, Wake: wake}),
	})
	server := &http.Server{
		Handler: edge.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(edge.Stop)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", g.config.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", g.config.Listen, err)
	}
	g.log.Info("listening", "address", listener.Addr().String())
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	defer func() {
		if err := edge.Flush(bounded); err != nil {
			g.log.ErrorContext(bounded, "refusals not written to the audit log", "error", err)
		}
	}()
	if err := server.Shutdown(bounded); err != nil {
		return errors.Join(fmt.Errorf("requests were still under way after %s: %w", grace, err), server.Close())
	}
	return nil
}

// How long the answers to idempotency keys are kept, and how often the older ones are forgotten.
const (
	keyLife  = 7 * 24 * time.Hour
	keySweep = time.Hour
)

// forgetKeys keeps the table of idempotency keys from growing for ever. Several gateways may do it at once.
func (g *gatewayProcess) forgetKeys(ctx context.Context) {
	for {
		if err := g.store.ForgetKeys(ctx, keyLife); err != nil && ctx.Err() == nil {
			g.log.WarnContext(ctx, "old idempotency keys not forgotten", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(keySweep):
		}
	}
}

// awaitPostgres waits until the database answers, and says so meanwhile: it may start later than the gateway.
func awaitPostgres(ctx context.Context, dsn string) error {
	pause := 500 * time.Millisecond
	for {
		err := ping(ctx, dsn)
		if err == nil {
			return nil
		}
		if !store.Unavailable(err) {
			return fmt.Errorf("connect to Postgres: %w", err)
		}
		slog.WarnContext(ctx, "waiting for Postgres", "retry_in", pause.String(), "error", err)
		select {
		case <-ctx.Done():
			return errors.New("stopped while waiting for Postgres")
		case <-time.After(pause):
			pause = min(2*pause, 5*time.Second)
		}
	}
}

func ping(ctx context.Context, dsn string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.Ping(ctx)
}
