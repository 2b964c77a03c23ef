package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/config"
	"github.com/yunshu/yunshu/vault"
)

func secretsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "secrets", Short: "Look after the passwords of BMCs in the database",
		Long: "Look after the passwords of BMCs in the database.\n\nThey are sealed with YUNSHU_SECRET_KEYS. To replace a key, put the new one in front, start every gateway with both,\n" +
			"run `yunshu-gateway secrets rotate`, and take the old one away when `yunshu-gateway secrets check` counts none.",
	}
	c.AddCommand(
		&cobra.Command{Use: "rotate", Short: "Seal every password with the newest key", Args: cobra.NoArgs, RunE: withSecrets(rotateSecrets)},
		&cobra.Command{Use: "check", Short: "Open every password, and count them by key", Args: cobra.NoArgs, RunE: withSecrets(checkSecrets)})
	return c
}

// withSecrets runs work on a database with the keys of its secrets.
func withSecrets(do func(ctx context.Context, s *store.Store, out io.Writer) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		dsn, keys, err := config.ReadSecrets()
		if err != nil {
			return err
		}
		rest, err := vault.Parse(keys.Reveal())
		if err != nil {
			return fmt.Errorf("YUNSHU_SECRET_KEYS: %w", err)
		}
		s, err := openStore(cmd.Context(), dsn.Reveal())
		if err != nil {
			return err
		}
		defer s.Close()
		s.Keys.Rest = rest
		return do(cmd.Context(), s, cmd.OutOrStdout())
	}
}

func rotateSecrets(ctx context.Context, s *store.Store, out io.Writer) error {
	n, err := s.RotateSecrets(ctx)
	if err != nil {
		return fmt.Errorf("%d passwords were sealed with the key %q before this; run it again: %w", n, s.Keys.Rest.Current(), err)
	}
	_, err = fmt.Fprintf(out, "%d passwords were sealed anew with the key %q.\n", n, s.Keys.Rest.Current())
	return err
}

func checkSecrets(ctx context.Context, s *store.Store, out io.Writer) error {
	found, err := s.CheckSecrets(ctx)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(found.ByKey)) {
		note := ""
		if id != found.Current {
			note = ", an older one"
		}
		if _, err := fmt.Fprintf(out, "%d passwords are sealed with the key %q%s.\n", found.ByKey[id], id, note); err != nil {
			return err
		}
	}
	for _, why := range found.Broken {
		if _, err := fmt.Fprintln(out, why); err != nil {
			return err
		}
	}
	if len(found.Broken) > 0 {
		return errors.New("some passwords cannot be opened; add the keys that they were sealed with, or give these BMCs anew with yunshu baremetal set-bmc")
	}
	return nil
}
