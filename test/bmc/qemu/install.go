package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

const program = "qemu-system-x86_64"

// Binary finds QEMU, and installs Debian's where there is none. ipxe-qemu comes with it: the network cards' boot ROMs.
func Binary(ctx context.Context, log io.Writer) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Getuid() != 0 {
		return "", fmt.Errorf("There is no %s here, and without it no machine really boots: install it (on Debian and Ubuntu: sudo apt-get install qemu-system-x86 ipxe-qemu)", program)
	}
	fmt.Fprintln(log, "Installing Debian's qemu-system-x86 and ipxe-qemu with apt-get: a machine that really boots behind a simulated BMC.")
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", "qemu-system-x86", "ipxe-qemu"}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("apt-get %s: %w", strings.Join(args, " "), err)
		}
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("apt-get installed qemu-system-x86, but %s is not on the PATH", program)
	}
	return path, nil
}

// A virtual medium is fetched before the machine starts, as a BMC does.
const fetchFor = 2 * time.Minute

// fetchMedia copies a medium into dir and returns the file.
func fetchMedia(from, dir string) (file string, err error) {
	if from == "" {
		return "", errors.New("There is no virtual medium to boot from")
	}
	client := &http.Client{Timeout: fetchFor}
	res, err := client.Get(from)
	if err != nil {
		return "", fmt.Errorf("fetch the virtual medium: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("fetch the virtual medium %s: %s", from, res.Status)
	}
	f, err := os.CreateTemp(dir, "media-*.iso")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, res.Body)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("fetch the virtual medium %s: %w", from, err), os.Remove(f.Name()))
	}
	return f.Name(), nil
}
