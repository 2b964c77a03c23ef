package models_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

func TestABMCAddressHasOneSpelling(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]struct {
		address  string
		protocol models.BMCProtocol
	}{
		"https://10.0.0.7":           {"https://10.0.0.7", models.Redfish},
		"HTTPS://BMC-1.Example.com/": {"https://bmc-1.example.com", models.Redfish},
		"redfish://10.0.0.7:443":     {"https://10.0.0.7", models.Redfish},
		"https://10.0.0.7:8443":      {"https://10.0.0.7:8443", models.Redfish},
		"ipmi://10.0.0.7:623":        {"ipmi://10.0.0.7", models.IPMI},
		"ipmi://[fd00::1]:6230":      {"ipmi://[fd00::1]:6230", models.IPMI},
		" 10.0.0.7 ":                 {"10.0.0.7", models.BMCUnknown},
		"https://[::ffff:10.0.0.7]":  {"https://10.0.0.7", models.Redfish},
		"https://[FD00::0001]":       {"https://[fd00::1]", models.Redfish},
	} {
		address, protocol, err := models.ParseBMCAddress(given)
		require.NoError(t, err, given)
		require.Equal(t, want.address, address, given)
		require.Equal(t, want.protocol, protocol, given)
		again, _, err := models.ParseBMCAddress(address)
		require.NoError(t, err, address)
		require.Equal(t, address, again)
	}
	for given, why := range map[string]string{
		"http://10.0.0.7":          "without TLS",
		"ftp://10.0.0.7":           "begins with ftp",
		"https://u:p@10.0.0.7":     "credentials",
		"https://10.0.0.7/redfish": "end after",
		"https://":                 "not an address",
		"":                         "not an address",
		"https://a_b":              "no valid host",
		"https://10.0.0.7:0":       "port",
		"https://10.0.0.7:99999":   "port",
	} {
		_, _, err := models.ParseBMCAddress(given)
		require.ErrorContains(t, err, why, given)
	}
}
