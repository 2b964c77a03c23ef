package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/yunshu/yunshu/client"
)

// nounCommand makes the commands of one noun from its table.
func (a *app) nounCommand(n noun) *cobra.Command {
	c := &cobra.Command{Use: n.name, Short: n.short, Aliases: []string{n.name + "s"}, Args: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("There is no command %q of %s. See: %s --help", args[0], n.name, cmd.CommandPath())
		}
		return nil
	}, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	if !n.noList {
		c.AddCommand(a.listCommand(n))
	}
	if !n.noGet {
		c.AddCommand(a.getCommand(n))
	}
	if n.create != nil {
		c.AddCommand(a.createCommand(n))
	}
	if n.update != nil {
		c.AddCommand(a.onOne(n, "update", "Change the given fields", n.update, func(cmd *cobra.Command, id string, b map[string]any) error {
			call := client.Call{Method: http.MethodPatch, Path: n.path + "/" + id, Query: url.Values{}}
			for key, value := range b {
				if strings.HasPrefix(key, "?") { // goes into the query
					call.Query.Set(key[1:], fmt.Sprint(value))
					delete(b, key)
				}
			}
			call.Body = b
			return a.send(cmd, n, call, false)
		}))
	}
	if n.delete {
		c.AddCommand(a.onOne(n, "delete", "Remove it", nil, func(cmd *cobra.Command, id string, _ map[string]any) error {
			return a.send(cmd, n, client.Call{Method: http.MethodDelete, Path: n.path + "/" + id}, n.wait)
		}))
	}
	if n.history {
		c.AddCommand(a.historyCommand(n))
	}
	for _, act := range n.actions {
		c.AddCommand(a.actionCommand(n, act))
	}
	if n.name == "baremetal" {
		c.AddCommand(a.baremetalCommands(n)...)
	}
	if n.name == "rack" {
		c.AddCommand(a.rackShowCommand(n))
	}
	if n.name == "operation" {
		c.AddCommand(a.watchCommand(n), a.exportOperationCommand(n), a.steerAllCommand(n, "resume"), a.steerAllCommand(n, "abort"))
	}
	return c
}

func (a *app) listCommand(n noun) *cobra.Command {
	limit := 0
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List them", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		items, err := a.client.List(cmd.Context(), n.path, query(cmd, n.filters), limit)
		if err != nil {
			return err
		}
		return a.print(items, n.columns)
	}}
	c.Flags().IntVar(&limit, "limit", 0, "at most so many; 0: all")
	a.addFlags(c, n.filters)
	return c
}

func (a *app) getCommand(n noun) *cobra.Command {
	c := a.onOne(n, "get", "Show one", nil, func(cmd *cobra.Command, id string, _ map[string]any) error {
		return a.send(cmd, n, client.Call{Method: http.MethodGet, Path: n.path + "/" + id, Query: query(cmd, n.past)}, false)
	})
	a.addFlags(c, n.past)
	return c
}

// historyCommand shows what one has been. One that is gone is named by its id.
func (a *app) historyCommand(n noun) *cobra.Command {
	columns := []string{"from", "until", "changed_by.actor", "changed_by.action", "attributes.name", "attributes.state", "attributes.version", "removed_by.actor"}
	return a.onOne(n, "history", "Everything that it has been, the newest first; with -o json all of its fields", nil, func(cmd *cobra.Command, id string, _ map[string]any) error {
		versions, err := a.client.List(cmd.Context(), n.path+"/"+id+"/history", nil, 0)
		if err != nil {
			return err
		}
		return a.print(versions, columns)
	})
}

// createCommand makes one. What names it is the only argument.
func (a *app) createCommand(n noun) *cobra.Command {
	what := map[string]string{"role-binding": "user", "group-binding": "group", "ip-address": "subnet", "assignment": "resource"}[n.name]
	if what == "" {
		what = "name"
	}
	dry := false
	use, takes := "create "+strings.ToUpper(what), cobra.ExactArgs(1)
	if n.noName {
		use, takes = "create", cobra.NoArgs
	}
	c := &cobra.Command{Use: use, Short: "Make one", Args: takes, RunE: func(cmd *cobra.Command, args []string) error {
		b, err := body(cmd, n.create)
		if err != nil {
			return err
		}
		if !n.noName {
			b[what] = args[0]
		}
		if n.name == "assignment" {
			kind, _ := b["resource_kind"].(string) // absent: it names no kind, which is said
			if _, b[what], err = a.assignableID(cmd, kind, args[0]); err != nil {
				return err
			}
		}
		call := client.Call{Method: http.MethodPost, Path: n.path, Body: b}
		if dry {
			call.Query = url.Values{"dry_run": {"true"}}
		}
		return a.send(cmd, n, call, n.wait && !dry)
	}}
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would happen, and do nothing")
	a.addFlags(c, n.create)
	if n.wait {
		addWait(c)
	}
	return c
}

func addWait(c *cobra.Command) {
	c.Flags().Bool("wait", false, "show the steps until the operation ends, and end as it does")
}

func (a *app) actionCommand(n noun, act action) *cobra.Command {
	method, path := act.method, act.path
	if method == "" {
		method = http.MethodPost
	}
	if path == "" {
		path = act.name
	}
	c := a.onOne(n, act.name, act.short, act.fields, func(cmd *cobra.Command, id string, b map[string]any) error {
		path := path
		if strings.Contains(path, "{group}") {
			group, _ := cmd.Flags().GetString("group") // it is added below
			path = strings.ReplaceAll(path, "{group}", url.PathEscape(group))
			if limits, ok := b["limits"].(map[string]any); ok {
				maps.Copy(b, limits)
				delete(b, "limits")
			}
		}
		call := client.Call{Method: method, Path: n.path + "/" + id + "/" + path, Query: url.Values{}}
		for key, value := range b {
			switch {
			case strings.HasPrefix(key, "{"): // goes into the path
				call.Path = strings.ReplaceAll(call.Path, key, url.PathEscape(fmt.Sprint(value)))
			case key == "?csv":
				call.Path += ".csv"
			case strings.HasPrefix(key, "?"): // goes into the query
				call.Query.Set(key[1:], fmt.Sprint(value))
			default:
				continue
			}
			delete(b, key)
		}
		if len(b) > 0 {
			call.Body = b
		}
		n := n
		n.columns = act.columns
		return a.send(cmd, n, call, act.operation)
	})
	if strings.Contains(path, "{group}") {
		c.Flags().String("group", "everywhere", "id of the group, or everywhere")
	}
	if act.operation && n.name != "operation" {
		addWait(c)
	}
	return c
}

// onOne makes a command on one resource, which is given by its id or by its name.
func (a *app) onOne(n noun, verb, short string, fields []field, do func(cmd *cobra.Command, id string, b map[string]any) error) *cobra.Command {
	c := &cobra.Command{Use: verb + " " + strings.ToUpper(n.name), Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := body(cmd, fields)
			if err != nil {
				return err
			}
			id, err := a.find(cmd, n, args[0])
			if err != nil {
				return err
			}
			return do(cmd, id, b)
		},
		ValidArgsFunction: a.completeNames(n.name),
	}
	a.addFlags(c, fields)
	for _, f := range n.filters {
		if slices.Contains(n.scope, f.flag) {
			a.addFlags(c, []field{f})
		}
	}
	if verb == "delete" && n.wait {
		addWait(c)
	}
	return c
}

// find turns a name into an id. A name that means several resources has to be narrowed.
func (a *app) find(cmd *cobra.Command, n noun, ref string) (string, error) {
	if _, err := uuid.Parse(ref); err == nil || n.key == "" {
		return url.PathEscape(ref), nil
	}
	q := url.Values{n.key: {ref}}
	for _, f := range n.filters {
		if flag := cmd.Flags().Lookup(f.flag); slices.Contains(n.scope, f.flag) && flag != nil && flag.Changed {
			q.Set(f.path, flag.Value.String())
		}
	}
	items, err := a.client.List(cmd.Context(), n.path, q, 2)
	if err != nil {
		return "", err
	}
	switch len(items) {
	case 0:
		return "", &client.Problem{Status: http.StatusNotFound, Code: "not_found", Title: fmt.Sprintf("There is no %s %q that you can see.", n.name, ref)}
	case 1:
		var one struct {
			ID string `json:"id"`
		}
		return one.ID, unmarshalID(items[0], &one.ID)
	}
	return "", fmt.Errorf("There are several %ss named %q: give --%s, or the id.", n.name, ref, strings.Join(n.scope, " or --"))
}

func unmarshalID(raw json.RawMessage, id *string) error {
	var one struct {
		ID string `json:"id"`
	}
	err := json.Unmarshal(raw, &one)
	*id = one.ID
	return err
}

var isOperation = regexp.MustCompile(`^/v1/operations/`)

// send makes the call and shows its answer. An operation is followed to its end where that is wanted.
func (a *app) send(cmd *cobra.Command, n noun, call client.Call, operation bool) error {
	answer, err := a.client.Do(cmd.Context(), call)
	if err != nil {
		return err
	}
	if operation && isOperation.MatchString(answer.Header.Get("Location")) {
		var op client.Operation
		if err := json.Unmarshal(answer.Body, &op); err != nil {
			return err
		}
		if wait, err := cmd.Flags().GetBool("wait"); err == nil && wait {
			return a.follow(cmd.Context(), op.ID)
		}
	}
	if len(answer.Body) == 0 {
		return nil
	}
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/") {
		_, err := a.out.Write(answer.Body)
		return err
	}
	var page struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(answer.Body, &page); err == nil && page.Items != nil && a.format == "table" {
		return a.print(page.Items, n.columns)
	}
	if cmd.Name() == "usage" && a.format == "table" {
		return a.usage(answer.Body)
	}
	return a.show(answer.Body)
}

func (a *app) meCommand() *cobra.Command {
	c := &cobra.Command{Use: "me", Short: "Who you are, and your roles", Args: cobra.NoArgs, Annotations: map[string]string{asks: "yes"}, RunE: func(cmd *cobra.Command, _ []string) error {
		answer, err := a.client.Do(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/me"})
		if err != nil {
			return err
		}
		return a.show(answer.Body)
	}}
	c.AddCommand(a.responsibilitiesCommand(), a.permissionsCommand())
	return c
}

// leakCheckCommand compares the database with the world. It prints what differs, and nothing where nothing does.
func (a *app) leakCheckCommand() *cobra.Command {
	var regions []string
	c := &cobra.Command{Use: "leak-check", Short: "Compare the database with every region; prints nothing when they agree", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		b := map[string]any{}
		if len(regions) > 0 {
			b["regions"] = regions
		}
		answer, err := a.client.Do(cmd.Context(), client.Call{Method: http.MethodPost, Path: "/v1/leak-checks", Body: b})
		if err != nil {
			return err
		}
		var op client.Operation
		if err := json.Unmarshal(answer.Body, &op); err != nil {
			return err
		}
		if op, err = a.client.Watch(cmd.Context(), op.ID, func(client.Operation) {}); err != nil {
			return err
		}
		return a.findings(op)
	}}
	c.Flags().StringArrayVar(&regions, "region", nil, "only this region; repeat for more")
	return c
}

// ledgerCheckCommand adds up the books. It prints what is not balanced, and nothing where everything is.
func (a *app) ledgerCheckCommand() *cobra.Command {
	return &cobra.Command{Use: "ledger-check", Short: "Prove that every use is the sum of what lives; prints nothing when it is", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		var check struct {
			Findings []json.RawMessage `json:"findings"`
		}
		if err := a.client.Get(cmd.Context(), "/v1/ledger-check", nil, &check); err != nil || len(check.Findings) == 0 {
			return err
		}
		if err := a.print(check.Findings, []string{"kind", "resource_kind", "resource_id", "message"}); err != nil {
			return err
		}
		return errFailed
	}}
}

func (a *app) findings(op client.Operation) error {
	if op.State != "succeeded" {
		a.tell(op)
		return errFailed
	}
	var result struct {
		Findings []json.RawMessage `json:"findings"`
	}
	if err := json.Unmarshal(op.Result, &result); err != nil {
		return err
	}
	if len(result.Findings) == 0 {
		return nil
	}
	if err := a.print(result.Findings, []string{"kind", "region", "resource_kind", "resource_id", "message"}); err != nil {
		return err
	}
	return errFailed
}

// completeNames offers the names of a noun's resources to the shell.
func (a *app) completeNames(name string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		i := slices.IndexFunc(nouns, func(n noun) bool { return n.name == name })
		if i < 0 || a.configure() != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
		defer cancel()
		items, err := a.client.List(ctx, nouns[i].path, nil, 200)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, raw := range items {
			var one map[string]any
			if json.Unmarshal(raw, &one) != nil {
				continue
			}
			for _, key := range []string{"full_name", "name", "id"} {
				if s, ok := one[key].(string); ok {
					if strings.HasPrefix(s, prefix) {
						out = append(out, s)
					}
					break
				}
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}
