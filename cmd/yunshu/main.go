// Command yunshu is the command line of the Yunshu API: its nouns and its verbs.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/yunshu/yunshu/client"
)

// Exit statuses.
const (
	exitFailed      = 1 // the operation failed or was cancelled
	exitUsage       = 2
	exitUnreachable = 3
	exitRefused     = 4
)

// errFailed ends a command whose operation did not succeed; why is already on the screen.
var errFailed = errors.New("the operation did not succeed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run is main for tests.
func run(ctx context.Context, args []string, out, errs *os.File) int {
	root := command(out)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errFailed) {
		fmt.Fprintln(errs, err)
	}
	return status(err)
}

func status(err error) int {
	var problem *client.Problem
	var away *client.Unreachable
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFailed):
		return exitFailed
	case errors.As(err, &problem):
		return exitRefused
	case errors.As(err, &away):
		return exitUnreachable
	}
	return exitUsage
}

// app is what the commands share.
type app struct {
	client client.Client
	token  string // file
	format string
	out    *os.File
}

func command(out *os.File) *cobra.Command {
	a := &app{out: out}
	root := &cobra.Command{
		Use: "yunshu", Short: "The command line of Yunshu, the API hub of a private cloud", SilenceErrors: true, SilenceUsage: true,
		Long: "The command line of Yunshu, the API hub of a private cloud.\n\nIt finds the gateway and your token in YUNSHU_URL and YUNSHU_TOKEN.\n\n" +
			"Exit status: 0 done, 1 the operation failed or was cancelled, 2 wrong usage, 3 the gateway cannot be reached, 4 the gateway refused.",
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.HasSubCommands() || cmd.Name() == cobra.ShellCompRequestCmd {
				return nil // it only explains itself, or completes
			}
			return a.configure()
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.client.URL, "url", os.Getenv("YUNSHU_URL"), "of the gateway; default: YUNSHU_URL")
	flags.StringVar(&a.token, "token-file", "", "file with your token; default: YUNSHU_TOKEN")
	flags.StringVarP(&a.format, "output", "o", "table", "table, json or yaml")
	for _, n := range nouns {
		root.AddCommand(a.nounCommand(n))
	}
	root.AddCommand(a.meCommand(), a.responsibleCommand(), a.leakCheckCommand(), a.ledgerCheckCommand(), a.auditCommand())
	return root
}

func (a *app) configure() error {
	a.client.Token = os.Getenv("YUNSHU_TOKEN")
	if a.token != "" {
		raw, err := os.ReadFile(a.token)
		if err != nil {
			return fmt.Errorf("The token cannot be read: %w", err)
		}
		a.client.Token = string(trimLine(raw))
	}
	if a.format != "table" && a.format != "json" && a.format != "yaml" {
		return fmt.Errorf("The output format must be table, json or yaml; it is %q.", a.format)
	}
	if a.client.URL == "" {
		return errors.New("Where is the gateway? Set YUNSHU_URL, or source .dev/env.")
	}
	return nil
}

func trimLine(raw []byte) []byte {
	for len(raw) > 0 && (raw[len(raw)-1] == '\n' || raw[len(raw)-1] == '\r') {
		raw = raw[:len(raw)-1]
	}
	return raw
}
