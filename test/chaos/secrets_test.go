package chaos

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/proxy"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/test/postgres"
	"github.com/yunshu/yunshu/vault"
	"github.com/yunshu/yunshu/workers"
)

// TestPasswordsOfBMCsAreNowhere brings machines in, rotates a password and fails in several ways. Then everything that is
// kept is searched for the passwords: the database's dump, the logs, and all of Temporal's histories, as they are served
// and as an operator sees them who has the codec's keys.
func TestPasswordsOfBMCsAreNowhere(t *testing.T) {
	t.Parallel()
	f := newFloor(t, 3)
	const marker, wrong = "marker-of-this-test", "Not+the/right-0ne?"
	body := newcomer(marker, f.fleet.Machines[0])
	body["bmc"].(object)["rotate_password"] = true
	op := f.await(f.ask("/v1/baremetals", body).ID)
	require.Equal(t, "succeeded", op.State, "%+v", op.Error)
	first := f.password(op.ResourceID)
	f.act(op.ResourceID, "rotate-password", nil)
	second := f.password(op.ResourceID)
	require.True(t, f.fleet.Machines[0].PasswordIs("root", second))
	require.NotContains(t, []string{original, second}, first)

	refused := newcomer("refused", f.fleet.Machines[1])
	refused["bmc"].(object)["password"] = wrong
	blocked := f.ask("/v1/baremetals", refused)
	f.becomes(blocked.ID, operation.blocked, "its password is wrong")
	require.Equal(t, http.StatusAccepted, f.call(http.MethodPost, "/v1/operations/"+blocked.ID+"/abort", "", nil, nil))
	require.Equal(t, "failed", f.await(blocked.ID).State)
	answers := f.answers(op.ResourceID)

	dump := f.dump()
	raw, decoded := f.histories()
	logs := f.logs()
	require.True(t, holds(dump, marker), "what is in the dump is found")
	require.False(t, holds(raw, marker), "what is encrypted in histories is not")
	require.True(t, holds(decoded, marker), "until it is decrypted")
	require.True(t, holds(logs, op.ID), "what is in the logs is found")
	for name, password := range map[string]string{"first": original, "rotated": first, "rotated again": second, "wrong": wrong} {
		for where, text := range map[string][]byte{"the dump": dump, "histories": raw, "decrypted histories": decoded, "logs": logs, "answers": answers} {
			require.False(t, holds(text, password), "the %s password is in %s", name, where)
		}
	}
}

// TestSpellingsAreFound shows that the search of the test above is able to find.
func TestSpellingsAreFound(t *testing.T) {
	t.Parallel()
	for _, s := range spellings(original) {
		require.True(t, holds([]byte("before "+s+" after"), original), s)
	}
	for shift := range 3 {
		inside := base64.StdEncoding.EncodeToString([]byte("xyz"[:shift] + original + ", and more"))
		require.True(t, holds([]byte(inside), original), "%d bytes before it", shift)
	}
	require.False(t, holds([]byte("Calvin"), original))
}

// holds searches a text for a secret in every spelling.
func holds(text []byte, secret string) bool {
	return slices.ContainsFunc(spellings(secret), func(s string) bool { return bytes.Contains(text, []byte(s)) })
}

// spellings are those in which a secret may be kept. In base64 it may begin at any of three places in a group.
func spellings(secret string) []string {
	quoted, _ := json.Marshal(secret) // a text has JSON
	out := []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret), hex.EncodeToString([]byte(secret)), fmt.Sprintf("%X", secret),
		strings.Trim(string(quoted), `"`),
	}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for shift := range 3 {
			padded := e.EncodeToString(append(bytes.Repeat([]byte{' '}, shift), secret...))
			out = append(out, padded[(shift*8+5)/6:len(secret+"  "[:shift])*8/6])
		}
	}
	return out
}

// password opens what the database keeps of a BMC.
func (f *floor) password(id string) string {
	f.Helper()
	conn, err := pgx.Connect(f.Context(), f.postgres.DSN("postgres"))
	require.NoError(f, err)
	defer conn.Close(f.Context()) //nolint:errcheck // it was only read from
	var sealed vault.Sealed
	require.NoError(f, conn.QueryRow(f.Context(), "SELECT key_id, password FROM bmcs WHERE baremetal_id = $1", id).Scan(&sealed.KeyID, &sealed.Data))
	k, err := vault.Parse(keys)
	require.NoError(f, err)
	opened, err := k.Open(sealed, contract.SealedFor(uuid.MustParse(id)))
	require.NoError(f, err)
	return opened
}

// answers are what the API says of a server to whoever may see most.
func (f *floor) answers(id string) []byte {
	f.Helper()
	var all []byte
	for _, path := range []string{"/v1/baremetals/" + id, "/v1/baremetals", "/v1/baremetals/" + id + "/inventory", "/v1/baremetals/" + id + "/health", "/v1/operations?limit=200", "/v1/audit-events?limit=200"} {
		status, body, err := f.once(http.MethodGet, path, "", nil)
		require.NoError(f, err)
		require.Equal(f, http.StatusOK, status, path)
		all = append(all, body...)
	}
	_, body, err := f.once(http.MethodPost, "/v1/baremetals", "", object{"region": "tw", "name": "NOT A NAME", "bmc": object{"address": "http://root:" + url.QueryEscape(original) + "@10.0.0.1", "username": "root", "password": original, "passwort": original}})
	require.NoError(f, err)
	return append(all, body...)
}

// dump is the whole database as SQL.
func (f *floor) dump() []byte {
	f.Helper()
	binary, err := postgres.Binary(f.Context(), "pg_dump")
	require.NoError(f, err)
	out, err := exec.CommandContext(f.Context(), binary, "--no-sync", f.postgres.DSN("postgres")).Output()
	require.NoError(f, err)
	return out
}

// logs are what all processes of ours said.
func (f *floor) logs() []byte {
	f.Helper()
	files, err := filepath.Glob(filepath.Join(f.dir, "*.log"))
	require.NoError(f, err)
	require.Len(f, files, 2)
	var all []byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		all = append(all, text...)
	}
	return all
}

// histories are those of all workflows of the namespace, and the same decrypted: as bytes, and as JSON.
func (f *floor) histories() (raw, decoded []byte) {
	f.Helper()
	c, err := client.Dial(client.Options{HostPort: f.temporal, Namespace: f.namespace})
	require.NoError(f, err)
	defer c.Close()
	codec, err := workers.NewCodec(keys)
	require.NoError(f, err)
	seen := 0
	for _, w := range f.workflows(c) {
		raw = appendMessage(f.T, raw, w) // with its search attributes
		events := c.GetWorkflowHistory(f.Context(), w.GetExecution().GetWorkflowId(), w.GetExecution().GetRunId(), false, 0)
		for events.HasNext() {
			event, err := events.Next()
			require.NoError(f, err)
			raw = appendMessage(f.T, raw, event)
			require.NoError(f, proxy.VisitPayloads(f.Context(), event, proxy.VisitPayloadsOptions{Visitor: func(_ *proxy.VisitPayloadsContext, p []*commonpb.Payload) ([]*commonpb.Payload, error) {
				return codec.Decode(p)
			}}))
			decoded = appendMessage(f.T, decoded, event)
			seen++
		}
	}
	require.Greater(f, seen, 100, "there are histories")
	return raw, decoded
}

func appendMessage(t *testing.T, to []byte, m proto.Message) []byte {
	t.Helper()
	wire, err := proto.Marshal(m)
	require.NoError(t, err)
	text, err := protojson.Marshal(m)
	require.NoError(t, err)
	return append(append(append(to, wire...), text...), '\n')
}

// workflows lists all of the namespace. The server's list follows the workflows by and by.
func (f *floor) workflows(c client.Client) []*workflowpb.WorkflowExecutionInfo {
	f.Helper()
	var all []*workflowpb.WorkflowExecutionInfo
	operations := f.count("SELECT count(*) FROM operations")
	require.Eventually(f, func() bool {
		all = nil
		for token, more := []byte(nil), true; more; more = len(token) > 0 {
			page, err := c.ListWorkflow(f.Context(), &workflowservice.ListWorkflowExecutionsRequest{NextPageToken: token})
			require.NoError(f, err)
			all = append(all, page.GetExecutions()...)
			token = page.GetNextPageToken()
		}
		return len(all) >= operations
	}, 30*time.Second, 100*time.Millisecond, "every operation's workflow is listed")
	return all
}
