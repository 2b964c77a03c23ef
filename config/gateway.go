package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/viper"
)

// Gateway is what the gateway is told, by the environment alone.
type Gateway struct {
	DatabaseURL    Secret   // YUNSHU_DATABASE_URL
	TrustedProxies []string // YUNSHU_TRUSTED_PROXIES: networks whose X-Forwarded-For is believed
	Listen         string   // YUNSHU_LISTEN
	Temporal       Temporal
	TemporalUIURL  string // YUNSHU_TEMPORAL_UI_URL, for links; may be empty
	PayloadKeys    Secret // YUNSHU_PAYLOAD_KEYS
	SecretKeys     Secret // YUNSHU_SECRET_KEYS, of the passwords of BMCs in the database
	LogLevel       slog.Level

	RequestsPerToken  float64 // YUNSHU_REQUESTS_PER_TOKEN, a second; 0: no limit
	RequestsPerTenant float64 // YUNSHU_REQUESTS_PER_TENANT, a second; 0: no limit
	HeavyReads        int     // YUNSHU_HEAVY_READS at once; 0: no limit

	BootURL            string  // YUNSHU_BOOT_URL: the gateway as booting machines reach it; empty: as they do
	RequestsPerMachine float64 // YUNSHU_REQUESTS_PER_MACHINE: of booting machines, a second from one address; 0: no limit

	SignIn SignIn
}

const defaultListen = "127.0.0.1:8080"

// environment binds viper to the gateway's variables, with their defaults.
func environment() *viper.Viper {
	v := viper.New()
	v.SetEnvPrefix("yunshu")
	v.AutomaticEnv()
	v.SetDefault("listen", defaultListen)
	v.SetDefault("temporal_address", defaultTemporalAddress)
	v.SetDefault("temporal_namespace", defaultNamespace)
	v.SetDefault("log_level", "info")
	v.SetDefault("requests_per_token", 200)
	v.SetDefault("requests_per_tenant", 1000)
	v.SetDefault("heavy_reads", 4)
	v.SetDefault("requests_per_machine", 5)
	v.SetDefault("oidc_client_id", defaultClientID)
	v.SetDefault("oidc_groups_claim", defaultGroupsClaim)
	v.SetDefault("sign_in_lifetime", defaultLifetime)
	return v
}

// Owner is what the owner of the tables is told, who migrates them.
type Owner struct {
	DatabaseURL  Secret // YUNSHU_MIGRATION_DATABASE_URL; default: YUNSHU_DATABASE_URL
	GatewayURL   Secret // YUNSHU_DATABASE_URL: whose role gets what the gateway needs, and no more
	RetainMonths int    // YUNSHU_AUDIT_RETENTION_MONTHS: how long audit events are kept; 0: for ever
}

// ReadOwner reads what migrating needs.
func ReadOwner() (Owner, error) {
	v := environment()
	o := Owner{DatabaseURL: Secret(v.GetString("migration_database_url")), GatewayURL: Secret(v.GetString("database_url"))}
	if o.DatabaseURL == "" {
		o.DatabaseURL = o.GatewayURL
	}
	if err := checkDatabase("YUNSHU_DATABASE_URL", o.GatewayURL); err != nil {
		return Owner{}, err
	}
	if err := checkDatabase("YUNSHU_MIGRATION_DATABASE_URL", o.DatabaseURL); err != nil {
		return Owner{}, err
	}
	months := v.GetString("audit_retention_months")
	if months == "" {
		return o, nil
	}
	n, err := strconv.Atoi(months)
	if err != nil || n < 0 || n > 1200 {
		return Owner{}, fmt.Errorf("YUNSHU_AUDIT_RETENTION_MONTHS must be a number of months from 0, which is for ever, to 1200; it is %q", months)
	}
	o.RetainMonths = n
	return o, nil
}

// ReadDatabase reads the little that work on the database alone needs.
func ReadDatabase() (Secret, error) {
	dsn := Secret(environment().GetString("database_url"))
	return dsn, checkDatabase("YUNSHU_DATABASE_URL", dsn)
}

var errMissingSecretKeys = errors.New("YUNSHU_SECRET_KEYS is missing; it seals the passwords of BMCs in the database, and must be the same for every gateway, such as k1= followed by 32 bytes in base64")

// ReadSecrets reads what work on the secrets in the database needs.
func ReadSecrets() (dsn, keys Secret, err error) {
	keys = Secret(os.Getenv("YUNSHU_SECRET_KEYS"))
	if dsn, err = ReadDatabase(); err == nil && keys == "" {
		err = errMissingSecretKeys
	}
	return dsn, keys, err
}

// ReadGateway reads the environment and reports everything that is wrong with it at once.
func ReadGateway() (Gateway, error) {
	v := environment()
	g := Gateway{
		DatabaseURL: Secret(v.GetString("database_url")), Listen: v.GetString("listen"),
		Temporal:      Temporal{Address: v.GetString("temporal_address"), Namespace: v.GetString("temporal_namespace")},
		TemporalUIURL: v.GetString("temporal_ui_url"), PayloadKeys: Secret(os.Getenv("YUNSHU_PAYLOAD_KEYS")), SecretKeys: Secret(os.Getenv("YUNSHU_SECRET_KEYS")),
	}
	var wrong []error
	var err error
	if g.RequestsPerToken, err = requestRate(v, "requests_per_token"); err != nil {
		wrong = append(wrong, err)
	}
	if g.RequestsPerTenant, err = requestRate(v, "requests_per_tenant"); err != nil {
		wrong = append(wrong, err)
	}
	if g.RequestsPerMachine, err = requestRate(v, "requests_per_machine"); err != nil {
		wrong = append(wrong, err)
	}
	if g.BootURL = v.GetString("boot_url"); g.BootURL != "" && !plainAddress(g.BootURL) {
		wrong = append(wrong, errors.New("YUNSHU_BOOT_URL must be where booting machines reach the gateway, such as http://10.0.0.1:8080, without user, query or spaces"))
	}
	if g.HeavyReads, err = strconv.Atoi(v.GetString("heavy_reads")); err != nil || g.HeavyReads < 0 {
		wrong = append(wrong, errors.New("YUNSHU_HEAVY_READS must be a number, or 0 for no limit"))
	}
	if g.SignIn, err = readSignIn(v); err != nil {
		wrong = append(wrong, err)
	}
	if err := g.LogLevel.UnmarshalText([]byte(v.GetString("log_level"))); err != nil {
		wrong = append(wrong, errors.New("YUNSHU_LOG_LEVEL must be debug, info, warn or error"))
	}
	wrong = append(wrong, checkDatabase("YUNSHU_DATABASE_URL", g.DatabaseURL), checkAddress("YUNSHU_LISTEN", g.Listen), checkAddress("YUNSHU_TEMPORAL_ADDRESS", g.Temporal.Address))
	if strings.TrimSpace(g.Temporal.Namespace) == "" {
		wrong = append(wrong, errors.New("YUNSHU_TEMPORAL_NAMESPACE must not be empty"))
	}
	if u, err := url.Parse(g.TemporalUIURL); g.TemporalUIURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		wrong = append(wrong, errors.New("YUNSHU_TEMPORAL_UI_URL must look like http://127.0.0.1:8233"))
	}
	for network := range strings.FieldsFuncSeq(v.GetString("trusted_proxies"), func(r rune) bool { return r == ',' || r == ' ' }) {
		g.TrustedProxies = append(g.TrustedProxies, network)
		if _, err := netip.ParsePrefix(network); err != nil {
			wrong = append(wrong, fmt.Errorf("YUNSHU_TRUSTED_PROXIES must list networks such as 10.0.0.0/8; %q is none", network))
		}
	}
	if g.PayloadKeys == "" {
		wrong = append(wrong, errors.New("YUNSHU_PAYLOAD_KEYS is missing; it must be the same as the workers', such as k1= followed by 32 bytes in base64"))
	}
	if g.SecretKeys == "" {
		wrong = append(wrong, errMissingSecretKeys)
	}
	if err := errors.Join(wrong...); err != nil {
		return Gateway{}, fmt.Errorf("the environment is not usable:\n%w", err)
	}
	return g, nil
}

// checkDatabase never shows the address: a password is in it.
func checkDatabase(name string, dsn Secret) error {
	if dsn == "" {
		return fmt.Errorf("%s is missing; it must look like postgres://user:password@host:5432/name", name)
	}
	u, err := url.Parse(dsn.Reveal())
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || len(u.Path) < 2 {
		return fmt.Errorf("%s must look like postgres://user:password@host:5432/name", name)
	}
	return nil
}

func checkAddress(name, address string) error {
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
		return fmt.Errorf("%s must be an address with a port, such as 127.0.0.1:8080; it is %q", name, address)
	}
	return nil
}

// plainAddress reports whether a text is an address that may stand in a boot script.
func plainAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" &&
		!strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '$' || r == '\\' })
}

func requestRate(v *viper.Viper, name string) (float64, error) {
	perSecond, err := strconv.ParseFloat(v.GetString(name), 64)
	if err != nil || perSecond < 0 || perSecond > 1e6 {
		return 0, fmt.Errorf("YUNSHU_%s must be a number of requests a second, or 0 for no limit", strings.ToUpper(name))
	}
	return perSecond, nil
}
