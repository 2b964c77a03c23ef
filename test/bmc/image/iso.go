package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Where Debian's packages isolinux and syslinux-common put what starts a kernel from an ISO.
const (
	loader       = "/usr/lib/ISOLINUX/isolinux.bin"
	loaderModule = "/usr/lib/syslinux/modules/bios/ldlinux.c32"
)

// ISO writes the image as a medium that a BMC can put into a machine, for machines that start by a BIOS. A medium may be
// read by anybody, so the command line carries no token: the machine claims one.
func (i Image) ISO(ctx context.Context, file, cmdline string, log io.Writer) error {
	if strings.Contains(cmdline, "yunshu.token=") {
		return errors.New("An ISO may be read by anybody, so no token belongs on it: the machine asks the gateway for one")
	}
	if err := installISO(ctx, log); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(file), "iso-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	tree := filepath.Join(work, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	for name, from := range map[string]string{"kernel": i.Kernel, "initrd": i.Initrd, "isolinux.bin": loader, "ldlinux.c32": loaderModule} {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(tree, name), data, 0o644); err != nil {
			return err
		}
	}
	menu := "SERIAL 0\nDEFAULT discovery\nPROMPT 0\nLABEL discovery\n  LINUX /kernel\n  INITRD /initrd\n  APPEND " + cmdline + "\n"
	if err := os.WriteFile(filepath.Join(tree, "isolinux.cfg"), []byte(menu), 0o644); err != nil {
		return err
	}
	made := filepath.Join(work, "discovery.iso")
	_, err = run(ctx, "xorriso", "-as", "mkisofs", "-quiet", "-o", made, "-V", "YUNSHU", "-b", "isolinux.bin", "-c", "boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", tree)
	if err != nil {
		return err
	}
	return os.Rename(made, file)
}

// installISO installs what writes an ISO, where it is not.
func installISO(ctx context.Context, log io.Writer) error {
	if haveISO() {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Getuid() != 0 {
		return errors.New("To write an ISO, xorriso and isolinux are needed: install them (on Debian: sudo apt-get install xorriso isolinux syslinux-common)")
	}
	fmt.Fprintln(log, "Installing Debian's xorriso, isolinux and syslinux-common with apt-get: an ISO of the discovery image.")
	if _, err := run(ctx, "apt-get", "update"); err != nil {
		return err
	}
	if _, err := run(ctx, "apt-get", "install", "-y", "--no-install-recommends", "xorriso", "isolinux", "syslinux-common"); err != nil {
		return err
	}
	if !haveISO() {
		return errors.New("apt-get installed xorriso, isolinux and syslinux-common, but not all of what an ISO needs is there")
	}
	return nil
}

func haveISO() bool {
	_, err := exec.LookPath("xorriso")
	for _, file := range []string{loader, loaderModule} {
		_, missing := os.Stat(file)
		err = errors.Join(err, missing)
	}
	return err == nil
}
