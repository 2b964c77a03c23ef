package seed

import (
	"context"
	"fmt"
	"net/http"
	"slices"
)

// metal makes a region ready for physical servers: it may take them, and a group gathers those that nobody has yet.
func (c client) metal(ctx context.Context, region string) error {
	var r struct {
		Capabilities []string `json:"capabilities"`
	}
	if err := c.call(ctx, http.MethodGet, "/v1/regions/"+region, nil, &r); err != nil {
		return err
	}
	if !slices.Contains(r.Capabilities, "bm") { // it was made before there were physical servers
		if err := c.call(ctx, http.MethodPatch, "/v1/regions/"+region, object{"capabilities": append(r.Capabilities, "bm")}, nil); err != nil {
			return err
		}
	}
	return c.ensure(ctx, "/v1/groups", object{"region": region, "name": "metal", "description": "whole machines to lease", "rule": `role in ["spare", "leased"]`})
}

// metalImages makes what physical servers boot. The simulated ones ask for the script and report as the image would, and
// never load it, so nothing has to answer at these addresses.
func (c client) metalImages(ctx context.Context, regions []string) error {
	for _, i := range []object{
		{"name": "discovery", "purpose": "discovery", "description": "says what a machine is made of"},
		{"name": "wipe", "purpose": "wipe", "description": "empties every disk of a machine"},
		{"name": "ubuntu-24-04-metal", "os": "ubuntu", "purpose": "provision", "description": "for whole machines"},
	} {
		boot := object{}
		for _, r := range regions {
			at := fmt.Sprintf("http://boot.%s.example/%s/", r, i["name"])
			boot[r] = object{"kernel": at + "kernel", "initrd": at + "initrd", "args": "quiet"}
		}
		i["boot"] = boot
		if err := c.ensure(ctx, "/v1/images", i); err != nil {
			return err
		}
	}
	return nil
}
