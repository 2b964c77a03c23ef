package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// newYard is a shell whose gateway has a region for servers, and a file with a password.
func newYard(t *testing.T) (s *shell, password string) {
	t.Helper()
	s = newShell(t)
	s.must("region", "create", "tw", "--capability", "vm", "--capability", "bm")
	s.must("rack", "create", "r1", "--region", "tw")
	s.must("group", "create", "general", "--region", "tw")
	return s, s.file("password", "hunter2\n")
}

// file is a file of the test's own.
func (s *shell) file(name, content string) string {
	s.Helper()
	file := filepath.Join(s.TempDir(), name)
	require.NoError(s, os.WriteFile(file, []byte(content), 0o600))
	return file
}

// finish ends every operation that was accepted.
func (s *shell) finish(state models.OperationState, facts contract.BaremetalFacts, fault *models.Fault) {
	s.Helper()
	rows, err := s.store.Pool.Query(s.Context(), "SELECT id FROM operations WHERE state = 'accepted' ORDER BY id")
	require.NoError(s, err)
	var ids []models.ID
	var id models.ID
	for rows.Next() {
		require.NoError(s, rows.Scan(&id))
		ids = append(ids, id)
	}
	for _, id := range ids {
		s.report(contract.Report{OperationID: id, Seq: 1, State: models.OperationRunning})
		s.report(contract.Report{OperationID: id, Seq: 2, State: state, Baremetal: &facts, Fault: fault})
	}
}

func TestAServerComesInAndIsLookedAt(t *testing.T) {
	t.Parallel()
	s, password := newYard(t)
	enroll := []string{"baremetal", "enroll", "--region", "tw", "--rack", "r1", "--position", "12", "--bmc", "https://10.0.0.7", "--user", "root", "--password-file", password,
		"--name", "bm-1", "--serial", "SN-1", "--group", "general", "--label", "owner=storage", "--rotate-password"}
	require.Contains(t, s.must(append(enroll, "--dry-run")...), "enrolling")
	require.Contains(t, s.must(enroll...), "baremetal.enroll")
	status, _, errs := s.try(enroll...)
	require.Equal(t, exitRefused, status)
	require.Contains(t, errs, "The BMC at https://10.0.0.7 is that of the baremetal bm-1")
	status, _, errs = s.try("baremetal", "enroll", "--region", "tw", "--bmc", "10.0.0.8", "--user", "root")
	require.Equal(t, exitUsage, status)
	require.Contains(t, errs, "password-stdin")

	s.finish(models.OperationSucceeded, contract.BaremetalFacts{State: models.BaremetalAvailable, Inspected: &contract.Inspected{
		Power: models.PowerOn, Health: models.Health{Status: models.HealthOK, Sensors: []models.Sensor{{Name: "Inlet Temp", Value: 23, Unit: "Cel", Health: models.HealthOK}}, Log: []models.LogEntry{{ID: "1", Message: "The chassis is open."}}},
		Inventory: models.Inventory{HardwareIdentity: models.HardwareIdentity{Serial: "SN-1", Vendor: "Maker", Model: "M1"}, BIOS: "1.2", CPUs: []models.CPU{{Model: "Fast", Cores: 8, Threads: 16}},
			Memory: []models.MemoryModule{{Slot: "A1", SizeMiB: 65536}}, Disks: []models.Disk{{Name: "0", SizeGiB: 900, Kind: "nvme"}}, NICs: []models.NIC{{Name: "eth0", MAC: "aa:bb:cc:dd:ee:ff"}}},
	}}, nil)
	golden(t, "baremetal-health", s.must("baremetal", "health", "bm-1"))
	golden(t, "baremetal-inventory", s.must("baremetal", "inventory", "bm-1"))
	golden(t, "baremetal-list", s.must("baremetal", "list"))
	require.Contains(t, s.must("baremetal", "set-bmc", "bm-1", "--bmc", "ipmi://10.0.0.9", "--user", "admin", "--password-file", password), "ipmi://10.0.0.9")
	for _, command := range [][]string{{"power-on"}, {"power-off", "--force"}, {"boot-device", "--device", "pxe"}, {"insert-media", "--image-url", "https://images.example.com/x.iso"}, {"locate"}, {"locate", "--off"}, {"rotate-password"}} {
		require.Contains(t, s.must(append([]string{"baremetal", command[0], "bm-1"}, command[1:]...)...), "baremetal.", command[0])
		s.finish(models.OperationSucceeded, contract.BaremetalFacts{}, nil)
	}
	require.Contains(t, s.must("baremetal", "mark-failed", "bm-1", "--reason", "it smells burnt"), "failed")
	require.Contains(t, s.must("baremetal", "retire", "bm-1"), "baremetal.retire")
}

const servers = `name,rack,position,bmc,user,password,serial,label.owner
bm-1,r1,1,https://10.0.0.1,root,hunter2,SN-1,storage
bm-2,r1,2,https://10.0.0.2,root,"hunter2
with a line break",SN-2,
bm-3,r1,3,https://10.0.0.3,root,hunter2,SN-3,
`

func TestAFileOfServersComesInOrIsExplained(t *testing.T) {
	t.Parallel()
	s, _ := newYard(t)
	good := s.file("servers.csv", servers)
	require.Equal(t, "3 servers could come in; nothing was changed.\n", s.must("baremetal", "import", "-f", good, "--region", "tw", "--dry-run"))
	bad := s.file("bad.csv", servers+"bm-3,nowhere,1,https://10.0.0.1,root,hunter2,SN-2,\n")
	status, out, errs := s.try("baremetal", "import", "-f", bad, "--region", "tw")
	require.Equal(t, exitRefused, status)
	require.Empty(t, out)
	require.NotContains(t, errs, "hunter2")
	for _, line := range []string{bad + ":6: rack: there is no such rack in region tw", bad + ":6: bmc: is also that of line 2", bad + ":6: name: is also that of line 5", bad + ":6: serial: is also that of line 3"} {
		require.Contains(t, errs, line+"\n")
	}
	unread := s.file("unread.csv", "name,pass,position\nbm-1,hunter2,twelve\n")
	status, _, errs = s.try("baremetal", "import", "-f", unread, "--region", "tw")
	require.Equal(t, exitUsage, status)
	require.NotContains(t, errs, "hunter2")
	for _, line := range []string{`:1: there is no column "pass"`, ":2: position: is not a whole number", ":2: bmc: is missing", ":2: user: is missing", ":2: password: is missing"} {
		require.Contains(t, errs, line)
	}

	type end struct {
		status    int
		out, errs string
	}
	done := make(chan end, 1)
	go func() {
		status, out, errs := s.try("baremetal", "import", "-f", good, "--region", "tw", "--wait")
		done <- end{status, out, errs}
	}()
	s.operation()
	s.report(contract.Report{OperationID: s.operation(), Seq: 1, State: models.OperationFailed, Fault: models.Faultf(models.CodeUnreachable, "The BMC does not answer."), Baremetal: &contract.BaremetalFacts{State: models.BaremetalGone}})
	s.finish(models.OperationSucceeded, contract.BaremetalFacts{State: models.BaremetalAvailable}, nil)
	got := <-done
	require.Equal(t, exitFailed, got.status, got.errs)
	require.Contains(t, got.out, "3 servers are coming in.\n")
	require.Contains(t, got.out, "2/3 in, 0 blocked, 1 failed\n")
	require.Contains(t, got.out, " is failed: The BMC does not answer.\n")
}

func TestServersAreReadFromYAMLToo(t *testing.T) {
	t.Parallel()
	got, err := readServers("servers.yaml", []byte("- name: bm-1\n  bmc: 10.0.0.1\n  user: root\n  password: hunter2\n  position: 3\n  rotate_password: true\n  labels:\n    owner: storage\n- bmc: 10.0.0.2\n  user: root\n  password: p\n"))
	require.NoError(t, err)
	require.Equal(t, []int{1, 9}, got.lines)
	require.Equal(t, map[string]any{"owner": "storage"}, got.rows[0]["labels"])
	require.Equal(t, map[string]any{"address": "10.0.0.1", "username": "root", "password": "hunter2", "rotate_password": true}, got.rows[0]["bmc"])
	for given, why := range map[string]string{"a: b": "must be a list", ":\n\t-": "is not YAML", "- x": "must be a server", "- bmc: a": ":1: user: is missing", "": "must be a list"} {
		_, err := readServers("servers.yml", []byte(given))
		require.ErrorContains(t, err, why, given)
	}
	_, err = readServers("servers.csv", nil)
	require.ErrorContains(t, err, "There is nothing")
	_, err = readServers("servers.csv", []byte("bm-1,10.0.0.1,root,hunter2\n"))
	require.ErrorContains(t, err, "servers.csv:1: is no header")
	require.NotContains(t, err.Error(), "hunter2", "what stands where names should may be a password")
	_, err = readServers("servers.csv", []byte("bmc,user,password,rotate_password\n10.0.0.1,root,hunter2,ture\n"))
	require.EqualError(t, err, "servers.csv:2: rotate_password: is neither yes nor no")
}
