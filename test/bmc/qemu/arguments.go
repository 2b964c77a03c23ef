package qemu

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/yunshu/yunshu/test/bmc"
)

// arguments is QEMU's command line. Only what the machine shall boot from has a place in the boot order, so that nothing
// else boots when that cannot.
func arguments(o Options, b bmc.Boot, disk, console, media string) ([]string, error) {
	if b.MAC == "" || b.UUID == "" {
		return nil, errors.New("A machine needs a MAC address and a UUID")
	}
	card := "virtio-net-pci,netdev=lan,mac=" + b.MAC
	network := "user,id=lan"
	drive := "virtio-blk-pci,drive=disk,serial=" + value(serial(o.Serial+"-disk"))
	var drives []string
	switch b.Device {
	case bmc.PXE:
		if o.BootURL == "" {
			return nil, errors.New("To boot from the network, a machine needs the URL of the boot service")
		}
		script, err := Inside(o.BootURL)
		if err != nil {
			return nil, fmt.Errorf("boot URL: %w", err)
		}
		card += ",bootindex=0"
		network += ",bootfile=" + value(script+"/boot/ipxe/"+b.MAC)
	case bmc.Disk:
		card += ",romfile="
		drive += ",bootindex=0"
	case bmc.CD, bmc.USB:
		card += ",romfile="
		drives = []string{"-drive", "if=none,id=medium,media=cdrom,readonly=on,format=raw,file=" + value(media)}
		if b.Device == bmc.CD {
			drives = append(drives, "-device", "ide-cd,drive=medium,bootindex=0")
		} else {
			drives = append(drives, "-device", "qemu-xhci", "-device", "usb-storage,drive=medium,bootindex=0")
		}
	default:
		return nil, fmt.Errorf("A machine boots from pxe, cd, usb or disk, not from %q", b.Device)
	}
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none",
		"-machine", "pc,accel=tcg", "-cpu", "qemu64", "-smp", strconv.Itoa(o.CPUs), "-m", strconv.Itoa(o.MemoryMiB),
		"-uuid", b.UUID,
		"-smbios", fmt.Sprintf("type=1,manufacturer=%s,product=%s,serial=%s,uuid=%s", value(o.Vendor), value(o.Model), value(o.Serial), b.UUID),
		"-qmp", "stdio", "-serial", "file:" + value(console),
		"-boot", "strict=on",
		"-netdev", network, "-device", card,
		"-drive", "if=none,id=disk,format=raw,discard=unmap,file=" + value(disk), "-device", drive,
		"-device", "virtio-rng-pci",
	}
	return append(args, drives...), nil
}

// value writes a comma as QEMU wants it inside a list.
func value(s string) string { return strings.ReplaceAll(s, ",", ",,") }

// serial is what fits into a virtio disk's serial number.
func serial(s string) string { return s[max(0, len(s)-20):] }
