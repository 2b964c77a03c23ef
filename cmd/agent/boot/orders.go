// Package boot is the agent's side of the gateway's boot service: what a machine is booted for, and what it tells.
package boot

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// What a machine is booted for.
const (
	Discovery = "discovery" // tell what the machine is made of
	Wipe      = "wipe"      // forget what is on its disks
	Provision = "provision" // tell that the machine is there and ready for its image
)

// Orders say what to do and who is told.
type Orders struct {
	URL     string // of the gateway, without a path
	Token   string // good for one boot of one machine; empty when it has to be asked for
	Purpose string
	UUID    string // of the machine that is meant; empty when nobody said
	MAC     string // of the interface that the firmware booted from, if it says so
}

// ErrNobody says that the kernel's command line names nobody to report to.
var ErrNobody = errors.New("The kernel's command line has no yunshu.url, so there is nobody to report to. Add yunshu.url=http://GATEWAY to what iPXE or the boot menu passes to the kernel")

// Parse reads the kernel's command line. The last word wins, as with the kernel's own.
func Parse(cmdline string) (Orders, error) {
	var o Orders
	for word := range strings.FieldsSeq(cmdline) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "yunshu.url":
			o.URL = strings.TrimRight(value, "/")
		case "yunshu.token":
			o.Token = value
		case "yunshu.purpose":
			o.Purpose = value
		case "yunshu.uuid":
			o.UUID = strings.ToLower(value)
		case "BOOTIF": // 01-52-54-00-12-34-56: the kind of hardware, then the address
			if _, mac, ok := strings.Cut(value, "-"); ok {
				o.MAC = strings.ToLower(strings.ReplaceAll(mac, "-", ":"))
			}
		}
	}
	if o.URL == "" {
		return Orders{}, ErrNobody
	}
	if u, err := url.Parse(o.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return Orders{}, errors.New("yunshu.url on the kernel's command line is not an http or https URL: write yunshu.url=http://GATEWAY")
	}
	return o, nil
}

// MayWipe is true only for a machine that somebody with a token told to wipe; everything else leaves the disks alone.
func (o Orders) MayWipe() bool { return o.Purpose == Wipe && o.Token != "" }

// Check refuses orders that are for another machine: whoever boots from the network is known by an interface alone, which may
// have been put into another machine. Firmware and BMC may write the first half of the id in either order.
func (o Orders) Check(uuid string) error {
	uuid = strings.ToLower(uuid)
	if o.UUID == "" || o.UUID == uuid || o.UUID == swapped(uuid) {
		return nil
	}
	return fmt.Errorf("The machine %s was booted for %q, but this one is %q, so nothing was done. Find out which machine has this one's interfaces in the platform's inventory", o.UUID, o.Purpose, uuid)
}

// swapped is a UUID with the bytes of its first three parts in the other order.
func swapped(uuid string) string {
	if len(uuid) != 36 {
		return uuid
	}
	at := [...]int{6, 4, 2, 0, -1, 11, 9, -1, 16, 14, -1}
	out := ""
	for _, i := range at {
		if i < 0 {
			out += "-"
			continue
		}
		out += uuid[i : i+2]
	}
	return out + uuid[19:]
}
