package accept

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yunshu/yunshu/models"
)

func genSize(most int64) *rapid.Generator[models.Size] {
	return rapid.Custom(func(t *rapid.T) models.Size {
		n := func(name string) int64 { return rapid.Int64Range(0, most).Draw(t, name) }
		return models.Size{VCPU: n("vcpu"), MemoryMiB: n("memory"), StorageGiB: n("storage"), GPU: n("gpu")}
	})
}

func genHosts(t *rapid.T) []*host {
	racks := []models.ID{models.NewID(), models.NewID(), models.NewID()}
	hosts := make([]*host, rapid.IntRange(0, 12).Draw(t, "hosts"))
	for i := range hosts {
		total := genSize(64).Draw(t, "total")
		hosts[i] = &host{ID: models.NewID(), Rack: &racks[i%len(racks)], Total: total, Free: genSize(64).Draw(t, "free")}
	}
	return hosts
}

// Whatever is asked: the chosen host has room and is not to be kept away from; no host is only chosen if none would do;
// and no other host that would do is better by the policy.
func TestPlacementChoosesTheBestThatFits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		hosts := genHosts(t)
		size := genSize(32).Draw(t, "size")
		policy := rapid.SampledFrom([]models.Policy{models.Spread, models.Pack}).Draw(t, "policy")
		var avoid away
		for _, h := range hosts {
			switch rapid.IntRange(0, 5).Draw(t, "away") {
			case 0:
				avoid.hosts = append(avoid.hosts, h.ID)
			case 1:
				avoid.racks = append(avoid.racks, *h.Rack)
			}
		}
		got := place(hosts, policy, size, avoid)
		for _, h := range hosts {
			if !size.Fits(h.Free) || !avoid.takes(h) {
				require.NotSame(t, h, got)
				continue
			}
			require.NotNil(t, got, "a host would do")
			mine, other := share(got.Free.Sub(size), got.Total), share(h.Free.Sub(size), h.Total)
			if policy == models.Spread {
				require.GreaterOrEqual(t, mine, other)
			} else {
				require.LessOrEqual(t, mine, other)
			}
		}
	})
}

// However much is taken in whatever order: no limit is ever passed, and the use is the sum of what was taken.
func TestQuotaIsNeverPassed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		group := models.NewID()
		path := []models.ID{models.NewID(), models.NewID(), models.NewID()}
		all := limits{}
		for i, tenant := range path {
			l := &limit{ID: models.NewID(), Owner: tenant, Where: "tenant"}
			for r := range l.Limits {
				if rapid.Bool().Draw(t, "limited") {
					v := rapid.Int64Range(0, 200).Draw(t, "limit")
					l.Limits[r] = &v
				}
			}
			if i%2 == 1 {
				l.Group = &group
			}
			all[tenant] = append(all[tenant], l)
		}
		var sum models.Amount
		for range rapid.IntRange(0, 30).Draw(t, "accepts") {
			a := models.Amount{Size: genSize(20).Draw(t, "size"), VMs: 1, IPAddresses: 1}
			rows := all.of(path, group)
			if shortages(rows, a) != nil {
				continue
			}
			for _, l := range rows {
				l.take(a)
			}
			sum = sum.Add(a)
		}
		for _, l := range all.of(path, group) {
			require.Equal(t, sum.Values(), l.Used[:])
			for r, most := range l.Limits {
				if most != nil {
					require.LessOrEqual(t, l.Used[r], *most)
				}
			}
		}
		require.Empty(t, all.of(nil, group))
	})
}

// However many search side by side: every stretch lies in the range, and stretches follow each other around it.
func TestStretchesStayInTheRange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		first := netip.MustParseAddr(rapid.SampledFrom([]string{"10.0.0.1", "255.255.255.0", "fd00::1", "10.1.255.250"}).Draw(t, "first"))
		last := offset(first, rapid.Int64Range(0, 200).Draw(t, "length"))
		s := &subnet{ID: models.NewID(), First: first, Last: last}
		c := newCursors()
		for range 10 {
			from, size, end := c.stretch(s)
			require.False(t, from.Less(first) || last.Less(from))
			require.Positive(t, size)
			require.LessOrEqual(t, size, span(from, last))
			if rapid.Bool().Draw(t, "found") {
				c.settle(s, end, offset(from, 1))
			}
		}
	})
}
