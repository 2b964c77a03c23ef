package wipe

import (
	"bytes"
	"errors"
	"io"
	"log"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/cmd/agent/inventory"
)

var errUnsupported = errors.New("operation not supported")

// disk is one in memory, with the faults that disks have.
type disk struct {
	data    []byte
	discard func(d *disk) error
	write   func(d *disk, p []byte, at int64) (int, error)
	flushed int
}

func newDisk(discard func(*disk) error) *disk {
	return &disk{data: bytes.Repeat([]byte("secret"), chunk/4), discard: discard}
}

func (d *disk) Size() int64                            { return int64(len(d.data)) }
func (d *disk) ReadAt(p []byte, at int64) (int, error) { return copy(p, d.data[at:]), nil }
func (d *disk) Discard() error                         { return d.discard(d) }
func (d *disk) Flush() error                           { d.flushed++; return nil }
func (d *disk) Close() error                           { return nil }
func (d *disk) WriteAt(p []byte, at int64) (int, error) {
	if d.write != nil {
		return d.write(d, p, at)
	}
	return copy(d.data[at:], p), nil
}

func discards(d *disk) error { clear(d.data); return nil }
func cannot(*disk) error     { return errUnsupported }
func lies(*disk) error       { return nil }

// wiped wipes one disk.
func wiped(t *testing.T, d *disk) ([]Result, error) {
	t.Helper()
	return Disks(t.Context(), []inventory.Disk{{Name: "sda", Serial: "S1", SizeGiB: 480}}, func(string) (Device, error) { return d, nil }, log.New(io.Discard, "", 0))
}

func TestADiskForgets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		discard func(*disk) error
		method  string
	}{
		"by discarding":                        {discards, Discarded},
		"by overwriting":                       {cannot, Overwritten},
		"by overwriting what it still knew of": {lies, Overwritten},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDisk(c.discard)
			results, err := wiped(t, d)
			require.NoError(t, err)
			require.Equal(t, []Result{{Name: "sda", Serial: "S1", SizeGiB: 480, Method: c.method, Verified: true}}, results)
			require.True(t, zero(d.data))
			require.NotZero(t, d.flushed, "what is read back comes from the disk")
		})
	}
}

func TestADiskThatRemembersIsToldOf(t *testing.T) {
	t.Parallel()
	d := newDisk(cannot)
	d.write = func(_ *disk, p []byte, _ int64) (int, error) { return len(p), nil }
	results, err := wiped(t, d)
	require.EqualError(t, err, `Disk sda (serial "S1") could not be wiped: it was overwritten with zeros, but other bytes were read back.`)
	require.Equal(t, []Result{{Name: "sda", Serial: "S1", SizeGiB: 480, Method: Overwritten}}, results)
}

func TestABrokenDiskDoesNotKeepTheOthers(t *testing.T) {
	t.Parallel()
	good := newDisk(discards)
	open := func(name string) (Device, error) {
		if name == "sda" {
			return nil, errors.New("device or resource busy")
		}
		require.Equal(t, "sdb", name)
		return good, nil
	}
	results, err := Disks(t.Context(), []inventory.Disk{{Name: "sda"}, {Name: "sdb"}, {Name: "sdc", ReadOnly: true}}, open, log.New(io.Discard, "", 0))
	require.EqualError(t, err, `Disk sda (serial "") could not be wiped: device or resource busy.
Disk sdc (serial "") could not be wiped: it is read-only, as worn-out disks are, so what is on it stays.`)
	require.Equal(t, []Result{{Name: "sda"}, {Name: "sdb", Method: Discarded, Verified: true}, {Name: "sdc"}}, results)
}

func TestWhatIsReadBack(t *testing.T) {
	t.Parallel()
	count := func(size int64) (n int, last int64) {
		for at := range places(size) {
			n, last = n+1, at
		}
		return n, last
	}
	n, last := count(10*chunk + 1)
	require.Equal(t, 11, n, "all of a small disk")
	require.EqualValues(t, 10*chunk, last)
	n, last = count(4 << 40)
	require.InDelta(t, samples, n, 2, "samples of a large one")
	require.EqualValues(t, 4<<40-chunk, last, "to its very end")
}

func TestZero(t *testing.T) {
	t.Parallel()
	b := make([]byte, 19)
	require.True(t, zero(b))
	require.True(t, zero(nil))
	for i := range b {
		b[i] = 1
		require.False(t, zero(b), i)
		b[i] = 0
	}
}
