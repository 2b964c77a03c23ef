package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yunshu/yunshu/client"
)

// imported is what the gateway answers to a list of servers.
type imported struct {
	Accepted   int `json:"accepted"`
	Operations []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"operations"`
}

func (a *app) importCommand(n noun) *cobra.Command {
	var file, region string
	dry := false
	c := &cobra.Command{Use: "import", Short: "Bring in all that a file lists, or none", Args: cobra.NoArgs,
		Long: "Bring in all that a file lists, or none.\n\nThe file is a table with a header (CSV), or a list of objects (YAML). Its columns are name, rack, position, height, bmc, user,\n" +
			"password, serial, mac, fingerprint, group, rotate_password and label.NAME; bmc, user and password are needed.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			servers, err := openServers(cmd, file)
			if err != nil {
				return err
			}
			call := client.Call{Method: http.MethodPost, Path: "/v1/baremetal-imports", Body: map[string]any{"region": region, "machines": servers.rows}}
			if dry {
				call.Query = url.Values{"dry_run": {"true"}}
			}
			answer, err := a.client.Do(cmd.Context(), call)
			if err != nil {
				return servers.explain(err)
			}
			return a.tellImport(cmd, n, servers, answer.Body, dry)
		}}
	c.Flags().StringVarP(&file, "file", "f", "", "the file; - is CSV on the standard input")
	c.Flags().StringVar(&region, "region", "", "where the servers stand")
	c.Flags().BoolVar(&dry, "dry-run", false, "check the whole list, and do nothing")
	for _, needed := range []string{"file", "region"} {
		_ = c.MarkFlagRequired(needed) // it fails only for a flag that does not exist
	}
	_ = c.RegisterFlagCompletionFunc("region", a.completeNames("region")) // likewise
	c.Flags().Bool("wait", false, "wait until every server is in, and say which are not")
	return c
}

// longestFile bounds what is read: the gateway takes 8 MiB.
const longestFile = 16 << 20

func openServers(cmd *cobra.Command, file string) (*serverFile, error) {
	from := cmd.InOrStdin()
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("The list of servers cannot be read: %w", err)
		}
		defer f.Close()
		from = f
	}
	raw, err := io.ReadAll(io.LimitReader(from, longestFile))
	if err != nil {
		return nil, fmt.Errorf("The list of servers cannot be read: %w", err)
	}
	return readServers(file, raw)
}

var ofMachine = regexp.MustCompile(`^body\.machines\[(\d+)\]\.?(.*)$`)

// explain says a refusal by the lines of the file, one line for each thing that is wrong.
func (f *serverFile) explain(err error) error {
	var p *client.Problem
	if !errors.As(err, &p) || len(p.Errors) == 0 {
		return err
	}
	var lines []string
	for _, e := range p.Errors {
		m := ofMachine.FindStringSubmatch(e.Field)
		i := -1
		if m != nil {
			i, _ = strconv.Atoi(m[1]) // digits
		}
		if i < 0 || i >= len(f.lines) {
			lines = append(lines, e.Field+": "+e.Message)
			continue
		}
		message := inList.ReplaceAllStringFunc(e.Message, func(s string) string {
			if other, _ := strconv.Atoi(inList.FindStringSubmatch(s)[1]); other < len(f.lines) {
				return fmt.Sprintf("line %d", f.lines[other])
			}
			return s
		})
		lines = append(lines, fmt.Sprintf("%s:%d: %s: %s", f.name, f.lines[i], column(m[2]), message))
	}
	return problemWithout(p, lines)
}

var inList = regexp.MustCompile(`machines\[(\d+)\]`)

func (a *app) tellImport(cmd *cobra.Command, n noun, servers *serverFile, raw []byte, dry bool) error {
	var done imported
	if err := json.Unmarshal(raw, &done); err != nil {
		return err
	}
	wait, err := cmd.Flags().GetBool("wait")
	if err != nil {
		return err
	}
	if a.format != "table" && !wait {
		return a.encode(raw)
	}
	if a.format == "table" {
		said := "%d servers are coming in.\n"
		if dry {
			said = "%d servers could come in; nothing was changed.\n"
		}
		if _, err := fmt.Fprintf(a.out, said, done.Accepted); err != nil {
			return err
		}
	}
	if !wait || dry {
		return nil
	}
	return a.awaitImport(cmd.Context(), servers, done)
}

// importPause is how often the servers that come in are counted.
const importPause = 2 * time.Second

// awaitImport counts until every server is in, or cannot come in without a person.
func (a *app) awaitImport(ctx context.Context, servers *serverFile, done imported) error {
	line := map[string]int{}
	for i, op := range done.Operations {
		line[op.ID] = servers.lines[i]
	}
	told := ""
	for {
		count, stopped, err := a.countImport(ctx, line)
		if err != nil {
			return err
		}
		said := fmt.Sprintf("%d/%d in, %d blocked, %d failed", count["succeeded"], len(line), count["blocked"], count["failed"]+count["cancelled"])
		if said != told && a.format == "table" {
			fmt.Fprintln(a.out, said)
		}
		told = said
		if count["succeeded"]+len(stopped) >= len(line) {
			return a.tellStopped(servers, line, stopped)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(importPause):
		}
	}
}

// countImport counts the operations by their state, and lists those that do not go on by themselves.
func (a *app) countImport(ctx context.Context, line map[string]int) (map[string]int, []client.Operation, error) {
	now := map[string]client.Operation{} // in the order in which they change, so that none slips through
	for _, state := range []string{"accepted", "running", "cancelling", "blocked", "failed", "cancelled"} {
		items, err := a.client.List(ctx, "/v1/operations", url.Values{"kind": {"baremetal.enroll"}, "state": {state}}, 0)
		if err != nil {
			return nil, nil, err
		}
		for _, raw := range items {
			var op client.Operation
			if err := json.Unmarshal(raw, &op); err != nil {
				return nil, nil, err
			}
			if line[op.ID] > 0 {
				now[op.ID] = op
			}
		}
	}
	count := map[string]int{"succeeded": len(line) - len(now)}
	var stopped []client.Operation
	for _, op := range now {
		count[op.State]++
		if op.State == "blocked" || op.Ended() {
			stopped = append(stopped, op)
		}
	}
	slices.SortFunc(stopped, func(x, y client.Operation) int { return line[x.ID] - line[y.ID] })
	return count, stopped, nil
}

func (a *app) tellStopped(servers *serverFile, line map[string]int, stopped []client.Operation) error {
	if a.format != "table" {
		raw, err := json.Marshal(append([]client.Operation{}, stopped...))
		if err != nil {
			return err
		}
		if err := a.encode(raw); err != nil {
			return err
		}
	}
	for _, op := range stopped {
		if a.format != "table" {
			break
		}
		why := ""
		if op.Error != nil {
			why = ": " + op.Error.Message
		}
		fmt.Fprintln(a.out, strings.TrimSpace(fmt.Sprintf("%s:%d: %s is %s%s", servers.name, line[op.ID], op.ResourceName, op.State, why)))
	}
	if len(stopped) > 0 {
		return errFailed
	}
	return nil
}
