package modules

import (
	"errors"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

var list = []Module{
	{Name: "virtio", File: "virtio.ko", Aliases: []string{}},
	{Name: "virtio_ring", File: "virtio_ring.ko", Depends: []string{"virtio"}},
	{Name: "virtio_pci", File: "virtio_pci.ko", Depends: []string{"virtio_ring", "virtio", "built_in"}, Aliases: []string{"pci:v00001AF4d*sv*sd*bc*sc*i*"}},
	{Name: "virtio_net", File: "virtio_net.ko", Depends: []string{"virtio_ring"}, Aliases: []string{"virtio:d00000001v*"}},
	{Name: "button", File: "button.ko", Aliases: []string{"acpi*:LNXPWRBN:*"}},
	{Name: "evdev", File: "evdev.ko", Aliases: []string{"input:b*v*p*e*-e*k*"}},
	{Name: "ice", File: "ice.ko", Aliases: []string{"pci:v00008086d00001593sv*sd*bc*sc*i*"}},
}

func device(modalias string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(modalias + "\n")} }

func TestADeviceGetsItsModulesAfterWhatTheyDependOn(t *testing.T) {
	t.Parallel()
	var loaded []string
	l := NewLoader(list, func(file string) error { loaded = append(loaded, file); return nil })
	root := fstest.MapFS{"sys/bus/pci/devices/0000:00:02.0/modalias": device("pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00")}
	n, err := l.Devices(root)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Equal(t, []string{"lib/modules/virtio.ko", "lib/modules/virtio_ring.ko", "lib/modules/virtio_pci.ko"}, loaded)

	// The module brought a device, and others appeared meanwhile.
	root["sys/bus/virtio/devices/virtio0/modalias"] = device("virtio:d00000001v00001AF4")
	root["sys/bus/acpi/devices/LNXPWRBN:00/modalias"] = device("acpi:LNXPWRBN:")
	root["sys/class/input/input3/modalias"] = device("input:b0019v0000p0001e0000-e0,1,k74,ramlsfw")
	n, err = l.Devices(root)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.ElementsMatch(t, []string{"lib/modules/virtio_net.ko", "lib/modules/button.ko", "lib/modules/evdev.ko"}, loaded[3:])

	n, err = l.Devices(root)
	require.NoError(t, err)
	require.Zero(t, n, "nothing is loaded twice")
}

func TestAModuleThatDoesNotLoadDoesNotKeepTheOthers(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	var loaded []string
	l := NewLoader(list, func(file string) error {
		if file == "lib/modules/virtio_ring.ko" {
			return broken
		}
		loaded = append(loaded, file)
		return nil
	})
	n, err := l.Devices(fstest.MapFS{
		"sys/bus/pci/devices/0000:00:02.0/modalias": device("pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00"),
		"sys/bus/pci/devices/0000:17:00.0/modalias": device("pci:v00008086d00001593sv00008086sd00000002bc02sc00i00"),
	})
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "module virtio_ring")
	require.Equal(t, 2, n)
	require.Equal(t, []string{"lib/modules/virtio.ko", "lib/modules/ice.ko"}, loaded)
}
