// Command yunshu is the command line of the Yunshu API: its nouns and its verbs.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

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
	var refused *refusal
	var noProvider *providerAway
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFailed):
		return exitFailed
	case errors.As(err, &problem), errors.As(err, &refused):
		return exitRefused
	case errors.As(err, &away), errors.As(err, &noProvider):
		return exitUnreachable
	}
	return exitUsage
}

// app is what the commands share.
type app struct {
	client      client.Client
	token       string // file
	credentials credentials
	format      string
	out         *os.File

	from  string    // where the token came from
	until time.Time // when the sign-in ends
}

func command(out *os.File) *cobra.Command {
	a := &app{out: out}
	root := &cobra.Command{
		Use: "yunshu", Short: "The command line of Yunshu, the API hub of a private cloud", SilenceErrors: true, SilenceUsage: true,
		Long: "The command line of Yunshu, the API hub of a private cloud.\n\nIt finds the gateway in YUNSHU_URL. Sign in with yunshu login, or give a token in YUNSHU_TOKEN.\n\n" +
			"Exit status: 0 done, 1 the operation failed or was cancelled, 2 wrong usage, 3 the gateway cannot be reached, 4 the gateway refused.",
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.HasSubCommands() && cmd.Annotations[asks] == "" || cmd.Name() == cobra.ShellCompRequestCmd {
				return nil // it only explains itself, or completes
			}
			return a.configure()
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.client.URL, "url", os.Getenv("YUNSHU_URL"), "of the gateway; default: YUNSHU_URL")
	flags.StringVar(&a.token, "token-file", "", "file with your token; default: YUNSHU_TOKEN, then that of yunshu login")
	flags.StringVar(&a.credentials.path, "credentials", "", "file with your sign-ins; default: yunshu/credentials.json in your configuration directory")
	flags.StringVarP(&a.format, "output", "o", "table", "table, json or yaml")
	for _, n := range nouns {
		root.AddCommand(a.nounCommand(n))
	}
	root.AddCommand(a.meCommand(), a.responsibleCommand(), a.leakCheckCommand(), a.ledgerCheckCommand(), a.auditCommand())
	root.AddCommand(a.loginCommand(), a.logoutCommand(), a.whoamiCommand())
	return root
}

// asks marks a command that asks the gateway although it has commands below it.
const asks = "asks the gateway"

func (a *app) configure() error {
	if err := a.configureGateway(); err != nil {
		return err
	}
	return a.authenticate()
}

// configureGateway is all that a command needs which works without a token.
func (a *app) configureGateway() error {
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
