package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/yunshu/yunshu/client"
)

// print writes a list in the chosen format.
func (a *app) print(items []json.RawMessage, columns []string) error {
	if a.format != "table" {
		if items == nil {
			items = []json.RawMessage{}
		}
		raw, err := json.Marshal(items)
		if err != nil {
			return err
		}
		return a.encode(raw)
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	for i, raw := range items {
		var one map[string]any
		if err := decode(raw, &one); err != nil {
			return err
		}
		if i == 0 {
			if columns == nil {
				columns = slices.Sorted(maps.Keys(one))
			}
			fmt.Fprintln(w, header(columns))
		}
		cells := make([]string, len(columns))
		for j, c := range columns {
			cells[j] = cell(dig(one, c))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	if len(items) == 0 && columns != nil {
		fmt.Fprintln(w, header(columns))
	}
	return w.Flush()
}

func header(columns []string) string {
	return strings.ToUpper(strings.NewReplacer("_", " ", ".", " ").Replace(strings.Join(columns, "\t")))
}

// show writes one thing in the chosen format.
func (a *app) show(raw []byte) error {
	if a.format != "table" {
		return a.encode(raw)
	}
	var one map[string]any
	if err := decode(raw, &one); err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	for _, key := range ordered(one) {
		fmt.Fprintf(w, "%s\t%s\n", strings.ReplaceAll(key, "_", " "), cell(one[key]))
	}
	return w.Flush()
}

// ordered lists keys with what one looks for first at the top.
func ordered(one map[string]any) []string {
	rank := func(k string) int {
		if i := slices.Index([]string{"id", "name", "full_name", "kind", "state", "tenant", "region"}, k); i >= 0 {
			return i
		}
		return 100
	}
	keys := slices.Sorted(maps.Keys(one))
	slices.SortStableFunc(keys, func(x, y string) int { return rank(x) - rank(y) })
	return slices.DeleteFunc(keys, func(k string) bool { return k == "links" })
}

func decode(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // whole numbers stay whole
	return d.Decode(into)
}

func (a *app) encode(raw []byte) error {
	var v any
	if err := decode(raw, &v); err != nil {
		return err
	}
	if a.format == "json" {
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	return yaml.NewEncoder(a.out).Encode(plain(v))
}

// plain turns JSON's numbers into Go's, since YAML knows nothing of json.Number. Whole ones stay whole.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
		return v.String()
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = plain(v[key])
		}
	}
	return v
}

// dig follows a path with dots.
func dig(one map[string]any, path string) any {
	head, rest, nested := strings.Cut(path, ".")
	if !nested {
		return one[head]
	}
	inner, _ := one[head].(map[string]any)
	return dig(inner, rest)
}

func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		if v == "" {
			return "-"
		}
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return t.Local().Format("2006-01-02 15:04:05")
		}
		return v
	case map[string]any, []any:
		raw, err := json.Marshal(v)
		if err != nil {
			return "?"
		}
		return string(raw)
	}
	return fmt.Sprint(v)
}

// follow shows an operation's steps until it ends, and ends as it does.
func (a *app) follow(ctx context.Context, id string) error {
	p := progress{out: a.out, live: terminal(a.out) && a.format == "table", quiet: a.format != "table", told: map[string]string{}}
	op, err := a.client.Watch(ctx, id, p.see)
	if err != nil {
		return err
	}
	if a.format != "table" {
		raw, err := json.Marshal(op)
		if err != nil {
			return err
		}
		if err := a.encode(raw); err != nil {
			return err
		}
	} else {
		a.tell(op)
	}
	if op.State != "succeeded" {
		return errFailed
	}
	return nil
}

// tell says how an operation ended.
func (a *app) tell(op client.Operation) {
	fmt.Fprintf(a.out, "%s %s %s: %s\n", op.Kind, op.ResourceKind, op.ResourceName, op.State)
	if op.Error != nil {
		fmt.Fprintln(a.out, op.Error.Message)
	}
}

// terminal reports whether someone looks at the file as it is written.
func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// progress shows an operation's steps: lines that are redrawn on a terminal, a line for each change elsewhere.
type progress struct {
	out   *os.File
	live  bool
	quiet bool
	drawn int // lines to go up before drawing again
	told  map[string]string
}

var marks = map[string]string{"pending": "·", "running": "…", "succeeded": "✓", "failed": "✗", "skipped": "»", "undoing": "↶", "undone": "↶"}

func (p *progress) see(op client.Operation) {
	if p.quiet {
		return
	}
	lines := make([]string, 0, len(op.Steps)+1)
	for _, s := range op.Steps {
		line := fmt.Sprintf("  %s %-16s %s", marks[s.State], s.Name, s.State)
		if s.Started != nil && s.Ended != nil {
			line += fmt.Sprintf("  %.1f s", s.Ended.Sub(*s.Started).Seconds())
		}
		if s.Message != "" {
			line += "  " + s.Message
		}
		lines = append(lines, line)
	}
	if op.Waiting != "" && !op.Ended() {
		lines = append(lines, "  "+op.Waiting)
	}
	if a := op.Attempt; a != nil && !op.Ended() {
		line := fmt.Sprintf("  Attempt %d of %s", a.Number, a.Activity)
		if a.NextAt != nil {
			line += " at " + a.NextAt.Local().Format("15:04:05")
		}
		if a.Failure != "" {
			line += "; the last one failed: " + a.Failure
		}
		lines = append(lines, line)
	}
	if p.live {
		p.redraw(lines)
		return
	}
	for _, line := range lines {
		name := strings.TrimSpace(line)
		if p.told[name] == "" {
			p.told[name] = "told"
			fmt.Fprintln(p.out, line)
		}
	}
}

// redraw goes back to the first line and writes all again.
func (p *progress) redraw(lines []string) {
	if p.drawn > 0 {
		fmt.Fprintf(p.out, "\x1b[%dA", p.drawn)
	}
	for _, line := range lines {
		fmt.Fprintf(p.out, "\x1b[2K%s\n", line)
	}
	p.drawn = len(lines)
}
