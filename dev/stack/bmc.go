package stack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The physical servers of a region: those that are the hosts of its vCenter, and spare ones after them.
const (
	hostsPerRegion  = 48
	sparesPerRegion = 8
)

// bmcs are the simulated BMCs of a region. Host is that of the first hypervisor, spare that of the first machine that is
// none.
type bmcs struct{ host, spare, control, user, passwordFile string }

// startBMCs starts the BMCs of a region's physical servers. They come after the gateway, because what boots on these
// servers talks to it.
func (s *stack) startBMCs(ctx context.Context, i int) (string, error) {
	r := regions[i]
	b := bmcs{user: "admin", passwordFile: filepath.Join(s.dir, "bmc-"+r.name+".password")}
	if _, err := secret(b.passwordFile, bmcPassword); err != nil {
		return "", err
	}
	if s.network == 0 {
		var err error
		if s.network, err = s.chooseNetwork(networks, networkPatience); err != nil {
			return "", err
		}
	}
	args := []string{"serve", "--region", r.name, "--count", fmt.Sprint(hostsPerRegion + sparesPerRegion), "--listen", s.network.redfish(i, 1),
		"--username", b.user, "--password-file", b.passwordFile, "--tls-dir", filepath.Join(s.dir, "bmc-tls-"+r.name),
		"--state", filepath.Join(s.dir, "bmc-"+r.name+".state"), "--boot-url", s.url, "--on", fmt.Sprint(hostsPerRegion)}
	if ipmi() {
		args = append(args, "--ipmi", "1", "--ipmi-listen", s.network.ipmi(i), "--ipmi-dir", filepath.Join(s.dir, "ipmi-"+r.name))
	}
	c, err := s.run("bmc-"+r.name, nil, "yunshu-bmcsim", args...)
	if err != nil {
		return "", err
	}
	line, err := await(ctx, c, 2*time.Minute) // the first time it may install OpenIPMI
	if err != nil {
		return "", err
	}
	for word := range strings.FieldsSeq(line) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "url":
			b.host, b.spare = value, "https://"+s.network.redfish(i, 1+hostsPerRegion)
		case "control":
			b.control = value
		}
	}
	s.bmcs[r.name] = b
	return fmt.Sprintf("%d machines, spare ones from %s on", hostsPerRegion+sparesPerRegion, b.spare), nil
}

// ipmi reports whether one machine can be had that speaks IPMI alone: OpenIPMI's simulator is there, or may be installed.
func ipmi() bool {
	_, err := exec.LookPath("ipmi_sim")
	return err == nil || os.Getuid() == 0
}

// workerConfig is what a region's worker is told.
func (s *stack) workerConfig(region string) (string, error) {
	v, path := s.vcenters[region], filepath.Join(s.dir, "worker-"+region+".yaml")
	text := fmt.Sprintf(`temporal:
  address: %q
  namespace: default
regions:
  %s:
    vm:
      provider: vsphere
      vsphere:
        url: %q
        username: %q
        password_file: %q
        ca_file: %q
    bm:
      provider: bmclib
`, s.temporal.Address, region, v.url, v.user, v.passwordFile, v.ca)
	return path, os.WriteFile(path, []byte(text), 0o600)
}
