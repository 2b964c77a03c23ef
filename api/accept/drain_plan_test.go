package accept

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/yunshu/yunshu/models"
)

func genResidents(t *rapid.T, hosts []*host) []*resident {
	out := make([]*resident, rapid.IntRange(0, 20).Draw(t, "residents"))
	for i := range out {
		r := &resident{tenant: "acme"}
		r.ID, r.Size = models.NewID(), genSize(24).Draw(t, "size")
		r.State = rapid.SampledFrom([]models.VMState{models.VMRunning, models.VMStopped, models.VMRunning, models.VMFailed, models.VMUpdating}).Draw(t, "state")
		if rapid.IntRange(0, 4).Draw(t, "busy") == 0 {
			id := models.NewID()
			r.busy, r.arriving = &id, rapid.Bool().Draw(t, "arriving")
		}
		if len(hosts) > 0 && rapid.IntRange(0, 3).Draw(t, "tried") == 0 {
			r.tries, r.tried = rapid.IntRange(1, 4).Draw(t, "tries"), []models.ID{rapid.SampledFrom(hosts).Draw(t, "host").ID}
		}
		out[i] = r
	}
	return out
}

// Whatever a host carries: every machine has one fate; room is never spent twice; what moves was free to, and what is
// stuck really had no other way when its turn came.
func TestADrainNeverSpendsRoomTwice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		hosts := genHosts(t)
		room := map[models.ID]models.Size{}
		for _, h := range hosts {
			room[h.ID] = h.Free
		}
		residents := genResidents(t, hosts)
		rules := drainRules{group: "general", stop: rapid.Bool().Draw(t, "stop"), attempts: rapid.IntRange(0, 3).Draw(t, "attempts"),
			policy: rapid.SampledFrom([]models.Policy{models.Spread, models.Pack}).Draw(t, "policy")}
		planDrain(residents, hosts, rules)

		taken := map[models.ID]models.Size{}
		for _, r := range residents {
			require.NotEmpty(t, r.fate)
			require.Equal(t, r.fate == FateMove, r.to != nil)
			require.Equal(t, r.fate == FateMove, r.why == "", "what does not move says why")
			if r.busy != nil || r.arriving {
				require.Equal(t, FateLater, r.fate)
			}
			if rules.attempts > 0 && r.tries >= rules.attempts {
				require.NotEqual(t, FateMove, r.fate)
			}
			if !rules.stop {
				require.NotContains(t, []Fate{FateStop, FateStay}, r.fate)
			}
			if r.to != nil {
				require.Contains(t, []models.VMState{models.VMRunning, models.VMStopped}, r.State)
				taken[r.to.ID] = taken[r.to.ID].Add(r.Size)
			}
		}
		for _, h := range hosts {
			require.True(t, taken[h.ID].Fits(room[h.ID]) || taken[h.ID] == models.Size{}, "%v of %v", taken[h.ID], room[h.ID])
			require.Equal(t, room[h.ID].Sub(taken[h.ID]), h.Free)
		}
		for _, r := range residents {
			tired := rules.attempts > 0 && r.tries >= rules.attempts
			if movable := r.State == models.VMRunning || r.State == models.VMStopped; !movable || tired || r.fate == FateMove || r.fate == FateLater {
				continue
			}
			for _, h := range hosts {
				require.False(t, r.Size.Fits(h.Free), "there is room for it in the end, so there was before")
			}
		}
	})
}

// A machine that could not be moved somewhere is moved elsewhere, if it can be.
func TestADrainTriesAnotherHostFirst(t *testing.T) {
	t.Parallel()
	size := models.Size{VCPU: 2, MemoryMiB: 2, StorageGiB: 2}
	machine := func(tried ...models.ID) *resident {
		r := &resident{tried: tried, tries: len(tried)}
		r.ID, r.Size, r.State = models.NewID(), size, models.VMRunning
		return r
	}
	wide := &host{ID: models.NewID(), Total: size.Add(size).Add(size), Free: size.Add(size).Add(size)}
	narrow := &host{ID: models.NewID(), Total: size.Add(size).Add(size), Free: size}
	first, second := machine(wide.ID), machine(narrow.ID, wide.ID)
	planDrain([]*resident{first, second}, []*host{wide, narrow}, drainRules{policy: models.Spread, attempts: 3})
	require.Same(t, narrow, first.to, "although the other is emptier")
	require.Same(t, wide, second.to, "there is none that it was not tried on")
}
