package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// serverFile is a list of servers as people keep it: a table with a header (CSV), or a list of objects with the same names
// (YAML). Whatever is wrong with it is said by its line.
type serverFile struct {
	name  string
	lines []int // of each server
	rows  []map[string]any
	wrong []string
}

// serverColumns are the names of a file's columns, and where they go in the request. What begins with label. is a label.
var serverColumns = map[string]string{
	"name": "name", "rack": "rack", "position": "rack_unit", "height": "rack_height", "bmc": "bmc.address", "user": "bmc.username", "password": "bmc.password",
	"serial": "serial", "mac": "mac", "fingerprint": "bmc.fingerprint", "group": "group", "rotate_password": "bmc.rotate_password",
}

const labelColumn = "label."

func (f *serverFile) say(line int, format string, args ...any) {
	f.wrong = append(f.wrong, fmt.Sprintf("%s:%d: %s", f.name, line, fmt.Sprintf(format, args...)))
}

// readServers reads a list of servers. Its errors never show a value: it may be a password in the wrong column.
func readServers(name string, raw []byte) (*serverFile, error) {
	f := &serverFile{name: name}
	var err error
	if ext := strings.ToLower(filepath.Ext(name)); ext == ".yaml" || ext == ".yml" {
		err = f.readYAML(raw)
	} else {
		err = f.readCSV(raw)
	}
	if err != nil {
		return nil, err
	}
	if len(f.wrong) > 0 {
		return nil, errors.New(strings.Join(f.wrong, "\n"))
	}
	if len(f.rows) == 0 {
		return nil, fmt.Errorf("There are no servers in %s.", name)
	}
	return f, nil
}

func (f *serverFile) readCSV(raw []byte) error {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")))) // spreadsheets begin with that
	r.FieldsPerRecord, r.TrimLeadingSpace = -1, true
	columns, err := r.Read()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("There is nothing in %s.", f.name)
	}
	if err != nil {
		return f.unreadable(err)
	}
	for i := range columns {
		columns[i] = strings.ToLower(strings.TrimSpace(columns[i]))
	}
	if !slices.ContainsFunc(columns, func(c string) bool { return serverColumns[c] != "" }) { // and these are values
		return fmt.Errorf("%s:1: is no header. The first line names the columns, such as name,bmc,user,password.", f.name)
	}
	for _, column := range columns {
		f.checkColumn(1, column)
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return f.unreadable(err)
		}
		line, _ := r.FieldPos(0)
		if len(record) > len(columns) {
			f.say(line, "has %d columns; the header has %d", len(record), len(columns))
			continue
		}
		row := map[string]any{}
		for i, value := range record {
			f.set(row, line, columns[i], value)
		}
		f.add(row, line)
	}
}

// unreadable is what is wrong with a file that is no CSV. The reader's own words hold no value.
func (f *serverFile) unreadable(err error) error {
	var at *csv.ParseError
	if errors.As(err, &at) {
		return fmt.Errorf("%s:%d: %w", f.name, at.Line, at.Err)
	}
	return fmt.Errorf("%s cannot be read: %w", f.name, err)
}

func (f *serverFile) readYAML(raw []byte) error {
	var document yaml.Node
	if yaml.Unmarshal(raw, &document) != nil { // its words may repeat a value
		return fmt.Errorf("%s is not YAML.", f.name)
	}
	if len(document.Content) == 0 || document.Content[0].Kind != yaml.SequenceNode {
		return fmt.Errorf("%s must be a list of servers.", f.name)
	}
	for _, item := range document.Content[0].Content {
		if item.Kind != yaml.MappingNode {
			f.say(item.Line, "must be a server: an object with names such as bmc, user and password")
			continue
		}
		row := map[string]any{}
		for i := 0; i+1 < len(item.Content); i += 2 {
			column, value := item.Content[i], item.Content[i+1]
			if column.Value == "labels" && value.Kind == yaml.MappingNode {
				for j := 0; j+1 < len(value.Content); j += 2 {
					f.set(row, value.Line, labelColumn+value.Content[j].Value, value.Content[j+1].Value)
				}
				continue
			}
			if f.checkColumn(column.Line, column.Value) {
				f.set(row, value.Line, column.Value, value.Value)
			}
		}
		f.add(row, item.Line)
	}
	return nil
}

func (f *serverFile) checkColumn(line int, column string) bool {
	if _, known := serverColumns[column]; known || strings.HasPrefix(column, labelColumn) && len(column) > len(labelColumn) {
		return true
	}
	names := []string{}
	for name := range serverColumns {
		names = append(names, name)
	}
	slices.Sort(names)
	f.say(line, "there is no column %q; there are %s and label.NAME", column, strings.Join(names, ", "))
	return false
}

// set puts a value of a column into a row; an empty one says nothing.
func (f *serverFile) set(row map[string]any, line int, column, value string) {
	if column != "password" {
		value = strings.TrimSpace(value)
	}
	if value == "" {
		return
	}
	if name, isLabel := strings.CutPrefix(column, labelColumn); isLabel {
		labels, _ := row["labels"].(map[string]any)
		if labels == nil {
			labels = map[string]any{}
			row["labels"] = labels
		}
		labels[name] = value
		return
	}
	switch column {
	case "position", "height":
		n, whole := jsonNumber(value)
		if !whole {
			f.say(line, "%s: is not a whole number", column)
			return
		}
		put(row, serverColumns[column], n)
	case "rotate_password":
		yes := slices.Contains([]string{"true", "yes", "1"}, strings.ToLower(value))
		if !yes && !slices.Contains([]string{"false", "no", "0"}, strings.ToLower(value)) {
			f.say(line, "%s: is neither yes nor no", column)
			return
		}
		put(row, serverColumns[column], yes)
	default:
		put(row, serverColumns[column], value)
	}
}

func (f *serverFile) add(row map[string]any, line int) {
	access, _ := row["bmc"].(map[string]any)
	for _, column := range []string{"bmc", "user", "password"} {
		if _, given := access[strings.TrimPrefix(serverColumns[column], "bmc.")]; !given {
			f.say(line, "%s: is missing", column)
		}
	}
	f.rows, f.lines = append(f.rows, row), append(f.lines, line)
}

// column is the name of a request's field in the file.
func column(field string) string {
	for name, path := range serverColumns {
		if path == field {
			return name
		}
	}
	return field
}
