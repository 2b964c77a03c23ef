// Package machine does what an operating system does for its programs: the agent is the only one here.
package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/yunshu/yunshu/cmd/agent/modules"
)

// Mount makes the kernel's file systems visible.
func Mount() error {
	for _, m := range []struct{ dir, kind string }{{"/proc", "proc"}, {"/sys", "sysfs"}, {"/dev", "devtmpfs"}} {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.dir, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) { // EBUSY: already there
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	return nil
}

// WaitForRandom returns when the kernel has random numbers. Who waits for them has the kernel gather them itself, where
// the machine has no source of its own; the DHCP client only asks again and again, which does not.
func WaitForRandom() error {
	_, err := unix.Getrandom(make([]byte, 1), 0)
	return err
}

// A module may bring devices that need other modules, some of them a moment later.
const (
	settled = 5
	moment  = 100 * time.Millisecond
)

// LoadModules loads what this machine's devices need, until no more devices appear.
func LoadModules(root fs.FS, log *log.Logger) error {
	data, err := fs.ReadFile(root, modules.File)
	if err != nil {
		return err
	}
	var list []modules.Module
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("%s: %w", modules.File, err)
	}
	loader := modules.NewLoader(list, load)
	all := 0
	for quiet := 0; quiet < settled; quiet++ {
		n, err := loader.Devices(root)
		if err != nil {
			log.Printf("Some modules could not be loaded; what needs them is not in the inventory: %v", err)
		}
		if all += n; n > 0 {
			quiet = 0
		}
		time.Sleep(moment)
	}
	log.Printf("Loaded %d modules.", all)
	return nil
}

func load(file string) error {
	f, err := os.Open("/" + file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}
