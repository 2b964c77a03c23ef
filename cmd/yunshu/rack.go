package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yunshu/yunshu/client"
)

// elevation is a rack as the API shows it.
type elevation struct {
	Rack     string     `json:"rack"`
	Region   string     `json:"region"`
	Height   int        `json:"height"`
	Unplaced []occupant `json:"unplaced"`
	Units    []struct {
		Unit    int       `json:"unit"`
		Machine *occupant `json:"machine"`
	} `json:"units"`
}

// occupant is a machine in a rack.
type occupant struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Height      int    `json:"height"`
	Role        string `json:"role"`
	State       string `json:"state"`
	Power       string `json:"power"`
	Health      string `json:"health"`
	Maintenance bool   `json:"maintenance"`
}

// rackShowCommand draws a rack.
func (a *app) rackShowCommand(n noun) *cobra.Command {
	return a.onOne(n, "show", "Draw it: what stands where, from top to bottom", nil, func(cmd *cobra.Command, id string, _ map[string]any) error {
		answer, err := a.client.Do(cmd.Context(), client.Call{Method: http.MethodGet, Path: n.path + "/" + id + "/units"})
		if err != nil {
			return err
		}
		if a.format != "table" {
			return a.show(answer.Body)
		}
		var e elevation
		if err := json.Unmarshal(answer.Body, &e); err != nil {
			return err
		}
		e.draw(a.out)
		return nil
	})
}

var rackColumns = []string{"MACHINE", "UNITS", "STATE", "POWER", "HEALTH", "", "ROLE"}

// cells are what is written of a machine, a cell for each column. M marks maintenance.
func (o occupant) cells() []string {
	mark := ""
	if o.Maintenance {
		mark = "M"
	}
	return []string{o.Name, fmt.Sprint(o.Height), o.State, known(o.Power), known(o.Health), mark, o.Role}
}

func known(text string) string {
	if text == "" {
		return "?"
	}
	return text
}

// draw writes the rack as one sees it from the front. A machine of several units is written at its top, and hatched below.
func (e elevation) draw(w io.Writer) {
	taken := 0
	widths := make([]int, len(rackColumns))
	rows := [][]string{rackColumns}
	for _, u := range e.Units {
		if u.Machine != nil {
			taken++
			rows = append(rows, u.Machine.cells())
		}
	}
	for _, o := range e.Unplaced {
		rows = append(rows, o.cells())
	}
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	line := func(cells []string) string {
		padded := make([]string, len(cells))
		for i, cell := range cells {
			padded[i] = cell + strings.Repeat(" ", widths[i]-len([]rune(cell)))
		}
		return strings.Join(padded, "  ")
	}
	inside := len([]rune(line(rackColumns)))
	fmt.Fprintf(w, "rack %s in region %s: %d units, %d taken, %d free\n\n", e.Rack, e.Region, e.Height, taken, e.Height-taken)
	fmt.Fprintf(w, "     %s\n", strings.TrimRight(line(rackColumns), " "))
	fmt.Fprintf(w, "   ┌%s┐\n", strings.Repeat("─", inside+2))
	above := ""
	for _, u := range e.Units {
		text := strings.Repeat(" ", inside)
		if u.Machine != nil && u.Machine.ID == above {
			text = strings.Repeat("░", inside)
		} else if u.Machine != nil {
			text = line(u.Machine.cells())
		}
		above = ""
		if u.Machine != nil {
			above = u.Machine.ID
		}
		fmt.Fprintf(w, "%2d │ %s │\n", u.Unit, text)
	}
	fmt.Fprintf(w, "   └%s┘\n", strings.Repeat("─", inside+2))
	if len(e.Unplaced) == 0 {
		return
	}
	fmt.Fprintln(w, "\nin the rack, at a position that nobody gave:")
	slices.SortFunc(e.Unplaced, func(x, y occupant) int { return strings.Compare(x.Name, y.Name) })
	for _, o := range e.Unplaced {
		fmt.Fprintf(w, "     %s\n", strings.TrimRight(line(o.cells()), " "))
	}
}
