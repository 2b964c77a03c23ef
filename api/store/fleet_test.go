package store

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/postgres"
	"github.com/yunshu/yunshu/vault"
)

// fleet is a database with the region tw, its rack r1 and group general, and the tenant acme.
type fleet struct {
	*testing.T
	*Store
	group, tenant models.ID
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	s, err := Open(t.Context(), postgres.New(t, "gateway", func(ctx context.Context, dsn string) error {
		_, err := Migrate(ctx, dsn)
		return err
	}))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	s.Keys = Keys{Rest: secretKeys(t, 1), Way: secretKeys(t, 9)}
	f := &fleet{T: t, Store: s, group: models.NewID(), tenant: models.NewID()}
	f.exec("INSERT INTO regions (name, capabilities) VALUES ('tw', '{vm,bm}'), ('jp', '{bm}')")
	f.exec("INSERT INTO racks (id, region, name) VALUES (gen_random_uuid(), 'tw', 'r1')")
	f.exec("INSERT INTO groups (id, region, name) VALUES ($1, 'tw', 'general')", f.group)
	f.exec("INSERT INTO tenants (id, name, full_name, path) VALUES ($1, 'acme', 'acme', ARRAY[$1::uuid])", f.tenant)
	return f
}

// secretKeys are keys of which the first is the newest.
func secretKeys(t *testing.T, newest ...byte) vault.Keys {
	t.Helper()
	text := ""
	for _, b := range newest {
		text += "k" + string('0'+rune(b)) + "=" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) + ","
	}
	keys, err := vault.Parse(text)
	require.NoError(t, err)
	return keys
}

func (f *fleet) exec(sql string, args ...any) {
	f.Helper()
	_, err := f.Pool.Exec(context.Background(), sql, args...)
	require.NoError(f, err, "%s", sql)
}

// text reads one value as text.
func (f *fleet) text(sql string, args ...any) string {
	f.Helper()
	var out *string
	require.NoError(f, f.Pool.QueryRow(context.Background(), "SELECT ("+sql+")::text", args...).Scan(&out), "%s", sql)
	if out == nil {
		return ""
	}
	return *out
}

// machine is a server in region tw with a BMC, that an operation works on.
func (f *fleet) machine(name, role, state string) contract.AccessInput {
	f.Helper()
	in := contract.AccessInput{OperationID: models.NewID(), BaremetalID: models.NewID()}
	var tenant *models.ID
	if role == models.RoleLeased {
		tenant = &f.tenant
		f.exec("INSERT INTO allocations (resource_id, resource_kind, tenant_id, group_id, baremetals) VALUES ($1, 'baremetal', $2, $3, 1)", in.BaremetalID, f.tenant, f.group)
	}
	f.exec("INSERT INTO baremetals (id, region, name, role, state, hardware_uuid, tenant_id, group_id) VALUES ($1, 'tw', $2, $3, $4, '', $5, $6)", in.BaremetalID, name, role, state, tenant, f.group)
	sealed, err := f.Keys.SealPassword(in.BaremetalID, "secret of "+name)
	require.NoError(f, err)
	f.exec("INSERT INTO bmcs (baremetal_id, region, address, username, key_id, password) VALUES ($1, 'tw', $2, 'root', $3, $4)", in.BaremetalID, "https://"+name, sealed.KeyID, sealed.Data)
	f.operation(in)
	return in
}

func (f *fleet) operation(in contract.AccessInput) {
	f.Helper()
	f.exec(`INSERT INTO operations (id, kind, region, resource_kind, resource_id, resource_name, actor_id, actor, state, input)
		VALUES ($1, 'baremetal.inspect', 'tw', 'baremetal', $2, 'x', $2, 'ann', 'running', '{}')`, in.OperationID, in.BaremetalID)
}

// report reports facts of a machine, as the next report of its operation.
func (f *fleet) report(in contract.AccessInput, seq int64, facts contract.BaremetalFacts) {
	f.Helper()
	got, err := f.Report(f.Context(), contract.Report{OperationID: in.OperationID, Seq: seq, State: models.OperationRunning, Baremetal: &facts})
	require.NoError(f, err)
	require.True(f, got.Applied)
}

// row is the machine as JSON without what differs from run to run.
func (f *fleet) row(id models.ID) map[string]any {
	f.Helper()
	var out map[string]any
	require.NoError(f, json.Unmarshal([]byte(f.text("SELECT to_jsonb(b) - '{id,created_at,updated_at,seen_at,group_id}'::text[] FROM baremetals b WHERE id = $1", id)), &out))
	return out
}
