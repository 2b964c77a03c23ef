package api

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/yunshu/yunshu/models"
)

// Bounds of a report: more is no machine.
const (
	mostParts   = 512 // of a kind
	longestPart = 256
	longestWhy  = 1000
	largestPart = int64(1) << 40
)

// check looks at a report, which comes from a machine that may be anybody's, and writes ids and interfaces as we do. It
// names everything that is wrong at once.
func (r *bootReport) check() error {
	c := &reportCheck{}
	purposes := []models.BootPurpose{models.BootDiscovery, models.BootWipe, models.BootProvision}
	c.require(slices.Contains(purposes, r.Purpose), "purpose", "must be discovery, wipe or provision")
	c.require(len(r.Error) <= longestWhy && !strings.ContainsFunc(r.Error, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }), "error",
		fmt.Sprintf("must have at most %d characters, and no control characters but new lines and tabs", longestWhy))
	c.require(len(r.Wiped) <= mostParts, "wiped", tooManyParts)
	if r.Inventory != nil {
		c.inventory(r.Inventory)
	}
	if r.Purpose == models.BootDiscovery && r.Error == "" {
		c.require(r.Inventory != nil, "inventory", "is needed of a discovery that has no error")
	}
	for i, w := range r.Wiped {
		if i == mostParts {
			break
		}
		at := fmt.Sprintf("wiped[%d]", i)
		c.texts(at, w.Name, w.Serial, w.Method)
		c.amounts(at, w.SizeGiB)
		c.require(w.Name != "" && w.Method != "", at, "needs a name and a method")
	}
	return faulty(c.wrong)
}

const tooManyParts = "has more than 512 entries"

type reportCheck struct{ wrong []models.FieldError }

func (c *reportCheck) require(ok bool, field, message string) {
	if !ok && len(c.wrong) < mostUnstorable {
		c.wrong = append(c.wrong, models.FieldError{Field: "body." + field, Message: message})
	}
}

func (c *reportCheck) texts(at string, texts ...string) {
	for _, t := range texts {
		c.require(len(t) <= longestPart && !strings.ContainsFunc(t, func(r rune) bool { return r < ' ' || r == 0x7f }), at,
			fmt.Sprintf("has a text with control characters, or longer than %d characters", longestPart))
	}
}

func (c *reportCheck) amounts(at string, amounts ...int64) {
	for _, n := range amounts {
		c.require(n >= 0 && n <= largestPart, at, "has a number below 0, or beyond what a machine has")
	}
}

// parts looks at each part of a kind.
func parts[T any](c *reportCheck, name string, all []T, look func(at string, part *T)) {
	c.require(len(all) <= mostParts, "inventory."+name, tooManyParts)
	for i := range min(len(all), mostParts) {
		look(fmt.Sprintf("inventory.%s[%d]", name, i), &all[i])
	}
}

func (c *reportCheck) inventory(i *models.Inventory) {
	i.UUID, i.Serial = strings.ToLower(strings.TrimSpace(i.UUID)), strings.TrimSpace(i.Serial)
	c.texts("inventory", i.UUID, i.Serial, i.Vendor, i.Model, i.BIOS)
	parts(c, "cpus", i.CPUs, func(at string, p *models.CPU) { c.texts(at, p.Model); c.amounts(at, p.Cores, p.Threads, p.MHz) })
	parts(c, "memory", i.Memory, func(at string, p *models.MemoryModule) {
		c.texts(at, p.Slot, p.Type, p.Serial)
		c.amounts(at, p.SizeMiB, p.MHz)
	})
	parts(c, "disks", i.Disks, func(at string, p *models.Disk) {
		c.texts(at, p.Name, p.Model, p.Serial, p.Kind)
		c.amounts(at, p.SizeGiB)
	})
	parts(c, "nics", i.NICs, func(at string, p *models.NIC) {
		c.texts(at, p.Name, p.Model)
		c.amounts(at, p.SpeedMbps)
		mac, err := net.ParseMAC(p.MAC) // others than Ethernet's are longer
		c.require(err == nil, at+".mac", "is not a hardware address")
		p.MAC = mac.String()
	})
	parts(c, "gpus", i.GPUs, func(at string, p *models.GPU) { c.texts(at, p.Model, p.Vendor, p.Serial); c.amounts(at, p.MemoryMiB) })
	parts(c, "firmware", i.Firmware, func(at string, p *models.Firmware) { c.texts(at, p.Name, p.Version) })
}
