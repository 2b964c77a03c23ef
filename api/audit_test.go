package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/seal"
)

// audited lists audit events by a filter, oldest first, each as its outcome, code, action and actor.
func (e *edge) audited(query string) []AuditEvent {
	e.t.Helper()
	require.NoError(e.t, e.api.Flush(e.t.Context()))
	items := decode[List[AuditEvent]](e.call(e.admin, "GET", "/v1/audit-events?limit=200&"+query, nil).is(200)).Items
	return items
}

func TestEveryKindOfRefusedWriteIsWrittenDown(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	acme := e.tenant("acme", "")
	viewer := e.user("viewer", "viewer@acme")
	from := []string{"User-Agent", "curl/8\x01.5\xff", "X-Forwarded-For", "203.0.113.9"}
	e.call(viewer, "PATCH", path("tenants/%s", acme.ID), M{"description": "mine"}, from...).problem(models.CodeForbidden)
	e.call(viewer, "DELETE", path("tenants/%s", models.NewID()), nil, from...).problem(models.CodeNotFound)
	e.call(e.admin, "POST", "/v1/tenants", M{"name": "acme"}, from...).problem(models.CodeNameTaken)
	e.call(e.admin, "POST", "/v1/tenants", M{"name": "A"}, from...).problem(models.CodeInvalid)
	e.call(e.admin, "PATCH", path("tenants/%s", acme.ID), M{"name": "b"}, append(from, "If-Match", `"9"`)...).problem(models.CodePreconditionFailed)
	e.call(e.admin, "POST", "/v1/tenants", "{", from...).problem(models.CodeMalformed)
	e.call(e.admin, "POST", "/v1/tenants", strings.Repeat(" ", 2<<20), from...) // refused before anybody is known
	e.call("ys_nobody", "POST", "/v1/tenants", M{"name": "x"}, from...).problem(models.CodeUnauthenticated)
	e.call(viewer, "GET", path("tenants/%s", models.NewID()), nil).problem(models.CodeNotFound)
	got := map[string]int{}
	for _, ev := range e.audited("outcome=refused") {
		got[ev.Actor+" "+ev.Action+" "+ev.Code]++
		require.Equal(t, []string{"192.0.2.1", "curl/8\x01.5"}, []string{ev.RemoteAddress, ev.UserAgent}, "a client does not choose its address")
	}
	require.Equal(t, map[string]int{"viewer tenant.update forbidden": 1, "viewer tenant.delete not_found": 1, "root tenant.create name_taken": 1,
		"root tenant.create invalid": 1, "root tenant.update precondition_failed": 1, "root tenant.create malformed": 1}, got)
	require.Len(t, decode[List[AuditEvent]](e.call(viewer, "GET", "/v1/audit-events?outcome=refused", nil).is(200)).Items, 2, "viewers see what concerns their tenant")
}

// Whoever owns what was tried on sees who tried.
func TestRefusalsAreShownToTheOwner(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	viewer, rival := c.user("vic", "viewer@acme"), c.user("rita", "admin@rival")
	machine := c.running("web")
	c.call(rival, "DELETE", path("vms/%s", machine.ID), nil).problem(models.CodeNotFound)
	c.call(viewer, "POST", path("operations/%s/cancel", c.createVM(c.admin, "other").ID), nil).problem(models.CodeForbidden)
	c.call(c.admin, "POST", "/v1/vms", c.vm("web")).problem(models.CodeNameTaken)
	require.NoError(t, c.api.Flush(t.Context()))
	seen := map[string]bool{}
	for _, e := range decode[List[AuditEvent]](c.call(viewer, "GET", "/v1/audit-events?outcome=refused", nil).is(200)).Items {
		seen[e.Actor+" "+e.Action+" "+e.Code+" "+e.ResourceName] = true
	}
	require.Equal(t, map[string]bool{"rita vm.delete not_found web": true, "vic operation.cancel forbidden other": true, "root vm.create name_taken ": true}, seen)
}

// What a region reports is written down in its name, with what was before.
func TestReportsOfARegionAreWrittenDown(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	member := c.user("mia", "member@acme")
	machine := c.running("web")
	op := decode[Operation](c.call(member, "POST", path("vms/%s/power-off", machine.ID), nil, "X-Request-Id", "off").is(202))
	accepted := c.audited("request_id=off")
	require.Len(t, accepted, 1)
	require.Equal(t, []any{"mia", "vm.power", "accepted", &op.ID}, []any{accepted[0].Actor, accepted[0].Action, accepted[0].Outcome, accepted[0].OperationID})
	var before struct {
		State models.VMState `json:"state"`
	}
	require.NoError(t, json.Unmarshal(accepted[0].Before, &before))
	require.Equal(t, models.VMRunning, before.State)
	reports := c.audited("action=operation.report&resource_id=" + machine.ID.String())
	require.NotEmpty(t, reports)
	require.Equal(t, []string{"region/tw", "done", "vm"}, []string{reports[0].Actor, reports[0].Outcome, reports[0].ResourceKind})
	require.Contains(t, string(reports[0].After), "running")

	c.record(hypervisor(1), hypervisor(2))
	check := c.leakCheck()
	require.Empty(t, c.compare(contract.CompareInput{OperationID: check, Machines: []contract.Machine{{ID: machine.ID}}, Last: true}))
	recorded, compared := c.audited("action=region.record"), c.audited("action=leak.compare&actor=region/tw&on_behalf_of=root")
	require.Len(t, compared, 1)
	require.Equal(t, []any{"region/tw", "tw", &check}, []any{recorded[0].Actor, recorded[0].ResourceID, compared[0].OperationID})
	require.JSONEq(t, `{"after": "", "machines": 1, "last": true, "findings": 0}`, string(compared[0].After))
}

func TestAnExportCanBeVerifiedWithoutAGateway(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.tenant("acme", "")
	viewer := e.user("viewer", "viewer@acme")
	e.call(e.admin, "PATCH", path("tenants/%s", e.tenant("dev", "acme").ID), M{"description": "<&> \u2028 ü"}).is(200)
	require.Eventually(t, func() bool { // other tests' transactions hold back the horizon
		_, _, err := e.store.Seal(t.Context())
		require.NoError(t, err)
		v := decode[AuditVerification](e.call(e.admin, "GET", "/v1/audit-events/verification", nil).is(200))
		return v.Unsealed == 0 && v.OK
	}, 20*time.Second, 20*time.Millisecond)
	verified := decode[AuditVerification](e.call(e.admin, "GET", "/v1/audit-events/verification", nil).is(200))

	a := e.call(e.admin, "GET", "/v1/audit-events/export?seals=true", nil).is(200)
	require.Equal(t, jsonLines, a.Header.Get("Content-Type"))
	events, seals := readExport(t, a.Body)
	require.Equal(t, int(verified.Events), len(events)-1, "the export itself is written down, too late to be sealed")
	var v seal.Verifier
	for _, s := range seals {
		v.Seal(s, mapOf(t, s, events), false)
	}
	v.End(-1, seal.Hash{})
	require.Empty(t, v.Findings)
	require.Equal(t, []any{verified.Head.Number, verified.Head.Hash, verified.Events}, []any{v.Number, v.Head.String(), v.Events})

	mine, none := readExport(t, e.call(viewer, "GET", "/v1/audit-events/export?tenant=acme", nil).is(200).Body)
	require.Empty(t, none)
	for _, ev := range mine {
		require.NotNil(t, ev.TenantID)
	}
	e.call(viewer, "GET", "/v1/audit-events/export?seals=true", nil).problem(models.CodeForbidden)
	e.call(e.admin, "GET", "/v1/audit-events/verification?anchor=abc", nil).problem(models.CodeInvalid)
	e.call(e.admin, "GET", "/v1/audit-events/verification?after=99", nil).problem(models.CodeNotFound)
	kept := strings.Repeat("0", 64)
	lost := decode[AuditVerification](e.call(e.admin, "GET", "/v1/audit-events/verification?anchor="+kept, nil).is(200))
	require.False(t, lost.OK)
	require.Equal(t, seal.AnchorMissing, lost.Findings[0].Kind)
	require.Len(t, e.audited("action=audit-event.export"), 2)
}

// readExport reads the lines of an export.
func readExport(t *testing.T, raw []byte) (events []seal.Event, seals []seal.Seal) {
	t.Helper()
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			seal.Event
			Seal *seal.Seal `json:"seal"`
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line))
		if line.Seal != nil {
			seals = append(seals, *line.Seal)
			continue
		}
		require.Empty(t, seals, "events come first")
		events = append(events, line.Event)
	}
	require.NoError(t, lines.Err())
	return events, seals
}

// mapOf hashes the events of a seal.
func mapOf(t *testing.T, s seal.Seal, events []seal.Event) map[uuid.UUID]seal.Hash {
	t.Helper()
	entries, err := seal.ReadEntries(s.Entries)
	require.NoError(t, err)
	sealed := map[uuid.UUID]bool{}
	for _, entry := range entries {
		sealed[entry.ID] = true
	}
	out := map[uuid.UUID]seal.Hash{}
	for _, e := range events {
		if hash, err := e.Hash(); sealed[e.ID] {
			require.NoError(t, err)
			out[e.ID] = hash
		}
	}
	return out
}
