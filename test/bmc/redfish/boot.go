package redfish

import (
	"net/url"
	"slices"
	"strings"

	"github.com/yunshu/yunshu/test/bmc"
)

// setup is where a machine waits that was told to show its set-up menu.
const setup = "setup"

// targets are the boot overrides and the devices they mean.
var targets = map[string]string{"None": "", "Pxe": bmc.PXE, "Hdd": bmc.Disk, "Cd": bmc.CD, "Usb": bmc.USB, "BiosSetup": setup}

// options are the persistent choices, in the order of a new machine.
var bootOptions = []struct{ id, name, device string }{
	{"Boot0001", "Hard drive", bmc.Disk},
	{"Boot0002", "PXE on the first NIC", bmc.PXE},
	{"Boot0003", "Virtual CD", bmc.CD},
}

// boot is what a machine is set to boot from.
type boot struct {
	Target  string   `json:"target"`
	Enabled string   `json:"enabled"` // Disabled, Once or Continuous
	Mode    string   `json:"mode"`    // UEFI or Legacy
	Order   []string `json:"order"`
}

func newBoot() boot {
	b := boot{Target: "None", Enabled: "Disabled", Mode: "UEFI"}
	for _, o := range bootOptions {
		b.Order = append(b.Order, o.id)
	}
	return b
}

// next chooses the device, and uses up an override that is for once.
func (b *boot) next(all []media) (device, inserted string) {
	target := b.Target
	if b.Enabled == "Disabled" {
		target = "None"
	}
	if b.Enabled == "Once" {
		b.Enabled, b.Target = "Disabled", "None"
	}
	if device = targets[target]; device == "" {
		device = b.first()
	}
	if device != bmc.CD && device != bmc.USB {
		return device, ""
	}
	for _, s := range all {
		if s.Image != "" && s.device() == device {
			return device, s.Image
		}
	}
	return bmc.Disk, "" // the drive is empty
}

func (b *boot) first() string {
	for _, o := range bootOptions {
		if o.id == b.Order[0] {
			return o.device
		}
	}
	return bmc.Disk
}

// patchBoot changes what the machine boots from, all of it or nothing.
func (m *Machine) patchBoot(in map[string]any) *problem {
	b := m.boot
	for key, value := range in {
		text, _ := value.(string)
		switch key {
		case "BootSourceOverrideTarget":
			if _, ok := targets[text]; !ok {
				return badValue(key)
			}
			b.Target = text
		case "BootSourceOverrideEnabled":
			if !slices.Contains([]string{"Disabled", "Once", "Continuous"}, text) {
				return badValue(key)
			}
			b.Enabled = text
		case "BootSourceOverrideMode":
			if text != "UEFI" && text != "Legacy" {
				return badValue(key)
			}
			b.Mode = text
		case "BootOrder":
			if b.Order = order(value); b.Order == nil {
				return badValue(key)
			}
		default:
			return unknown("Boot/" + key)
		}
	}
	if b.Enabled == "Disabled" {
		b.Target = "None"
	}
	m.boot = b
	return nil
}

// order returns a new boot order, and nothing unless it names each option once.
func order(value any) []string {
	list, _ := value.([]any)
	var out []string
	for _, o := range bootOptions {
		if !slices.Contains(list, any(o.id)) {
			return nil
		}
	}
	for _, v := range list {
		id, _ := v.(string)
		out = append(out, id)
	}
	if len(out) != len(bootOptions) {
		return nil
	}
	return out
}

// media is one virtual drive.
type media struct {
	ID    string `json:"id"`
	Image string `json:"image"`
	kinds []string
}

func newMedia(vendor string) []media {
	names := idsOf(vendor)
	return []media{{ID: names.cd, kinds: []string{"CD", "DVD"}}, {ID: names.usb, kinds: []string{"Floppy", "USBStick"}}}
}

func (s media) device() string {
	if s.kinds[0] == "CD" {
		return bmc.CD
	}
	return bmc.USB
}

// Media returns the URLs that are inserted, by the drive's id.
func (m *Machine) Media() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]string{}
	for _, s := range m.media {
		if s.Image != "" {
			out[s.ID] = s.Image
		}
	}
	return out
}

// insert is VirtualMedia.InsertMedia. A drive that holds something must be emptied first, as most BMCs demand.
func (s *media) insert(in map[string]any) *problem {
	image, _ := in["Image"].(string)
	u, err := url.Parse(image)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "nfs", "cifs"}, u.Scheme) {
		return badValue("Image")
	}
	for key := range in {
		if !slices.Contains([]string{"Image", "Inserted", "WriteProtected", "MediaType", "TransferMethod", "TransferProtocolType", "UserName", "Password"}, key) {
			return unknown(key)
		}
	}
	if s.Image != "" {
		return conflict("Virtual media %s holds an image already: eject it first.", s.ID)
	}
	s.Image = image
	return nil
}

// name is what the drive shows of its image.
func (s media) name() string { return s.Image[strings.LastIndex(s.Image, "/")+1:] }
