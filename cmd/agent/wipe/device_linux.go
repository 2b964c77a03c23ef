package wipe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// block is a block device of the kernel.
type block struct {
	*os.File
	size int64
}

// Open opens a disk by its name in /dev. It fails when something uses the disk, such as a mounted file system.
func Open(name string) (Device, error) {
	f, err := os.OpenFile(filepath.Join("/dev", name), os.O_RDWR|unix.O_EXCL, 0)
	if err != nil {
		return nil, err
	}
	b := &block{File: f}
	if err := b.ioctl(unix.BLKGETSIZE64, unsafe.Pointer(&b.size)); err != nil {
		return nil, errors.Join(fmt.Errorf("its size is not known: %w", err), f.Close())
	}
	return b, nil
}

func (b *block) Size() int64 { return b.size }

func (b *block) Discard() error {
	all := [2]uint64{0, uint64(b.size)}
	return b.ioctl(unix.BLKDISCARD, unsafe.Pointer(&all))
}

func (b *block) Flush() error {
	if err := b.Sync(); err != nil {
		return err
	}
	return b.ioctl(unix.BLKFLSBUF, nil)
}

func (b *block) ioctl(request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, b.Fd(), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
