package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/vault"
)

const secretPassword = "Sehr-geheim-7731"

// yard is a region for physical servers, with ten racks and a group.
func newYard(t *testing.T) *edge {
	t.Helper()
	e := newEdge(t)
	e.call(e.admin, "POST", "/v1/regions", M{"name": "tw", "capabilities": []string{"vm", "bm"}}).is(201)
	e.call(e.admin, "POST", "/v1/groups", M{"region": "tw", "name": "general"}).is(201)
	for i := range 10 {
		e.call(e.admin, "POST", "/v1/racks", M{"region": "tw", "name": fmt.Sprintf("r%d", i)}).is(201)
	}
	return e
}

// server is a good body of an enrolment.
func server(n int) M {
	return M{"name": fmt.Sprintf("bm-%d", n), "rack": "r0", "rack_unit": n + 1, "group": "general", "serial": fmt.Sprintf("SN-%d", n), "labels": M{"owner": "storage"},
		"bmc": M{"address": fmt.Sprintf("https://10.0.%d.%d", n/250, n%250), "username": "root", "password": secretPassword}}
}

func inTW(m M) M {
	m["region"] = "tw"
	return m
}

func TestAServerIsEnrolledOrWhatIsWrongIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	e := newYard(t)
	dry := decode[Baremetal](e.call(e.admin, "POST", "/v1/baremetals?dry_run=true", inTW(server(1))).is(200))
	require.Zero(t, e.count("baremetals")+e.count("operations"))
	op := decode[Operation](e.call(e.admin, "POST", "/v1/baremetals", inTW(server(1))).is(202))
	require.Equal(t, "baremetal.enroll", op.Kind)
	got := decode[Baremetal](e.call(e.admin, "GET", path("baremetals/%s", op.ResourceID), nil).is(200))
	require.Equal(t, BMC{Address: "https://10.0.0.1", Protocol: models.Redfish, Username: "root"}, *got.BMC)
	dry.ID, dry.Stamps = got.ID, got.Stamps
	require.Equal(t, got, dry, "a dry run shows the server as it then is")
	require.Equal(t, models.BaremetalEnrolling, got.State)

	nameless := server(2)
	delete(nameless, "name")
	named := decode[Operation](e.call(e.admin, "POST", "/v1/baremetals", inTW(nameless)).is(202))
	require.Regexp(t, `^bm-[0-9a-f]{12}$`, named.ResourceName)

	wrong := e.call(e.admin, "POST", "/v1/baremetals", M{"region": "tw", "rack": "nowhere", "rack_unit": 99, "serial": "None", "bmc": M{"address": "http://x", "username": "", "password": ""}}).problem(models.CodeInvalid)
	var fields []string
	for _, f := range wrong.Errors {
		fields = append(fields, f.Field)
	}
	require.ElementsMatch(t, []string{"body.rack_unit", "body.serial", "body.bmc.address", "body.bmc.username", "body.bmc.password"}, fields)
	wrong = e.call(e.admin, "POST", "/v1/baremetals", M{"region": "tw", "rack": "nowhere", "group": "nowhere", "serial": "sn-1", "bmc": M{"address": "ipmi://10.0.0.1", "username": "root", "password": "x"}}).problem(models.CodeInvalid)
	require.Len(t, wrong.Errors, 4, "%v", wrong.Errors)
	e.call(e.admin, "POST", "/v1/baremetals", M{"region": "xx", "bmc": M{"address": "10.1.1.1", "username": "root", "password": "x"}}).problem(models.CodeInvalid)
	long := M{"address": "ipmi://10.1.1.1", "username": "root", "password": strings.Repeat("x", 21)}
	require.Equal(t, []models.FieldError{{Field: "body.bmc.password", Message: "must be at most 20 bytes: IPMI knows no longer ones"}}, e.call(e.admin, "POST", "/v1/baremetals", M{"region": "tw", "bmc": long}).problem(models.CodeInvalid).Errors)
	require.Equal(t, "body.mac", e.call(e.admin, "POST", "/v1/baremetals", inTW(M{"mac": "b07b.2500.0001", "bmc": M{"address": "ipmi://10.1.1.1", "username": "root", "password": "x"}})).problem(models.CodeInvalid).Errors[0].Field)
	tall := server(40)
	tall["rack_height"] = 3
	require.Equal(t, "the rack r0 has 42 units; the server would reach up to unit 43", e.call(e.admin, "POST", "/v1/baremetals", inTW(tall)).problem(models.CodeInvalid).Errors[0].Message)

	for code, twin := range map[models.Code]M{
		models.CodeAddressTaken: {"bmc": M{"address": "10.0.0.1", "username": "root", "password": "x"}}, models.CodeDuplicateMachine: {"serial": "sn-1"},
		models.CodePositionTaken: {"rack_unit": 1, "rack_height": 2}, models.CodeNameTaken: {"name": "bm-1"},
	} {
		other := inTW(server(7))
		for k, v := range twin {
			other[k] = v
		}
		p := e.call(e.admin, "POST", "/v1/baremetals", other).problem(code)
		require.Len(t, p.Errors, 1)
		require.Contains(t, p.Detail+p.Errors[0].Message, "bm-1")
	}
	e.call(e.admin, "PATCH", "/v1/regions/tw", M{"state": "cordoned"}).is(200)
	e.call(e.admin, "POST", "/v1/baremetals", inTW(server(8))).problem(models.CodeRegionNotReady)
	e.call(e.admin, "PATCH", "/v1/regions/tw", M{"state": "ready", "capabilities": []string{"vm"}}).is(200)
	e.call(e.admin, "POST", "/v1/baremetals", inTW(server(8))).problem(models.CodeRegionNotReady)
}

// TestOfFiftyWhoWantTheSameOneGetsIt races for an address, a position and a serial.
func TestOfFiftyWhoWantTheSameOneGetsIt(t *testing.T) {
	t.Parallel()
	e := newYard(t)
	for round, c := range []struct {
		code  models.Code
		share func(M)
	}{
		{models.CodeAddressTaken, func(m M) { m["bmc"].(M)["address"] = "https://10.9.9.9" }},
		{models.CodePositionTaken, func(m M) { m["rack"], m["rack_unit"] = "r9", 7 }},
		{models.CodeDuplicateMachine, func(m M) { m["serial"] = "SN-same" }},
	} {
		var wait sync.WaitGroup
		answers := make([]answer, 50)
		for i := range answers {
			n := round*50 + i
			m := inTW(server(n))
			m["rack"], m["rack_unit"] = fmt.Sprintf("r%d", n/40), n%40+1
			c.share(m)
			wait.Go(func() { answers[i] = e.call(e.admin, "POST", "/v1/baremetals", m) })
		}
		wait.Wait()
		won := 0
		for _, a := range answers {
			if a.Status == 202 {
				won++
				continue
			}
			a.problem(c.code)
		}
		require.Equal(t, 1, won, "%s", c.code)
	}
}

// fleetOf is an import of n servers in racks of their own.
func (e *edge) fleetOf(n int) M {
	_, err := e.store.Pool.Exec(e.t.Context(), "INSERT INTO racks (id, region, name) SELECT gen_random_uuid(), 'tw', 'big-' || n FROM generate_series(0, $1) n ON CONFLICT DO NOTHING", n/40)
	require.NoError(e.t, err)
	machines := make([]M, n)
	for i := range machines {
		machines[i] = server(i)
		machines[i]["rack"], machines[i]["rack_unit"] = fmt.Sprintf("big-%d", i/40), i%40+1
	}
	return M{"region": "tw", "machines": machines}
}

func TestTenThousandServersComeInWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	e := newYard(t)
	const n = 10_000
	fleet := e.fleetOf(n)
	machines := fleet["machines"].([]M)
	e.call(e.admin, "POST", "/v1/baremetals", inTW(M{"name": "first", "bmc": M{"address": "10.0.0.5", "username": "root", "password": "x"}})).is(202)
	// One is there already, one is in the list twice, and one is wrong whatever is there: all are told at once.
	machines[17]["bmc"].(M)["address"], machines[9999]["bmc"].(M)["address"], machines[9999]["rack"] = "https://10.0.0.5", "ftp://10.0.0.6", "nowhere"
	right := "https://10.253.0.1"
	kept := machines[300]["serial"]
	machines[300]["serial"] = "SN-299"
	machines[5]["bmc"].(M)["address"] = "https://10.255.0.1"
	start := time.Now()
	p := e.call(e.admin, "POST", "/v1/baremetal-imports", fleet).problem(models.CodeInvalid)
	t.Logf("%d servers, 3 of them wrong: refused in %s", n, time.Since(start).Round(time.Millisecond))
	require.Equal(t, []models.FieldError{
		{Field: "body.machines[17].bmc.address", Message: "is that of the baremetal first"},
		{Field: "body.machines[300].serial", Message: "is also that of machines[299]"},
		{Field: "body.machines[9999].bmc.address", Message: "begins with ftp://; it must begin with https:// or ipmi://, or be a host alone"},
		{Field: "body.machines[9999].rack", Message: "there is no such rack in region tw"},
	}, p.Errors)
	require.Equal(t, 1, e.count("baremetals"))

	machines[17]["bmc"].(M)["address"], machines[9999]["bmc"].(M)["address"], machines[9999]["rack"], machines[300]["serial"] = "https://10.254.0.1", right, "big-249", kept
	require.Equal(t, BaremetalImport{Accepted: n, Operations: []EnrolledBaremetal{}}, decode[BaremetalImport](e.call(e.admin, "POST", "/v1/baremetal-imports?dry_run=true", fleet).is(200)))
	require.Equal(t, 1, e.count("baremetals"))
	start = time.Now()
	done := e.call(e.admin, "POST", "/v1/baremetal-imports", fleet, "Idempotency-Key", "fleet-1").is(202)
	t.Logf("%d servers: enrolled in %s", n, time.Since(start).Round(time.Millisecond))
	got := decode[BaremetalImport](done)
	require.Equal(t, n, got.Accepted)
	require.Equal(t, "bm-9999", got.Operations[9999].Name)
	require.JSONEq(t, string(done.Body), string(e.call(e.admin, "POST", "/v1/baremetal-imports", fleet, "Idempotency-Key", "fleet-1").is(202).Body))
	for _, table := range []string{"baremetals", "bmcs", "operations"} {
		require.Equal(t, n+1, e.count(table), table)
	}
	require.Equal(t, n+1, e.count("audit_events WHERE action = 'baremetal.enroll' AND outcome = 'accepted'"))
	require.Equal(t, n, e.count("rack_units"))
	machines[0]["name"] = "another"
	e.call(e.admin, "POST", "/v1/baremetal-imports", fleet, "Idempotency-Key", "fleet-1").problem(models.CodeKeyReused)
}

func TestBodiesAreLongOnlyWhereTheyHaveTo(t *testing.T) {
	t.Parallel()
	e := newYard(t)
	long := `{"region": "tw", "machines": [` + strings.Repeat(" ", 2<<20) + `]}`
	e.call(e.admin, "POST", "/v1/baremetal-imports", long).problem(models.CodeInvalid)
	require.Equal(t, "The body is larger than 8 MiB. Send less.", e.call(e.admin, "POST", "/v1/baremetal-imports", strings.Repeat(" ", 9<<20)).problem(models.CodeBodyTooLarge).Detail)
	e.call(e.admin, "POST", "/v1/baremetals", long).problem(models.CodeBodyTooLarge)
}

// everything is every value of every table, as text.
func (e *edge) everything() string {
	e.t.Helper()
	rows, err := e.store.Pool.Query(e.t.Context(), "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY 1")
	require.NoError(e.t, err)
	var tables []string
	var name string
	for rows.Next() {
		require.NoError(e.t, rows.Scan(&name))
		tables = append(tables, name)
	}
	var all strings.Builder
	for _, table := range tables {
		rows, err := e.store.Pool.Query(e.t.Context(), `SELECT to_jsonb(t)::text FROM "`+table+`" t`)
		require.NoError(e.t, err)
		for rows.Next() {
			var text string
			require.NoError(e.t, rows.Scan(&text))
			all.WriteString(text)
		}
		if err := rows.Err(); err != nil {
			require.ErrorContains(e.t, err, "permission denied", table)
		}
	}
	return all.String()
}

func TestPasswordsAreNowhereInTheClear(t *testing.T) {
	t.Parallel()
	e := newYard(t)
	first := e.call(e.admin, "POST", "/v1/baremetals", inTW(server(1)), "Idempotency-Key", "one").is(202)
	again := e.call(e.admin, "POST", "/v1/baremetals", inTW(server(1)), "Idempotency-Key", "one").is(202)
	listed := e.call(e.admin, "POST", "/v1/baremetal-imports", M{"region": "tw", "machines": []M{server(2), server(3)}}, "Idempotency-Key", "two").is(202)
	id := decode[Operation](first).ResourceID.String()
	set := e.call(e.admin, "PUT", "/v1/baremetals/"+id+"/bmc", M{"address": "10.7.7.7", "username": "root", "password": secretPassword}).is(200)
	bad := server(4)
	bad["bmc"].(M)["username"], bad["bmc"].(M)["address"], bad["nonsense"] = strings.Repeat("x", 100), "ftp://"+secretPassword, secretPassword
	bad["bmc"].(M)["password"] = []string{secretPassword}
	refused := e.call(e.admin, "POST", "/v1/baremetals", inTW(bad)).is(422)
	for _, a := range []answer{first, again, listed, set, refused, e.call(e.admin, "GET", "/v1/baremetals", nil), e.call(e.admin, "GET", "/v1/baremetals/"+id+"/history", nil), e.call(e.admin, "GET", "/v1/audit-events", nil)} {
		require.NotContains(t, string(a.Body), secretPassword)
	}
	e.store.Keys.Rest = rotatedKeys(t)
	n, err := e.store.RotateSecrets(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, n)
	all := e.everything()
	require.Contains(t, all, "10.7.7.7", "the search sees what there is")
	hexed := fmt.Sprintf("%x", secretPassword)
	require.NotContains(t, all, secretPassword)
	require.NotContains(t, all, hexed)
	require.NotContains(t, all, strings.ToUpper(hexed))

	// With the body known but for the password, a plain hash would tell which password fits.
	require.Equal(t, "true", e.text(`SELECT bool_and(octet_length(request_hash) = 32) FROM idempotency_keys WHERE key IN ('one', 'two')`))
	require.NotEqual(t, e.text("SELECT encode(request_hash, 'hex') FROM idempotency_keys WHERE key = 'one'"), plainHash("POST", "/v1/baremetals", inTW(server(1))))
}

func rotatedKeys(t *testing.T) vault.Keys {
	t.Helper()
	both, err := vault.Parse("s2=" + key32(3) + ",s1=" + key32(1))
	require.NoError(t, err)
	return both
}

func key32(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }

func plainHash(method, path string, body M) string {
	raw, _ := json.Marshal(body) // a map of texts cannot fail
	sum := sha256.Sum256(append([]byte(method+" "+path+"\n"), raw...))
	return hex.EncodeToString(sum[:])
}

// text reads one value as text.
func (e *edge) text(sql string, args ...any) string {
	e.t.Helper()
	var out string
	require.NoError(e.t, e.store.Pool.QueryRow(e.t.Context(), "SELECT ("+sql+")::text", args...).Scan(&out), sql)
	return out
}
