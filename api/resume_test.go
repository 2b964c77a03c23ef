package api

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// block reports that an operation is blocked for a fault of this code.
func (c *cloud) block(op models.ID, code models.Code, ways ...models.Way) {
	c.t.Helper()
	var seq int64
	require.NoError(c.t, c.store.Pool.QueryRow(c.t.Context(), "SELECT seq FROM operations WHERE id = $1", op).Scan(&seq))
	c.report(op, contract.Report{Seq: seq + 1, State: models.OperationRunning})
	c.report(op, contract.Report{Seq: seq + 2, State: models.OperationBlocked, Fault: &models.Fault{Code: code, Message: "It failed.", Step: "clone", Ways: ways}})
}

// decided is what the outbox would tell the workflow of the last intent.
func (c *cloud) decided(op models.ID) (kind string, in contract.Intent) {
	c.t.Helper()
	var detail []byte
	require.NoError(c.t, c.store.Pool.QueryRow(c.t.Context(), "SELECT kind, detail FROM operation_intents WHERE operation_id = $1 ORDER BY id DESC LIMIT 1", op).Scan(&kind, &detail))
	require.NoError(c.t, json.Unmarshal(detail, &in))
	in.ID = models.NoID
	return kind, in
}

// told says that the outbox delivered what waited.
func (c *cloud) told() { c.exec("UPDATE operation_intents SET dispatched_at = now()") }

func (c *cloud) machine(op Operation) VM { return decode[VM](c.get(op.Links.Resource)) }

func TestABlockedMachineBeginsAgainOnAnotherHost(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	op := c.createVM(c.admin, "web")
	was := c.machine(op)
	resume := op.Links.Self + "/resume"
	c.block(op.ID, models.CodeStorageFull, "retry", "host", "roll_back")

	p := c.call(c.admin, "POST", resume, M{"way": "image", "to": "ubuntu"}).problem(models.CodeWrongState)
	require.Contains(t, p.Detail, "what does: retry, host, roll_back")
	c.call(c.admin, "POST", resume, M{"way": "host", "to": was.Baremetal}).problem(models.CodeCapacityExhausted)
	c.call(c.admin, "POST", resume, M{"way": "host", "to": "nowhere"}).problem(models.CodeCapacityExhausted)
	member := c.user("member", "member@acme")
	require.Equal(t, "operation.mend", c.call(member, "POST", resume, M{"way": "host"}).problem(models.CodeForbidden).Missing)

	c.call(c.admin, "POST", resume, M{"way": "host"}).is(202)
	now := c.machine(op)
	require.NotEqual(t, was.Baremetal, now.Baremetal)
	kind, in := c.decided(op.ID)
	require.Equal(t, []any{"resume", models.WayHost, now.Baremetal}, []any{kind, in.Way, in.VM.Host.Name})
	c.requireBalance()

	c.call(c.admin, "POST", resume, M{"way": "host"}).is(202)
	c.told()
	c.call(c.admin, "POST", resume, M{"way": "host"}).is(202)
	require.Equal(t, now.Baremetal, c.machine(op).Baremetal, "a block is decided once, however often one asks")
	require.Equal(t, 1, c.count("operation_intents"))

	c.block(op.ID, models.CodeStorageFull, "retry", "host", "roll_back")
	c.call(c.admin, "POST", resume, M{"way": "host", "to": was.Baremetal}).is(202)
	require.Equal(t, was.Baremetal, c.machine(op).Baremetal, "the next block is another one")
	c.requireBalance()
	c.report(op.ID, contract.Report{Seq: 5, State: models.OperationFailed, Fault: &models.Fault{Code: models.CodeAborted}, VM: &contract.VMFacts{State: models.VMGone}})
	c.requireBalance()
	require.Zero(t, c.count("allocations"))
}

func TestABlockedMachineBeginsAgainWithAnotherAddress(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	op, other := c.createVM(c.admin, "web"), c.createVM(c.admin, "other")
	was, taken := c.machine(op), c.machine(other)
	c.block(op.ID, models.CodeGuestSilent, "retry", "skip", "address", "image", "host", "roll_back")
	resume := op.Links.Self + "/resume"
	c.call(c.admin, "POST", resume, M{"way": "address", "to": taken.Address}).problem(models.CodeInUse)
	for _, wrong := range []string{"10.1.0.1", "10.1.0.0", "10.2.0.5", "nine"} {
		c.call(c.admin, "POST", resume, M{"way": "address", "to": wrong}).problem(models.CodeInvalid)
	}
	c.call(c.admin, "POST", resume, M{"way": "address"}).is(202)
	now := c.machine(op)
	require.NotContains(t, []any{was.Address, taken.Address}, now.Address)
	_, in := c.decided(op.ID)
	require.Equal(t, now.Address+"/28", in.VM.Network.Address)
	c.requireBalance()
}

func TestABlockedMachineBeginsAgainFromAnotherImage(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.post("/v1/images", M{"name": "debian", "min_storage_gib": 5, "templates": M{"tw": "debian-template"}})
	c.post("/v1/images", M{"name": "huge", "min_storage_gib": 500, "templates": M{"tw": "huge-template"}})
	c.post("/v1/images", M{"name": "far", "min_storage_gib": 5, "templates": M{"jp": "far-template"}})
	op := c.createVM(c.admin, "web")
	c.block(op.ID, models.CodeTemplateMissing, "retry", "image", "roll_back")
	resume := op.Links.Self + "/resume"
	for _, wrong := range []string{"", "huge", "far", "none"} {
		c.call(c.admin, "POST", resume, M{"way": "image", "to": wrong}).problem(models.CodeInvalid)
	}
	c.call(c.admin, "POST", resume, M{"way": "image", "to": "debian"}).is(202)
	_, in := c.decided(op.ID)
	require.Equal(t, "debian-template", in.VM.Template)
	require.Equal(t, "debian", c.machine(op).Image)
	require.Equal(t, c.machine(op).Baremetal, in.VM.Host.Name, "nothing else changes")
	c.requireBalance()
}

func TestAStepIsSkippedWithAReason(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	op := c.createVM(c.admin, "web")
	c.block(op.ID, models.CodeGuestSilent, "retry", "skip", "roll_back")
	c.call(c.admin, "POST", op.Links.Self+"/resume", M{"way": "skip", "reason": " "}).problem(models.CodeInvalid)
	c.call(c.admin, "POST", op.Links.Self+"/resume", M{"way": "skip", "reason": "no guest tools"}).is(202)
	_, in := c.decided(op.ID)
	require.Equal(t, contract.Intent{Actor: "root", Way: models.WaySkip, Reason: "no guest tools"}, in)
	var detail []byte
	require.NoError(t, c.store.Pool.QueryRow(context.Background(), "SELECT detail FROM audit_events WHERE action = 'operation.resume'").Scan(&detail))
	require.JSONEq(t, `{"way": "skip", "reason": "no guest tools"}`, string(detail))
}

func TestARollBackIsAnAbort(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	op := c.createVM(c.admin, "web")
	c.block(op.ID, models.CodeUnreachable)
	c.call(c.user("member", "member@acme"), "POST", op.Links.Self+"/resume", M{"way": "roll_back"}).is(202)
	kind, in := c.decided(op.ID)
	require.Equal(t, []any{"abort", models.WayRollBack}, []any{kind, in.Way})
}
