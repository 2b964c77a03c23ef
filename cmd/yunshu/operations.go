package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yunshu/yunshu/client"
)

// watchCommand follows one operation to its end, or all that match the filters until it is interrupted.
func (a *app) watchCommand(n noun) *cobra.Command {
	c := &cobra.Command{Use: "watch [OPERATION]", Short: "Show the steps of one until it ends; or, without one, what changes of those that match", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				id, err := a.find(cmd, n, args[0])
				if err != nil {
					return err
				}
				return a.follow(cmd.Context(), id)
			}
			return a.watchAll(cmd, n)
		},
		ValidArgsFunction: a.completeNames(n.name),
	}
	a.addFlags(c, n.filters)
	return c
}

// exportOperationCommand writes everything about an operation, for a developer to look at and to replay.
func (a *app) exportOperationCommand(n noun) *cobra.Command {
	return a.onOne(n, "export", "Everything about it as one JSON file, with the history of its workflow, without secrets", nil, func(cmd *cobra.Command, id string, _ map[string]any) error {
		return a.client.Stream(cmd.Context(), n.path+"/"+id+"/export", nil, a.out)
	})
}

// steerAllCommand resumes or aborts every blocked operation that matches.
func (a *app) steerAllCommand(n noun, verb string) *cobra.Command {
	dry := false
	c := &cobra.Command{Use: verb + "-all", Short: "The same for all blocked ones that match the filters; --dry-run says which", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := query(cmd, n.filters)
			if dry {
				q.Set("dry_run", "true")
			}
			answer, err := a.client.Do(cmd.Context(), client.Call{Method: http.MethodPost, Path: n.path + "/" + verb, Query: q})
			if err != nil {
				return err
			}
			if a.format != "table" {
				return a.encode(answer.Body)
			}
			var bulk struct {
				Items []json.RawMessage `json:"items"`
				More  bool              `json:"more"`
			}
			if err := json.Unmarshal(answer.Body, &bulk); err != nil {
				return err
			}
			if err := a.print(bulk.Items, []string{"outcome", "id", "kind", "resource_name", "tenant", "step", "code"}); err != nil || !bulk.More {
				return err
			}
			_, err = fmt.Fprintln(a.out, "There are more: repeat it for the next.")
			return err
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "say which, and do nothing")
	a.addFlags(c, n.filters)
	return c
}

// watchAll prints a line for each change until it is interrupted.
func (a *app) watchAll(cmd *cobra.Command, n noun) error {
	ctx := cmd.Context()
	for {
		err := a.client.Events(ctx, n.path+"/events", query(cmd, n.filters), "", a.tellChange)
		var away *client.Unreachable
		if ctx.Err() != nil {
			return nil //nolint:nilerr // interrupted, as it is meant to end
		}
		if err != nil && !errors.As(err, &away) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second): // the gateway restarts, perhaps
		}
	}
}

// tellChange prints where an operation is now.
func (a *app) tellChange(e client.Event) error {
	if a.format != "table" {
		return a.encode(e.Data)
	}
	var op client.Operation
	if err := json.Unmarshal(e.Data, &op); err != nil {
		return err
	}
	name := strings.TrimPrefix(op.Tenant+"/"+op.ResourceName, "/")
	line := fmt.Sprintf("%s  %s  %-14s %-24s %-10s", time.Now().Format("15:04:05"), op.ID, op.Kind, name, op.State)
	if len(op.Steps) > 0 && !op.Ended() {
		line += " " + op.Steps[len(op.Steps)-1].Name
	}
	if op.Error != nil {
		line += " " + op.Error.Message
	}
	_, err := fmt.Fprintln(a.out, strings.TrimRight(line, " "))
	return err
}
