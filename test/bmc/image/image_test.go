package image

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/cavaliergopher/cpio"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/cmd/agent/modules"
)

func TestAnInitramfsHoldsTheAgentAndWhatItReads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	agent, ids := filepath.Join(dir, "agent"), filepath.Join(dir, "pci.ids")
	require.NoError(t, os.WriteFile(agent, []byte("program"), 0o600))
	require.NoError(t, os.WriteFile(ids, []byte("names"), 0o600))
	list := []modules.Module{{Name: "virtio", File: "virtio.ko", Depends: []string{}, Aliases: []string{"pci:v*"}}}
	var out bytes.Buffer
	require.NoError(t, writeArchive(&out, agent, ids, list, map[string][]byte{"virtio.ko": []byte("module")}))

	compressed, err := gzip.NewReader(&out)
	require.NoError(t, err)
	r, found := cpio.NewReader(compressed), map[string]string{}
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		if !h.Mode.IsDir() {
			found[h.Name] = string(content)
		}
		if h.Name == "init" {
			require.EqualValues(t, 0o755, h.Mode.Perm())
		}
	}
	require.Equal(t, map[string]string{
		"init":                     "program",
		"usr/share/misc/pci.ids":   "names",
		"lib/modules/modules.json": `[{"name":"virtio","file":"virtio.ko","depends":[],"aliases":["pci:v*"]}]`,
		"lib/modules/virtio.ko":    "module",
	}, found)
}

func TestAModuleIsNamedAsTheKernelNamesIt(t *testing.T) {
	t.Parallel()
	for file, wanted := range map[string]string{"drivers/hid/hid-generic.ko": "hid_generic", "virtio_net.ko.xz": "virtio_net"} {
		require.Equal(t, wanted, name(file))
	}
}

func TestAnImageIsKeptByWhatItIsMadeOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, other := filepath.Join(dir, "one"), filepath.Join(dir, "other")
	require.NoError(t, os.WriteFile(one, []byte("agent"), 0o600))
	require.NoError(t, os.WriteFile(other, []byte("newer agent"), 0o600))
	keys := map[string]bool{}
	for _, parts := range [][]string{{one, "kernel 1"}, {other, "kernel 1"}, {one, "kernel 2"}, {one, "kernel 1"}} {
		k, err := key(parts[0], parts[1:]...)
		require.NoError(t, err)
		require.Len(t, k, 16)
		keys[k] = true
	}
	require.Len(t, keys, 3)
}

func TestWhatIsNoModuleIsRefused(t *testing.T) {
	t.Parallel()
	_, err := describe("text", []byte("no ELF"))
	require.Error(t, err)
	program, err := os.Executable()
	require.NoError(t, err)
	data, err := os.ReadFile(program)
	require.NoError(t, err)
	_, err = describe("program", data)
	require.EqualError(t, err, "it has no .modinfo")
	_, _, err = choose(t.Context(), t.TempDir())
	require.ErrorContains(t, err, "there are none")
}
