// Package chaos kills the real processes while they work, and proves that nothing is lost and nothing is left.
package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/test/postgres"
	"github.com/yunshu/yunshu/test/temporal"
	"github.com/yunshu/yunshu/test/vcenter"
)

const keys = "test=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

// rig is the whole product as processes of its own: gateway and worker from bin/, on a real PostgreSQL, Temporal and
// vCenter API.
type rig struct {
	*testing.T
	dir       string
	url       string
	token     string
	postgres  *postgres.Server
	namespace string
	temporal  string
	vcenter   *vcenter.Server

	mu      sync.Mutex
	gateway *exec.Cmd
	worker  *exec.Cmd
}

// newRig is one whose region has a vCenter.
func newRig(t *testing.T) *rig {
	t.Helper()
	r := newStack(t)
	var err error
	r.vcenter, err = vcenter.Start(t.Context(), vcenter.Options{Region: "tw", Password: "secret", TLSDir: r.dir, Hosts: 6})
	require.NoError(t, err)
	t.Cleanup(r.vcenter.Stop)
	require.NoError(t, os.WriteFile(r.dir+"/password", []byte("secret"), 0o600))
	r.launchAll(fmt.Sprintf("vm:\n      provider: vsphere\n      vsphere: {url: %q, username: %q, password_file: %q, ca_file: %q}",
		r.vcenter.URL, r.vcenter.User.Username(), r.dir+"/password", r.vcenter.CAFile))
	r.seed()
	return r
}

// newStack is what every rig stands on: a PostgreSQL with our tables, and a namespace of a Temporal.
func newStack(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, dir: t.TempDir()}
	for dir := r.dir; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		require.NoError(t, os.Chmod(dir, 0o755)) // PostgreSQL's account must get through
	}
	r.startPostgres(0)
	t.Cleanup(func() { r.postgres.Stop() })
	r.temporal, r.namespace = temporal.Namespace(t)
	require.NoError(t, r.command("yunshu-gateway", "migrate").Run())
	out, err := r.command("yunshu-gateway", "bootstrap").Output()
	require.NoError(t, err)
	r.token = strings.TrimSpace(string(out))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r.url = "http://" + l.Addr().String()
	require.NoError(t, l.Close())
	return r
}

// launchAll starts the gateway, and a worker whose region has these parts.
func (r *rig) launchAll(parts string) {
	r.Helper()
	require.NoError(r, os.WriteFile(r.dir+"/worker.yaml", fmt.Appendf(nil, "temporal: {address: %q, namespace: %q}\nregions:\n  tw:\n    %s\n", r.temporal, r.namespace, parts), 0o600))
	r.startGateway()
	r.startWorker()
	r.Cleanup(func() { r.kill(&r.gateway); r.kill(&r.worker) })
}

func (r *rig) startPostgres(port int) {
	r.Helper()
	var err error
	r.postgres, err = postgres.Start(context.Background(), postgres.Options{Dir: r.dir + "/postgres", Port: port, Durable: true})
	require.NoError(r, err)
}

// command is one of our binaries with the rig's environment.
func (r *rig) command(name string, args ...string) *exec.Cmd {
	binary, err := filepath.Abs("../../bin/" + name)
	require.NoError(r, err)
	_, err = os.Stat(binary)
	require.NoError(r, err, "run make build first")
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "YUNSHU_DATABASE_URL="+r.postgres.DSN("postgres"), "YUNSHU_PAYLOAD_KEYS="+keys, "YUNSHU_SECRET_KEYS="+keys,
		"YUNSHU_TEMPORAL_ADDRESS="+r.temporal, "YUNSHU_TEMPORAL_NAMESPACE="+r.namespace)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := os.OpenFile(filepath.Join(r.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(r, err)
	cmd.Stderr = log
	return cmd
}

func (r *rig) startGateway() {
	cmd := r.command("yunshu-gateway", "serve")
	// The machines of a rig all boot from one address.
	cmd.Env = append(cmd.Env, "YUNSHU_LISTEN="+strings.TrimPrefix(r.url, "http://"), "YUNSHU_REQUESTS_PER_MACHINE=0", "YUNSHU_LOG_LEVEL=debug")
	r.launch(&r.gateway, cmd)
}

func (r *rig) startWorker() {
	r.launch(&r.worker, r.command("yunshu-worker", "run", "--config", r.dir+"/worker.yaml", "--region", "tw"))
}

func (r *rig) launch(slot **exec.Cmd, cmd *exec.Cmd) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := cmd.Start(); err != nil {
		r.Errorf("start %s: %v", cmd.Path, err)
		return
	}
	*slot = cmd
}

// kill ends a process the hard way.
func (r *rig) kill(slot **exec.Cmd) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if *slot != nil {
		_ = (*slot).Process.Kill() // it may have ended already
		_ = (*slot).Wait()         // it was killed
		*slot = nil
	}
}

// once sends one request.
func (r *rig) once(method, path, key string, in any) (status int, body []byte, err error) {
	var payload io.Reader = http.NoBody
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return 0, nil, err
		}
		payload = bytes.NewReader(raw)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, payload)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// call sends a request until somebody answers it, as a good client does: with the same key.
func (r *rig) call(method, path, key string, in, out any) int {
	r.Helper()
	var status int
	var body []byte
	require.Eventually(r, func() bool {
		var err error
		status, body, err = r.once(method, path, key, in)
		return err == nil && status < 500
	}, 90*time.Second, 50*time.Millisecond, "the gateway comes back and answers")
	if out != nil && status < 300 {
		require.NoError(r, json.Unmarshal(body, out), "%s", body)
	}
	if status >= 400 {
		r.Logf("%s %s: %d %s", method, path, status, body)
	}
	return status
}

type object map[string]any

type operation struct {
	ID         string `json:"id"`
	State      string `json:"state"`
	ResourceID string `json:"resource_id"`
	Waiting    string `json:"waiting"`
	WaitingFor string `json:"waiting_for"`
	Error      *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
	Attempt *struct {
		Failure string `json:"failure"`
	} `json:"attempt"`
	Result struct {
		Findings []object `json:"findings"`
	} `json:"result"`
}

func (o operation) ended() bool {
	return o.State == "succeeded" || o.State == "failed" || o.State == "cancelled"
}

// await waits for an operation's end.
func (r *rig) await(id string) operation {
	r.Helper()
	var op operation
	require.Eventually(r, func() bool {
		op = operation{}
		r.call(http.MethodGet, "/v1/operations/"+id, "", nil, &op)
		return op.ended()
	}, 3*time.Minute, 100*time.Millisecond, "operation %s ends", id)
	return op
}

// seed makes what a first machine needs.
func (r *rig) seed() {
	r.Helper()
	made := func(path string, body object) {
		r.Helper()
		require.Equal(r, http.StatusCreated, r.call(http.MethodPost, path, "", body, nil), path)
	}
	made("/v1/regions", object{"name": "tw", "capabilities": []string{"vm"}})
	made("/v1/groups", object{"region": "tw", "name": "general"})
	var op operation
	require.Equal(r, http.StatusAccepted, r.call(http.MethodPost, "/v1/regions/tw/import", "", nil, &op))
	require.Equal(r, "succeeded", r.await(op.ID).State)
	var hosts struct {
		Items []struct{ ID string } `json:"items"`
	}
	r.call(http.MethodGet, "/v1/baremetals?limit=200", "", nil, &hosts)
	require.Len(r, hosts.Items, 12)
	for _, h := range hosts.Items {
		require.Equal(r, http.StatusOK, r.call(http.MethodPatch, "/v1/baremetals/"+h.ID, "", object{"group": "general"}, nil))
	}
	made("/v1/images", object{"name": "ubuntu", "templates": object{"tw": "ubuntu-24.04"}})
	made("/v1/flavors", object{"name": "small", "vcpu": 1, "memory_mib": 1024, "storage_gib": 10})
	made("/v1/subnets", object{"region": "tw", "name": "lan", "cidr": "10.1.0.0/16", "network": "vlan-100"})
	made("/v1/tenants", object{"name": "acme", "quota": object{"vcpu": 400, "vms": 400}})
}

func vm(name string) object {
	return object{"name": name, "tenant": "acme", "region": "tw", "group": "general", "image": "ubuntu", "flavor": "small", "subnet": "lan"}
}

// create accepts a machine and returns its operation.
func (r *rig) create(name string) operation {
	r.Helper()
	var op operation
	require.Equal(r, http.StatusAccepted, r.call(http.MethodPost, "/v1/vms", "create-"+name, vm(name), &op))
	return op
}

// requireNoLeaks compares everything with everything.
func (r *rig) requireNoLeaks() {
	r.Helper()
	var op operation
	require.Equal(r, http.StatusAccepted, r.call(http.MethodPost, "/v1/leak-checks", "", object{}, &op))
	op = r.await(op.ID)
	require.Equal(r, "succeeded", op.State)
	require.Empty(r, op.Result.Findings)
}

func (r *rig) vms() int {
	r.Helper()
	var page struct {
		Items []object `json:"items"`
	}
	r.call(http.MethodGet, "/v1/vms?limit=200", "", nil, &page)
	return len(page.Items)
}
