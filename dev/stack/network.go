package stack

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// network is where the BMCs of every region are: 127.20.1.1 and so on over Redfish, 127.21.1.1 over IPMI.
type network int

// networks are those that are tried, in this order. Each is two: its own and the next.
var networks = []network{20, 22, 24, 26, 28}

// redfish is the address of a region's nth BMC, counted from one.
func (n network) redfish(region, nth int) string {
	return fmt.Sprintf("127.%d.%d.%d:8443", n, region+1, nth)
}

// ipmi is the address of a region's first BMC that speaks IPMI alone.
func (n network) ipmi(region int) string { return fmt.Sprintf("127.%d.%d.1:9623", n+1, region+1) }

// free reports whether no other stack has its BMCs there.
func (n network) free() bool {
	for i := range regions {
		l, err := net.Listen("tcp", n.redfish(i, 1))
		if err != nil {
			return false
		}
		_ = l.Close() // nothing was asked of it
	}
	return true
}

// networkPatience is how long a network may still be that of this stack's BMCs, which were killed a moment ago.
const networkPatience = 3 * time.Second

// chooseNetwork returns where the BMCs are: where they were the last time, because enrolled machines know their BMC by its
// address, or else the first network that is free.
func (s *stack) chooseNetwork(among []network, patience time.Duration) (network, error) {
	file := filepath.Join(s.dir, "bmc.network")
	before := networkBefore(file, among)
	for until := time.Now().Add(patience); before != 0; time.Sleep(50 * time.Millisecond) {
		if before.free() {
			return before, nil
		}
		if time.Now().After(until) {
			break
		}
	}
	for _, n := range among {
		if n == before || !n.free() {
			continue
		}
		switch taken := among[0]; {
		case before != 0:
			fmt.Fprintf(s.out, "  Another stack has its BMCs in 127.%d, where those of this one were, so they are in 127.%d now; give enrolled machines their BMC again, with set-bmc.\n", before, n)
		case n != taken:
			fmt.Fprintf(s.out, "  Another stack has its BMCs in 127.%d, so those of this one are in 127.%d.\n", taken, n)
		}
		return n, os.WriteFile(file, []byte(strconv.Itoa(int(n))+"\n"), 0o600)
	}
	return 0, fmt.Errorf("other stacks have their BMCs in 127.%d to 127.%d, and there is no room for more; stop one of them", among[0], among[len(among)-1]+1)
}

// networkBefore is where the BMCs were the last time, and 0 if there was none.
func networkBefore(file string, among []network) network {
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0 // it is the first time
	}
	for _, n := range among {
		if strings.TrimSpace(string(raw)) == strconv.Itoa(int(n)) {
			return n
		}
	}
	return 0
}
