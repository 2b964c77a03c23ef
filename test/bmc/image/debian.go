package image

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// debianPackage is one version of a package.
type debianPackage struct{ name, version, why string }

// file is what the package is kept as.
func (p debianPackage) file() string {
	return p.name + "_" + strings.ReplaceAll(p.version, ":", "%3a") + ".deb"
}

// packages finds the versions that this Debian offers.
func (b Builder) packages(ctx context.Context) (kernel, names debianPackage, err error) {
	kernel, names, err = b.offered(ctx)
	if err == nil || os.Getuid() != 0 {
		return kernel, names, err
	}
	if err := b.refresh(ctx); err != nil { // a container has no lists at first
		return kernel, names, err
	}
	return b.offered(ctx)
}

func (b Builder) offered(ctx context.Context) (kernel, names debianPackage, err error) {
	// What is asked for by its lasting name only depends on the package of the newest release.
	depends, err := run(ctx, "apt-cache", "depends", "--important", b.Kernel)
	if err != nil {
		return kernel, names, fmt.Errorf("The discovery image needs Debian's package %s, and apt does not know it (on another system than Debian it has another name; where no list was fetched yet, apt-get update helps): %w", b.Kernel, err)
	}
	release := ""
	for line := range strings.Lines(depends) {
		if _, name, ok := strings.Cut(line, "Depends: linux-image-"); ok && release == "" {
			release = "linux-image-" + strings.TrimSpace(name)
		}
	}
	if release == "" {
		return kernel, names, fmt.Errorf("Debian's package %s depends on no linux-image, so there is no kernel for the discovery image", b.Kernel)
	}
	if kernel, err = offer(ctx, release, "the kernel and its modules"); err != nil {
		return kernel, names, err
	}
	names, err = offer(ctx, "pci.ids", "the names of PCI devices")
	return kernel, names, err
}

func offer(ctx context.Context, name, why string) (debianPackage, error) {
	shown, err := run(ctx, "apt-cache", "show", "--no-all-versions", name)
	if err != nil {
		return debianPackage{}, fmt.Errorf("The discovery image needs Debian's package %s (%s), and apt does not know it: %w", name, why, err)
	}
	for line := range strings.Lines(shown) {
		if version, ok := strings.CutPrefix(line, "Version: "); ok {
			return debianPackage{name, strings.TrimSpace(version), why}, nil
		}
	}
	return debianPackage{}, fmt.Errorf("apt knows the package %s, but no version of it", name)
}

// unpack unpacks a package below root. It is fetched unless it was fetched before.
func (b Builder) unpack(ctx context.Context, p debianPackage, root string) error {
	file := filepath.Join(b.Dir, p.file())
	if _, err := os.Stat(file); err != nil {
		if err := b.fetch(ctx, p, file); err != nil {
			return fmt.Errorf("fetch Debian's package %s: %w", p.name, err)
		}
	}
	_, err := run(ctx, "dpkg", "-x", file, root)
	return err
}

func (b Builder) fetch(ctx context.Context, p debianPackage, file string) error {
	fmt.Fprintf(b.Log, "Fetching Debian's package %s %s with apt-get: %s on the discovery image. It is not installed.\n", p.name, p.version, p.why)
	dir, err := os.MkdirTemp(b.Dir, "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := download(ctx, dir, p); err != nil {
		if os.Getuid() != 0 {
			return err
		}
		// The archive has gone on since its lists were fetched.
		if err := b.refresh(ctx); err != nil {
			return err
		}
		if err := download(ctx, dir, p); err != nil {
			return err
		}
	}
	found, _ := filepath.Glob(filepath.Join(dir, "*.deb")) // the pattern is well-formed
	if len(found) != 1 {
		return fmt.Errorf("apt-get downloaded %d files instead of one", len(found))
	}
	return os.Rename(found[0], file)
}

func download(ctx context.Context, dir string, p debianPackage) error {
	cmd := command(ctx, "apt-get", "-o", "APT::Sandbox::User=root", "download", p.name+"="+p.version)
	cmd.Dir = dir
	_, err := output(cmd)
	return err
}

func (b Builder) refresh(ctx context.Context) error {
	fmt.Fprintln(b.Log, "Asking Debian's archive with apt-get update what it has: the discovery image is made of its packages.")
	_, err := run(ctx, "apt-get", "update")
	return err
}

func run(ctx context.Context, name string, args ...string) (string, error) {
	return output(command(ctx, name, args...))
}

func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	return cmd
}

// output runs a command; what it complains about is part of the error.
func output(cmd *exec.Cmd) (string, error) {
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(complaints.String()))
	}
	return string(out), nil
}
