package config

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReadGateway(t *testing.T) { // not parallel: it sets the environment
	t.Setenv("YUNSHU_DATABASE_URL", "postgres://yunshu:hunter2@127.0.0.1:5432/yunshu")
	t.Setenv("YUNSHU_PAYLOAD_KEYS", "k=v")
	t.Setenv("YUNSHU_SECRET_KEYS", "s=v")
	t.Setenv("YUNSHU_LOG_LEVEL", "debug")
	t.Setenv("YUNSHU_TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8")
	t.Setenv("YUNSHU_OIDC_ISSUER", "https://id.example.com")
	got, err := ReadGateway()
	require.NoError(t, err)
	require.Equal(t, Gateway{
		DatabaseURL: "postgres://yunshu:hunter2@127.0.0.1:5432/yunshu", Listen: "127.0.0.1:8080",
		Temporal: Temporal{Address: "127.0.0.1:7233", Namespace: "default"}, PayloadKeys: "k=v", SecretKeys: "s=v", LogLevel: slog.LevelDebug,
		TrustedProxies:   []string{"10.0.0.0/8", "fd00::/8"},
		RequestsPerToken: 200, RequestsPerTenant: 1000, HeavyReads: 4, RequestsPerMachine: 5,
		SignIn: SignIn{Issuer: "https://id.example.com", ClientID: "yunshu", GroupsClaim: "groups", Lifetime: 12 * time.Hour},
	}, got)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", got, got, got), "hunter2")
}

func TestReadGatewayReportsEverythingAtOnce(t *testing.T) { // not parallel: it sets the environment
	for name, value := range map[string]string{
		"DATABASE_URL": "mysql://root:hunter2@db", "LISTEN": "here", "TEMPORAL_ADDRESS": "there", "TEMPORAL_NAMESPACE": " ",
		"TEMPORAL_UI_URL": "127.0.0.1:8233", "TRUSTED_PROXIES": "everyone", "PAYLOAD_KEYS": "", "SECRET_KEYS": "", "LOG_LEVEL": "loud",
		"REQUESTS_PER_TOKEN": "many", "REQUESTS_PER_TENANT": "-1", "HEAVY_READS": "1.5", "REQUESTS_PER_MACHINE": "few", "BOOT_URL": "http://u:hunter2@h/${x}",
		"OIDC_ISSUER": "http://id.example.com", "OIDC_CA_FILE": "/nowhere", "SIGN_IN_LIFETIME": "48h",
	} {
		t.Setenv("YUNSHU_"+name, value)
	}
	_, err := ReadGateway()
	require.Error(t, err)
	require.Equal(t, []string{
		"the environment is not usable:",
		"YUNSHU_REQUESTS_PER_TOKEN must be a number of requests a second, or 0 for no limit",
		"YUNSHU_REQUESTS_PER_TENANT must be a number of requests a second, or 0 for no limit",
		"YUNSHU_REQUESTS_PER_MACHINE must be a number of requests a second, or 0 for no limit",
		"YUNSHU_BOOT_URL must be where booting machines reach the gateway, such as http://10.0.0.1:8080, without user, query or spaces",
		"YUNSHU_HEAVY_READS must be a number, or 0 for no limit",
		"YUNSHU_SIGN_IN_LIFETIME must be a time from 1m to 24h",
		"YUNSHU_OIDC_ISSUER must look like https://id.example.com; http is for this machine only",
		"YUNSHU_OIDC_CA_FILE cannot be read: stat /nowhere: no such file or directory",
		"YUNSHU_LOG_LEVEL must be debug, info, warn or error",
		"YUNSHU_DATABASE_URL must look like postgres://user:password@host:5432/name",
		`YUNSHU_LISTEN must be an address with a port, such as 127.0.0.1:8080; it is "here"`,
		`YUNSHU_TEMPORAL_ADDRESS must be an address with a port, such as 127.0.0.1:8080; it is "there"`,
		"YUNSHU_TEMPORAL_NAMESPACE must not be empty",
		"YUNSHU_TEMPORAL_UI_URL must look like http://127.0.0.1:8233",
		`YUNSHU_TRUSTED_PROXIES must list networks such as 10.0.0.0/8; "everyone" is none`,
		"YUNSHU_PAYLOAD_KEYS is missing; it must be the same as the workers', such as k1= followed by 32 bytes in base64",
		"YUNSHU_SECRET_KEYS is missing; it seals the passwords of BMCs in the database, and must be the same for every gateway, such as k1= followed by 32 bytes in base64",
	}, strings.Split(err.Error(), "\n"))
	require.NotContains(t, err.Error(), "hunter2")
}

func TestReadOwner(t *testing.T) { // not parallel: it sets the environment
	t.Setenv("YUNSHU_DATABASE_URL", "postgres://gateway:hunter2@127.0.0.1:5432/yunshu")
	got, err := ReadOwner()
	require.NoError(t, err)
	require.Equal(t, Owner{DatabaseURL: got.GatewayURL, GatewayURL: "postgres://gateway:hunter2@127.0.0.1:5432/yunshu"}, got)
	t.Setenv("YUNSHU_MIGRATION_DATABASE_URL", "postgres://owner:hunter2@127.0.0.1:5432/yunshu")
	t.Setenv("YUNSHU_AUDIT_RETENTION_MONTHS", "24")
	got, err = ReadOwner()
	require.NoError(t, err)
	require.Equal(t, Owner{DatabaseURL: "postgres://owner:hunter2@127.0.0.1:5432/yunshu", GatewayURL: "postgres://gateway:hunter2@127.0.0.1:5432/yunshu", RetainMonths: 24}, got)
	for _, months := range []string{"-1", "a year", "1201"} {
		t.Setenv("YUNSHU_AUDIT_RETENTION_MONTHS", months)
		_, err = ReadOwner()
		require.ErrorContains(t, err, "YUNSHU_AUDIT_RETENTION_MONTHS must be")
	}
	t.Setenv("YUNSHU_MIGRATION_DATABASE_URL", "mysql://hunter2")
	_, err = ReadOwner()
	require.EqualError(t, err, "YUNSHU_MIGRATION_DATABASE_URL must look like postgres://user:password@host:5432/name")
}
