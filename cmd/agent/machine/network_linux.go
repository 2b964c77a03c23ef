package machine

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/yunshu/yunshu/cmd/agent/inventory"
)

// An interface whose cable leads nowhere is asked as well; the pause is for switches that let nothing through at first.
const (
	askFor   = 20 * time.Second
	askPause = 2 * time.Second
	renewMin = time.Minute
)

// lease is an address that a DHCP server gave one interface.
type lease struct {
	link netlink.Link
	ack  *dhcpv4.DHCPv4
}

// Connect brings the network up: every interface, or the one with the address that the machine booted from, asks for an
// address, and the first answer is taken. It goes on until there is one, and keeps the lease alive afterwards.
func Connect(ctx context.Context, nics []inventory.NIC, bootMAC string, log *log.Logger) error {
	var names []string
	for _, n := range nics {
		if bootMAC == "" || n.MAC == bootMAC {
			names = append(names, n.Name)
		}
	}
	if len(names) == 0 {
		return errors.New("This machine has no network interface that the image has a driver for. Build the image with a kernel that has one")
	}
	for {
		l, err := first(ctx, names)
		if err == nil {
			err = l.use()
		}
		if err == nil {
			log.Printf("%s has the address %s.", l.link.Attrs().Name, l.ack.YourIPAddr)
			go l.keep(ctx, log)
			return nil
		}
		log.Printf("No DHCP server gave an address on %s: %v. Trying again in %s.", strings.Join(names, ", "), err, askPause)
		if err := pause(ctx, askPause); err != nil {
			return err
		}
	}
}

// first asks on all interfaces at once.
func first(ctx context.Context, names []string) (lease, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	type answer struct {
		lease
		err error
	}
	answers := make(chan answer, len(names))
	for _, name := range names {
		go func() {
			l, err := ask(ctx, name)
			answers <- answer{l, err}
		}()
	}
	var failed []error
	for range names {
		a := <-answers
		if a.err == nil {
			return a.lease, nil
		}
		failed = append(failed, a.err)
	}
	return lease{}, errors.Join(failed...)
}

func ask(ctx context.Context, name string) (lease, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return lease{}, err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return lease{}, fmt.Errorf("turn on %s: %w", name, err)
	}
	client, err := nclient4.New(name, nclient4.WithTimeout(2*time.Second), nclient4.WithRetry(int(askFor/(2*time.Second))))
	if err != nil {
		return lease{}, err
	}
	defer client.Close()
	got, err := client.Request(ctx)
	if err != nil {
		return lease{}, fmt.Errorf("%s: %w", name, err)
	}
	return lease{link, got.ACK}, nil
}

// use gives the interface its address, the machine its way out, and the resolver its servers.
func (l lease) use() error {
	address := &netlink.Addr{IPNet: &net.IPNet{IP: l.ack.YourIPAddr, Mask: l.ack.SubnetMask()}}
	if l.ack.SubnetMask() == nil {
		address.Mask = l.ack.YourIPAddr.DefaultMask()
	}
	if err := netlink.AddrReplace(l.link, address); err != nil {
		return fmt.Errorf("set the address %s: %w", address.IPNet, err)
	}
	if routers := l.ack.Router(); len(routers) > 0 {
		route := &netlink.Route{LinkIndex: l.link.Attrs().Index, Gw: routers[0]}
		if err := netlink.RouteReplace(route); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("set the route by %s: %w", routers[0], err)
		}
	}
	var resolv strings.Builder
	for _, server := range l.ack.DNS() {
		fmt.Fprintf(&resolv, "nameserver %s\n", server)
	}
	if err := os.MkdirAll("/etc", 0o755); err != nil {
		return err
	}
	return os.WriteFile("/etc/resolv.conf", []byte(resolv.String()), 0o644)
}

// keep asks again when half of the lease is over, for as long as the machine is on.
func (l lease) keep(ctx context.Context, log *log.Logger) {
	for {
		half := max(l.ack.IPAddressLeaseTime(time.Hour)/2, renewMin)
		if pause(ctx, half) != nil {
			return
		}
		next, err := first(ctx, []string{l.link.Attrs().Name})
		if err == nil {
			err = next.use()
		}
		if err != nil {
			log.Printf("The address %s could not be renewed: %v.", l.ack.YourIPAddr, err)
			continue
		}
		l = next
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
