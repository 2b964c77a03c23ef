package machine

import (
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// PowerOff turns the machine off.
func PowerOff() error {
	unix.Sync()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// PowerButton calls pressed when somebody presses the power button, which is also how a BMC asks for a shutdown.
func PowerButton(pressed func(), log *log.Logger) {
	files, _ := filepath.Glob("/dev/input/event*") // the pattern is well-formed
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			log.Printf("The power button is not listened to: %v.", err)
			continue
		}
		go func() {
			defer f.Close()
			if err := untilPressed(f); err != nil {
				log.Printf("%s is not listened to any more: %v.", name, err)
				return
			}
			pressed()
		}()
	}
}

// What the kernel's input.h calls an event: the time in 16 bytes, then these.
type event struct {
	_     [16]byte
	Type  uint16
	Code  uint16
	Value int32
}

const (
	evKey    = 1
	keyPower = 116
)

func untilPressed(r io.Reader) error {
	for {
		var e event
		if err := binary.Read(r, binary.NativeEndian, &e); err != nil {
			return fmt.Errorf("read event: %w", err)
		}
		if e.Type == evKey && e.Code == keyPower && e.Value == 1 {
			return nil
		}
	}
}
