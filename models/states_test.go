package models_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

var update = flag.Bool("update", false, "write the golden files")

// TestStatesAreDocumented prints the transition tables: the golden file is their documentation.
func TestStatesAreDocumented(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	table(&b, "vm", models.VMTransitions)
	table(&b, "baremetal", models.BaremetalTransitions)
	table(&b, "operation", models.OperationTransitions)
	const golden = "testdata/states.golden"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(b.String()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}

func table[S ~string](b *strings.Builder, what string, ts models.Transitions[S]) {
	fmt.Fprintln(b, what)
	for _, from := range slices.Sorted(maps.Keys(ts)) {
		to := slices.Clone(ts[from])
		slices.Sort(to)
		names := make([]string, len(to))
		for i, s := range to {
			names[i] = string(s)
		}
		fmt.Fprintf(b, "  %-13s → %s\n", from, strings.Join(names, ", "))
	}
}

func TestWhatFollowsComesFrom(t *testing.T) {
	t.Parallel()
	for from, next := range models.OperationTransitions {
		for _, to := range next {
			require.Contains(t, models.OperationTransitions.From(to), from)
		}
		require.False(t, from.Ended(), "nothing follows an end")
	}
	require.True(t, models.VMTransitions.Allows(models.VMRunning, models.VMRunning))
	require.False(t, models.VMTransitions.Allows(models.VMDeleting, models.VMProvisioning))
}

func TestEveryCodeIsExplained(t *testing.T) {
	t.Parallel()
	seen := map[models.Code]bool{}
	for _, c := range models.Codes {
		require.False(t, seen[c.Code], c.Code)
		seen[c.Code] = true
		require.NotEmpty(t, c.Title, c.Code)
		require.Regexp(t, `\.$`, c.Meaning, c.Code)
		require.Regexp(t, `\.$`, c.Remedy, c.Code)
		require.Equal(t, c, c.Code.Info())
	}
	require.Equal(t, models.CodeInternal, models.Code("never heard of").Info().Code)
}
