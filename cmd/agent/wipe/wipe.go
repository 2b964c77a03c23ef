// Package wipe makes disks forget. It believes a disk only when it has read the zeros back.
package wipe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"

	"github.com/yunshu/yunshu/cmd/agent/inventory"
)

// How a disk was made to forget.
const (
	Discarded   = "discard"
	Overwritten = "zero"
)

// Result says what became of one disk.
type Result struct {
	Name     string `json:"name"`
	Serial   string `json:"serial"`
	SizeGiB  int64  `json:"size_gib"`
	Method   string `json:"method"`
	Verified bool   `json:"verified"`
}

// Device is a disk that is open for nobody else.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Size() int64
	Discard() error // tells the disk that nothing on it is needed; not every disk can
	Flush() error   // brings everything to the disk and forgets what is cached of it
	Close() error
}

var errReadOnly = errors.New("it is read-only, as worn-out disks are, so what is on it stays")

// Disks wipes each disk. A disk that cannot be wiped does not keep the others; the error names all of those. A read-only one
// is such a disk: what somebody wrote before it wore out can still be read.
func Disks(ctx context.Context, disks []inventory.Disk, open func(name string) (Device, error), log *log.Logger) ([]Result, error) {
	results := []Result{}
	var failed []error
	for _, d := range disks {
		log.Printf("Wiping disk %s (%d GiB).", d.Name, d.SizeGiB)
		r := Result{Name: d.Name, Serial: d.Serial, SizeGiB: d.SizeGiB}
		err := errReadOnly
		if !d.ReadOnly {
			err = r.wipe(ctx, open)
		}
		if err != nil {
			err = fmt.Errorf("Disk %s (serial %q) could not be wiped: %w.", d.Name, d.Serial, err)
			log.Print(err)
			failed = append(failed, err)
		} else {
			log.Printf("Disk %s is wiped (%s) and read back as zeros.", d.Name, r.Method)
		}
		results = append(results, r)
	}
	return results, errors.Join(failed...)
}

func (r *Result) wipe(ctx context.Context, open func(string) (Device, error)) error {
	dev, err := open(r.Name)
	if err != nil {
		return err
	}
	defer dev.Close()
	// A disk that cannot discard, or that discards and still knows, is overwritten.
	if dev.Discard() == nil {
		r.Method = Discarded
		if r.Verified, err = verify(ctx, dev); err != nil || r.Verified {
			return err
		}
	}
	r.Method = Overwritten
	if err := overwrite(ctx, dev); err != nil {
		return err
	}
	if r.Verified, err = verify(ctx, dev); err != nil {
		return err
	}
	if !r.Verified {
		return errors.New("it was overwritten with zeros, but other bytes were read back")
	}
	return nil
}

const chunk = 1 << 20

func overwrite(ctx context.Context, dev Device) error {
	zeros := make([]byte, chunk)
	for at := int64(0); at < dev.Size(); at += chunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := dev.WriteAt(zeros[:min(chunk, dev.Size()-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// What is larger than wholly is verified at samples: reading all of it takes as long as writing it, and a disk that lies
// in one place does so in many.
const (
	wholly  = 1 << 30
	samples = 1024
)

// verify is true when only zeros are read back.
func verify(ctx context.Context, dev Device) (bool, error) {
	if err := dev.Flush(); err != nil {
		return false, err
	}
	buffer := make([]byte, chunk)
	for at := range places(dev.Size()) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		part := buffer[:min(chunk, dev.Size()-at)]
		if _, err := dev.ReadAt(part, at); err != nil {
			return false, err
		}
		if !zero(part) {
			return false, nil
		}
	}
	return true, nil
}

// places goes through the chunks to read: all of them, or the first, the last, and between them at even distances.
func places(size int64) func(yield func(int64) bool) {
	return func(yield func(int64) bool) {
		step := int64(chunk)
		if size > wholly {
			step = (size - chunk) / samples
		}
		for at := int64(0); at < size; at += step {
			if !yield(at) {
				return
			}
		}
		if size > wholly {
			yield(size - chunk)
		}
	}
}

// zero looks at eight bytes at a time.
func zero(b []byte) bool {
	for len(b) >= 8 {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
