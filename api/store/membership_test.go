package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"pgregory.net/rapid"

	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/postgres"
)

// hall is a region with two racks, and whatever a test puts into it.
type hall struct {
	*Store
	t      require.TestingT
	racks  [2]models.ID
	groups map[string]models.ID
}

func newHall(t *testing.T) *hall {
	t.Helper()
	s, err := Open(t.Context(), postgres.New(t, "gateway", func(ctx context.Context, dsn string) error {
		_, err := Migrate(ctx, dsn)
		return err
	}))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	h := &hall{Store: s, t: t, groups: map[string]models.ID{}}
	h.exec("INSERT INTO regions (name) VALUES ('tw')")
	for i := range h.racks {
		h.racks[i] = models.NewID()
		h.exec("INSERT INTO racks (id, region, name, failure_domain) VALUES ($1, 'tw', $2, $3)", h.racks[i], fmt.Sprintf("r%d", i+1), fmt.Sprintf("hall-%d", i+1))
	}
	h.exec("INSERT INTO tenants (id, name, full_name, path) SELECT id, 'acme', 'acme', ARRAY[id] FROM (SELECT gen_random_uuid() AS id) t")
	h.exec("INSERT INTO images (id, name) VALUES (gen_random_uuid(), 'i')")
	h.exec("INSERT INTO subnets (id, region, name, cidr, network, range_start, range_end) VALUES (gen_random_uuid(), 'tw', 's', '10.0.0.0/8', 'n', '10.0.0.1', '10.255.255.254')")
	return h
}

func (h *hall) exec(sql string, args ...any) {
	_, err := h.Pool.Exec(context.Background(), sql, args...)
	require.NoError(h.t, err, sql)
}

func (h *hall) group(name, rule string) models.ID {
	id := models.NewID()
	h.exec("INSERT INTO groups (id, region, name, rule) VALUES ($1, 'tw', $2, $3)", id, name, rule)
	h.groups[name] = id
	return id
}

func (h *hall) machine(name, role string) models.ID {
	id := models.NewID()
	h.exec("INSERT INTO baremetals (id, region, name, role, state, hardware_uuid, vcpu, memory_mib) VALUES ($1, 'tw', $2, $3, 'available', $2, 8, 4096)", id, name, role)
	h.exec("SELECT refresh_hypervisors(ARRAY[$1::uuid])", id)
	return id
}

func (h *hall) inventory(id models.ID, in models.Inventory) {
	raw, err := json.Marshal(in)
	require.NoError(h.t, err)
	h.exec("INSERT INTO baremetal_facts (baremetal_id, inventory) VALUES ($1, $2) ON CONFLICT (baremetal_id) DO UPDATE SET inventory = excluded.inventory", id, raw)
}

// carry puts a VM on a host.
func (h *hall) carry(host models.ID) {
	h.exec(`INSERT INTO vms (id, tenant_id, name, region, group_id, baremetal_id, image_id, subnet_id, address, state, vcpu, memory_mib, storage_gib, created_by)
		SELECT gen_random_uuid(), t.id, 'vm-' || substr(gen_random_uuid()::text, 1, 8), 'tw', b.group_id, b.id, i.id, s.id, '10.0.0.1', 'running', 1, 1, 1, 'x'
		FROM tenants t, images i, subnets s, baremetals b WHERE b.id = $1`, host)
}

func (h *hall) whole() (m Memberships) {
	require.NoError(h.t, h.Restructure(context.Background(), func(tx *gorm.DB) (err error) {
		m, err = JoinRegionByRule(tx, "tw")
		return err
	}))
	return m
}

// member is where a machine is.
type member struct {
	group  models.ID // zero: none
	byRule bool
}

func (h *hall) members() map[models.ID]member {
	out := map[models.ID]member{}
	rows, err := h.Pool.Query(context.Background(), "SELECT id, coalesce(group_id, '00000000-0000-0000-0000-000000000000'), group_by_rule FROM baremetals")
	require.NoError(h.t, err)
	defer rows.Close()
	for rows.Next() {
		var id models.ID
		var m member
		require.NoError(h.t, rows.Scan(&id, &m.group, &m.byRule))
		out[id] = m
	}
	require.NoError(h.t, rows.Err())
	return out
}

func TestMachinesJoinByRule(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	gpu, big := h.group("gpu", `gpu.model = "H100" and rack in ["r1", "r2"]`), h.group("big", "memory_gib >= 512")
	a, b, c, fixed := h.machine("a", "spare"), h.machine("b", "hypervisor"), h.machine("c", "spare"), h.machine("d", "spare")
	h.exec("UPDATE baremetals SET group_id = $2 WHERE id = $1", fixed, gpu)
	h.exec("UPDATE baremetals SET rack_id = $2 WHERE id = $1", a, h.racks[0])
	h100 := models.Inventory{GPUs: []models.GPU{{Model: "H100", Vendor: "NVIDIA"}}}
	h.inventory(a, h100)
	h.inventory(b, models.Inventory{Memory: []models.MemoryModule{{SizeMiB: 512 << 10}}})
	m := h.whole()
	require.ElementsMatch(t, []Move{{a, nil, &gpu}, {b, nil, &big}}, m.Moves)
	require.Equal(t, map[models.ID]member{a: {gpu, true}, b: {big, true}, c: {}, fixed: {gpu, false}}, h.members())

	h100.Memory = []models.MemoryModule{{SizeMiB: 1 << 20}}
	h.inventory(a, h100)
	m = h.whole()
	require.Equal(t, []Conflict{{a, []string{"big", "gpu"}}}, m.Matched)
	require.Equal(t, []Move{{a, &gpu, &big}}, m.Moves, "the smallest name wins")

	h.carry(b)
	h.inventory(b, models.Inventory{Memory: []models.MemoryModule{{SizeMiB: 1024}}})
	require.NoError(t, h.JoinByRule(t.Context(), b))
	require.Equal(t, member{big, true}, h.members()[b], "a host with machines stays")
	require.Equal(t, []Move{{b, &big, nil}}, h.whole().Staying)
	h.exec("DELETE FROM vms")
	require.NoError(t, h.JoinByRule(t.Context(), b))
	require.Equal(t, member{}, h.members()[b])
	var waits int
	require.NoError(t, h.Pool.QueryRow(t.Context(), "SELECT count(*) FROM group_waits").Scan(&waits))
	require.Zero(t, waits)

	h.exec("UPDATE baremetals SET health = 'critical' WHERE id = $1", a)
	require.NoError(t, h.JoinByRule(t.Context(), a))
	var unfit bool
	require.NoError(t, h.Pool.QueryRow(t.Context(), "SELECT unfit FROM baremetals WHERE id = $1", a).Scan(&unfit))
	require.True(t, unfit)
}

// ask is a rule, and what it means.
type ask struct {
	rule    string
	matches func(p *player) bool
}

// player is a machine as the property test knows it.
type player struct {
	id     models.ID
	gpu    bool
	rack   int // 0: none
	team   string
	health string
	vms    bool
	at     member
}

var asks = []ask{
	{"", func(*player) bool { return false }},
	{`gpu.count > 0`, func(p *player) bool { return p.gpu }},
	{`gpu.model = "H100" and failure_domain == "hall-1"`, func(p *player) bool { return p.gpu && p.rack == 1 }},
	{`rack in ["r1", "r2"]`, func(p *player) bool { return p.rack > 0 }},
	{`labels.team == "ml"`, func(p *player) bool { return p.team == "ml" }},
	{`not (health in ["critical", "warning"]) or labels.team = "web"`, func(p *player) bool { return p.health == "ok" || p.health == "" || p.team == "web" }},
	{`true`, func(*player) bool { return true }},
	{`name == "nobody" or role = "spare" and rack = ""`, func(p *player) bool { return p.rack == 0 }},
}

// TestMembershipIsTheSameByStepsAndAtOnce changes machines and rules by chance. After each change, asking only about what
// changed comes to the same as asking about everything, and to what the rules mean.
func TestMembershipIsTheSameByStepsAndAtOnce(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	rapid.Check(t, func(r *rapid.T) {
		h := &hall{Store: h.Store, t: r, racks: h.racks, groups: map[string]models.ID{}}
		h.exec("WITH v AS (DELETE FROM vms), h AS (DELETE FROM hypervisors), b AS (DELETE FROM baremetals) DELETE FROM groups")
		names := []string{"a", "b", "c"}
		rules := map[string]ask{}
		for _, name := range names {
			rules[name] = asks[0]
			h.group(name, "")
		}
		players := make([]*player, rapid.IntRange(1, 4).Draw(r, "machines"))
		for i := range players {
			players[i] = &player{id: h.machine(fmt.Sprintf("m%d", i), "spare")}
		}
		for range rapid.IntRange(1, 5).Draw(r, "steps") {
			p := rapid.SampledFrom(players).Draw(r, "machine")
			switch rapid.SampledFrom([]string{"rule", "gpu", "rack", "team", "health", "vm", "person"}).Draw(r, "change") {
			case "rule":
				name, to := rapid.SampledFrom(names).Draw(r, "group"), rapid.SampledFrom(asks).Draw(r, "rule")
				rules[name] = to
				h.exec("UPDATE groups SET rule = $2 WHERE id = $1", h.groups[name], to.rule)
				h.whole()
			case "gpu":
				p.gpu = !p.gpu
				in := models.Inventory{BIOS: "1"}
				if p.gpu {
					in.GPUs = []models.GPU{{Model: "H100"}}
				}
				h.inventory(p.id, in)
			case "rack":
				p.rack = (p.rack + 1) % 3
				var rack *models.ID
				if p.rack > 0 {
					rack = &h.racks[p.rack-1]
				}
				h.exec("UPDATE baremetals SET rack_id = $2 WHERE id = $1", p.id, rack)
			case "team":
				p.team = rapid.SampledFrom([]string{"", "ml", "web"}).Draw(r, "team")
				h.exec("UPDATE baremetals SET labels = jsonb_build_object('team', $2::text) WHERE id = $1", p.id, p.team)
			case "health":
				p.health = rapid.SampledFrom([]string{"ok", "warning", "critical"}).Draw(r, "health")
				h.exec("UPDATE baremetals SET health = $2 WHERE id = $1", p.id, p.health)
			case "vm":
				if p.vms {
					h.exec("DELETE FROM vms WHERE baremetal_id = $1", p.id)
					p.vms = false
				} else if p.at.group != models.NoID {
					h.carry(p.id)
					p.vms = true
				}
			case "person":
				if !p.vms {
					p.at = member{group: h.groups[rapid.SampledFrom(names).Draw(r, "into")]}
					if rapid.Bool().Draw(r, "out") {
						p.at = member{}
					}
					h.exec("UPDATE baremetals SET group_id = nullif($2::uuid, '00000000-0000-0000-0000-000000000000'), group_by_rule = false WHERE id = $1", p.id, p.at.group)
				}
			}
			require.NoError(r, h.Store.JoinByRule(context.Background(), p.id))
			for _, q := range players {
				q.expect(h, names, rules)
			}
			got, want := h.members(), map[models.ID]member{}
			for _, q := range players {
				want[q.id] = q.at
			}
			require.Equal(r, want, got)
			require.Empty(r, h.whole().Moves, "asking about everything changes nothing")
		}
	})
}

// expect is where the rules want the machine.
func (p *player) expect(h *hall, names []string, rules map[string]ask) {
	if p.at.group != models.NoID && (!p.at.byRule || p.vms) {
		return
	}
	p.at = member{}
	if i := slices.IndexFunc(names, func(name string) bool { return rules[name].matches(p) }); i >= 0 {
		p.at = member{h.groups[names[i]], true}
	}
}

// What is leased counts in the quota of the group where it was leased. If that was none, no rule brings it into one.
func TestALeasedMachineStaysWhereItWasLeased(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	id := h.machine("m", "spare")
	h.exec("UPDATE baremetals SET role = 'leased', state = 'in_use', tenant_id = (SELECT id FROM tenants) WHERE id = $1", id)
	h.exec("INSERT INTO allocations (resource_id, resource_kind, tenant_id, baremetals) SELECT $1, 'baremetal', id, 1 FROM tenants", id)
	group := h.group("all", "true")
	require.Equal(t, []Move{{id, nil, &group}}, h.whole().Staying)
	require.Equal(t, map[models.ID]member{id: {}}, h.members())
	found, err := h.CheckLedger(t.Context())
	require.NoError(t, err)
	require.Empty(t, found.Findings)

	h.exec("UPDATE baremetals SET role = 'spare', state = 'available', tenant_id = NULL WHERE id = $1", id)
	require.NoError(t, h.JoinByRule(t.Context(), id))
	require.Equal(t, map[models.ID]member{id: {group, true}}, h.members(), "once it is released, it joins")
}
