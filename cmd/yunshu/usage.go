package main

import (
	"fmt"
	"text/tabwriter"
)

// resources are what quotas count, in the order in which people think of them.
var resources = []string{"vcpu", "memory_mib", "storage_gib", "gpu", "vms", "baremetals", "clusters", "ip_addresses"}

// usage shows what a tenant uses: a line for each resource, and for each limit that counts for it.
func (a *app) usage(raw []byte) error {
	var u struct {
		Tenant string         `json:"tenant"`
		Used   map[string]any `json:"used"`
		Free   map[string]any `json:"free"`
		Quotas []struct {
			Tenant string         `json:"tenant"`
			Group  string         `json:"group"`
			Limits map[string]any `json:"limits"`
			Used   map[string]any `json:"used"`
		} `json:"quotas"`
	}
	if err := decode(raw, &u); err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "RESOURCE\tUSED\tFREE\tLIMITS")
	for _, r := range resources {
		limits := ""
		for _, q := range u.Quotas {
			if q.Limits[r] == nil {
				continue
			}
			where := q.Tenant
			if q.Group != "" {
				where += " in " + q.Group
			}
			if limits != "" {
				limits += ", "
			}
			limits += fmt.Sprintf("%s of %s (%s)", cell(q.Used[r]), cell(q.Limits[r]), where)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r, cell(u.Used[r]), cell(u.Free[r]), cell(limits))
	}
	return w.Flush()
}
