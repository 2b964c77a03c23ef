package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yunshu/yunshu/client"
)

// assignable are the nouns that people can be responsible for.
var assignable = []string{"region", "rack", "group", "baremetal", "tenant", "vm"}

// assignableID finds the noun of a kind, and the id of the resource that is named.
func (a *app) assignableID(cmd *cobra.Command, kind, ref string) (noun, string, error) {
	i := slices.IndexFunc(nouns, func(n noun) bool { return n.name == kind })
	if i < 0 || !slices.Contains(assignable, kind) {
		return noun{}, "", fmt.Errorf("The kind must be %s; it is %q.", strings.Join(assignable, ", "), kind)
	}
	id, err := a.find(cmd, nouns[i], ref)
	return nouns[i], id, err
}

// responsibleCommand answers who is responsible for a resource, a line for each person, the nearest first.
func (a *app) responsibleCommand() *cobra.Command {
	return &cobra.Command{Use: "responsible KIND RESOURCE", Short: "Who is responsible for it, up to its region or tenant", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, id, err := a.assignableID(cmd, args[0], args[1])
			if err != nil {
				return err
			}
			answer, err := a.client.Do(cmd.Context(), client.Call{Method: http.MethodGet, Path: n.path + "/" + id + "/responsible"})
			if err != nil {
				return err
			}
			if a.format != "table" {
				return a.show(answer.Body)
			}
			return a.printContacts(answer.Body)
		},
		ValidArgs: assignable,
	}
}

// printContacts writes the people of every link of a chain as one table.
func (a *app) printContacts(raw []byte) error {
	var answer struct {
		Through []struct {
			Kind   string           `json:"resource_kind"`
			Name   string           `json:"resource_name"`
			People []map[string]any `json:"people"`
		} `json:"through"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return err
	}
	var rows []json.RawMessage
	for _, link := range answer.Through {
		for _, person := range link.People {
			person["for"] = link.Kind + " " + link.Name
			row, err := json.Marshal(person)
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
	}
	return a.print(rows, []string{"for", "maintainer", "maintainer_group", "primary", "email", "phone", "chat"})
}

func (a *app) responsibilitiesCommand() *cobra.Command {
	kind := ""
	c := &cobra.Command{Use: "responsibilities", Short: "What you are responsible for", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		kinds := assignable
		if kind != "" {
			kinds = []string{kind}
		}
		var rows []json.RawMessage
		for _, kind := range kinds {
			some, err := a.client.List(cmd.Context(), "/v1/me/responsibilities", url.Values{"resource_kind": {kind}}, 0)
			if err != nil {
				return err
			}
			rows = append(rows, some...)
		}
		return a.print(rows, []string{"resource_kind", "resource_name", "region", "through_kind", "through", "maintainer_group", "primary", "resource_id"})
	}}
	c.Flags().StringVar(&kind, "kind", "", "only of this kind: "+strings.Join(assignable, ", "))
	return c
}

// permissionsCommand answers "may I?" for a resource, or for the platform.
func (a *app) permissionsCommand() *cobra.Command {
	action := ""
	c := &cobra.Command{Use: "permissions [KIND RESOURCE]", Short: "What you may do, on a resource or the platform, and why not", Args: cobra.MatchAll(cobra.RangeArgs(0, 2), bothOrNone),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if len(args) == 2 {
				_, id, err := a.assignableID(cmd, args[0], args[1])
				if err != nil {
					return err
				}
				query.Set("resource_kind", args[0])
				query.Set("resource", id)
			}
			if action != "" {
				query.Set("action", action)
			}
			answer, err := a.client.Do(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/me/permissions", Query: query})
			if err != nil {
				return err
			}
			var all struct {
				Permissions []json.RawMessage `json:"permissions"`
			}
			if err := json.Unmarshal(answer.Body, &all); err != nil {
				return err
			}
			if a.format != "table" {
				return a.show(answer.Body)
			}
			return a.print(all.Permissions, []string{"action", "allowed", "why"})
		},
		ValidArgs: assignable,
	}
	c.Flags().StringVar(&action, "action", "", "only this one, such as vm.power")
	return c
}

func bothOrNone(_ *cobra.Command, args []string) error {
	if len(args) == 1 {
		return errors.New("Give the kind and the resource, or neither.")
	}
	return nil
}
