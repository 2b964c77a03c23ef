package api

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// server is what is shown of a host.
func (c *cloud) server(n int) Baremetal {
	c.t.Helper()
	return decode[Baremetal](c.get(path("baremetals/%s", c.hosts[n].ID)))
}

func TestMaintenanceSaysWhyUntilWhenAndByWhom(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	at := path("baremetals/%s", c.hosts[0].ID)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	body := M{"reason": "A fan fails.", "until": until}
	got := decode[Baremetal](c.call(c.admin, "POST", at+"/maintenance", body, "Idempotency-Key", "k").is(200))
	require.Equal(t, MaintenanceMark{MaintenanceReason: "A fan fails.", MaintenanceUntil: &until, MaintenanceBy: "root"}, got.MaintenanceMark)
	require.True(t, got.Maintenance)
	require.False(t, got.Hypervisor.Placeable)
	require.Equal(t, got, decode[Baremetal](c.call(c.admin, "POST", at+"/maintenance", body, "Idempotency-Key", "k").is(200)), "once")
	require.Equal(t, got, c.server(0))
	c.call(c.admin, "POST", at+"/maintenance", body, "If-Match", `"1"`).problem(models.CodePreconditionFailed)
	require.Equal(t, []string{"body.until"}, wrongFields(c.call(c.admin, "POST", at+"/maintenance", M{"reason": "x", "until": "2020-01-01T00:00:00Z"}).problem(models.CodeInvalid)))
	require.Equal(t, []string{"body.reason"}, wrongFields(c.call(c.admin, "POST", at+"/maintenance", M{"reason": ""}).problem(models.CodeInvalid)))

	// Past its end it draws attention, and nothing else happens.
	c.exec("UPDATE baremetals SET maintenance_until = now() - interval '1 minute' WHERE maintenance")
	require.True(t, c.server(0).MaintenanceOverdue)
	require.Empty(t, c.server(1).MaintenanceMark)

	// The mark alone, as before: it keeps what was said, and takes all of it away.
	require.Equal(t, "A fan fails.", decode[Baremetal](c.call(c.admin, "PATCH", at, M{"maintenance": true}).is(200)).MaintenanceReason)
	require.Empty(t, decode[Baremetal](c.call(c.admin, "PATCH", at, M{"maintenance": false}).is(200)).MaintenanceMark)
	require.Equal(t, MaintenanceMark{MaintenanceBy: "root"}, decode[Baremetal](c.call(c.admin, "PATCH", at, M{"maintenance": true}).is(200)).MaintenanceMark)
	c.call(c.admin, "PATCH", at, M{"maintenance": false}).is(200)
	require.Equal(t, 0, c.count("baremetals WHERE maintenance_by <> '' OR maintenance_until IS NOT NULL OR maintenance_reason <> ''"))
}

func TestADrainIsShownAndAccepted(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	at := path("baremetals/%s", c.hosts[0].ID)
	c.call(c.admin, "PATCH", path("baremetals/%s", c.hosts[1].ID), M{"maintenance": true}).is(200)
	web := c.running("web")
	require.Equal(t, c.hosts[0].ID, web.BaremetalID)

	// Alone in its group it cannot be emptied.
	stuck := decode[DrainPlan](c.call(c.admin, "POST", at+"/drain?dry_run=true", M{"reason": "x"}).is(200))
	require.Equal(t, DrainPlan{BaremetalID: c.hosts[0].ID, Baremetal: c.hosts[0].Name, Items: []DrainPlanned{{ID: web.ID, Name: "web", Tenant: "acme/dev", State: "running", Fate: "stuck",
		Reason: "no other host of group general has room for 2 vcpu, 2048 MiB memory and 10 GiB storage"}}}, stuck)
	require.Contains(t, c.call(c.admin, "POST", at+"/drain", M{"reason": "x"}).problem(models.CodeCapacityExhausted).Detail, "acme/dev/web")
	require.False(t, c.server(0).Maintenance)

	c.call(c.admin, "PATCH", path("baremetals/%s", c.hosts[1].ID), M{"maintenance": false}).is(200)
	plan := decode[DrainPlan](c.call(c.admin, "POST", at+"/drain?dry_run=true", M{"reason": "x"}).is(200))
	require.Equal(t, DrainPlan{BaremetalID: c.hosts[0].ID, Baremetal: c.hosts[0].Name, Possible: true,
		Items: []DrainPlanned{{ID: web.ID, Name: "web", Tenant: "acme/dev", State: "running", Fate: "move", ToID: &c.hosts[1].ID, To: c.hosts[1].Name}}}, plan)

	operator := c.user("olga", "operator")
	a := c.call(operator, "POST", at+"/drain", M{"reason": "A fan fails."}, "Idempotency-Key", "k").is(202)
	op := decode[Operation](a)
	require.Equal(t, []string{"baremetal.drain", "baremetal", c.hosts[0].Name, at}, []string{op.Kind, op.ResourceKind, op.ResourceName, op.Links.Resource})
	require.Equal(t, op.Links.Self, a.Header.Get("Location"))
	require.Equal(t, op, decode[Operation](c.call(operator, "POST", at+"/drain", M{"reason": "A fan fails."}, "Idempotency-Key", "k").is(202)))
	require.Equal(t, MaintenanceMark{MaintenanceReason: "A fan fails.", MaintenanceBy: "olga"}, c.server(0).MaintenanceMark)
	moving := decode[VM](c.get(path("vms/%s", web.ID)))
	require.Equal(t, "vm.migrate", moving.Operation)

	// What is on its way keeps its goal in the group.
	require.Contains(t, c.call(c.admin, "PATCH", path("baremetals/%s", c.hosts[1].ID), M{"group": ""}).problem(models.CodeInUse).Detail, "on their way")
	c.report(*moving.OperationID, contract.Report{Seq: 1, State: models.OperationSucceeded, VM: &contract.VMFacts{State: models.VMRunning, HostRef: "host-2"}})
	require.Equal(t, c.hosts[1].ID, decode[VM](c.get(path("vms/%s", web.ID))).BaremetalID)
	c.requireBalance()
}

func TestOperatorsMoveMachines(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	web := c.running("web")
	at := path("vms/%s/migrate", web.ID)
	require.Equal(t, "vm.migrate", c.call(c.user("ada", "owner@acme"), "POST", at, nil).problem(models.CodeForbidden).Missing)
	c.call(c.user("rita", "admin@rival"), "POST", at, nil).problem(models.CodeNotFound)
	operator := c.user("olga", "operator")
	c.call(operator, "POST", at, M{"baremetal": web.Baremetal}).problem(models.CodeCapacityExhausted)
	c.call(operator, "POST", at, nil, "If-Match", `"9"`).problem(models.CodePreconditionFailed)
	op := decode[Operation](c.call(operator, "POST", at, nil).is(202))
	require.Equal(t, []string{"vm.migrate", "web", "olga"}, []string{op.Kind, op.ResourceName, op.Actor})
	c.call(operator, "POST", at, nil).problem(models.CodeOperationInProgress)
	c.call(operator, "DELETE", path("vms/%s", web.ID), nil).problem(models.CodeOperationInProgress)
	c.requireBalance()
}
