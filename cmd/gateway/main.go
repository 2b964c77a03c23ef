// Command gateway is the only entrance of the private cloud, and the only process that knows its database: the public
// API, the outbox that starts workflows, and the worker that runs them. Each of the three can run alone.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/yunshu/yunshu/api"
	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/config"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/tracing"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "yunshu-gateway:", err)
		stop()
		os.Exit(1)
	}
}

// command is the whole command line.
func command() *cobra.Command {
	root := &cobra.Command{
		Use: "yunshu-gateway", Short: "The API gateway of Yunshu",
		Long: "The API gateway of Yunshu.\n\nIt is configured by the environment: YUNSHU_DATABASE_URL, YUNSHU_LISTEN, YUNSHU_TEMPORAL_ADDRESS,\n" +
			"YUNSHU_TEMPORAL_NAMESPACE, YUNSHU_TEMPORAL_UI_URL, YUNSHU_PAYLOAD_KEYS, YUNSHU_SECRET_KEYS, YUNSHU_TRUSTED_PROXIES, YUNSHU_LOG_LEVEL;\n" +
			"and for migrate YUNSHU_MIGRATION_DATABASE_URL, YUNSHU_AUDIT_RETENTION_MONTHS.",
		SilenceUsage: true, SilenceErrors: true, Version: version(),
	}
	root.AddCommand(serveCommand(), migrateCommand(), bootstrapCommand(), secretsCommand(), openapiCommand())
	return root
}

func serveCommand() *cobra.Command {
	p := parts{}
	c := &cobra.Command{
		Use: "serve", Short: "Serve until interrupted", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if p == (parts{}) {
				return errors.New("nothing to serve: at least one of --http, --outbox and --worker must be on")
			}
			g, err := config.ReadGateway()
			if err != nil {
				return err
			}
			slog.SetDefault(logger(os.Stderr, g.LogLevel))
			return serve(cmd.Context(), g, p)
		},
	}
	c.Flags().BoolVar(&p.http, "http", true, "serve the API")
	c.Flags().BoolVar(&p.outbox, "outbox", true, "start workflows from accepted operations")
	c.Flags().BoolVar(&p.worker, "worker", true, "run workflows")
	return c
}

func migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "migrate", Short: "Bring the database to the newest schema", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			owner, err := config.ReadOwner()
			if err != nil {
				return err
			}
			slog.SetDefault(logger(os.Stderr, slog.LevelInfo))
			return migrate(cmd.Context(), cmd.OutOrStdout(), owner)
		},
	}
}

// migrate brings the schema up to date, and then the rights on it: new tables need them too.
func migrate(ctx context.Context, out io.Writer, o config.Owner) error {
	dsn := o.DatabaseURL.Reveal()
	if err := awaitPostgres(ctx, dsn); err != nil {
		return err
	}
	to, err := store.Migrate(ctx, dsn)
	if err != nil {
		return err
	}
	separate, err := store.SetUp(ctx, dsn, store.Setup{Runtime: o.GatewayURL.Reveal(), RetainMonths: o.RetainMonths})
	if err != nil {
		return err
	}
	if !separate {
		slog.WarnContext(ctx, "the gateway's role owns the tables, so that only triggers keep the audit log from being changed; give the gateway a role of its own by YUNSHU_MIGRATION_DATABASE_URL")
	}
	_, err = fmt.Fprintf(out, "The database is at schema version %d.\n", to)
	return err
}

func bootstrapCommand() *cobra.Command {
	var name string
	var ttl time.Duration
	c := &cobra.Command{
		Use: "bootstrap", Short: "Print a fresh token for an admin of the platform", Args: cobra.NoArgs,
		Long: "Makes sure that there is a user of this name who is an admin of the platform, and prints a fresh token for them, and nothing else.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dsn, err := config.ReadDatabase()
			if err != nil {
				return err
			}
			if !models.ValidName(name) {
				return fmt.Errorf("--name must be a DNS label; it is %q", name)
			}
			if ttl <= 0 || ttl > 366*24*time.Hour {
				return fmt.Errorf("--ttl must be more than nothing and at most 8784h; it is %s", ttl)
			}
			s, err := openStore(cmd.Context(), dsn.Reveal())
			if err != nil {
				return err
			}
			defer s.Close()
			token, err := s.Bootstrap(cmd.Context(), name, ttl)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
			return err
		},
	}
	c.Flags().StringVar(&name, "name", "admin", "name of the user")
	c.Flags().DurationVar(&ttl, "ttl", 720*time.Hour, "how long the token lasts, at most 366 days")
	return c
}

func openapiCommand() *cobra.Command {
	return &cobra.Command{
		Use: "openapi", Short: "Print the contract of the API as YAML", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			contract, err := api.Contract()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(contract)
			return err
		},
	}
}

// openStore opens a database that has the schema of this program.
func openStore(ctx context.Context, dsn string) (*store.Store, error) {
	if err := awaitPostgres(ctx, dsn); err != nil {
		return nil, err
	}
	if err := store.CheckVersion(ctx, dsn); err != nil {
		return nil, err
	}
	return store.Open(ctx, dsn)
}

// logger writes text for people at a terminal, and JSON for everyone else.
func logger(to *os.File, level slog.Level) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if info, err := to.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return slog.New(tracing.Logs(slog.NewTextHandler(to, o)))
	}
	return slog.New(tracing.Logs(slog.NewJSONHandler(to, o)))
}

// version is the revision that the program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return info.Main.Version
}
