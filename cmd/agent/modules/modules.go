// Package modules knows which of the kernel's modules a machine needs: those whose aliases match a device, after those
// that they depend on. The list is written when the image is built and read when it boots.
package modules

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Dir and File are where the modules and their list are on the image.
const (
	Dir  = "lib/modules"
	File = "lib/modules/modules.json"
)

// Module is one file of the kernel's.
type Module struct {
	Name    string   `json:"name"`
	File    string   `json:"file"`
	Depends []string `json:"depends"`
	Aliases []string `json:"aliases"`
}

// Loader loads each module at most once.
type Loader struct {
	load   func(file string) error
	byName map[string]Module
	byBus  map[string][]alias
	asked  map[string]bool // modules
	seen   map[string]bool // aliases of devices
}

type alias struct{ pattern, module string }

// NewLoader returns a loader of modules; load puts one file into the kernel.
func NewLoader(list []Module, load func(file string) error) *Loader {
	l := &Loader{load: load, byName: map[string]Module{}, byBus: map[string][]alias{}, asked: map[string]bool{}, seen: map[string]bool{}}
	for _, m := range list {
		l.byName[m.Name] = m
		for _, pattern := range m.Aliases {
			bus := busOf(pattern)
			l.byBus[bus] = append(l.byBus[bus], alias{pattern, m.Name})
		}
	}
	return l
}

// Devices loads what the devices need that have appeared since the last call, and returns how many modules that were.
// A module that cannot be loaded does not keep the others.
func (l *Loader) Devices(root fs.FS) (int, error) {
	files, err := fs.Glob(root, "sys/bus/*/devices/*/modalias")
	if err != nil {
		return 0, err
	}
	inputs, err := fs.Glob(root, "sys/class/input/input*/modalias") // input devices are on no bus
	if err != nil {
		return 0, err
	}
	loaded := 0
	var failed []error
	for _, file := range append(files, inputs...) {
		data, err := fs.ReadFile(root, file)
		if err != nil {
			continue // the device has gone
		}
		device := strings.TrimSpace(string(data))
		if l.seen[device] {
			continue
		}
		l.seen[device] = true
		for _, name := range l.matching(device) {
			n, err := l.module(name)
			loaded += n
			if err != nil {
				failed = append(failed, err)
			}
		}
	}
	return loaded, errors.Join(failed...)
}

func (l *Loader) matching(device string) []string {
	var names []string
	for _, a := range l.byBus[busOf(device)] {
		if ok, err := path.Match(a.pattern, device); err == nil && ok && !slices.Contains(names, a.module) {
			names = append(names, a.module)
		}
	}
	return names
}

// busOf is what an alias begins with; some patterns write it as acpi*.
func busOf(alias string) string {
	bus, _, _ := strings.Cut(alias, ":")
	return strings.TrimRight(bus, "*")
}

// module loads a module after those that it depends on. What is not on the image is built into the kernel.
func (l *Loader) module(name string) (int, error) {
	m, there := l.byName[name]
	if !there || l.asked[name] {
		return 0, nil
	}
	l.asked[name] = true
	loaded := 0
	for _, d := range m.Depends {
		n, err := l.module(d)
		loaded += n
		if err != nil {
			return loaded, err
		}
	}
	if err := l.load(path.Join(Dir, m.File)); err != nil {
		return loaded, fmt.Errorf("module %s: %w", name, err)
	}
	return loaded + 1, nil
}
