package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/yunshu/yunshu/api"
	"github.com/yunshu/yunshu/api/oidc"
	"github.com/yunshu/yunshu/config"
)

// signIn says with whom people sign in; without an issuer, nobody does.
func signIn(c config.SignIn) (api.SignInOptions, error) {
	if c.Issuer == "" {
		return api.SignInOptions{}, nil
	}
	client, err := clientTrusting(c.CAFile)
	if err != nil {
		return api.SignInOptions{}, err
	}
	provider := oidc.New(oidc.Config{Issuer: c.Issuer, ClientID: c.ClientID, GroupsClaim: c.GroupsClaim, Client: client})
	return api.SignInOptions{Provider: provider, Lifetime: c.Lifetime}, nil
}

// clientTrusting is a client of the OpenID provider. An empty name leaves it at the authorities that the system trusts.
func clientTrusting(caFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read YUNSHU_OIDC_CA_FILE: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("YUNSHU_OIDC_CA_FILE: there is no PEM certificate in %s", caFile)
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}, nil
}
