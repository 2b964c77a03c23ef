package bmclib

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"

	library "github.com/bmc-toolbox/bmclib/v2"

	"github.com/yunshu/yunshu/activities/baremetal"
	"github.com/yunshu/yunshu/models"
)

// errRefused is what bmclib says without an error of its own.
var errRefused = errors.New("it refused without saying why")

// done makes an error of bmclib's two ways to say no.
func done(ok bool, err error) error {
	if err == nil && !ok {
		return errRefused
	}
	return err
}

// Order orders a change of power.
func (r *redfish) Order(ctx context.Context, o baremetal.Order) error {
	return r.using(ctx, "power the machine "+string(o), func(ctx context.Context, c *library.Client) error {
		switch o {
		case baremetal.TurnOn:
			return done(c.SetPowerState(ctx, "on"))
		case baremetal.TurnOff:
			return done(c.SetPowerState(ctx, "off"))
		}
		// This one fails always, also where the BMC took it. What a BMC that refused has answered is in the error.
		_, err := c.SetPowerState(ctx, "soft")
		var lost *url.Error
		if status(err) != 0 || ctx.Err() != nil || errors.As(err, &lost) {
			return err
		}
		return nil
	})
}

// targets are the boot devices in bmclib's words and in Redfish's.
var targets = map[models.BootDevice]struct{ library, redfish string }{
	models.BootDisk: {"disk", "Hdd"},
	models.BootPXE:  {"pxe", "Pxe"},
	models.BootCD:   {"cdrom", "Cd"},
}

// SetBoot sets what the machine boots from, and leaves it how that is done: by UEFI or the older way.
func (r *redfish) SetBoot(ctx context.Context, device models.BootDevice, persistent bool) error {
	const doing = "set the boot device"
	s, err := r.system(ctx)
	if err != nil {
		return fault(ctx, r.t, doing, err)
	}
	enabled := "Once"
	if persistent {
		enabled = "Continuous"
	}
	if s.Boot.Target == targets[device].redfish && s.Boot.Enabled == enabled {
		return nil
	}
	return r.using(ctx, doing, func(ctx context.Context, c *library.Client) error {
		return done(c.SetBootDevice(ctx, targets[device].library, persistent, s.Boot.Mode != "Legacy"))
	})
}

type media struct {
	MediaTypes []string `json:"MediaTypes"`
	Inserted   bool     `json:"Inserted"`
	Image      string   `json:"Image"`
}

// SetMedia fills or empties the virtual drive. What is in it already stays: a machine may be reading it.
func (r *redfish) SetMedia(ctx context.Context, image string) error {
	doing := "insert an image"
	if image == "" {
		doing = "eject the image"
	}
	kind, is, err := r.media(ctx)
	switch {
	case err != nil:
		return fault(ctx, r.t, doing, err)
	case kind == "":
		return r.t.Faultf(models.CodeNotSupported, "has no virtual CD drive. Boot from the network instead, or license and enable virtual media there.")
	case is == image:
		return nil
	}
	return r.using(ctx, doing, func(ctx context.Context, c *library.Client) error {
		return done(c.SetVirtualMedia(ctx, kind, image))
	})
}

// media finds the virtual drive: how bmclib calls it, and which image is in it.
func (r *redfish) media(ctx context.Context) (kind, image string, err error) {
	s, err := r.system(ctx)
	if err != nil {
		return "", "", err
	}
	m, err := r.manager(ctx, s)
	if err != nil {
		return "", "", err
	}
	for _, place := range []link{m.VirtualMedia, s.VirtualMedia} {
		drives, err := members[media](ctx, r, place.Path)
		if err != nil {
			return "", "", err
		}
		for _, d := range drives {
			for _, kind := range []string{"CD", "DVD"} {
				if !slices.Contains(d.MediaTypes, kind) {
					continue
				}
				if !d.Inserted {
					d.Image = ""
				}
				return kind, d.Image, nil
			}
		}
	}
	return "", "", nil
}

// Locate turns the LED on or off, by its new name or by its old one. bmclib does not know it.
func (r *redfish) Locate(ctx context.Context, on bool) error {
	const doing = "switch the identify LED"
	s, err := r.system(ctx)
	if err != nil {
		return fault(ctx, r.t, doing, err)
	}
	ctx, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	r.wire.begin(ctx)
	var want map[string]any
	switch {
	case s.LocationActive != nil:
		want = map[string]any{"LocationIndicatorActive": on}
	case s.IndicatorLED != "" && on:
		want = map[string]any{"IndicatorLED": "Blinking"}
	case s.IndicatorLED != "":
		want = map[string]any{"IndicatorLED": "Off"}
	default:
		return r.t.Faultf(models.CodeNotSupported, "shows no identify LED. Find the machine by its rack position.")
	}
	// The document is the one that was read last, so its tag is known.
	res, err := r.read.PatchWithHeaders(r.tree.system, want, map[string]string{"If-Match": cmp.Or(r.etag, "*")})
	if err != nil {
		return fault(ctx, r.t, doing, err)
	}
	return res.Body.Close()
}

// SetPassword changes the password of the account that is logged in.
func (r *redfish) SetPassword(ctx context.Context, password string) error {
	err := r.using(ctx, "set the password", func(ctx context.Context, c *library.Client) error {
		return done(c.UpdateUser(ctx, r.t.Username, password, ""))
	})
	if f := models.AsFault(err); f != nil {
		f.Message = redact(f.Message, password) // a BMC may repeat what it does not like
	}
	return err
}
