package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/seal"
)

// exported is a small export: three events in two seals, and one event that is not sealed yet.
func exported(t *testing.T) (lines []string, head seal.Hash) {
	t.Helper()
	add := func(v any) {
		raw, err := json.Marshal(v)
		require.NoError(t, err)
		lines = append(lines, string(raw))
	}
	events := make([]seal.Event, 4)
	for i := range events {
		events[i] = seal.Event{ID: uuid.Must(uuid.NewV7()), At: time.Date(2027, 1, 1, 0, 0, i, 0, time.UTC), Actor: "ada", Action: "vm.create", ResourceKind: "vm", Outcome: "done",
			After: json.RawMessage(`{"b": 1.0, "a": "<&>"}`)}
		add(events[i])
	}
	for n, part := range [][]seal.Event{events[:2], events[2:3]} {
		var entries []seal.Entry
		for _, e := range part {
			hash, err := e.Hash()
			require.NoError(t, err)
			entries = append(entries, seal.Entry{ID: e.ID, At: e.At, Hash: hash})
		}
		s := seal.Seal{Number: int64(n + 1), FromTxID: int64(n), ToTxID: int64(n + 1), Entries: seal.Entries(entries), Previous: head}
		s.Hash = s.Sum()
		head = s.Hash
		add(map[string]any{"seal": s})
	}
	return lines, head
}

func TestAnExportIsVerified(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change   func(lines []string) []string
		complete bool
		want     string // kinds of findings
	}{
		"as it was": {func(l []string) []string { return l }, true, ""},
		"another order of keys": {func(l []string) []string {
			return replaced(l, `{"b":1.0,"a":"\u003c\u0026\u003e"}`, `{"a":"<&>", "b":1.0}`)
		}, true, ""},
		"filtered":              {func(l []string) []string { return l[1:] }, false, ""},
		"an event missing":      {func(l []string) []string { return l[1:] }, true, "event_missing"},
		"an event changed":      {func(l []string) []string { return replaced(l, `"ada"`, `"eve"`) }, false, "event_changed"},
		"an event twice":        {func(l []string) []string { return append([]string{l[0]}, l...) }, false, "event_added"},
		"a seal missing":        {func(l []string) []string { return append(l[:4:4], l[5]) }, false, "seal_missing"},
		"the last seal missing": {func(l []string) []string { return l[:5] }, false, "anchor_missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines, head := exported(t)
			v := seal.Verifier{Anchor: &head}
			out, err := verifyLines(bytes.NewReader([]byte(strings.Join(c.change(lines), "\n"))), &v, c.complete)
			require.NoError(t, err)
			kinds := []string{}
			for _, f := range out.Findings {
				kinds = append(kinds, f.Kind)
			}
			require.Equal(t, c.want, strings.Join(kinds, " "))
		})
	}
	_, err := verifyLines(strings.NewReader(`{"id": 1}`), &seal.Verifier{}, false)
	require.ErrorContains(t, err, "Line 1")
	_, err = verifyLines(strings.NewReader(""), &seal.Verifier{}, false)
	require.ErrorContains(t, err, "--seals")
}

// replaced changes the first line that has the text.
func replaced(lines []string, from, to string) []string {
	for i, l := range lines {
		if strings.Contains(l, from) {
			lines[i] = strings.Replace(l, from, to, 1)
			break
		}
	}
	return lines
}
