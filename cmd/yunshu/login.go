package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/yunshu/yunshu/client"
)

// Where a token came from, as whoami says.
const (
	fromFile        = "--token-file"
	fromEnvironment = "YUNSHU_TOKEN"
	fromLogin       = "yunshu login"
)

// refusal is a sign-in that somebody said no to, or that cannot be trusted.
type refusal struct{ text string }

// Error says so.
func (r *refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

func (a *app) loginCommand() *cobra.Command {
	device, noBrowser := false, false
	c := &cobra.Command{Use: "login", Short: "Sign in as yourself, with a browser", Args: cobra.NoArgs,
		Long: "Sign in as yourself, at the provider that the gateway trusts.\n\nYour browser opens, here or, with --device, anywhere. The token that you get is kept for this gateway in a file that\n" +
			"only you can read, and used when neither --token-file nor YUNSHU_TOKEN is given.",
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.configureGateway() },
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			p, err := a.provider(ctx)
			if err != nil {
				return err
			}
			p.tell = cmd.ErrOrStderr()
			var token idToken
			if device {
				token, err = p.throughDevice(ctx)
			} else {
				token, err = p.throughBrowser(ctx, !noBrowser)
			}
			if err != nil {
				return err
			}
			return a.keep(cmd, token)
		},
	}
	c.Flags().BoolVar(&device, "device", false, "show a code to enter in a browser on any machine")
	c.Flags().BoolVar(&noBrowser, "no-browser", false, "only print the address, open nothing")
	return c
}

// keep turns an ID token into one of the gateway's, and keeps that.
func (a *app) keep(cmd *cobra.Command, token idToken) error {
	a.client.Token = "" // nobody is signed in yet
	answer, err := a.client.Do(cmd.Context(), client.Call{Method: http.MethodPost, Path: "/v1/sign-in", Body: token})
	if err != nil {
		return err
	}
	var one signIn
	if err := json.Unmarshal(answer.Body, &one); err != nil {
		return fmt.Errorf("The gateway's answer cannot be read: %w", err)
	}
	if one.Token == "" {
		return refuse("The gateway at %s accepted the sign-in and gave no token.", a.client.URL)
	}
	before, found, err := a.credentials.of(a.client.URL)
	if err != nil {
		return err
	}
	if err := a.credentials.put(a.client.URL, one); err != nil {
		return err
	}
	if found {
		// Nobody has it any more. Where this fails, it ends by itself.
		_ = a.signOut(cmd.Context(), before.Token)
	}
	if os.Getenv("YUNSHU_TOKEN") != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "YUNSHU_TOKEN is set and goes before this sign-in. To use the sign-in: unset YUNSHU_TOKEN")
	}
	if a.format != "table" {
		raw, err := json.Marshal(map[string]any{"gateway": address(a.client.URL), "user": one.User, "user_id": one.UserID, "expires_at": one.ExpiresAt})
		if err != nil {
			return err
		}
		return a.encode(raw)
	}
	fmt.Fprintf(a.out, "You are signed in to %s as %s, until %s.\n", address(a.client.URL), one.User, moment(one.ExpiresAt))
	return nil
}

func moment(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }

func (a *app) logoutCommand() *cobra.Command {
	return &cobra.Command{Use: "logout", Short: "End your sign-in: its token is worth nothing any more", Args: cobra.NoArgs,
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.configureGateway() },
		RunE: func(cmd *cobra.Command, _ []string) error {
			one, found, err := a.credentials.of(a.client.URL)
			if err != nil {
				return err
			}
			if !found {
				fmt.Fprintf(a.out, "You are not signed in to %s.\n", address(a.client.URL))
				return nil
			}
			if err := a.signOut(cmd.Context(), one.Token); err != nil {
				return fmt.Errorf("Your token could not be revoked, so it is kept: %w", err)
			}
			if err := a.credentials.forget(a.client.URL); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "You are signed out of %s.\n", address(a.client.URL))
			return nil
		},
	}
}

// signOut revokes a token. One that is worth nothing already is no error.
func (a *app) signOut(ctx context.Context, token string) error {
	a.client.Token = token
	_, err := a.client.Do(ctx, client.Call{Method: http.MethodPost, Path: "/v1/sign-out"})
	var problem *client.Problem
	if errors.As(err, &problem) && problem.Status == http.StatusUnauthorized {
		return nil
	}
	return err
}

// whoamiCommand says who one is, and by which token.
func (a *app) whoamiCommand() *cobra.Command {
	return &cobra.Command{Use: "whoami", Short: "Who you are here, and which token says so", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		var me struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		}
		if err := a.client.Get(cmd.Context(), "/v1/me", nil, &me); err != nil {
			return err
		}
		out := map[string]any{"id": me.ID, "name": me.Name, "gateway": address(a.client.URL), "token_from": a.from}
		if a.from == fromLogin {
			out["expires_at"] = a.until
		}
		raw, err := json.Marshal(out)
		if err != nil {
			return err
		}
		return a.show(raw)
	}}
}

// authenticate finds the token: the one that was given for this command, or that of the sign-in.
func (a *app) authenticate() error {
	if a.token != "" {
		raw, err := os.ReadFile(a.token)
		if err != nil {
			return fmt.Errorf("The token cannot be read: %w", err)
		}
		a.client.Token, a.from = string(trimLine(raw)), fromFile
		return nil
	}
	if token := os.Getenv("YUNSHU_TOKEN"); token != "" {
		a.client.Token, a.from = token, fromEnvironment
		return nil
	}
	one, found, err := a.credentials.of(a.client.URL)
	switch {
	case err != nil:
		return err
	case !found:
		return refuse("You are not signed in to %s. Sign in with: yunshu login. Or give a token in YUNSHU_TOKEN or with --token-file.", address(a.client.URL))
	case !time.Now().Before(one.ExpiresAt):
		return refuse("Your sign-in to %s as %s ended on %s. Sign in again with: yunshu login", address(a.client.URL), one.User, moment(one.ExpiresAt))
	}
	a.client.Token, a.from, a.until = one.Token, fromLogin, one.ExpiresAt
	return nil
}
