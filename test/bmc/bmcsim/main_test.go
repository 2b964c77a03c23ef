package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/test/bmc"
)

// run serves in the background, and returns the control endpoint's URL and how to end it.
func run(t *testing.T, args ...string) (control string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := serve(ctx, writer, args)
		_ = writer.CloseWithError(err) // it never fails
		ended <- err
	}()
	line, err := bufio.NewReader(reader).ReadString('\n')
	require.NoError(t, err)
	_, control, _ = strings.Cut(strings.TrimSpace(line), "control=")
	return control, func() {
		cancel()
		require.NoError(t, <-ended)
	}
}

func TestTheCommandsWorkTogether(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret := filepath.Join(dir, "password")
	require.NoError(t, os.WriteFile(secret, []byte("s3cret-enough\n"), 0o600))
	args := []string{
		"--count", "3", "--listen", "127.0.0.1:0", "--password-file", secret, "--tls-dir", dir, "--state", filepath.Join(dir, "state"), "--transition", "1ms", "--boot", "1ms", "--on", "1",
		"--ipmi", "1", "--ipmi-listen", "127.0.0.1:0", "--ipmi-dir", filepath.Join(dir, "ipmi"),
	}
	control, stop := run(t, args...)
	var out bytes.Buffer
	require.NoError(t, list(t.Context(), &out, []string{"--control", control}))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 5)
	require.Regexp(t, `^tw-a-01 +https://127\.0\.0\.1:\d+ .* PowerEdge R760 +On`, lines[1])
	require.Regexp(t, `^tw-m9001 +ipmi://127\.0\.0\.1:\d+ .* Off`, lines[4])
	require.NotContains(t, out.String(), "s3cret")

	require.NoError(t, fault(t.Context(), nil, []string{"--control", control, "--machine", "all", "--kind", "unavailable", "--times", "2"}))
	require.Error(t, fault(t.Context(), nil, []string{"--control", control, "--machine", "all", "--kind", "on-fire"}))
	require.Error(t, fault(t.Context(), nil, []string{"--control", control, "--machine", "nobody", "--kind", "hang"}))
	out.Reset()
	require.NoError(t, list(t.Context(), &out, []string{"--control", control}))
	require.Equal(t, 3, strings.Count(out.String(), "unavailable"))
	require.NoError(t, fault(t.Context(), nil, []string{"--control", control, "--machine", "tw-a-02", "--mend"}))
	out.Reset()
	require.NoError(t, list(t.Context(), &out, []string{"--control", control}))
	require.Equal(t, 2, strings.Count(out.String(), "unavailable"))
	stop()
}

// The boot service may be told of when the machines wait for it already.
func TestMachinesFindTheBootServiceWhenItIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret := filepath.Join(dir, "password")
	require.NoError(t, os.WriteFile(secret, []byte("s3cret-enough"), 0o600))
	reports := make(chan bmc.Hardware, 1)
	var service *httptest.Server
	mux := http.NewServeMux()
	mux.HandleFunc("GET /boot/ipxe/{mac}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "#!ipxe\nkernel %s/k yunshu.url=%s yunshu.token=t yunshu.purpose=discovery\n", service.URL, service.URL)
	})
	mux.HandleFunc("POST /boot/report", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Inventory bmc.Hardware }
		if json.NewDecoder(r.Body).Decode(&in) == nil {
			reports <- in.Inventory
		}
		w.WriteHeader(http.StatusNoContent)
	})
	service = httptest.NewServer(mux)
	defer service.Close()
	control, stop := run(t, "--count", "1", "--listen", "127.0.0.1:0", "--password-file", secret, "--tls-dir", dir, "--transition", "1ms", "--boot", "1ms", "--region", "jp")
	defer stop()
	raw, err := ask(t.Context(), control, http.MethodGet, "/machines/0", nil)
	require.NoError(t, err)
	var all []struct{ URL string }
	require.NoError(t, json.Unmarshal(raw, &all))
	pem, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	require.NoError(t, err)
	send := func(method, path, body string) {
		r, err := http.NewRequestWithContext(t.Context(), method, all[0].URL+"/redfish/v1/Systems/System.Embedded.1"+path, strings.NewReader(body))
		require.NoError(t, err)
		r.SetBasicAuth("root", "s3cret-enough")
		res, err := trusting(pem).Do(r)
		require.NoError(t, err)
		defer res.Body.Close()
		require.Less(t, res.StatusCode, 300)
	}
	send(http.MethodPatch, "", `{"Boot":{"BootSourceOverrideTarget":"Pxe","BootSourceOverrideEnabled":"Once"}}`)
	send(http.MethodPost, "/Actions/ComputerSystem.Reset", `{"ResetType":"On"}`)
	_, err = ask(t.Context(), control, http.MethodPut, "/boot-url", map[string]string{"url": service.URL})
	require.NoError(t, err)
	require.Equal(t, bmc.Machine("jp", 0), <-reports)
}

// trusting is a client of BMCs that a CA vouches for.
func trusting(ca []byte) *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
}
