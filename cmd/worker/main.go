// Command worker carries out a region's part of the work: it takes activities from the region's task queues and asks
// the region's providers to do them. It keeps no data.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/yunshu/yunshu/config"
	"github.com/yunshu/yunshu/tracing"
	"github.com/yunshu/yunshu/workers/region"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "yunshu-worker:", err)
		stop()
		os.Exit(1)
	}
}

// command is the whole command line.
func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "yunshu-worker",
		Short:         "The regional worker of Yunshu",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	var file string
	var regions []string
	root.PersistentFlags().StringVar(&file, "config", "worker.yaml", "configuration file")
	root.PersistentFlags().StringSliceVar(&regions, "region", nil, "serve only this region of the configuration; may be repeated")
	read := func() (config.Worker, error) {
		c, err := config.ReadWorker(file)
		if err != nil {
			return config.Worker{}, err
		}
		return c.Only(regions...)
	}
	root.AddCommand(
		&cobra.Command{
			Use:   "run",
			Short: "Serve the regions' task queues until interrupted",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := read()
				if err != nil {
					return err
				}
				return run(cmd.Context(), c, slog.New(tracing.Logs(slog.NewJSONHandler(os.Stderr, nil))))
			},
		},
		&cobra.Command{
			Use:   "check",
			Short: "Tell whether Temporal and every provider can be reached",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := read()
				if err != nil {
					return err
				}
				return check(cmd.Context(), cmd.OutOrStdout(), c)
			},
		},
	)
	return root
}

// run serves until ctx ends.
func run(ctx context.Context, c config.Worker, logger *slog.Logger) error {
	stopTracing, err := tracing.Setup(ctx, "yunshu-worker")
	if err != nil {
		return err
	}
	defer stopTracing(context.WithoutCancel(ctx)) //nolint:errcheck // spans that a collector did not take are lost
	w, err := region.New(ctx, c, logger)
	if err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return w.Run(ctx) })
	if c.Listen != "" {
		listener, err := net.Listen("tcp", c.Listen)
		if err != nil {
			return fmt.Errorf("listen for metrics: %w", err)
		}
		logger.Info("listening", "address", listener.Addr().String())
		server := &http.Server{Handler: w.Handler(), ReadHeaderTimeout: 5 * time.Second}
		all.Go(func() error {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve metrics: %w", err)
			}
			return nil
		})
		all.Go(func() error {
			<-ctx.Done()
			return server.Close()
		})
	}
	return all.Wait()
}

// check prints a sentence for each thing that the worker needs, and fails if one is not there.
func check(ctx context.Context, out io.Writer, c config.Worker) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	w, err := region.New(ctx, c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	failed := 0
	for _, f := range w.Check(ctx) {
		mark := "ok  "
		if !f.OK {
			mark = "FAIL"
			failed++
		}
		if _, err := fmt.Fprintln(out, mark, f.Sentence); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of the things that this worker needs are not there", failed)
	}
	return nil
}
