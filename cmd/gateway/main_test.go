package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/api/store"
	"github.com/yunshu/yunshu/models"
	"github.com/yunshu/yunshu/test/postgres"
	"github.com/yunshu/yunshu/vault"
)

func TestMain(m *testing.M) { postgres.Main(m) }

// run runs a command line, and returns what it printed.
func run(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	c := command()
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(io.Discard)
	err := c.ExecuteContext(ctx)
	return out.String(), err
}

// freeAddress is an address on which nobody listens, for now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// environment sets up a gateway with an empty database and a Temporal that is down.
func environment(t *testing.T) (dsn, address string) {
	t.Helper()
	dsn, address = postgres.New(t, "empty", func(context.Context, string) error { return nil }), freeAddress(t)
	t.Setenv("YUNSHU_DATABASE_URL", dsn)
	t.Setenv("YUNSHU_LISTEN", address)
	t.Setenv("YUNSHU_TEMPORAL_ADDRESS", freeAddress(t))
	t.Setenv("YUNSHU_PAYLOAD_KEYS", "k1=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	t.Setenv("YUNSHU_SECRET_KEYS", "s1=AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=")
	t.Setenv("YUNSHU_LOG_LEVEL", "error")
	return dsn, address
}

func TestFromAnEmptyDatabaseToTheFirstAnswer(t *testing.T) { // not parallel: it sets the environment
	_, address := environment(t)
	_, err := run(t.Context(), "serve")
	require.ErrorContains(t, err, "run `yunshu-gateway migrate` first")

	out, err := run(t.Context(), "migrate")
	require.NoError(t, err)
	require.Regexp(t, `^The database is at schema version \d+\.\n$`, out)
	_, err = run(t.Context(), "migrate")
	require.NoError(t, err)

	first, err := run(t.Context(), "bootstrap")
	require.NoError(t, err)
	require.Regexp(t, `^ys_[A-Za-z0-9_-]{43}\n$`, first)
	second, err := run(t.Context(), "bootstrap", "--name", "admin", "--ttl", "1h")
	require.NoError(t, err)
	require.NotEqual(t, first, second)

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := run(ctx, "serve")
		ended <- err
	}()
	var ready map[string]string
	require.Eventually(t, func() bool { // it listens a moment later
		r, err := http.Get("http://" + address + "/readyz")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		return r.StatusCode == 200 && json.NewDecoder(r.Body).Decode(&ready) == nil
	}, 10*time.Second, 20*time.Millisecond)
	require.Equal(t, map[string]string{"status": "ready", "postgres": "up", "temporal": "down"}, ready)
	for _, token := range []string{first, second} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+address+"/v1/me", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
		a, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, a.Body.Close())
		require.Equal(t, 200, a.StatusCode)
	}
	stop()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("the gateway did not stop")
	}
}

func TestMigrateGivesTheGatewayARoleOfItsOwn(t *testing.T) { // not parallel: it sets the environment
	owner, _ := environment(t)
	t.Setenv("YUNSHU_MIGRATION_DATABASE_URL", owner)
	t.Setenv("YUNSHU_DATABASE_URL", postgres.As(owner, postgres.GatewayRole))
	t.Setenv("YUNSHU_AUDIT_RETENTION_MONTHS", "13")
	for range 2 { // again after every upgrade
		_, err := run(t.Context(), "migrate")
		require.NoError(t, err)
	}
	_, err := run(t.Context(), "bootstrap")
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), postgres.As(owner, postgres.GatewayRole))
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), "DELETE FROM audit_events")
	require.ErrorContains(t, err, "permission denied")
	var months int
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT retain_months FROM audit_settings").Scan(&months))
	require.Equal(t, 13, months)
}

func TestServeRefusesASchemaItDoesNotKnow(t *testing.T) { // not parallel: it sets the environment
	dsn, _ := environment(t)
	_, err := run(t.Context(), "migrate")
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)")
	require.NoError(t, err)
	_, err = run(t.Context(), "serve")
	require.ErrorContains(t, err, "run a newer gateway")
	_, err = run(t.Context(), "bootstrap")
	require.ErrorContains(t, err, "run a newer gateway")
}

func TestServeWaitsForPostgres(t *testing.T) { // not parallel: it sets the environment
	environment(t)
	t.Setenv("YUNSHU_DATABASE_URL", "postgres://yunshu@"+freeAddress(t)+"/yunshu")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := run(ctx, "serve")
	require.EqualError(t, err, "stopped while waiting for Postgres")
}

func TestCommandLinesThatMakeNoSense(t *testing.T) { // not parallel: it sets the environment
	environment(t)
	for want, args := range map[string][]string{
		"nothing to serve":         {"serve", "--http=false", "--outbox=false", "--worker=false"},
		"must be a DNS label":      {"bootstrap", "--name", "Not A Name"},
		"at most 8784h":            {"bootstrap", "--ttl", "9000h"},
		"unknown command":          {"server"},
		"unknown flag: --database": {"serve", "--database", "x"},
	} {
		_, err := run(t.Context(), args...)
		require.ErrorContains(t, err, want)
	}
}

func TestTheContractIsPrinted(t *testing.T) {
	t.Parallel()
	out, err := run(t.Context(), "openapi")
	require.NoError(t, err)
	require.Contains(t, out, "openapi: 3.1.0")
}

func TestTheKeysOfSecretsAreRotated(t *testing.T) { // not parallel: it sets the environment
	dsn, _ := environment(t)
	_, err := run(t.Context(), "migrate")
	require.NoError(t, err)
	old, err := vault.Parse("s1=AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=")
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	id := models.NewID()
	sealed, err := store.Keys{Rest: old}.SealPassword(id, "hunter2")
	require.NoError(t, err)
	for _, sql := range []string{
		"INSERT INTO regions (name) VALUES ('tw')",
		"INSERT INTO baremetals (id, region, name, role, state, hardware_uuid) VALUES ('" + id.String() + "', 'tw', 'bm-1', 'spare', 'available', '')",
	} {
		_, err = conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	_, err = conn.Exec(t.Context(), "INSERT INTO bmcs (baremetal_id, region, address, username, key_id, password) VALUES ($1, 'tw', 'a', 'root', $2, $3)", id, sealed.KeyID, sealed.Data)
	require.NoError(t, err)

	t.Setenv("YUNSHU_SECRET_KEYS", "s2=AgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICE=,s1=AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=")
	for _, step := range [][2]string{
		{"check", "1 passwords are sealed with the key \"s1\", an older one.\n"}, {"rotate", "1 passwords were sealed anew with the key \"s2\".\n"},
		{"rotate", "0 passwords were sealed anew with the key \"s2\".\n"}, {"check", "1 passwords are sealed with the key \"s2\".\n"},
	} {
		out, err := run(t.Context(), "secrets", step[0])
		require.NoError(t, err)
		require.Equal(t, step[1], out)
	}
	t.Setenv("YUNSHU_SECRET_KEYS", "s1=AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=")
	out, err := run(t.Context(), "secrets", "check")
	require.ErrorContains(t, err, "some passwords cannot be opened")
	require.Contains(t, out, `encrypted with the key "s2", which is not among the keys`)
	t.Setenv("YUNSHU_SECRET_KEYS", "")
	_, err = run(t.Context(), "secrets", "rotate")
	require.ErrorContains(t, err, "YUNSHU_SECRET_KEYS is missing")
	_, err = run(t.Context(), "serve")
	require.ErrorContains(t, err, "YUNSHU_SECRET_KEYS is missing")
}
