package image

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path"
	"slices"

	"github.com/cavaliergopher/cpio"

	"github.com/yunshu/yunshu/cmd/agent/modules"
)

// writeInitrd writes the initramfs: the agent as the first process, and what it reads.
func writeInitrd(file, agent, pciIDs string, list []modules.Module, files map[string][]byte) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := writeArchive(out, agent, pciIDs, list, files); err != nil {
		return err
	}
	return out.Close()
}

func writeArchive(out io.Writer, agent, pciIDs string, list []modules.Module, files map[string][]byte) error {
	compressed := gzip.NewWriter(out)
	w := archive{cpio.NewWriter(compressed)}
	for _, dir := range []string{"dev", "etc", "lib", "lib/modules", "proc", "sys", "usr", "usr/share", "usr/share/misc"} {
		if err := w.WriteHeader(&cpio.Header{Name: dir, Mode: cpio.TypeDir | 0o755, Links: 2}); err != nil {
			return err
		}
	}
	for name, from := range map[string]string{"init": agent, "usr/share/misc/pci.ids": pciIDs} {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := w.file(name, 0o755, data); err != nil {
			return err
		}
	}
	index, err := json.Marshal(list)
	if err != nil {
		return err
	}
	if err := w.file(modules.File, 0o644, index); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.file(path.Join(modules.Dir, name), 0o644, files[name]); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return compressed.Close()
}

type archive struct{ *cpio.Writer }

func (a archive) file(name string, mode cpio.FileMode, data []byte) error {
	if err := a.WriteHeader(&cpio.Header{Name: name, Mode: cpio.TypeReg | mode, Size: int64(len(data)), Links: 1}); err != nil {
		return err
	}
	_, err := a.Write(data)
	return err
}
