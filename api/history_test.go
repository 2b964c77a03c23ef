package api

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// past is the database's clock: what was so at this moment has been so.
func (e *edge) past() string {
	e.t.Helper()
	var at time.Time
	require.NoError(e.t, e.store.Pool.QueryRow(e.t.Context(), "SELECT clock_timestamp()").Scan(&at))
	return at.UTC().Format(time.RFC3339Nano)
}

func TestAMachineIsShownAsItWas(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	member, rival := c.user("mia", "member@acme"), c.user("rita", "admin@rival")
	before := c.past()
	machine := c.running("web")
	running := c.past()
	op := decode[Operation](c.call(member, "DELETE", path("vms/%s", machine.ID), nil).is(202))
	deleting := c.past()
	c.report(op.ID, contract.Report{Seq: 1, State: models.OperationSucceeded, VM: &contract.VMFacts{State: models.VMGone}})
	c.call(member, "GET", path("vms/%s", machine.ID), nil).problem(models.CodeNotFound)

	at := func(token, when string) answer {
		return c.call(token, "GET", path("vms/%s?at=%s", machine.ID, when), nil)
	}
	was := decode[VM](at(member, running).is(200))
	want := machine
	want.OperationID, want.Operation, want.Links.Operation = nil, "", ""
	require.Equal(t, want, was)
	require.Equal(t, models.VMDeleting, decode[VM](at(member, deleting).is(200)).State)
	require.Equal(t, op.ID, *decode[VM](at(member, deleting).is(200)).OperationID)
	at(member, before).problem(models.CodeNotFound)
	at(member, c.past()).problem(models.CodeNotFound)
	at(rival, running).problem(models.CodeNotFound)

	history := decode[List[Version]](c.call(member, "GET", path("vms/%s/history", machine.ID), nil).is(200)).Items
	story := []string{}
	for i, v := range history {
		var row struct {
			State models.VMState `json:"state"`
		}
		require.NoError(t, json.Unmarshal(v.Attributes, &row))
		by := v.ChangedBy.Actor + " " + v.ChangedBy.Action
		if v.RemovedBy != nil {
			by += ", removed by " + v.RemovedBy.Actor
		}
		story = append(story, string(row.State)+": "+by)
		if i > 0 {
			require.Equal(t, history[i-1].From, *v.Until, "one version ends where the next begins")
		}
	}
	require.Equal(t, []string{"deleting: mia vm.delete, removed by region/tw", "running: region/tw operation.report", "provisioning: root vm.create"}, story)
	c.call(rival, "GET", path("vms/%s/history", machine.ID), nil).problem(models.CodeNotFound)
}

func TestHistoriesHavePages(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	acme := e.tenant("acme", "")
	for _, d := range []string{"b", "c", "d"} {
		e.call(e.admin, "PATCH", path("tenants/%s", acme.ID), M{"description": d}).is(200)
	}
	descriptions, token := []string{}, ""
	for page := 0; page == 0 || token != ""; page++ {
		list := decode[List[Version]](e.call(e.admin, "GET", path("tenants/%s/history?limit=2&page_token=%s", acme.ID, token), nil).is(200))
		require.Less(t, page, 2)
		for _, v := range list.Items {
			var row models.Tenant
			require.NoError(t, json.Unmarshal(v.Attributes, &row))
			descriptions = append(descriptions, row.Description+" by "+v.ChangedBy.Action)
			require.False(t, v.From.IsZero())
		}
		token = list.NextPageToken
	}
	require.Equal(t, []string{"d by tenant.update", "c by tenant.update", "b by tenant.update", " by tenant.create"}, descriptions)
	e.call(e.user("stranger"), "GET", path("tenants/%s/history", acme.ID), nil).problem(models.CodeNotFound)
	e.call(e.admin, "DELETE", path("tenants/%s", acme.ID), nil).is(204)
	gone := decode[List[Version]](e.call(e.admin, "GET", path("tenants/%s/history", acme.ID), nil).is(200)).Items
	require.True(t, gone[0].Removed)
	require.Equal(t, "tenant.delete", gone[0].RemovedBy.Action)
}
