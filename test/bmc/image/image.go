// Package image builds the platform's discovery image: a kernel of Debian's and an initramfs with the modules that
// machines need to be found, the names of PCI devices, and one program, cmd/agent. Nothing is installed for it.
package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Image is what a machine boots.
type Image struct{ Kernel, Initrd string }

// Kernels of Debian's: the small one for virtual machines, and the one with the drivers of servers.
const (
	Virtual  = "linux-image-cloud-amd64"
	Hardware = "linux-image-amd64"
)

const format = "1" // of the initramfs; another one is another image

// Builder builds images in a directory, each of them once.
type Builder struct {
	Dir    string
	Kernel string    // a package; Virtual if empty
	Log    io.Writer // for what is fetched and why; os.Stderr if nil
}

// Build returns the image for virtual machines, and builds it in dir unless it is there already.
func Build(ctx context.Context, dir string) (Image, error) {
	return Builder{Dir: dir}.Build(ctx)
}

// Build returns the image, and builds it unless it is there already: it is kept by what it is made of.
func (b Builder) Build(ctx context.Context) (Image, error) {
	if b.Kernel == "" {
		b.Kernel = Virtual
	}
	if b.Log == nil {
		b.Log = os.Stderr
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return Image{}, errors.New("The discovery image is made of Debian's packages, and this system has no apt-get: build it on Debian, or in a container of debian:stable")
	}
	dir, err := filepath.Abs(b.Dir)
	if err != nil {
		return Image{}, err
	}
	b.Dir = dir
	if err := os.MkdirAll(b.Dir, 0o755); err != nil {
		return Image{}, err
	}
	work, err := os.MkdirTemp(b.Dir, "work-")
	if err != nil {
		return Image{}, err
	}
	defer os.RemoveAll(work)
	agent := filepath.Join(work, "agent")
	if err := buildAgent(ctx, agent); err != nil {
		return Image{}, err
	}
	kernel, names, err := b.packages(ctx)
	if err != nil {
		return Image{}, err
	}
	key, err := key(agent, kernel.file(), names.file())
	if err != nil {
		return Image{}, err
	}
	done := filepath.Join(b.Dir, key)
	made := Image{Kernel: filepath.Join(done, "kernel"), Initrd: filepath.Join(done, "initrd")}
	if _, err := os.Stat(made.Initrd); err == nil {
		return made, nil
	}
	fmt.Fprintf(b.Log, "Building the discovery image with %s.\n", kernel.name)
	if err := b.assemble(ctx, work, agent, kernel, names); err != nil {
		return Image{}, err
	}
	// Somebody else may have built the same at the same time; one of the two is as good as the other.
	if err := os.Rename(filepath.Join(work, "image"), done); err != nil && !errors.Is(err, os.ErrExist) {
		return Image{}, err
	}
	return made, nil
}

// buildAgent builds the agent from the module's sources, wherever those are on this machine.
func buildAgent(ctx context.Context, file string) error {
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/yunshu/yunshu")
	list.Stderr = os.Stderr
	dir, err := list.Output()
	if err != nil {
		return fmt.Errorf("The agent on the discovery image is built from Yunshu's sources, and they are not found from here: %w", err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", file, "./cmd/agent")
	build.Dir = strings.TrimSpace(string(dir))
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("The agent does not build: %w\n%s", err, out)
	}
	return nil
}

// key names an image by what it is made of.
func key(agent string, packages ...string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, format, packages)
	f, err := os.Open(agent)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

// assemble fetches and unpacks the packages and writes the kernel and the initramfs into work/image.
func (b Builder) assemble(ctx context.Context, work, agent string, kernel, names debianPackage) error {
	root := filepath.Join(work, "root")
	for _, p := range []debianPackage{kernel, names} {
		if err := b.unpack(ctx, p, root); err != nil {
			return err
		}
	}
	release := strings.TrimPrefix(kernel.name, "linux-image-")
	out := filepath.Join(work, "image")
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	list, files, err := choose(ctx, filepath.Join(root, "lib/modules", release, "kernel"))
	if err != nil {
		return fmt.Errorf("modules of %s: %w", kernel.name, err)
	}
	if err := writeInitrd(filepath.Join(out, "initrd"), agent, filepath.Join(root, "usr/share/misc/pci.ids"), list, files); err != nil {
		return fmt.Errorf("write the initramfs: %w", err)
	}
	return os.Rename(filepath.Join(root, "boot", "vmlinuz-"+release), filepath.Join(out, "kernel"))
}
