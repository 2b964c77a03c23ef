package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/yunshu/yunshu/client"
)

var (
	bmcFields = []field{
		{"bmc", "address", text, "where its BMC is, such as https://10.0.0.7 or ipmi://10.0.0.7", ""}, {"user", "username", text, "account of the BMC", ""},
		{"fingerprint", "fingerprint", text, "SHA-256 of the BMC's certificate; default: the one that it shows first", ""},
	}
	enrolFields = []field{
		{"region", "region", text, "where it stands", "region"}, {"name", "name", text, "name; default: made from its id", ""}, {"rack", "rack", text, "rack in which it stands", "rack"},
		{"position", "rack_unit", number, "the lowest rack unit that it takes, from 1 at the bottom", ""}, {"height", "rack_height", number, "how many rack units it takes; default: 1", ""},
		{"group", "group", text, "group that it shall belong to", "group"}, {"serial", "serial", text, "the serial that its BMC must name", ""},
		{"mac", "mac", text, "of the interface that it boots from, where its BMC does not list it, such as one that speaks IPMI alone", ""},
		{"label", "labels", pairs, "what to note about it, such as owner=storage; repeat for more", ""},
		{"bmc", "bmc.address", text, "where its BMC is, such as https://10.0.0.7 or ipmi://10.0.0.7", ""}, {"user", "bmc.username", text, "account of the BMC", ""},
		{"fingerprint", "bmc.fingerprint", text, "SHA-256 of the BMC's certificate; default: the one that it shows first", ""},
		{"rotate-password", "bmc.rotate_password", truth, "replace the BMC's password by a generated one", ""},
	}
	baremetalActions = []action{
		{name: "power-on", short: "Turn it on", operation: true},
		{name: "power-off", short: "Turn it off at once", operation: true, fields: []field{force}},
		{name: "shutdown", short: "Ask its operating system to end", operation: true, fields: []field{force}},
		{name: "reset", short: "Turn it off and on at once", operation: true, fields: []field{force}},
		{name: "boot-device", short: "What it boots from next", operation: true, fields: []field{{"device", "device", text, "disk, pxe or cd", ""}, {"persistent", "persistent", truth, "for good, not only once", ""}}},
		{name: "insert-media", short: "Put an image into its virtual drive", operation: true, fields: []field{{"image-url", "url", text, "address of the image, http or https", ""}}},
		{name: "eject-media", short: "Empty its virtual drive", operation: true},
		{name: "health-check", short: "Read its identity, hardware and health anew", operation: true},
		{name: "rotate-password", short: "Give its BMC a generated password", operation: true},
		{name: "join", short: "Make it a hypervisor", operation: true},
		{name: "retire", short: "Take it out for good", operation: true},
		{name: "return-to-service", short: "Let it be used again, if it is healthy", operation: true},
		{name: "end-maintenance", short: "End its maintenance, if it is healthy", operation: true},
		{name: "lease", short: "Give it to a tenant, and boot an image on it", operation: true, fields: []field{{"tenant", "tenant", text, "who gets it, such as acme/dev", "tenant"}, leaseImage, leaseHostname}},
		{name: "release", short: "Take it back from its tenant, and empty its disks", operation: true, fields: []field{{"skip-wipe", "skip_wipe", truth, "leave the disks as they are; for operators", ""}, {"reason", "reason", text, "why; needed to skip the wipe", ""}}},
		{name: "discover", short: "Boot the discovery image, and record what it is made of", operation: true},
		{name: "maintenance", short: "Say why and until when it takes no new machines; end-maintenance ends it", fields: maintenanceFields},
		{name: "drain", short: "Move all machines away from it, for maintenance; --dry-run says where each would go", operation: true, columns: []string{"fate", "name", "tenant", "state", "to", "reason"},
			fields: append([]field{{"stop", "stop", truth, "turn off machines that no other host has room for", ""}, {"dry-run", "?dry_run", truth, "say what would happen, and do nothing", ""}}, maintenanceFields...)},
		{name: "mark-failed", short: "Let nobody use it", fields: []field{{"reason", "reason", text, "why", ""}}},
	}
	force = field{"force", "force", truth, "even if it carries running vms", ""}
)

// baremetalCommands are those that the table of nouns cannot make.
func (a *app) baremetalCommands(n noun) []*cobra.Command {
	return []*cobra.Command{
		a.enrollCommand(n), a.importCommand(n), a.setBMCCommand(n), a.locateCommand(n),
		a.onOne(n, "inventory", "What it is made of", nil, func(cmd *cobra.Command, id string, _ map[string]any) error {
			return a.showFacts(cmd, n, id, "inventory", a.inventory)
		}),
		a.onOne(n, "health", "How it is", nil, func(cmd *cobra.Command, id string, _ map[string]any) error {
			return a.showFacts(cmd, n, id, "health", a.health)
		}),
	}
}

func (a *app) enrollCommand(n noun) *cobra.Command {
	dry := false
	c := &cobra.Command{Use: "enroll", Short: "Bring one in by its BMC", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		b, err := body(cmd, enrolFields)
		if err != nil {
			return err
		}
		secret, err := password(cmd)
		if err != nil {
			return err
		}
		put(b, "bmc.password", secret)
		call := client.Call{Method: http.MethodPost, Path: n.path, Body: b}
		if dry {
			call.Query = url.Values{"dry_run": {"true"}}
		}
		return a.send(cmd, n, call, !dry)
	}}
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would happen, and do nothing")
	a.addFlags(c, enrolFields)
	addPassword(c)
	addWait(c)
	return c
}

func (a *app) setBMCCommand(n noun) *cobra.Command {
	c := a.onOne(n, "set-bmc", "Say how its BMC is reached", bmcFields, func(cmd *cobra.Command, id string, b map[string]any) error {
		secret, err := password(cmd)
		if err != nil {
			return err
		}
		b["password"] = secret
		return a.send(cmd, n, client.Call{Method: http.MethodPut, Path: n.path + "/" + id + "/bmc", Body: b}, false)
	})
	addPassword(c)
	return c
}

func (a *app) locateCommand(n noun) *cobra.Command {
	off := false
	c := a.onOne(n, "locate", "Light its identify LED", nil, func(cmd *cobra.Command, id string, _ map[string]any) error {
		return a.send(cmd, n, client.Call{Method: http.MethodPost, Path: n.path + "/" + id + "/locate", Body: map[string]any{"on": !off}}, true)
	})
	c.Flags().BoolVar(&off, "off", false, "turn it off")
	addWait(c)
	return c
}

func addPassword(c *cobra.Command) {
	c.Flags().Bool("password-stdin", false, "read the BMC's password from the standard input")
	c.Flags().String("password-file", "", "or from this file")
	c.MarkFlagsOneRequired("password-stdin", "password-file")
	c.MarkFlagsMutuallyExclusive("password-stdin", "password-file")
}

// password is the first line of the standard input, or of a file. A flag would show it to everybody on this machine.
func password(cmd *cobra.Command) (string, error) {
	from := cmd.InOrStdin()
	if file, err := cmd.Flags().GetString("password-file"); err == nil && file != "" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("The password cannot be read: %w", err)
		}
		defer f.Close()
		from = f
	}
	line, err := bufio.NewReader(io.LimitReader(from, 4096)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("The password cannot be read: %w", err)
	}
	if line = trimLine(line); len(line) == 0 {
		return "", errors.New("The password is empty.")
	}
	return string(line), nil
}

// showFacts shows what a BMC said, in a table of its own.
func (a *app) showFacts(cmd *cobra.Command, n noun, id, what string, table func(w io.Writer, one map[string]any)) error {
	answer, err := a.client.Do(cmd.Context(), client.Call{Method: http.MethodGet, Path: n.path + "/" + id + "/" + what})
	if err != nil {
		return err
	}
	if a.format != "table" {
		return a.encode(answer.Body)
	}
	var one map[string]any
	if err := decode(answer.Body, &one); err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	table(w, one)
	if reachable, _ := one["reachable"].(bool); !reachable && one["seen_at"] != nil {
		fmt.Fprintf(w, "\nThe BMC has not answered since %s. %s\n", cell(one["unreachable_since"]), strings.TrimPrefix(cell(one["fault"]), "-"))
	}
	return w.Flush()
}

func (a *app) health(w io.Writer, one map[string]any) {
	for _, key := range []string{"status", "power", "unfit", "seen_at"} {
		fmt.Fprintf(w, "%s\t%s\n", strings.ReplaceAll(key, "_", " "), cell(one[key]))
	}
	section(w, one, "sensors", "name", "value", "unit", "health")
	section(w, one, "log", "at", "health", "message")
}

func (a *app) inventory(w io.Writer, one map[string]any) {
	for _, key := range []string{"vendor", "model", "serial", "uuid", "bios", "seen_at"} {
		fmt.Fprintf(w, "%s\t%s\n", strings.ReplaceAll(key, "_", " "), cell(one[key]))
	}
	section(w, one, "cpus", "model", "cores", "threads", "mhz")
	section(w, one, "memory", "slot", "size_mib", "type", "mhz", "serial")
	section(w, one, "disks", "name", "kind", "size_gib", "model", "serial")
	section(w, one, "nics", "name", "mac", "speed_mbps", "model")
	section(w, one, "gpus", "vendor", "model", "memory_mib", "serial")
	section(w, one, "firmware", "name", "version")
}

// section is a list within one thing, if there is anything in it.
func section(w io.Writer, one map[string]any, name string, columns ...string) {
	items, _ := one[name].([]any)
	if len(items) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n  %s\n", strings.ToUpper(name), header(columns))
	for _, item := range items {
		part, _ := item.(map[string]any)
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = cell(part[c])
		}
		fmt.Fprintf(w, "  %s\n", strings.Join(cells, "\t"))
	}
}

// problemWithout is a problem whose list of fields was told in other words.
func problemWithout(p *client.Problem, lines []string) error {
	told := *p
	told.Errors, told.Detail = nil, strings.Join(lines, "\n")
	return &told
}

// jsonNumber is a whole number of a file.
func jsonNumber(s string) (json.Number, bool) {
	n := json.Number(strings.TrimSpace(s))
	_, err := n.Int64()
	return n, err == nil
}
