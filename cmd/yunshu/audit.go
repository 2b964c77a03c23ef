package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/yunshu/yunshu/client"
	"github.com/yunshu/yunshu/seal"
)

// auditCommand is what one does with the record as a whole; audit-event lists single events.
func (a *app) auditCommand() *cobra.Command {
	c := &cobra.Command{Use: "audit", Short: "Export and verify the record of what was done"}
	c.AddCommand(a.auditExportCommand(), a.auditVerifyCommand())
	return c
}

// auditFilters are those of audit-event list.
func auditFilters() []field {
	return nouns[slices.IndexFunc(nouns, func(n noun) bool { return n.name == "audit-event" })].filters
}

func (a *app) auditExportCommand() *cobra.Command {
	var file string
	seals := false
	c := &cobra.Command{Use: "export", Short: "Write the record as JSON lines, the oldest first", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		q := query(cmd, auditFilters())
		if seals {
			q.Set("seals", "true")
		}
		if file == "" || file == "-" {
			return a.client.Stream(cmd.Context(), "/v1/audit-events/export", q, a.out)
		}
		return a.exportTo(cmd, file, q)
	}}
	c.Flags().StringVar(&file, "file", "", "file to write to; default: standard output")
	c.Flags().BoolVar(&seals, "seals", false, "also the seals by which the file can be verified")
	a.addFlags(c, auditFilters())
	return c
}

// exportTo writes beside the file and puts it in place at the end, so that half an export never looks like a whole one.
func (a *app) exportTo(cmd *cobra.Command, file string, q url.Values) error {
	out, err := os.OpenFile(file+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("The export cannot be written: %w", err)
	}
	if err := errors.Join(a.client.Stream(cmd.Context(), "/v1/audit-events/export", q, out), out.Close()); err != nil {
		return errors.Join(err, os.Remove(file+".part"))
	}
	return os.Rename(file+".part", file)
}

func (a *app) auditVerifyCommand() *cobra.Command {
	var file, anchor string
	complete := false
	c := &cobra.Command{Use: "verify", Short: "Prove that nobody changed the record", Args: cobra.NoArgs,
		Long: "Compares the record with the chain of hashes that it is sealed by, at the gateway, or in a file that audit export --seals wrote.\n\n" +
			"It prints the hash of the chain's end. Keep that elsewhere and give it as --anchor the next time: whoever can write\n" +
			"everything can write the whole chain anew, and cut off its end, and only such a hash shows that.",
		// A file is verified without a gateway.
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			if file != "" {
				return nil
			}
			return cmd.Root().PersistentPreRunE(cmd, args)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file != "" {
				return a.verifyFile(file, anchor, complete)
			}
			return a.verifyAtGateway(cmd, anchor)
		}}
	c.Flags().StringVar(&file, "file", "", "verify this export instead of the gateway's record")
	c.Flags().StringVar(&anchor, "anchor", "", "hash of the chain that was kept elsewhere")
	c.Flags().BoolVar(&complete, "complete", false, "with --file: it is an export without filters, so that a sealed event that is not in it was removed")
	return c
}

// verification is what the gateway says of a stretch of the chain.
type verification struct {
	Seals         int64      `json:"seals"`
	Events        int64      `json:"events"`
	RemovedEvents int64      `json:"removed_events"`
	RemovedBefore *time.Time `json:"removed_before"`
	Unsealed      int64      `json:"unsealed"`
	Head          struct {
		Number int64  `json:"number"`
		Hash   string `json:"hash"`
	} `json:"head"`
	NextAfter *int64         `json:"next_after"`
	Findings  []seal.Finding `json:"findings"`
}

func (a *app) verifyAtGateway(cmd *cobra.Command, anchor string) error {
	var all verification
	for after := int64(0); ; {
		q := url.Values{"after": {strconv.FormatInt(after, 10)}}
		if anchor != "" {
			q.Set("anchor", anchor)
		}
		answer, err := a.client.Do(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/audit-events/verification", Query: q})
		if err != nil {
			return err
		}
		var v verification
		if err := json.Unmarshal(answer.Body, &v); err != nil {
			return err
		}
		v.Seals, v.Events, v.RemovedEvents, v.Findings = v.Seals+all.Seals, v.Events+all.Events, v.RemovedEvents+all.RemovedEvents, append(all.Findings, v.Findings...)
		all = v
		if v.NextAfter == nil {
			return a.tellVerification(all)
		}
		after = *v.NextAfter
	}
}

// tellVerification prints what was found, and where the chain ends.
func (a *app) tellVerification(v verification) error {
	if a.format != "table" {
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := a.show(raw); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.out, "%d events in %d seals are as they were sealed; %d are too young to be sealed.\n", v.Events, v.Seals, v.Unsealed)
		if v.RemovedEvents > 0 && v.RemovedBefore != nil {
			fmt.Fprintf(a.out, "%d events were removed by retention, from before %s.\n", v.RemovedEvents, v.RemovedBefore.Format(time.DateOnly))
		}
		for _, f := range v.Findings {
			fmt.Fprintf(a.out, "%s: %s\n", f.Kind, f.Message)
		}
		fmt.Fprintf(a.out, "The chain ends with seal %d: %s\n", v.Head.Number, v.Head.Hash)
	}
	if len(v.Findings) > 0 {
		return errFailed
	}
	return nil
}

// verifyFile verifies an export without a gateway.
func (a *app) verifyFile(path, anchor string, complete bool) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("The export cannot be read: %w", err)
	}
	defer f.Close()
	var v seal.Verifier
	if anchor != "" {
		v.Anchor = &seal.Hash{}
		if err := v.Anchor.UnmarshalText([]byte(anchor)); err != nil {
			return fmt.Errorf("The anchor cannot be read: %w.", err)
		}
	}
	out, err := verifyLines(f, &v, complete)
	if err != nil {
		return err
	}
	return a.tellVerification(out)
}

// verifyLines reads events first, and then the seals that cover them.
func verifyLines(from io.Reader, v *seal.Verifier, complete bool) (verification, error) {
	events := map[uuid.UUID]seal.Hash{}
	lines := json.NewDecoder(bufio.NewReaderSize(from, 1<<20))
	var out verification
	sealed := int64(0)
	for n := 1; ; n++ {
		var line struct {
			seal.Event
			Seal *seal.Seal `json:"seal"`
		}
		if err := lines.Decode(&line); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return out, fmt.Errorf("Line %d of the export cannot be read: %w", n, err)
		}
		if line.Seal == nil {
			hash, err := line.Hash()
			if err != nil {
				return out, fmt.Errorf("Line %d of the export cannot be read: %w", n, err)
			}
			if _, twice := events[line.ID]; twice {
				v.Findings = append(v.Findings, seal.Finding{Kind: seal.EventAdded, EventID: line.ID, Message: fmt.Sprintf("The event %s is in the export twice.", line.ID)})
			}
			events[line.ID] = hash
			continue
		}
		mine, count, err := covered(events, *line.Seal)
		if err != nil {
			return out, fmt.Errorf("Line %d of the export cannot be read: %w", n, err)
		}
		v.Seal(*line.Seal, mine, !complete)
		out.Seals, sealed = out.Seals+1, sealed+count
	}
	if out.Seals == 0 {
		return out, errors.New("The export has no seals, so that nothing can be proved by it. Make it with --seals.")
	}
	v.End(-1, seal.Hash{})
	out.Events, out.Findings, out.Unsealed = v.Events, v.Findings, int64(len(events))-sealed
	out.Head.Number, out.Head.Hash = v.Number, v.Head.String()
	return out, nil
}

// covered picks the events of a seal.
func covered(events map[uuid.UUID]seal.Hash, s seal.Seal) (mine map[uuid.UUID]seal.Hash, count int64, err error) {
	entries, err := seal.ReadEntries(s.Entries)
	if err != nil {
		return nil, 0, err
	}
	mine = make(map[uuid.UUID]seal.Hash, len(entries))
	for _, e := range entries {
		if hash, there := events[e.ID]; there {
			mine[e.ID] = hash
			count++
		}
	}
	return mine, count, nil
}
