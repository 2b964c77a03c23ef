// Command vcsim runs one region's simulated vCenter, and lists the machines of any vCenter.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"sort"
	"syscall"
	"text/tabwriter"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/yunshu/yunshu/test/vcenter"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	run, args := serve, os.Args[1:]
	if len(args) > 0 && args[0] == "ls" {
		run, args = list, args[1:]
	}
	if err := run(ctx, args); err != nil {
		fmt.Fprintln(os.Stderr, "yunshu-vcsim:", err)
		os.Exit(1)
	}
}

// serve runs a vCenter until it is told to stop.
func serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("yunshu-vcsim", flag.ExitOnError)
	o := vcenter.Options{}
	flags.StringVar(&o.Region, "region", "tw", "part of the hosts' names")
	flags.StringVar(&o.Listen, "listen", "127.0.0.1:8989", "address")
	flags.StringVar(&o.StateFile, "state", "", "file that keeps the machines")
	flags.StringVar(&o.TLSDir, "tls-dir", "", "directory of the certificates; made the first time")
	flags.StringVar(&o.Username, "username", "yunshu@vsphere.local", "who may log in")
	file := flags.String("password-file", "", "with what")
	_ = flags.Parse(args) // it exits on an error
	var err error
	if o.Password, err = vcenter.Password(*file); err != nil {
		return err
	}
	s, err := vcenter.Start(ctx, o)
	if err != nil {
		return err
	}
	defer s.Stop()
	fmt.Printf("ready url=%s\n", s.URL)
	<-ctx.Done()
	return nil
}

// list shows the machines of a vCenter as any of its clients sees them.
func list(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("yunshu-vcsim ls", flag.ExitOnError)
	address := flags.String("url", "", "of the vCenter, such as https://127.0.0.1:8989/sdk")
	username := flags.String("username", "", "to log in with")
	file := flags.String("password-file", "", "to log in with")
	ca := flags.String("ca", "", "file with the CA that vouches for the vCenter")
	_ = flags.Parse(args) // it exits on an error
	u, err := url.Parse(*address)
	if err != nil || u.Host == "" {
		return errors.New("--url must look like https://127.0.0.1:8989/sdk")
	}
	password, err := vcenter.Password(*file)
	if err != nil {
		return err
	}
	c, err := vcenter.Login(ctx, u, url.UserPassword(*username, password), *ca)
	if err != nil {
		return err
	}
	defer func() { _ = c.Logout(context.WithoutCancel(ctx)) }() // the session would expire anyway
	return show(ctx, c)
}

func show(ctx context.Context, c *govmomi.Client) error {
	v, err := view.NewManager(c.Client).CreateContainerView(ctx, c.ServiceContent.RootFolder, []string{"VirtualMachine"}, true)
	if err != nil {
		return err
	}
	var vms []mo.VirtualMachine
	if err := v.Retrieve(ctx, []string{"VirtualMachine"}, []string{"name", "config.instanceUuid", "config.template", "config.hardware", "runtime", "guest.ipAddress"}, &vms); err != nil {
		return err
	}
	hosts, err := hostNames(ctx, c, vms)
	if err != nil {
		return err
	}
	sort.Slice(vms, func(i, j int) bool { return vms[i].Name < vms[j].Name })
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "INSTANCE UUID\tNAME\tHOST\tPOWER\tVCPU\tMEMORY MiB\tIP")
	for _, vm := range vms {
		if vm.Config == nil || vm.Config.Template {
			continue
		}
		host, ip := "", ""
		if vm.Runtime.Host != nil {
			host = hosts[*vm.Runtime.Host]
		}
		if vm.Guest != nil {
			ip = vm.Guest.IpAddress
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", vm.Config.InstanceUuid, vm.Name, host, vm.Runtime.PowerState, vm.Config.Hardware.NumCPU, vm.Config.Hardware.MemoryMB, ip)
	}
	return w.Flush()
}

func hostNames(ctx context.Context, c *govmomi.Client, vms []mo.VirtualMachine) (map[types.ManagedObjectReference]string, error) {
	var refs []types.ManagedObjectReference
	out := map[types.ManagedObjectReference]string{}
	for _, vm := range vms {
		if h := vm.Runtime.Host; h != nil && out[*h] == "" {
			out[*h] = h.Value
			refs = append(refs, *h)
		}
	}
	if len(refs) == 0 {
		return out, nil
	}
	var hosts []mo.HostSystem
	if err := property.DefaultCollector(c.Client).Retrieve(ctx, refs, []string{"name"}, &hosts); err != nil {
		return nil, err
	}
	for _, h := range hosts {
		out[h.Reference()] = h.Name
	}
	return out, nil
}
