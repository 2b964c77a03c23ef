package models

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ParseBMCAddress reads the address of a BMC as a person writes it, and returns its one spelling and the protocol that it
// names, if it does: https://host[:port] and redfish://host[:port] for Redfish, ipmi://host[:port] for IPMI, and
// host[:port] for whichever answers. Redfish is spoken over TLS alone.
func ParseBMCAddress(s string) (address string, protocol BMCProtocol, err error) {
	scheme, rest, named := strings.Cut(strings.TrimSpace(s), "://")
	if !named {
		scheme, rest = "", scheme
	}
	defaultPort := ""
	switch strings.ToLower(scheme) {
	case "https", "redfish":
		scheme, protocol, defaultPort = "https", Redfish, "443"
	case "ipmi":
		scheme, protocol, defaultPort = "ipmi", IPMI, "623"
	case "":
	case "http":
		return "", "", fmt.Errorf("a BMC is never spoken to without TLS; write https://")
	default:
		return "", "", fmt.Errorf("begins with %s://; it must begin with https:// or ipmi://, or be a host alone", scheme)
	}
	u, err := url.Parse("x://" + rest)
	if err != nil || u.Host == "" {
		return "", "", fmt.Errorf("is not an address such as https://10.0.0.7")
	}
	if u.User != nil {
		return "", "", fmt.Errorf("must not hold credentials; give username and password on their own")
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", "", fmt.Errorf("must end after the host and the port")
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	} else if !validHost(host) {
		return "", "", fmt.Errorf("has no valid host name or IP address")
	}
	if port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return "", "", fmt.Errorf("has a port that is not between 1 and 65535")
		}
	}
	if port == defaultPort {
		port = ""
	}
	if port != "" {
		host = net.JoinHostPort(host, port)
	} else if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if scheme != "" {
		host = scheme + "://" + host
	}
	return host, protocol, nil
}

func validHost(host string) bool {
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if !ValidName(label) {
			return false
		}
	}
	return true
}
