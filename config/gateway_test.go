package config

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadGateway(t *testing.T) { // not parallel: it sets the environment
	t.Setenv("YUNSHU_DATABASE_URL", "postgres://yunshu:hunter2@127.0.0.1:5432/yunshu")
	t.Setenv("YUNSHU_PAYLOAD_KEYS", "k=v")
	t.Setenv("YUNSHU_LOG_LEVEL", "debug")
	got, err := ReadGateway()
	require.NoError(t, err)
	require.Equal(t, Gateway{
		DatabaseURL: "postgres://yunshu:hunter2@127.0.0.1:5432/yunshu", Listen: "127.0.0.1:8080",
		Temporal: Temporal{Address: "127.0.0.1:7233", Namespace: "default"}, PayloadKeys: "k=v", LogLevel: slog.LevelDebug,
		RequestsPerToken: 200, RequestsPerTenant: 1000, HeavyReads: 4,
	}, got)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", got, got, got), "hunter2")
}

func TestReadGatewayReportsEverythingAtOnce(t *testing.T) { // not parallel: it sets the environment
	for name, value := range map[string]string{
		"DATABASE_URL": "mysql://root:hunter2@db", "LISTEN": "here", "TEMPORAL_ADDRESS": "there", "TEMPORAL_NAMESPACE": " ",
		"TEMPORAL_UI_URL": "127.0.0.1:8233", "PAYLOAD_KEYS": "", "LOG_LEVEL": "loud",
		"REQUESTS_PER_TOKEN": "many", "REQUESTS_PER_TENANT": "-1", "HEAVY_READS": "1.5",
	} {
		t.Setenv("YUNSHU_"+name, value)
	}
	_, err := ReadGateway()
	require.Error(t, err)
	require.Equal(t, []string{
		"the environment is not usable:",
		"YUNSHU_REQUESTS_PER_TOKEN must be a number of requests a second, or 0 for no limit",
		"YUNSHU_REQUESTS_PER_TENANT must be a number of requests a second, or 0 for no limit",
		"YUNSHU_HEAVY_READS must be a number, or 0 for no limit",
		"YUNSHU_LOG_LEVEL must be debug, info, warn or error",
		"YUNSHU_DATABASE_URL must look like postgres://user:password@host:5432/name",
		`YUNSHU_LISTEN must be an address with a port, such as 127.0.0.1:8080; it is "here"`,
		`YUNSHU_TEMPORAL_ADDRESS must be an address with a port, such as 127.0.0.1:8080; it is "there"`,
		"YUNSHU_TEMPORAL_NAMESPACE must not be empty",
		"YUNSHU_TEMPORAL_UI_URL must look like http://127.0.0.1:8233",
		"YUNSHU_PAYLOAD_KEYS is missing; it must be the same as the workers', such as k1= followed by 32 bytes in base64",
	}, strings.Split(err.Error(), "\n"))
	require.NotContains(t, err.Error(), "hunter2")
}
