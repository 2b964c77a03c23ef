package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

func TestAMachineIsAcceptedAndShown(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	member := c.user("mia", "member@acme")
	a := c.call(member, "POST", "/v1/vms", c.vm("web"), "Idempotency-Key", "k").is(202)
	op := decode[Operation](a)
	require.Equal(t, path("operations/%s", op.ID), a.Header.Get("Location"))
	require.Equal(t, `"1"`, a.Header.Get("ETag"))
	dev := c.tenantID("acme/dev")
	require.Equal(t, Operation{
		ID: op.ID, Kind: "vm.provision", State: "accepted", TenantID: &dev, Tenant: "acme/dev", Region: "tw", ResourceKind: "vm", ResourceID: op.ResourceID, ResourceName: "web",
		ActorID: op.ActorID, Actor: "mia", Temporal: WorkflowRef{WorkflowID: op.ID.String()}, Version: 1, CreatedAt: op.CreatedAt,
		Links: OperationLinks{Self: path("operations/%s", op.ID), Resource: path("vms/%s", op.ResourceID), Cancel: path("operations/%s/cancel", op.ID)},
	}, op)

	again := decode[Operation](c.call(member, "POST", "/v1/vms", c.vm("web"), "Idempotency-Key", "k").is(202))
	require.Equal(t, op, again)
	c.call(member, "POST", "/v1/vms", c.vm("other"), "Idempotency-Key", "k").problem(models.CodeKeyReused)
	require.Equal(t, 1, c.count("vms"))

	shown := c.call(member, "GET", op.Links.Resource, nil).is(200)
	v := decode[VM](shown)
	require.Equal(t, VM{
		ID: op.ResourceID, Name: "web", TenantID: dev, Tenant: "acme/dev", Region: "tw", GroupID: c.group.ID, Group: "general", BaremetalID: v.BaremetalID, Baremetal: v.Baremetal,
		ImageID: c.image.ID, Image: "ubuntu", FlavorID: &c.small.ID, Flavor: "small", SubnetID: c.lan.ID, Subnet: "lan", Address: v.Address, State: "provisioning",
		Size: c.small.Size, GuestAddresses: []string{}, CreatedBy: "mia", OperationID: &op.ID, Operation: "vm.provision",
		Links:  VMLinks{Self: op.Links.Resource, Operations: path("operations?resource_id=%s", v.ID), Operation: op.Links.Self},
		Stamps: Stamps{1, v.CreatedAt, v.UpdatedAt},
	}, v)
	c.call(member, "GET", op.Links.Resource, nil, "If-None-Match", shown.Header.Get("ETag")).is(304)
	require.Len(t, decode[List[Operation]](c.call(member, "GET", v.Links.Operations, nil).is(200)).Items, 1)
	require.Len(t, decode[List[VM]](c.get("/v1/vms?baremetal="+v.Baremetal)).Items, 1)
	c.requireBalance()
}

func TestAPlanSaysWhereAndWhatItCosts(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.call(c.admin, "PUT", path("tenants/%s/quotas/everywhere", c.tenantID("acme")), M{"vcpu": 4}).is(200)
	p := decode[VMPlan](c.call(c.admin, "POST", "/v1/vms?dry_run=true", c.vm("web")).is(200))
	require.Equal(t, VMPlan{
		BaremetalID: p.BaremetalID, Baremetal: p.Baremetal, RackID: &c.rack.ID, Address: p.Address, Policy: "spread", Size: c.small.Size,
		Reasons: []models.Reason{{Cause: "fits", Hosts: 2}}, Quotas: []PlannedQuota{{"tenant acme", "vcpu", 4, 0, 2}},
	}, p)
	big := c.vm("big")
	delete(big, "flavor")
	big["vcpu"], big["memory_mib"], big["storage_gib"] = 4, 1<<24, 10
	refused := c.call(c.admin, "POST", "/v1/vms?dry_run=true", big).problem(models.CodeCapacityExhausted)
	require.Equal(t, []models.Reason{{Cause: "has too little memory", Hosts: 2}}, refused.Reasons)
}

func TestBadMachinesSayEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	before := c.written()
	for _, bad := range []struct {
		change M
		fields []string
	}{
		{M{"vcpu": 2}, []string{"body.vcpu"}},
		{M{"flavor": nil}, []string{"body.memory_mib", "body.storage_gib", "body.vcpu"}},
		{M{"flavor": nil, "vcpu": -1, "memory_mib": 5, "storage_gib": 0, "gpu": 65}, []string{"body.gpu", "body.memory_mib", "body.storage_gib", "body.vcpu"}},
		{M{"name": "Web 1", "colour": "red"}, []string{"body.colour", "body.name"}},
		{M{"group": "x", "image": "x", "flavor": "x", "subnet": "x"}, []string{"body.flavor", "body.group", "body.image", "body.subnet"}},
		{M{"region": "mars"}, []string{"body.region"}},
		{M{"region": "jp"}, []string{"body.group", "body.image", "body.subnet"}},
		{M{"image": models.NewID()}, []string{"body.image"}},
		{M{"placement": M{"policy": "best", "anti_affinity": M{"vms": []string{}, "scope": "planet"}}},
			[]string{"body.placement.anti_affinity.scope", "body.placement.anti_affinity.vms", "body.placement.policy"}},
		{M{"placement": M{"anti_affinity": M{"vms": []string{"ghost"}}}}, []string{"body.placement.anti_affinity.vms[0]"}},
	} {
		body := c.vm("web")
		for k, v := range bad.change {
			if body[k] = v; v == nil {
				delete(body, k)
			}
		}
		p := c.call(c.admin, "POST", "/v1/vms", body).problem(models.CodeInvalid)
		require.Equal(t, bad.fields, wrongFields(p), "%v", bad.change)
	}
	c.call(c.admin, "POST", "/v1/vms", M{"name": "web", "tenant": "nobody", "region": "tw", "group": "general", "image": "ubuntu", "flavor": "small", "subnet": "lan"}).problem(models.CodeNotFound)
	require.Equal(t, before, c.written())
}

func TestForeignMachinesAreInvisible(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	op := c.createVM(c.admin, "web")
	rival, viewer := c.user("rita", "admin@rival"), c.user("vic", "viewer@acme")
	v, o := op.Links.Resource, op.Links.Self
	for _, call := range []struct {
		method, path string
		body         any
	}{
		{"GET", v, nil}, {"DELETE", v, nil}, {"POST", v + "/power-on", nil}, {"POST", v + "/power-off", nil}, {"POST", v + "/reboot", nil},
		{"POST", v + "/resize", M{"vcpu": 4}}, {"GET", o, nil}, {"POST", o + "/cancel", nil}, {"POST", o + "/resume", nil}, {"POST", o + "/abort", nil},
	} {
		c.call(rival, call.method, call.path, call.body).problem(models.CodeNotFound)
		if call.method == "GET" {
			c.call(viewer, call.method, call.path, call.body).is(200)
			continue
		}
		c.call(viewer, call.method, call.path, call.body).problem(models.CodeForbidden)
	}
	require.Empty(t, decode[List[VM]](c.call(rival, "GET", "/v1/vms", nil).is(200)).Items)
	require.Empty(t, decode[List[Operation]](c.call(rival, "GET", "/v1/operations", nil).is(200)).Items)
	require.Empty(t, decode[List[IPAddress]](c.call(rival, "GET", "/v1/ip-addresses", nil).is(200)).Items)
	c.call(rival, "GET", "/v1/vms?tenant=acme", nil).problem(models.CodeNotFound)
	c.call(rival, "POST", "/v1/vms", c.vm("mine")).problem(models.CodeNotFound)
	require.Len(t, decode[List[VM]](c.call(viewer, "GET", "/v1/vms", nil).is(200)).Items, 1)
	require.Len(t, decode[List[VM]](c.call(viewer, "GET", "/v1/vms?tenant=acme&subtree=true", nil).is(200)).Items, 1)
	require.Empty(t, decode[List[VM]](c.call(viewer, "GET", "/v1/vms?tenant=acme", nil).is(200)).Items)

	platform := decode[Operation](c.call(c.admin, "POST", "/v1/leak-checks", M{}).is(202))
	c.call(viewer, "GET", platform.Links.Self, nil).problem(models.CodeNotFound)
}

func TestPagesGoThroughEverythingOnce(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for i := range 7 {
		c.createVM(c.admin, fmt.Sprint("web-", i))
	}
	member := c.user("mia", "member@acme")
	for _, list := range []string{"/v1/vms?limit=3", "/v1/vms?limit=3&tenant=acme/dev", "/v1/operations?limit=3&kind=vm.provision", "/v1/ip-addresses?limit=3"} {
		for _, token := range []string{c.admin, member} {
			var ids []string
			for next := list; next != ""; {
				page := decode[List[struct {
					ID string `json:"id"`
				}]](loose(c.call(token, "GET", next, nil).is(200)))
				for _, item := range page.Items {
					ids = append(ids, item.ID)
				}
				if next = ""; page.NextPageToken != "" {
					next = list + "&page_token=" + page.NextPageToken
				}
			}
			require.Len(t, ids, 7, list)
			seen := map[string]bool{}
			for _, id := range ids {
				seen[id] = true
			}
			require.Len(t, seen, 7, list)
		}
	}
}

// loose keeps only the ids of a list.
func loose(a answer) answer {
	var page struct {
		Items []struct {
			ID string `json:"id"`
		} `json:"items"`
		Next string `json:"next_page_token,omitempty"`
	}
	require.NoError(a.t, json.Unmarshal(a.Body, &page))
	a.Body, _ = json.Marshal(page) // what was just read
	return a
}

// report tells the gateway something about an operation, as its workflow would.
func (c *cloud) report(op models.ID, r contract.Report) {
	c.t.Helper()
	r.OperationID = op
	out, err := c.store.Report(context.Background(), r)
	require.NoError(c.t, err)
	require.True(c.t, out.Applied)
}

func TestAnOperationTellsItsStory(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	op := c.createVM(c.admin, "web")
	began := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	fault := &models.Fault{Code: models.CodeTemplateMissing, Message: "There is no template.", Step: "clone"}
	c.report(op.ID, contract.Report{Seq: 1, State: models.OperationRunning})
	c.report(op.ID, contract.Report{Seq: 2, State: models.OperationBlocked, Fault: fault,
		Steps: []contract.Step{{Number: 1, Name: "clone", State: models.StepFailed, Started: began, Ended: began.Add(time.Second), Message: "There is no template."}}})
	got := decode[Operation](c.get(op.Links.Self))
	ended := began.Add(time.Second)
	want := op
	want.State, want.Version, want.StartedAt = "blocked", 3, got.StartedAt
	want.Steps = []Step{{1, "clone", "failed", "There is no template.", &began, &ended, new(1.0)}}
	want.Error = &OperationError{Code: "template_missing", Message: "There is no template.", Step: "clone", Remedy: "Correct the image."}
	want.WaitingFor, want.Waiting = "a person", "Blocked at clone: There is no template. Waiting for a person to resume or abort it."
	want.Links.Resume, want.Links.Abort = op.Links.Self+"/resume", op.Links.Self+"/abort"
	require.Equal(t, want, got)

	resumed := decode[Operation](c.call(c.admin, "POST", op.Links.Self+"/resume", nil).is(202))
	require.Equal(t, "resume", resumed.Intent)
	c.report(op.ID, contract.Report{Seq: 3, State: models.OperationRunning})
	c.call(c.admin, "POST", op.Links.Self+"/abort", nil).problem(models.CodeWrongState)
	c.report(op.ID, contract.Report{Seq: 4, State: models.OperationSucceeded, VM: &contract.VMFacts{State: models.VMRunning, Ref: "vm-42", Hostname: "web", Addresses: []string{"10.1.0.2"}}})
	c.call(c.admin, "POST", op.Links.Self+"/cancel", nil).problem(models.CodeWrongState)
	v := decode[VM](c.get(op.Links.Resource))
	require.Equal(t, []any{models.VMRunning, "vm-42", "web", []string{"10.1.0.2"}, (*models.ID)(nil)}, []any{v.State, v.ProviderRef, v.Hostname, v.GuestAddresses, v.OperationID})
}

func TestChangesOfAMachine(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	op := c.createVM(c.admin, "web")
	v := op.Links.Resource
	p := c.call(c.admin, "POST", v+"/power-off", nil).problem(models.CodeOperationInProgress)
	require.Equal(t, &op.ID, p.OperationID)
	c.report(op.ID, contract.Report{Seq: 1, State: models.OperationSucceeded, VM: &contract.VMFacts{State: models.VMRunning}})

	c.call(c.admin, "POST", v+"/power-on", nil).problem(models.CodeWrongState)
	c.call(c.admin, "POST", v+"/resize", M{}).problem(models.CodeInvalid)
	c.call(c.admin, "POST", v+"/resize", M{"flavor": "small", "vcpu": 1}).problem(models.CodeInvalid)
	c.call(c.admin, "POST", v+"/reboot", nil, "If-Match", `"1"`).problem(models.CodePreconditionFailed)

	resize := decode[Operation](c.call(c.admin, "POST", v+"/resize", M{"vcpu": 4, "allow_restart": true}, "Idempotency-Key", "grow").is(202))
	require.Equal(t, "vm.resize", resize.Kind)
	c.requireBalance()
	bigger := models.Size{VCPU: 4, MemoryMiB: 2048, StorageGiB: 10}
	c.report(resize.ID, contract.Report{Seq: 1, State: models.OperationSucceeded, VM: &contract.VMFacts{State: models.VMRunning, Size: &bigger}})
	require.Equal(t, Size(bigger), decode[VM](c.get(v)).Size)
	c.requireBalance()

	gone := decode[Operation](c.call(c.admin, "DELETE", v, nil).is(202))
	require.Equal(t, "vm.delete", gone.Kind)
	c.report(gone.ID, contract.Report{Seq: 1, State: models.OperationSucceeded, VM: &contract.VMFacts{State: models.VMGone}})
	c.call(c.admin, "GET", v, nil).problem(models.CodeNotFound)
	require.Len(t, decode[List[Operation]](c.get(fmt.Sprintf("/v1/operations?resource_id=%s", op.ResourceID))).Items, 3)
	require.Equal(t, 0, c.count("ip_addresses")+c.count("allocations")+c.count("vms"))
	c.requireBalance()
}

func TestWaitingForTheEndOfAnOperation(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	done := make(chan answer, 1)
	go func() {
		done <- c.call(c.admin, "POST", "/v1/vms", c.vm("web"), "Prefer", "wait=30")
	}()
	var op models.ID
	// The request commits its operation before it waits; nothing but the database tells when.
	require.Eventually(t, func() bool {
		return c.store.Pool.QueryRow(context.Background(), "SELECT id FROM operations WHERE kind = 'vm.provision'").Scan(&op) == nil
	}, 10*time.Second, 10*time.Millisecond)
	c.report(op, contract.Report{Seq: 1, State: models.OperationSucceeded, VM: &contract.VMFacts{State: models.VMRunning}})
	a := (<-done).is(200)
	require.Equal(t, "wait=30", a.Header.Get("Preference-Applied"))
	require.Equal(t, models.OperationSucceeded, decode[Operation](a).State)
}

func TestWatchingAnOperation(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	op := c.createVM(c.admin, "web")
	c.report(op.ID, contract.Report{Seq: 1, State: models.OperationRunning})
	now := c.get(op.Links.Self)
	tag := now.Header.Get("ETag")
	require.Equal(t, `"2"`, tag)

	start := time.Now()
	c.call(c.admin, "GET", op.Links.Self, nil, "Prefer", "wait=1", "If-None-Match", tag).is(304)
	require.GreaterOrEqual(t, time.Since(start), time.Second)

	const watchers = 20
	answers := make(chan answer, watchers)
	for range watchers {
		go func() {
			answers <- c.call(c.admin, "GET", op.Links.Self, nil, "Prefer", "wait=30", "If-None-Match", tag)
		}()
	}
	// The watchers say nowhere but in the process that they wait.
	require.Eventually(t, func() bool {
		c.api.watcher.mu.Lock()
		defer c.api.watcher.mu.Unlock()
		return len(c.api.watcher.waiting[op.ID]) == watchers
	}, 10*time.Second, 5*time.Millisecond)
	c.report(op.ID, contract.Report{Seq: 2, State: models.OperationSucceeded, VM: &contract.VMFacts{State: models.VMRunning}})
	for range watchers {
		require.Equal(t, models.OperationSucceeded, decode[Operation]((<-answers).is(200)).State)
	}
	require.Less(t, time.Since(start), 20*time.Second)
	// The last to leave stops the poller at its next tick.
	require.Eventually(t, func() bool {
		c.api.watcher.mu.Lock()
		defer c.api.watcher.mu.Unlock()
		return !c.api.watcher.running && len(c.api.watcher.waiting) == 0
	}, 5*time.Second, 10*time.Millisecond)
}

func TestLeakChecksAndImportsAreAccepted(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	operator := c.user("olga", "operator")
	check := decode[Operation](c.call(operator, "POST", "/v1/leak-checks", M{"regions": []string{"tw"}}).is(202))
	require.Equal(t, "leak.check", check.Kind)
	c.call(operator, "POST", "/v1/leak-checks", nil).problem(models.CodeOperationInProgress)
	findings, err := json.Marshal(contract.Findings{Findings: []contract.Finding{{Kind: "unknown_machine", ResourceKind: "vm", Message: "A machine."}}})
	require.NoError(t, err)
	c.report(check.ID, contract.Report{Seq: 1, State: models.OperationSucceeded, Result: findings})
	got := decode[Operation](c.call(operator, "GET", check.Links.Self, nil).is(200))
	require.Equal(t, map[string]any{"findings": []any{map[string]any{"kind": "unknown_machine", "resource_kind": "vm", "message": "A machine."}}}, got.Result)

	imported := decode[Operation](c.call(operator, "POST", "/v1/regions/tw/import", nil).is(202))
	require.Equal(t, []string{"region.import", "tw", "/v1/regions/tw"}, []string{imported.Kind, imported.Region, imported.Links.Resource})
	c.call(operator, "POST", "/v1/regions/mars/import", nil).problem(models.CodeNotFound)
	p := c.call(operator, "POST", "/v1/leak-checks", M{"regions": []string{"mars"}}).problem(models.CodeInvalid)
	require.Equal(t, []string{"body.regions"}, wrongFields(p))
}

// TestAWaitOutlivesTheReadingOfItsBody needs a real connection: deadlines are the connection's.
func TestAWaitOutlivesTheReadingOfItsBody(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	server := httptest.NewServer(c.api.Handler())
	t.Cleanup(server.Close)
	body, err := json.Marshal(c.vm("web"))
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/vms", bytes.NewReader(body))
	require.NoError(t, err)
	req.Header = http.Header{"Authorization": {"Bearer " + c.admin}, "Content-Type": {"application/json"}, "Prefer": {"wait=6"}}
	start := time.Now()
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusAccepted, resp.StatusCode)
	require.GreaterOrEqual(t, time.Since(start), 6*time.Second)
}
