package store

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/vault"
)

func TestARegionGetsAPasswordForItsWayAlone(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	in := f.machine("bm-1", models.RoleSpare, "available")
	got, err := f.Access(t.Context(), in)
	require.NoError(t, err)
	password, err := f.Keys.Way.Open(got.Password, contract.SealedFor(in.BaremetalID))
	require.NoError(t, err)
	require.Equal(t, "secret of bm-1", password)
	_, err = f.Keys.Rest.Open(got.Password, contract.SealedFor(in.BaremetalID))
	require.Error(t, err)
	got.Password.Data = nil
	require.Equal(t, contract.BMC{ID: in.BaremetalID, Name: "bm-1", Address: "https://bm-1", Username: "root", Password: got.Password}, got)
	require.Equal(t, "region/tw ann bmc.access baremetal bm-1 done", f.text("SELECT concat_ws(' ', actor, on_behalf_of, action, resource_kind, resource_name, outcome) FROM audit_events"))

	_, err = f.Access(t.Context(), contract.AccessInput{BaremetalID: models.NewID()})
	require.True(t, models.IsCode(err, models.CodeNoBMC), "%v", err)

	other := f.machine("bm-2", models.RoleSpare, "available")
	_, err = f.Access(t.Context(), contract.AccessInput{OperationID: other.OperationID, BaremetalID: in.BaremetalID})
	require.True(t, models.IsCode(err, models.CodeWrongState), "it is about another machine: %v", err)
	f.exec("UPDATE operations SET state = 'failed'")
	_, err = f.Access(t.Context(), in)
	require.True(t, models.IsCode(err, models.CodeWrongState), "it has ended: %v", err)
}

func TestAPageOfBMCsLeavesOutWhatComesGoesOrChanges(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for _, name := range []string{"bm-1", "bm-2", "bm-3"} {
		f.machine(name, models.RoleSpare, "available")
	}
	f.machine("bm-4", models.RoleSpare, "enrolling")
	rotating := f.machine("bm-5", models.RoleSpare, "available")
	_, err := f.StagePassword(t.Context(), rotating)
	require.NoError(t, err)

	page, err := f.AccessPage(t.Context(), contract.AccessPageInput{Region: "tw", Limit: 2})
	require.NoError(t, err)
	require.Len(t, page.BMCs, 2)
	rest, err := f.AccessPage(t.Context(), contract.AccessPageInput{Region: "tw", After: page.Next, Limit: 2})
	require.NoError(t, err)
	require.Zero(t, rest.Next)
	var names []string
	for _, b := range append(page.BMCs, rest.BMCs...) {
		names = append(names, b.Name)
	}
	require.Equal(t, []string{"bm-1", "bm-2", "bm-3"}, names)
	require.Equal(t, "2", f.text("SELECT count(*) FROM audit_events WHERE action = 'bmc.access-page' AND operation_id IS NULL AND detail ? 'bmcs'"))

	f.exec("UPDATE operations SET state = 'failed'") // whatever became of the password, the machine is looked at again
	page, err = f.AccessPage(t.Context(), contract.AccessPageInput{Region: "tw", Limit: 9})
	require.NoError(t, err)
	require.Len(t, page.BMCs, 4)

	// One whose key is gone is left out, and hides none of the others.
	f.exec("UPDATE bmcs SET key_id = 'lost' WHERE baremetal_id = (SELECT id FROM baremetals WHERE name = 'bm-2')")
	page, err = f.AccessPage(t.Context(), contract.AccessPageInput{Region: "tw", Limit: 9})
	require.NoError(t, err)
	require.Len(t, page.BMCs, 3)
	require.Equal(t, "1", f.text("SELECT detail ->> 'not_opened' FROM audit_events WHERE action = 'bmc.access-page' ORDER BY id DESC LIMIT 1"))
}

func TestAStagedPasswordIsCommittedOrDroppedOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	in := f.machine("bm-1", models.RoleSpare, "available")
	present := func() string {
		got, err := f.Access(t.Context(), in)
		require.NoError(t, err)
		password, err := f.Keys.Way.Open(got.Password, contract.SealedFor(in.BaremetalID))
		require.NoError(t, err)
		return password
	}
	staged := func(by contract.AccessInput) string {
		got, err := f.StagePassword(t.Context(), by)
		require.NoError(t, err)
		password, err := f.Keys.Way.Open(got.Password, contract.SealedFor(in.BaremetalID))
		require.NoError(t, err)
		return password
	}
	first := staged(in)
	require.Len(t, first, 16)
	require.Equal(t, first, staged(in), "repeated, it is the same one")
	for range 2 {
		_, err := f.DropPassword(t.Context(), in)
		require.NoError(t, err)
	}
	require.Equal(t, "secret of bm-1", present())
	second := staged(in)
	require.NotEqual(t, first, second)

	later := contract.AccessInput{OperationID: models.NewID(), BaremetalID: in.BaremetalID}
	require.Equal(t, second, staged(later), "the BMC may have it, whatever became of the operation")
	_, err := f.CommitPassword(t.Context(), in) // too late
	require.NoError(t, err)
	require.Equal(t, "secret of bm-1", present())
	for range 2 {
		_, err := f.CommitPassword(t.Context(), later)
		require.NoError(t, err)
	}
	require.Equal(t, second, present())
	require.Equal(t, "true", f.text("SELECT staged IS NULL AND staged_for IS NULL AND staged_key_id = '' AND rotated_at IS NOT NULL FROM bmcs"))

	got, err := f.StagePassword(t.Context(), in)
	require.NoError(t, err)
	require.True(t, got.Replaced, "since the operation began")
	f.exec("UPDATE bmcs SET rotated_at = now() - interval '1 day'")
	got, err = f.StagePassword(t.Context(), in)
	require.NoError(t, err)
	require.False(t, got.Replaced, "long before it")
}

func TestKeysAreRotatedUntilTheOldOneMayGo(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.exec(`INSERT INTO baremetals (id, region, name, role, state, hardware_uuid) SELECT gen_random_uuid(), 'tw', 'bm-' || n, 'spare', 'available', '' FROM generate_series(1, 1100) n`)
	f.exec(`INSERT INTO bmcs (baremetal_id, region, address, username, key_id, password) SELECT id, 'tw', name, 'root', '', '' FROM baremetals`)
	rows, err := f.Pool.Query(t.Context(), "SELECT baremetal_id FROM bmcs")
	require.NoError(t, err)
	var ids []models.ID
	var id models.ID
	for rows.Next() {
		require.NoError(t, rows.Scan(&id))
		ids = append(ids, id)
	}
	keys, sealed := make([]string, len(ids)), make([][]byte, len(ids))
	for i, id := range ids {
		s, err := f.Keys.SealPassword(id, "secret")
		require.NoError(t, err)
		keys[i], sealed[i] = s.KeyID, s.Data
	}
	f.exec("UPDATE bmcs b SET key_id = n.key_id, password = n.password FROM unnest($1::uuid[], $2::text[], $3::bytea[]) n (id, key_id, password) WHERE b.baremetal_id = n.id", ids, keys, sealed)
	_, err = f.StagePassword(t.Context(), contract.AccessInput{OperationID: models.NewID(), BaremetalID: ids[7]})
	require.NoError(t, err)

	f.Keys.Rest = secretKeys(t, 2, 1)
	n, err := f.RotateSecrets(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1100, n)
	n, err = f.RotateSecrets(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)

	f.Keys.Rest = secretKeys(t, 2)
	checked, err := f.CheckSecrets(t.Context())
	require.NoError(t, err)
	require.Equal(t, SecretsChecked{ByKey: map[string]int{"k2": 1101}, Current: "k2"}, checked)

	f.exec("UPDATE bmcs SET password = (SELECT password FROM bmcs WHERE baremetal_id = $2) WHERE baremetal_id = $1", ids[0], ids[1])
	checked, err = f.CheckSecrets(t.Context())
	require.NoError(t, err)
	require.Len(t, checked.Broken, 1, "a row's password is of no use in another row")
	require.True(t, strings.HasPrefix(checked.Broken[0], "The password of the BMC of "+ids[0].String()))
}

func TestAPasswordThatIsBeingSetOutlivesAnotherAccess(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	in := f.machine("bm-1", models.RoleSpare, "available")
	staged, err := f.StagePassword(t.Context(), in)
	require.NoError(t, err)
	mend := func() { // while the operation is blocked
		b, err := f.Baremetal(t.Context(), in.BaremetalID)
		require.NoError(t, err)
		sealed, err := f.Keys.SealPassword(in.BaremetalID, "of a person")
		require.NoError(t, err)
		require.NoError(t, SetBMC(f.DB, b, models.BMC{BaremetalID: b.ID, Region: "tw", Address: "https://bm-9", Username: "root", KeyID: sealed.KeyID, Password: sealed.Data}))
	}
	mend()
	again, err := f.StagePassword(t.Context(), in)
	require.NoError(t, err)
	require.False(t, again.Fresh, "the BMC may have the first one, which nobody else knows")
	_, err = f.CommitPassword(t.Context(), in)
	require.NoError(t, err)
	got, err := f.Access(t.Context(), in)
	require.NoError(t, err)
	open := func(s vault.Sealed) string {
		password, err := f.Keys.Way.Open(s, contract.SealedFor(in.BaremetalID))
		require.NoError(t, err)
		return password
	}
	require.Equal(t, []string{"https://bm-9", open(staged.Password)}, []string{got.Address, open(got.Password)})

	_, err = f.StagePassword(t.Context(), in)
	require.NoError(t, err)
	f.exec("UPDATE operations SET state = 'failed'")
	mend()
	require.Equal(t, "true", f.text("SELECT staged IS NULL AND staged_for IS NULL AND staged_key_id = '' FROM bmcs"), "nobody sets it any more")
}
