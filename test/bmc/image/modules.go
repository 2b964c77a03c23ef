package image

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/yunshu/yunshu/cmd/agent/modules"
)

// What a machine needs to be found: disks, network cards, the power button, and hypervisors' versions of those. A
// module that no device asks for and no other depends on is left out.
var wanted = []string{
	"drivers/acpi/button.ko", "drivers/ata/", "drivers/block/virtio_blk.ko", "drivers/char/hw_random/", "drivers/hv/hv_vmbus.ko",
	"drivers/input/evdev.ko", "drivers/message/fusion/", "drivers/net/ethernet/", "drivers/net/hyperv/", "drivers/net/virtio_net.ko",
	"drivers/net/vmxnet3/", "drivers/nvme/host/", "drivers/scsi/", "drivers/virtio/",
}

// choose reads the modules below dir and returns those that are wanted, and their contents by file.
func choose(ctx context.Context, dir string) ([]modules.Module, map[string][]byte, error) {
	paths := map[string]string{} // by module
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths[name(path)] = path
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	c := chooser{ctx: ctx, paths: paths, chosen: map[string]modules.Module{}, files: map[string][]byte{}}
	for _, path := range slices.Sorted(maps.Values(paths)) {
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return nil, nil, err
		}
		if !slices.ContainsFunc(wanted, func(w string) bool { return strings.HasPrefix(rel, w) }) {
			continue
		}
		if err := c.add(name(path), true); err != nil {
			return nil, nil, err
		}
	}
	if len(c.chosen) == 0 {
		return nil, nil, fmt.Errorf("there are none in %s", dir)
	}
	return slices.SortedFunc(maps.Values(c.chosen), func(a, b modules.Module) int { return strings.Compare(a.Name, b.Name) }), c.files, nil
}

// name is a module's name by its file: the kernel writes an underscore where a file may have a hyphen.
func name(path string) string {
	base, _, _ := strings.Cut(filepath.Base(path), ".")
	return strings.ReplaceAll(base, "-", "_")
}

type chooser struct {
	ctx    context.Context
	paths  map[string]string
	chosen map[string]modules.Module
	files  map[string][]byte
}

// add takes a module with all that it depends on; forDevices leaves out what no device asks for.
func (c *chooser) add(name string, forDevices bool) error {
	path, there := c.paths[name]
	if _, have := c.chosen[name]; have || !there { // not there: built into the kernel
		return nil
	}
	data, err := c.read(path)
	if err != nil {
		return err
	}
	m, err := describe(name, data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if forDevices && len(m.Aliases) == 0 {
		return nil
	}
	c.chosen[name], c.files[m.File] = m, data
	for _, d := range m.Depends {
		if err := c.add(d, false); err != nil {
			return err
		}
	}
	return nil
}

// read reads a module, which newer releases of Debian compress.
func (c *chooser) read(path string) ([]byte, error) {
	if !strings.HasSuffix(path, ".xz") {
		return os.ReadFile(path)
	}
	out, err := run(c.ctx, "xz", "-dc", path)
	return []byte(out), err
}

// describe reads what a module says about itself.
func describe(name string, data []byte) (modules.Module, error) {
	m := modules.Module{Name: name, File: name + ".ko", Depends: []string{}, Aliases: []string{}}
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return m, err
	}
	section := file.Section(".modinfo")
	if section == nil {
		return m, errors.New("it has no .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return m, err
	}
	for field := range bytes.SplitSeq(info, []byte{0}) {
		key, value, _ := strings.Cut(string(field), "=")
		switch key {
		case "alias":
			if strings.Contains(value, ":") { // of a device, not of a file system or protocol
				m.Aliases = append(m.Aliases, value)
			}
		case "depends":
			for d := range strings.SplitSeq(value, ",") {
				if d != "" {
					m.Depends = append(m.Depends, strings.ReplaceAll(d, "-", "_"))
				}
			}
		}
	}
	return m, nil
}
