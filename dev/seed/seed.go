// Package seed fills a fresh platform through its public API, as an operator would: regions, racks, groups, the hosts of
// each vCenter, images, flavors, subnets and what groups of people may do. Doing it again changes nothing.
package seed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// object is a JSON body.
type object map[string]any

const racks = 4 // in each region

// Run seeds the platform at a URL and says what there is then.
func Run(ctx context.Context, base, token string, regions []string) (string, error) {
	c := client{base, token}
	for _, f := range []object{
		{"name": "small", "vcpu": 1, "memory_mib": 2048, "storage_gib": 20},
		{"name": "medium", "vcpu": 2, "memory_mib": 4096, "storage_gib": 40},
		{"name": "large", "vcpu": 8, "memory_mib": 16384, "storage_gib": 100},
	} {
		if err := c.ensure(ctx, "/v1/flavors", f); err != nil {
			return "", err
		}
	}
	if err := c.groups(ctx); err != nil {
		return "", err
	}
	hosts := 0
	for i, r := range regions {
		n, err := c.region(ctx, i, r)
		if err != nil {
			return "", fmt.Errorf("region %s: %w", r, err)
		}
		hosts += n
	}
	for name, template := range map[string]string{"ubuntu-24-04": "ubuntu-24.04", "debian-12": "debian-12"} {
		templates := object{}
		for _, r := range regions {
			templates[r] = template
		}
		os, _, _ := strings.Cut(name, "-")
		if err := c.ensure(ctx, "/v1/images", object{"name": name, "os": os, "min_storage_gib": 10, "templates": templates}); err != nil {
			return "", err
		}
	}
	if err := c.metalImages(ctx, regions); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d regions, %d hypervisors, images, flavors, subnets", len(regions), hosts), nil
}

// ensure creates what does not exist yet.
func (c client) ensure(ctx context.Context, path string, body object) error {
	err := c.call(ctx, http.MethodPost, path, body, nil)
	var p *problem
	if errors.As(err, &p) && p.Code == "name_taken" {
		return nil
	}
	return err
}

// region makes one region and everything in it, and returns how many hosts it has.
func (c client) region(ctx context.Context, number int, name string) (int, error) {
	if err := c.ensure(ctx, "/v1/regions", object{"name": name, "title": strings.ToUpper(name), "capabilities": []string{"vm", "bm"}}); err != nil {
		return 0, err
	}
	for i := range racks {
		if err := c.ensure(ctx, "/v1/racks", object{"region": name, "name": rack(i), "row": "a", "position": fmt.Sprint(i + 1), "power_kw": 12, "failure_domain": fmt.Sprintf("pdu-%d", i/2+1)}); err != nil {
			return 0, err
		}
	}
	for _, g := range []object{
		{"region": name, "name": "general", "description": "for everything", "policy": "spread", "vcpu_ratio": 4},
		{"region": name, "name": "compute", "description": "for work that needs its cores", "policy": "pack"},
	} {
		if err := c.ensure(ctx, "/v1/groups", g); err != nil {
			return 0, err
		}
	}
	subnets, err := list[struct {
		Name string `json:"name"`
	}](ctx, c, "/v1/subnets", url.Values{"region": {name}})
	if err != nil {
		return 0, err
	}
	for i, s := range []string{"lan", "dmz"} {
		if i < len(subnets) {
			continue // made before
		}
		net := fmt.Sprintf("10.%d", 10*(number+1)+i)
		if err := c.ensure(ctx, "/v1/subnets", object{"region": name, "name": s, "cidr": net + ".0.0/16", "vlan": 100 * (i + 1), "gateway": net + ".0.1",
			"dns": []string{net + ".0.2"}, "network": fmt.Sprintf("vlan-%d", 100*(i+1)), "range_start": net + ".0.10", "range_end": net + ".255.250"}); err != nil {
			return 0, err
		}
	}
	if err := c.metal(ctx, name); err != nil {
		return 0, err
	}
	return c.hosts(ctx, name)
}

func rack(i int) string { return fmt.Sprintf("r%d", i+1) }

type host struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Cluster string `json:"cluster"`
	Group   string `json:"group"`
}

// hosts imports the region's hypervisors the first time, and gives each a rack and a group.
func (c client) hosts(ctx context.Context, region string) (int, error) {
	in := url.Values{"region": {region}, "role": {"hypervisor"}}
	have, err := list[host](ctx, c, "/v1/baremetals", in)
	if err != nil {
		return 0, err
	}
	if len(have) == 0 {
		if err := c.importRegion(ctx, region); err != nil {
			return 0, err
		}
		if have, err = list[host](ctx, c, "/v1/baremetals", in); err != nil {
			return 0, err
		}
	}
	for i, h := range have {
		if h.Group != "" {
			continue
		}
		group := "general"
		if strings.HasSuffix(h.Cluster, "b") {
			group = "compute"
		}
		if err := c.call(ctx, http.MethodPatch, "/v1/baremetals/"+h.ID, object{"rack": rack(i % racks), "group": group}, nil); err != nil {
			return 0, err
		}
	}
	return len(have), nil
}

type operation struct {
	ID    string `json:"id"`
	State string `json:"state"`
	Error *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// importRegion imports the region's hosts and waits for the end.
func (c client) importRegion(ctx context.Context, region string) error {
	var op operation
	if err := c.call(ctx, http.MethodPost, "/v1/regions/"+region+"/import", nil, &op); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for op.State != "succeeded" {
		if op.Error != nil && op.State != "accepted" && op.State != "running" {
			return fmt.Errorf("the import %s is %s: %s", op.ID, op.State, op.Error.Message)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the import %s is still %s: %w", op.ID, op.State, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
		if err := c.call(ctx, http.MethodGet, "/v1/operations/"+op.ID, nil, &op); err != nil {
			return err
		}
	}
	return nil
}
