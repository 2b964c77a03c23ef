package boot

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/cmd/agent/inventory"
	"github.com/yunshu/yunshu/cmd/agent/wipe"
)

// request is what the gateway was sent.
type request struct{ path, auth, body string }

// answering is a gateway that answers with one status after the other, and the client that speaks with it.
func answering(t *testing.T, body string, statuses ...int) (*Client, *[]request, *bytes.Buffer) {
	t.Helper()
	var got []request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body) // what did not arrive is not compared
		got = append(got, request{r.Method + " " + r.URL.Path, r.Header.Get("Authorization"), string(sent)})
		w.WriteHeader(statuses[min(len(got), len(statuses))-1])
		if len(got) == len(statuses) {
			_, _ = io.WriteString(w, body) // the client says what it misses
		}
	}))
	t.Cleanup(server.Close)
	written := &bytes.Buffer{}
	return &Client{URL: server.URL, HTTP: server.Client(), Pause: time.Millisecond, Longest: 2 * time.Millisecond, Log: log.New(written, "", 0)}, &got, written
}

func TestAMachineClaimsUntilTheGatewayHasSomethingForIt(t *testing.T) {
	t.Parallel()
	client, got, _ := answering(t, `{"token":"secret","purpose":"wipe"}`, http.StatusNotFound, http.StatusServiceUnavailable, http.StatusOK)
	orders, err := client.Claim(t.Context(), "an-id", []string{"52:54:00:12:34:56"})
	require.NoError(t, err)
	require.Equal(t, Orders{URL: client.URL, Token: "secret", Purpose: Wipe}, orders)
	claim := request{"POST /boot/claim", "", `{"macs":["52:54:00:12:34:56"],"uuid":"an-id"}`}
	require.Equal(t, []request{claim, claim, claim}, *got)
}

func TestAnAnswerWithoutATokenIsNoAnswer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	client, _, written := answering(t, `{"purpose":"wipe"}`, http.StatusOK)
	_, err := client.Claim(ctx, "an-id", nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Contains(t, written.String(), "without a token. Trying again in 1ms.")
}

func TestAReportIsRepeatedUntilItIsUnderstood(t *testing.T) {
	t.Parallel()
	client, got, written := answering(t, "", http.StatusInternalServerError, http.StatusBadGateway, http.StatusTooManyRequests, http.StatusNoContent)
	err := client.Report(t.Context(), "secret", Report{
		Purpose: Wipe, Error: "Disk sdb could not be wiped.",
		Inventory: inventory.Inventory{UUID: "an-id", NICs: []inventory.NIC{{Name: "eth0", MAC: "52:54:00:12:34:56", SpeedMbps: 25000, Model: "X"}}},
		Wiped:     []wipe.Result{{Name: "sda", Serial: "S1", SizeGiB: 480, Method: wipe.Discarded, Verified: true}},
	})
	require.NoError(t, err)
	require.Len(t, *got, 4)
	require.Equal(t, request{"POST /boot/report", "Bearer secret", `{"purpose":"wipe","inventory":{"uuid":"an-id","serial":"","vendor":"","model":"","bios":"","cpus":null,"memory":null,"disks":null,"nics":[{"name":"eth0","mac":"52:54:00:12:34:56","speed_mbps":25000,"model":"X"}],"gpus":null,"firmware":null},"wiped":[{"name":"sda","serial":"S1","size_gib":480,"method":"discard","verified":true}],"error":"Disk sdb could not be wiped."}`}, (*got)[3])
	require.Contains(t, written.String(), "The gateway answered 500 Internal Server Error. Trying again in 1ms.")
	require.NotContains(t, written.String(), "secret")
}

func TestASpentTokenEndsTheReport(t *testing.T) {
	t.Parallel()
	client, got, _ := answering(t, "", http.StatusInternalServerError, http.StatusUnauthorized)
	require.ErrorIs(t, client.Report(t.Context(), "secret", Report{}), ErrToken)
	require.Len(t, *got, 2)
}

func TestAGatewayThatIsNotThereIsWaitedFor(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(nil)
	server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	written := &bytes.Buffer{}
	client := &Client{URL: server.URL, HTTP: http.DefaultClient, Pause: time.Millisecond, Longest: time.Millisecond, Log: log.New(written, "", 0)}
	require.ErrorIs(t, client.Report(ctx, "secret", Report{}), context.DeadlineExceeded)
	require.Contains(t, written.String(), "The gateway at "+server.URL+" cannot be reached: dial tcp")
}
