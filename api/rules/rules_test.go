package rules_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/api/rules"
)

var h100 = rules.Machine{
	Name: "gpu-07", Region: "tw", Rack: "tw-r01", Row: "A", FailureDomain: "hall-1", Role: "spare", State: "available", Vendor: "Dell", Model: "PowerEdge R760", Serial: "ABC",
	CPU: rules.CPU{Model: "Xeon 6430", Count: 2}, Cores: 64, Threads: 128, MemoryGiB: 512, Disk: rules.Disk{Count: 4, Kinds: []string{"nvme", "ssd"}}, StorageGiB: 8000,
	NIC: rules.NIC{Count: 2, SpeedMbps: 25000}, GPU: rules.GPU{Model: "H100", Models: []string{"H100"}, Vendor: "NVIDIA", Count: 8},
	Labels: map[string]string{"team": "ml", "cost-center": "7"}, Health: "ok", Power: "on", Load: 0.25,
}

func TestRulesAskForFacts(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]bool{
		`gpu.model == "H100" and rack in ["tw-r01", "tw-r02"]`: true,
		`gpu.model = "H100" and rack in ["tw-r01"]`:            true,
		`gpu.model = "A100" or not (memory_gib >= 512)`:        false,
		`labels.team == "ml" && labels["cost-center"] = "7"`:   true,
		`labels.owner == ""`:                                   true,
		`labels.owner != "" or labels.team = "a = b"`:          false,
		`name matches "^gpu-[0-9]+$" and model contains "R76"`: true,
		`any(disk.kinds, # == "nvme") and disk.kind == ""`:     true,
		`"nvme" in disk.kinds and "hdd" not in disk.kinds`:     true,
		`load < 0.5 and nic.speed_mbps / 1000 >= 25`:           true,
		`lower(vendor) startsWith "dell" and gpu.count > 4`:    true,
		"cores = 64\nand threads = 128":                        true,
		`health == "critical" ? true : role != "spare"`:        false,
		`cores <= 64 and cores >= 64 and !(cores != 64)`:       true,
	} {
		r, err := rules.Compile(source)
		require.NoError(t, err, source)
		got, err := r.Matches(&h100)
		require.NoError(t, err, source)
		require.Equal(t, want, got, source)
	}
}

func TestARuleSaysWhichFactsItUses(t *testing.T) {
	t.Parallel()
	r, err := rules.Compile(`gpu.model = "H100" and (rack = "a" or rack = "b") and any(disk.kinds, # = "ssd") and labels.name != "x"`)
	require.NoError(t, err)
	require.Equal(t, []string{"disk", "gpu", "labels", "rack"}, r.Uses())
}

func TestWhatIsNoRuleIsRefusedWithItsPlace(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		``:                                    `line 1, column 1: the rule ends too early`,
		`gpu.model = "H100" and `:             `line 1, column 23: the rule ends too early`,
		`racks == "a"`:                        `line 1, column 1: there is no fact or function named racks`,
		`rack = "a" and colour = "b"`:         `line 1, column 16: there is no fact or function named colour`,
		"rack = \"a\"\nand row = 7":           `line 2, column 9: invalid operation: == (mismatched types string and int)`,
		`gpu.colour == "red"`:                 `line 1, column 5: type rules.GPU has no field colour`,
		`memory_gib`:                          `line 1, column 1: a rule must be true or false; this one is of type int`,
		`cores = 4 and any(1..1000000, true)`: `line 1, column 20: a rule has no ranges; compare with >= and <=`,
		`name matches serial`:                 `line 1, column 6: the pattern of matches must be a constant text`,
		`name matches "("`:                    "line 1, column 6: error parsing regexp: missing closing ): `(`",
		`disk.kinds[7] == "ssd"`:              `line 1, column 11: only a constant name may stand in brackets, such as labels["team"]`,
		`labels[name] == "x"`:                 `line 1, column 7: only a constant name may stand in brackets, such as labels["team"]`,
		`$env["name"] == "x"`:                 `line 1, column 1: there is no fact or function named $env`,
		`repeat("x", 1000000000) == name`:     `line 1, column 1: only these functions may be called: all, any, none, one, count, len, lower, upper`,
		`let x = 1; x == 1`:                   `line 1, column 7: unexpected token Operator("==")`,
		`name == "a`:                          `line 1, column 11: literal not terminated`,
		`cores % 0 == 1`:                      `line 1, column 7: the operator % is not for rules`,
		`any(disk.kinds, any(disk.kinds, # == "ssd"))`: `line 1, column 17: a condition on the items of a list cannot have another one within`,
		`name(1)`: `line 1, column 1: only these functions may be called: all, any, none, one, count, len, lower, upper`,
		strings.Repeat("cores > 1 and ", 200) + "true": `line 1, column 2001: the rule is longer than 2000 characters`,
		strings.Repeat("!!", 400) + "(cores>1)":        `line 1, column 809: the rule has more than 300 parts; make it simpler`,
	} {
		_, err := rules.Compile(source)
		require.EqualError(t, err, want, source)
	}
}

func TestTheFirstRuleWinsAndTheOthersAreNamed(t *testing.T) {
	t.Parallel()
	var all []*rules.Rule
	for _, source := range []string{`cores > 100`, `gpu.count > 0`, `rack = "tw-r01"`} {
		r, err := rules.Compile(source)
		require.NoError(t, err)
		all = append(all, r)
	}
	machines := make([]rules.Machine, 5000)
	want := make([]rules.Decision, len(machines))
	for i := range machines {
		machines[i], want[i] = h100, rules.Decision{First: 1, More: []int{2}}
		if i%3 == 0 {
			machines[i].GPU.Count, machines[i].Rack, want[i] = 0, "elsewhere", rules.Decision{First: -1}
		}
	}
	require.Equal(t, want, rules.Decide(all, machines))
	require.Empty(t, rules.Decide(all, nil))
}

// FuzzCompile shows that no text breaks the language, and that what is understood can be asked.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{`gpu.model = "H100" and rack in ["a"]`, `any(disk.kinds, # == "x")`, `labels["a"] matches "b+"`, `not (load < 0.5)`, `len(gpu.models) > 1`, `count(gpu.models, # == "x") > 1`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		r, err := rules.Compile(source)
		if err != nil {
			require.ErrorAs(t, err, new(*rules.Error))
			return
		}
		_, err = r.Matches(&h100)
		require.NoError(t, err, source)
	})
}

func BenchmarkDecide(b *testing.B) {
	machines := make([]rules.Machine, 100_000)
	for i := range machines {
		machines[i] = h100
	}
	r, err := rules.Compile(`gpu.model == "H100" and rack in ["tw-r01", "tw-r02"]`)
	require.NoError(b, err)
	for b.Loop() {
		rules.Decide([]*rules.Rule{r, r, r, r}, machines)
	}
}
