package api

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// stable is a cloud with spare machines in a group of their own, and images that they boot.
type stable struct{ *cloud }

const (
	hardware = "4c4c4544-0042-3510-8053-b7c04f4d3532"
	swapped  = "44454c4c-4200-1035-8053-b7c04f4d3532"
)

func newStable(t *testing.T, machines int) *stable {
	t.Helper()
	s := &stable{newCloud(t)}
	s.call(s.admin, "PATCH", "/v1/regions/tw", M{"capabilities": []string{"vm", "bm"}}).is(200)
	s.post("/v1/groups", M{"region": "tw", "name": "metal"})
	for n := range machines {
		s.machine(n)
	}
	kernel := M{"tw": M{"kernel": "http://boot.example.com/vmlinuz", "initrd": "http://boot.example.com/initrd", "args": "console=ttyS0 quiet"}}
	s.post("/v1/images", M{"name": "metal-1", "boot": kernel})
	s.post("/v1/images", M{"name": "wipe-1", "purpose": "wipe", "boot": kernel})
	s.post("/v1/images", M{"name": "wipe-2", "purpose": "wipe", "boot": M{"tw": M{"iso": "http://boot.example.com/wipe.iso"}}})
	s.post("/v1/images", M{"name": "discovery-1", "purpose": "discovery", "boot": kernel})
	s.call(s.admin, "PUT", "/v1/tenants/"+s.idOf("tenants", "acme")+"/quotas/everywhere", M{"baremetals": 10}).is(200)
	return s
}

// machine makes a spare machine with a BMC, as an enrolment would leave it.
func (s *stable) machine(n int) {
	s.t.Helper()
	id := models.NewID()
	uuid := strings.Replace(hardware, "4c4c4544", fmt.Sprintf("4c4c45%02x", 0x44+n), 1)
	s.exec(`INSERT INTO baremetals (id, region, name, role, state, hardware_uuid, serial, vendor, rack_id, group_id, vcpu, memory_mib, storage_gib, health, power, provider_ref, labels)
		VALUES ($1, 'tw', $2, 'spare', 'available', $3, $4, 'Dell Inc.', $5, (SELECT id FROM groups WHERE name = 'metal'), 64, 262144, 4096, 'ok', 'off', 'ref-secret', '{"gpu": "a100"}')`,
		id, fmt.Sprintf("m%d", n), uuid, fmt.Sprintf("SN-%d", n), s.rack.ID)
	s.exec(`INSERT INTO bmcs (baremetal_id, region, address, protocol, username, key_id, password) VALUES ($1, 'tw', $2, 'redfish', 'admin', 'k', '\x00')`, id, fmt.Sprintf("https://10.9.0.%d", n))
	s.exec(`INSERT INTO baremetal_macs (mac, baremetal_id) VALUES ($1, $2)`, mac(n), id)
}

func mac(n int) string { return fmt.Sprintf("52:54:00:aa:bb:%02x", n) }

func (s *stable) exec(sql string, args ...any) {
	s.t.Helper()
	_, err := s.store.Pool.Exec(s.t.Context(), sql, args...)
	require.NoError(s.t, err, sql)
}

func (s *stable) text(sql string, args ...any) (out string) {
	s.t.Helper()
	require.NoError(s.t, s.store.Pool.QueryRow(s.t.Context(), sql, args...).Scan(&out), sql)
	return out
}

func (s *stable) idOf(table, name string) string {
	s.t.Helper()
	return s.text("SELECT id::text FROM "+table+" WHERE name = $1", name)
}

func (s *stable) id(name string) models.ID {
	s.t.Helper()
	var id models.ID
	require.NoError(s.t, id.UnmarshalText([]byte(s.idOf("baremetals", name))))
	return id
}

// expect begins an operation on a machine, and makes the gateway ready for its boot as the operation's workflow would.
func (s *stable) expect(name string, b contract.Boot) contract.BootRef {
	s.t.Helper()
	ref := contract.BootRef{OperationID: models.NewID(), BaremetalID: s.id(name)}
	s.exec(`UPDATE operations SET state = 'succeeded' WHERE resource_id = $1`, ref.BaremetalID)
	s.exec(`INSERT INTO operations (id, kind, region, resource_kind, resource_id, resource_name, actor_id, actor, state, input)
		VALUES ($1, 'baremetal.discover', 'tw', 'baremetal', $2, $3, $1, 'test', 'running', '{}')`, ref.OperationID, ref.BaremetalID, name)
	require.NoError(s.t, s.store.ExpectBoot(s.t.Context(), contract.BootExpectInput{OperationID: ref.OperationID, BaremetalID: ref.BaremetalID, Boot: b}))
	return ref
}

var discovery = contract.Boot{Purpose: models.BootDiscovery, Image: "discovery-1"}

func (s *stable) script(mac string) string {
	s.t.Helper()
	a := s.call("", "GET", "/boot/ipxe/"+mac, nil).is(200)
	require.Equal(s.t, "text/plain; charset=utf-8", a.Header.Get("Content-Type"))
	require.Equal(s.t, "no-store", a.Header.Get("Cache-Control"))
	return string(a.Body)
}

var tokenInScript = regexp.MustCompile(`yunshu\.token=(\S+)`)

func (s *stable) token(mac string) string {
	s.t.Helper()
	found := tokenInScript.FindStringSubmatch(s.script(mac))
	require.Len(s.t, found, 2)
	return found[1]
}

func found(n int) M {
	return M{"purpose": "discovery", "inventory": M{"uuid": hardware, "serial": fmt.Sprintf("sn-%d", n), "cpus": []M{{"model": "EPYC", "cores": 32, "threads": 64}}, "nics": []M{{"mac": mac(n)}}}}
}

func TestAMachineBootsItsImageAndReportsOnce(t *testing.T) {
	t.Parallel()
	s := newStable(t, 1)
	require.Equal(t, fromDisk, s.script(mac(0)), "nothing is expected of it")
	boot := discovery
	boot.Hostname = "db-1"
	ref := s.expect("m0", boot)
	script := s.script(mac(0))
	token := tokenInScript.FindStringSubmatch(script)[1]
	require.Equal(t, "#!ipxe\nkernel http://boot.example.com/vmlinuz console=ttyS0 quiet yunshu.url=http://example.com yunshu.token="+token+
		" yunshu.purpose=discovery yunshu.uuid="+hardware+" yunshu.hostname=db-1\ninitrd http://boot.example.com/initrd\nboot\n", script)
	require.Len(t, token, 43, "256 bits")

	got, err := s.store.BootReported(t.Context(), ref)
	require.NoError(t, err)
	require.Equal(t, contract.BootReport{Begun: true}, got)
	s.call(token, "POST", "/boot/report", found(0)).is(204)
	got, err = s.store.BootReported(t.Context(), ref)
	require.NoError(t, err)
	require.Equal(t, contract.BootReport{Reported: true, Inventory: &models.Inventory{
		HardwareIdentity: models.HardwareIdentity{UUID: hardware, Serial: "sn-0"},
		CPUs:             []models.CPU{{Model: "EPYC", Cores: 32, Threads: 64}}, NICs: []models.NIC{{MAC: mac(0)}},
	}}, got)
	require.Equal(t, fromDisk, s.script(mac(0)), "it has reported")
	require.Equal(t, "machine/m0 boot.report baremetal m0 done "+ref.OperationID.String(), s.text(
		`SELECT concat_ws(' ', actor, action, resource_kind, resource_name, outcome, operation_id) FROM audit_events WHERE action = 'boot.report'`))
	require.Zero(t, s.count("audit_events WHERE strpos(audit_events::text, '"+token+"') > 0"))
	require.Zero(t, s.count("boots WHERE token_hash IS NOT NULL OR strpos(boots::text, '"+token+"') > 0"))

	s.expect("m0", discovery)
	require.NotEqual(t, fromDisk, s.script(mac(0)), "what was reported before is stale")
	require.NoError(t, s.store.CloseBoot(t.Context(), ref))
	require.NotEqual(t, fromDisk, s.script(mac(0)), "an older operation closes its own boot alone")
}

func TestAnImageFromAVirtualDriveClaimsItsBoot(t *testing.T) {
	t.Parallel()
	s := newStable(t, 2)
	ref := s.expect("m0", contract.Boot{Purpose: models.BootWipe, Image: "wipe-2"})
	claim := func(uuid string, macs ...string) answer {
		return s.call("", "POST", "/boot/claim", M{"uuid": uuid, "macs": macs})
	}
	for say, a := range map[string]answer{
		"another machine's hardware": claim("4c4c4545-0042-3510-8053-b7c04f4d3532", mac(0)),
		"no hardware":                claim("", mac(0)),
		"hardware without an id":     claim("03000200-0400-0500-0006-000700080009", mac(0)),
		"the hardware alone":         claim(hardware, "52:54:00:00:00:01"),
		"a machine without a boot":   claim("4c4c4545-0042-3510-8053-b7c04f4d3532", mac(1)),
	} {
		require.Equal(t, http.StatusNotFound, a.Status, say)
	}
	require.Equal(t, fromDisk, s.script(mac(0)), "the image has no kernel to boot from the network")
	first := decode[bootClaimed](claim(strings.ToUpper(hardware), "00:00:00:00:fe:80:00:00:00:00:00:00:02:00:5e:10:00:00:00:01", mac(0)).is(200))
	second := decode[bootClaimed](claim(swapped, mac(0)).is(200))
	require.Equal(t, models.BootWipe, second.Purpose)
	report := M{"purpose": "wipe", "wiped": []M{{"name": "sda", "serial": "S1", "size_gib": 480, "method": "discard", "verified": true}}}
	s.call(first.Token, "POST", "/boot/report", report).problem(models.CodeUnauthenticated)
	s.exec("UPDATE operations SET state = 'blocked' WHERE id = $1", ref.OperationID) // a wipe takes longer than a boot
	require.Equal(t, 1, s.count("boots WHERE expires_at > now() + interval '24 hours'"))
	s.call(second.Token, "POST", "/boot/report", report).is(204)
	got, err := s.store.BootReported(t.Context(), ref)
	require.NoError(t, err)
	require.Equal(t, []models.Wiped{{Name: "sda", Serial: "S1", SizeGiB: 480, Method: "discard", Verified: true}}, got.Wiped)

	s.exec("INSERT INTO baremetal_macs SELECT $1, id FROM baremetals WHERE name = 'm1'", mac(0))
	s.expect("m0", discovery)
	require.NotEqual(t, fromDisk, s.script(mac(0)), "of two with one interface, only one is to boot")
	s.expect("m1", discovery)
	require.Equal(t, fromDisk, s.script(mac(0)), "nobody can tell which of the two asks")
}

// TestBootAttacks are those of docs/attacks.md.
func TestBootAttacks(t *testing.T) {
	t.Parallel()
	s := newStable(t, 2)
	s.expect("m0", discovery)
	s.expect("m1", discovery)
	stranger := func(say string, a answer) { require.Equal(t, http.StatusUnauthorized, a.Status, "%s: %s", say, a.Body) }
	report := func(token string, body any) answer { return s.call(token, "POST", "/boot/report", body) }

	old, token, other := s.token(mac(0)), s.token(mac(0)), s.token(mac(1))
	unknown := report("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", found(0))
	stranger("guessed", unknown)
	stranger("none", report("", found(0)))
	stranger("the token of a person", report(s.admin, found(0)))
	require.Equal(t, telling(t, unknown), telling(t, report(old, found(0))), "replaced tokens are like unknown ones")
	s.call(token, "GET", "/v1/me", nil).problem(models.CodeUnauthenticated)

	wrong := report(other, found(0))
	require.Equal(t, []models.FieldError{{Field: "body.inventory.uuid", Message: "is not that of the machine which was to boot"}}, wrong.problem(models.CodeInvalid).Errors, "another machine's token")
	another := found(0)
	another["inventory"] = M{"uuid": swapped, "serial": "another"}
	report(token, another).problem(models.CodeInvalid)
	report(token, M{"purpose": "wipe"}).problem(models.CodeInvalid)

	deep := strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)
	for say, body := range map[string]string{
		"deep":              `{"purpose":"discovery","inventory":` + deep + `}`,
		"deep lists":        strings.Repeat("[", 300_000),
		"an unknown field":  `{"purpose":"discovery","inventory":{},"role":"admin"}`,
		"a hidden field":    `{"purpose":"discovery","inventory":{"cpus":[{"modell":"x"}]}}`,
		"one field twice":   `{"purpose":"wipe","purpose":"discovery","inventory":{}}`,
		"two bodies":        `{"purpose":"discovery","inventory":{}} {}`,
		"not JSON":          `purpose=discovery`,
		"another type":      `{"purpose":"discovery","inventory":[]}`,
		"NUL characters":    `{"purpose":"discovery","error":"\u0000"}`,
		"what is not UTF-8": "{\"purpose\":\"discovery\",\"error\":\"\xff\"}",
		"nothing":           ``,
	} {
		begun := time.Now()
		require.Equal(t, http.StatusBadRequest, report(token, body).Status, say)
		require.Less(t, time.Since(begun), 5*time.Second, say)
	}
	report(token, `{"error":"`+strings.Repeat("a", 2<<20)+`"}`).problem(models.CodeBodyTooLarge)
	many := make([]M, 513)
	for i := range many {
		many[i] = M{"name": "d", "method": "zero", "size_gib": 1}
	}
	for say, body := range map[string]M{
		"too many disks":        {"purpose": "discovery", "inventory": M{}, "wiped": many},
		"a long name":           {"purpose": "discovery", "inventory": M{"model": strings.Repeat("a", 257)}},
		"a terminal's commands": {"purpose": "discovery", "inventory": M{"cpus": []M{{"model": "\x1b[2J"}}}},
		"a negative size":       {"purpose": "discovery", "inventory": M{"disks": []M{{"size_gib": -1}}}},
		"a size beyond sense":   {"purpose": "discovery", "inventory": M{"memory": []M{{"size_mib": int64(1) << 41}}}},
		"no interface":          {"purpose": "discovery", "inventory": M{"nics": []M{{"mac": "x"}}}},
		"a long story":          {"purpose": "discovery", "error": strings.Repeat("a", 1001)},
		"no inventory":          {"purpose": "discovery"},
		"no purpose":            {},
	} {
		require.Equal(t, http.StatusUnprocessableEntity, report(token, body).Status, say)
	}

	before := s.count("audit_events")
	require.Equal(t, fromDisk, s.script("52:54:00:00:00:99"))
	for _, text := range []string{"%00", "..", "zz:zz:zz:zz:zz:zz", strings.Repeat("a", 5000), "52:54:00:aa:bb", "52:54:00:aa:bb:00:00:00"} {
		require.Equal(t, fromDisk, s.script(text))
	}
	require.Equal(t, before, s.count("audit_events"), "strangers leave nothing behind")
	s.call("", "POST", "/boot/claim", M{"uuid": hardware, "macs": make([]string, 65)}).problem(models.CodeInvalid)

	answers := make([]answer, 8) // one token, many at once
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = report(token, found(0)) })
	}
	all.Wait()
	taken := 0
	for _, a := range answers {
		if a.Status == http.StatusNoContent {
			taken++
		} else {
			stranger("replayed", a)
		}
	}
	require.Equal(t, 1, taken)
	s.exec("UPDATE boots SET expires_at = now() - interval '1 second'")
	require.Equal(t, telling(t, unknown), telling(t, report(other, found(1))), "expired tokens are like unknown ones")
	require.Equal(t, fromDisk, s.script(mac(1)))
}

// TestEverySpellingOfAnInterfaceIsOne: firmware and iPXE write them as they like.
func TestEverySpellingOfAnInterfaceIsOne(t *testing.T) {
	t.Parallel()
	s := newStable(t, 1)
	s.expect("m0", discovery)
	for _, spelling := range []string{"52:54:00:aa:bb:00", "52:54:00:AA:BB:00", "52-54-00-aa-bb-00", "5254.00aa.bb00", "525400AABB00", "52%3A54%3A00%3Aaa%3Abb%3A00"} {
		require.NotEqual(t, fromDisk, s.script(spelling), spelling)
	}
}

// TestNothingGetsIntoAScript: neither what an operator says of an image, nor what a machine says of the gateway.
func TestNothingGetsIntoAScript(t *testing.T) {
	t.Parallel()
	s := newStable(t, 1)
	for say, boot := range map[string]M{
		"a line":          {"kernel": "http://h/k", "args": "quiet\nshell"},
		"a command":       {"kernel": "http://h/k", "args": "quiet || shell"},
		"a setting":       {"kernel": "http://h/${x}"},
		"a second word":   {"kernel": "http://h/k shell"},
		"our own":         {"kernel": "http://h/k", "args": "yunshu.url=http://evil"},
		"another scheme":  {"kernel": "file:///etc/passwd"},
		"a password":      {"kernel": "http://u:p@h/k"},
		"args of nothing": {"args": "quiet"},
	} {
		p := s.call(s.admin, "POST", "/v1/images", M{"name": "evil", "boot": M{"tw": boot}}).problem(models.CodeInvalid)
		require.True(t, strings.HasPrefix(p.Errors[0].Field, "body.boot.tw"), "%s: %v", say, p.Errors)
	}
	s.call(s.admin, "POST", "/v1/images", M{"name": "evil\nshell", "boot": M{"tw": M{"kernel": "http://h/k"}}}).problem(models.CodeInvalid)
	s.call(s.admin, "POST", "/v1/images", M{"name": "evil", "boot": M{"nowhere": M{"kernel": "http://h/k"}}}).problem(models.CodeInvalid)
	s.expect("m0", discovery)
	for _, host := range []string{"evil\nshell", "a b", "${x}", "evil;shell", "h/../x", "u@h", ""} {
		b := &bootService{}
		_, ok := b.address(&http.Request{Host: host})
		require.False(t, ok, host)
	}
	for _, host := range []string{"gateway", "10.0.0.1:8080", "[fd00::1]:8080", "boot.example.com"} {
		b := &bootService{}
		url, ok := b.address(&http.Request{Host: host})
		require.True(t, ok, host)
		require.Equal(t, "http://"+host, url)
	}
}

func TestBootsAreExpectedOfOperationsUnderWayAlone(t *testing.T) {
	t.Parallel()
	s := newStable(t, 2)
	ref := s.expect("m0", discovery)
	in := contract.BootExpectInput{OperationID: ref.OperationID, BaremetalID: ref.BaremetalID, Boot: discovery}
	other := in
	other.BaremetalID = s.id("m1")
	require.True(t, models.IsCode(s.store.ExpectBoot(t.Context(), other), models.CodeWrongState), "of another machine")
	missing := in
	missing.Boot.Image = "gone"
	require.True(t, models.IsCode(s.store.ExpectBoot(t.Context(), missing), models.CodeTemplateMissing))
	s.call(s.admin, "DELETE", "/v1/images/"+s.idOf("images", "discovery-1"), nil).problem(models.CodeInUse)
	token := s.token(mac(0))
	s.exec("UPDATE operations SET state = 'failed' WHERE id = $1", ref.OperationID)
	require.Equal(t, http.StatusUnauthorized, s.call(token, "POST", "/boot/report", found(0)).Status, "nobody waits for it")
	require.True(t, models.IsCode(s.store.ExpectBoot(t.Context(), in), models.CodeWrongState), "it has ended")
	require.Equal(t, fromDisk, s.script(mac(0)), "what an operation left behind that was lost, nobody boots")
	require.NoError(t, s.store.CloseBoot(t.Context(), ref))
	require.NoError(t, s.store.CloseBoot(t.Context(), ref), "again")
	require.Equal(t, fromDisk, s.script(mac(0)))
}

func TestMachinesThatAskTooOftenWait(t *testing.T) {
	t.Parallel()
	s := newStable(t, 0)
	s.api.limits = newLimiter(RateLimits{PerMachine: 0.001})
	s.call("", "GET", "/boot/ipxe/"+mac(0), nil).is(200)
	require.NotEmpty(t, s.call("", "POST", "/boot/report", nil).problem(models.CodeTooManyRequests).Detail)
	require.NotEmpty(t, s.call("", "POST", "/boot/claim", M{}).Header.Get("Retry-After"))
}
