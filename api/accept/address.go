package accept

import (
	"math/big"
	"math/rand/v2"
	"net/netip"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/models"
)

// subnet is a network as accept sees it.
type subnet struct {
	ID      models.ID
	Name    string
	CIDR    netip.Prefix
	Gateway netip.Addr
	DNS     []string
	Network string
	First   netip.Addr
	Last    netip.Addr
}

// cursors remember, for each subnet, where the next free address probably is. They are only hints: the unique
// constraint decides. Each search gets a stretch of its own, so that parallel searches of one gateway do not meet.
type cursors struct {
	mu   sync.Mutex
	next map[models.ID]netip.Addr
}

func newCursors() *cursors { return &cursors{next: map[models.ID]netip.Addr{}} }

// stretch returns where to look for addresses, how many at most, and where the next search begins.
func (c *cursors) stretch(s *subnet) (from netip.Addr, size int64, end netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from, ok := c.next[s.ID]
	if !ok {
		// Gateways that start at once look in different places.
		from = offset(s.First, rand.Int64N(span(s.First, s.Last)))
	}
	if !from.IsValid() || from.Less(s.First) || s.Last.Less(from) {
		from = s.First
	}
	size = min(window, span(from, s.Last))
	end = offset(from, size)
	c.next[s.ID] = end
	return from, size, end
}

// window is how many addresses one search looks at; it stops at the first that are free.
const window = 256

// settle gives back the rest of a stretch, unless another search has begun behind it.
func (c *cursors) settle(s *subnet, end, next netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next[s.ID] == end {
		c.next[s.ID] = next
	}
}

// found moves the cursor to where a slow search found a free address.
func (c *cursors) found(s *subnet, at netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next[s.ID] = at
}

// offset returns the address n after a.
func offset(a netip.Addr, n int64) netip.Addr {
	b := a.AsSlice()
	sum := new(big.Int).Add(new(big.Int).SetBytes(b), big.NewInt(n))
	out := make([]byte, len(b))
	if sum.BitLen() > len(b)*8 {
		return netip.Addr{} // past the last address there is
	}
	next, _ := netip.AddrFromSlice(sum.FillBytes(out))
	return next
}

// span is how many addresses lie between two, both included, at most what an int64 holds.
func span(first, last netip.Addr) int64 {
	d := new(big.Int).Sub(new(big.Int).SetBytes(last.AsSlice()), new(big.Int).SetBytes(first.AsSlice()))
	if d.Add(d, big.NewInt(1)); d.IsInt64() {
		return d.Int64()
	}
	return 1<<63 - 1
}

const (
	// freeNear looks at a stretch of a subnet's range, address by address, and stops as soon as it has enough.
	freeNear = `
SELECT c.address FROM (SELECT $2::inet + n AS address FROM generate_series(0::bigint, $3 - 1) n) c
WHERE c.address <= $4 AND c.address IS DISTINCT FROM $5
	AND (SELECT true FROM ip_addresses i WHERE i.subnet_id = $1 AND i.address = c.address LIMIT 1) IS NULL
LIMIT $6`

	// freeAnywhere walks the taken addresses in order and returns what lies behind the end of each run of them, and
	// the first of the range: if there is a free address at all, one of these is. The work grows with the addresses
	// taken, not with the size of the range, so it serves IPv6 as well.
	freeAnywhere = `
SELECT c.address FROM (
	SELECT $2::inet AS address
	UNION ALL SELECT $4::inet + 1 WHERE $4::inet BETWEEN $2 AND $3
	UNION ALL (SELECT i.address + 1 FROM ip_addresses i WHERE i.subnet_id = $1 AND i.address BETWEEN $2 AND $3)) c
WHERE c.address BETWEEN $2 AND $3 AND c.address IS DISTINCT FROM $4
	AND NOT EXISTS (SELECT FROM ip_addresses t WHERE t.subnet_id = $1 AND t.address = c.address)
LIMIT $5`
)

// freeAddresses are addresses that were free when they were read.
type freeAddresses struct {
	subnet *subnet
	list   []netip.Addr
}

// take returns a free address and forgets it.
func (f *freeAddresses) take() (netip.Addr, bool) {
	if len(f.list) == 0 {
		return netip.Addr{}, false
	}
	a := f.list[0]
	f.list = f.list[1:]
	return a, true
}

// queueNear looks for n free addresses near the cursor.
func (c *cursors) queueNear(b *pgx.Batch, s *subnet, n int) *freeAddresses {
	f := &freeAddresses{subnet: s}
	from, size, end := c.stretch(s)
	read := collect(&f.list, pgx.RowTo[netip.Addr])
	b.Queue(freeNear, s.ID, from, size, s.Last, addrOrNil(s.Gateway), n).Query(func(rows pgx.Rows) error {
		err := read(rows)
		if len(f.list) == n {
			c.settle(s, end, offset(f.list[n-1], 1))
		}
		return err
	})
	return f
}

// queueAnywhere looks for n free addresses in the whole range.
func queueAnywhere(b *pgx.Batch, s *subnet, n int) *freeAddresses {
	f := &freeAddresses{subnet: s}
	b.Queue(freeAnywhere, s.ID, s.First, s.Last, addrOrNil(s.Gateway), n).Query(collect(&f.list, pgx.RowTo[netip.Addr]))
	return f
}

func addrOrNil(a netip.Addr) *netip.Addr {
	if !a.IsValid() {
		return nil
	}
	return &a
}

// noAddress is the refusal for lack of an address.
func noAddress(s *subnet) *models.Fault {
	f := models.Faultf(models.CodeAddressesExhausted, "The subnet %s (%s) has no free address between %s and %s. Use another subnet, or release addresses.", s.Name, s.CIDR, s.First, s.Last)
	f.Shortages = []models.Shortage{{Resource: "ip_addresses", Where: "subnet " + s.Name, Asked: 1, Free: 0}}
	return f
}
