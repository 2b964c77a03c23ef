package accept

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestABatchHasOneOfEachTenantInTurn(t *testing.T) {
	t.Parallel()
	c := &coalescer{batch: 4}
	for i, tenant := range []string{"hot", "hot", "hot", "hot", "hot", "hot", "calm", "hot", "shy"} {
		c.waiting = append(c.waiting, &ticket{create: VMCreate{Tenant: tenant, Name: fmt.Sprint(i)}})
	}
	names := func(batch []*ticket) (out []string) {
		for _, t := range batch {
			out = append(out, t.create.Tenant+" "+t.create.Name)
		}
		return out
	}
	require.Equal(t, []string{"hot 0", "calm 6", "shy 8", "hot 1"}, names(c.fairly()))
	require.Equal(t, []string{"hot 2", "hot 3", "hot 4", "hot 5"}, names(c.fairly()), "each tenant's in the order in which they came")
	require.Equal(t, []string{"hot 7"}, names(c.fairly()))
	require.Empty(t, c.waiting)
}

func TestWhoWaitsBehindAHotTenantHasALaneOfTheirOwn(t *testing.T) {
	t.Parallel()
	c := &coalescer{batch: 8, of: map[string]int{"hot": 7, "busy": 1}, flying: 8}
	for i, tenant := range []string{"hot", "busy", "calm", "hot", "calm", "shy"} {
		c.waiting = append(c.waiting, &ticket{create: VMCreate{Tenant: tenant, Name: fmt.Sprint(i)}})
	}
	names := func(batch []*ticket) (out []string) {
		for _, t := range batch {
			out = append(out, t.create.Tenant+" "+t.create.Name)
		}
		return out
	}
	require.Equal(t, []string{"calm 2", "shy 5"}, names(c.behind(c.hot())), "one of each, and none of who has one under way")
	require.Equal(t, []string{"hot 0", "busy 1", "hot 3", "calm 4"}, names(c.waiting))

	c.of = map[string]int{"hot": 4, "warm": 4}
	require.Empty(t, c.behind(c.hot()), "nobody has most of it: all share the batches")
	require.Len(t, c.waiting, 4)
}
