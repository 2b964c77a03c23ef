package stack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/yunshu/yunshu/test/postgres"
)

// writeEnv writes what any client needs, for a shell to source.
func (s *stack) writeEnv() error {
	var b strings.Builder
	set := func(name, value string) {
		fmt.Fprintf(&b, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	set("YUNSHU_URL", s.url)
	set("YUNSHU_TOKEN", s.token)
	set("YUNSHU_DATABASE_URL", s.dsn)
	set("YUNSHU_PAYLOAD_KEYS", s.keys)
	set("YUNSHU_SECRET_KEYS", s.secretKeys)
	set("TEMPORAL_ADDRESS", s.temporal.Address)
	set("TEMPORAL_NAMESPACE", "default")
	set("TEMPORAL_UI_URL", s.temporal.UI)
	set("YUNSHU_OIDC_ISSUER", s.issuer)
	set("YUNSHU_DEMO_PASSWORD", s.password)
	for _, r := range regions {
		v, prefix := s.vcenters[r.name], "YUNSHU_VCENTER_"+strings.ToUpper(r.name)
		set(prefix+"_URL", v.url)
		set(prefix+"_USERNAME", v.user)
		set(prefix+"_PASSWORD_FILE", v.passwordFile)
		set(prefix+"_CA", v.ca)
		b, prefix := s.bmcs[r.name], "YUNSHU_BMC_"+strings.ToUpper(r.name)
		set(prefix+"_URL", b.spare)
		set(prefix+"_HOST_URL", b.host)
		set(prefix+"_CONTROL", b.control)
		set(prefix+"_USERNAME", b.user)
		set(prefix+"_PASSWORD_FILE", b.passwordFile)
	}
	return os.WriteFile(filepath.Join(s.dir, "env"), []byte(b.String()), 0o600)
}

// welcome says where everything is, and what to try first.
func (s *stack) welcome(took time.Duration) {
	fmt.Fprintf(s.out, `
Yunshu is up (%.1f s).

  API           %s
  API docs      %s/docs
  Temporal UI   %s
  sign-in       %s
  logs          .dev/log/

In another shell:

  source .dev/env
  bin/yunshu tenant create acme --quota vcpu=16 --quota memory_mib=65536 --quota baremetals=1
  bin/yunshu vm create web-1 --tenant acme --region tw --group general --image ubuntu-24-04 --flavor small --subnet lan --wait
  bin/yunshu vm list
  bin/yunshu-vcsim ls --url "$YUNSHU_VCENTER_TW_URL" --username "$YUNSHU_VCENTER_TW_USERNAME" --password-file "$YUNSHU_VCENTER_TW_PASSWORD_FILE" --ca "$YUNSHU_VCENTER_TW_CA"

A physical server, by its BMC:

  bin/yunshu baremetal enroll --name bm-1 --region tw --rack r1 --position 12 --bmc "$YUNSHU_BMC_TW_URL" --user "$YUNSHU_BMC_TW_USERNAME" --password-file "$YUNSHU_BMC_TW_PASSWORD_FILE" --wait
  bin/yunshu-bmcsim ls --control "$YUNSHU_BMC_TW_CONTROL"

Sign in as a person: ada, olga, audrey, ming, mei or viv, all with the password %s

  unset YUNSHU_TOKEN
  bin/yunshu login
  bin/yunshu whoami

Ctrl-C stops everything and keeps the data; make clean-dev forgets it.
`, took.Seconds(), s.url, s.url, s.temporal.UI, s.issuer, s.password)
}

// ensureDatabase makes the gateway's database the first time.
func ensureDatabase(ctx context.Context, server *postgres.Server) error {
	conn, err := pgx.Connect(ctx, server.DSN("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'yunshu')`).Scan(&exists); err != nil || exists {
		return err
	}
	_, err = conn.Exec(ctx, `CREATE DATABASE yunshu`)
	return err
}
