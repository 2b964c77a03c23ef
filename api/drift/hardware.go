package drift

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// inventory notes what the machine is made of now, and adopts it. Before anybody has read it, there is nothing to compare.
func (v *Verdict) inventory(k Known, found contract.Inspected) {
	now := said(k.Inventory, found)
	if !known(k.Inventory) {
		if known(now) {
			v.Inventory = &now
		}
		return
	}
	before := len(v.Differences)
	parts(v, k, models.DriftHardware, "cpus", k.Inventory.CPUs, now.CPUs, func(models.CPU) string { return "" })
	parts(v, k, models.DriftHardware, "memory", k.Inventory.Memory, now.Memory, func(m models.MemoryModule) string { return m.Slot })
	parts(v, k, models.DriftHardware, "disks", k.Inventory.Disks, now.Disks, func(d models.Disk) string { return cmp.Or(d.Serial, d.Name) })
	parts(v, k, models.DriftHardware, "nics", k.Inventory.NICs, now.NICs, func(n models.NIC) string { return cmp.Or(n.MAC, n.Name) })
	parts(v, k, models.DriftHardware, "gpus", k.Inventory.GPUs, now.GPUs, func(g models.GPU) string { return g.Serial })
	parts(v, k, models.DriftFirmware, "firmware", besidesBIOS(k.Inventory), besidesBIOS(now), func(f models.Firmware) string { return f.Name })
	if k.Inventory.BIOS != now.BIOS {
		v.adopt(models.DriftFirmware, "bios", k.Inventory.BIOS, now.BIOS, fmt.Sprintf("The BIOS of %s is at version %s; it was at %s.", k.Name, now.BIOS, cmp.Or(k.Inventory.BIOS, "none that was known")))
	}
	if len(v.Differences) > before || k.Inventory.HardwareIdentity != now.HardwareIdentity {
		v.Inventory = &now
	}
}

// besidesBIOS is the firmware without the BIOS, where that is said on its own: its update is one difference.
func besidesBIOS(i models.Inventory) []models.Firmware {
	return slices.DeleteFunc(slices.Clone(i.Firmware), func(f models.Firmware) bool {
		return f.Version == i.BIOS && strings.Contains(strings.ToUpper(f.Name), "BIOS")
	})
}

func known(i models.Inventory) bool {
	return len(i.CPUs)+len(i.Memory)+len(i.Disks)+len(i.NICs)+len(i.GPUs)+len(i.Firmware) > 0 || i.BIOS != ""
}

// said is the inventory that an observation means. A BMC that lists no processors does not know what its machine is made
// of, and many know less of one that is off: what they do not list is as it was.
func said(was models.Inventory, seen contract.Inspected) models.Inventory {
	now := seen.Inventory
	silent := len(now.CPUs) == 0 || seen.Power == models.PowerOff
	keep(&now.CPUs, was.CPUs, true)
	keep(&now.Memory, was.Memory, true) // no machine runs without
	now = now.Keeping(was)
	keep(&now.Disks, was.Disks, silent)
	keep(&now.NICs, was.NICs, silent)
	keep(&now.GPUs, was.GPUs, silent)
	keep(&now.Firmware, was.Firmware, true)
	now.BIOS = cmp.Or(now.BIOS, was.BIOS)
	now.UUID, now.Serial = cmp.Or(now.UUID, was.UUID), cmp.Or(now.Serial, was.Serial)
	now.Vendor, now.Model = cmp.Or(now.Vendor, was.Vendor), cmp.Or(now.Model, was.Model)
	return now
}

func keep[T any](now *[]T, was []T, silent bool) {
	if len(*now) == 0 && silent {
		*now = was
	}
}

// parts compares the parts of one kind, which are recognised by their key, or by their place where they have none.
func parts[T comparable](v *Verdict, k Known, kind models.DriftKind, what string, was, now []T, key func(T) string) {
	before, after := keyed(what, was, key), keyed(what, now, key)
	for _, b := range before {
		a, still := after.find(b.field)
		switch {
		case !still:
			v.adopt(kind, b.field, b.part, nil, fmt.Sprintf("%s of %s is gone.", b.field, k.Name))
		case a != b.part:
			v.adopt(kind, b.field, b.part, a, fmt.Sprintf("%s of %s has changed.", b.field, k.Name))
		}
	}
	for _, a := range after {
		if _, there := before.find(a.field); !there {
			v.adopt(kind, a.field, nil, a.part, fmt.Sprintf("%s of %s is new.", a.field, k.Name))
		}
	}
}

type named[T any] struct {
	field string
	part  T
}

type list[T any] []named[T]

func (l list[T]) find(field string) (part T, ok bool) {
	for _, n := range l {
		if n.field == field {
			return n.part, true
		}
	}
	return part, false
}

func keyed[T any](what string, parts []T, key func(T) string) list[T] {
	out, names := make(list[T], len(parts)), numbering{}
	for i, p := range parts {
		out[i] = named[T]{names.of(what, key(p), i), p}
	}
	return out
}

// numbering gives each part a name of its own, although BMCs give several the same.
type numbering map[string]int

func (n numbering) of(what, key string, place int) string {
	key = cmp.Or(key, strconv.Itoa(place))
	n[key]++
	if n[key] > 1 {
		key += "#" + strconv.Itoa(n[key])
	}
	return what + "[" + key + "]"
}
