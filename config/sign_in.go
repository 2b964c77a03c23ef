package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/spf13/viper"
)

// SignIn is with whom people sign in.
type SignIn struct {
	Issuer      string        // YUNSHU_OIDC_ISSUER; empty: nobody signs in
	ClientID    string        // YUNSHU_OIDC_CLIENT_ID
	GroupsClaim string        // YUNSHU_OIDC_GROUPS_CLAIM
	CAFile      string        // YUNSHU_OIDC_CA_FILE: PEM; empty: the system's
	Lifetime    time.Duration // YUNSHU_SIGN_IN_LIFETIME: of the token that a sign-in gives
}

const (
	defaultClientID    = "yunshu"
	defaultGroupsClaim = "groups"
	defaultLifetime    = "12h"
)

func readSignIn(v *viper.Viper) (SignIn, error) {
	s := SignIn{
		Issuer: v.GetString("oidc_issuer"), ClientID: v.GetString("oidc_client_id"), GroupsClaim: v.GetString("oidc_groups_claim"), CAFile: v.GetString("oidc_ca_file"),
	}
	var wrong []error
	var err error
	if s.Lifetime, err = time.ParseDuration(v.GetString("sign_in_lifetime")); err != nil || s.Lifetime < time.Minute || s.Lifetime > 24*time.Hour {
		wrong = append(wrong, errors.New("YUNSHU_SIGN_IN_LIFETIME must be a time from 1m to 24h"))
	}
	if s.Issuer == "" {
		return s, errors.Join(wrong...)
	}
	if u, err := url.Parse(s.Issuer); err != nil || u.Host == "" || u.Scheme != "https" && !loopback(u) {
		wrong = append(wrong, errors.New("YUNSHU_OIDC_ISSUER must look like https://id.example.com; http is for this machine only"))
	}
	if s.CAFile != "" {
		if _, err := os.Stat(s.CAFile); err != nil {
			wrong = append(wrong, fmt.Errorf("YUNSHU_OIDC_CA_FILE cannot be read: %w", err))
		}
	}
	return s, errors.Join(wrong...)
}

// loopback reports whether a plain http address stays on this machine.
func loopback(u *url.URL) bool {
	return u.Scheme == "http" && (u.Hostname() == "127.0.0.1" || u.Hostname() == "::1" || u.Hostname() == "localhost")
}
