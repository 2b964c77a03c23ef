package ipmi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
)

var installing sync.Mutex

// Install makes sure that this machine has OpenIPMI's simulator and ipmitool, and installs Debian's where it has not.
func Install(ctx context.Context, log io.Writer) error {
	installing.Lock()
	defer installing.Unlock()
	if present() {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Getuid() != 0 {
		return errors.New("there is no ipmi_sim or no ipmitool here: install them (on Debian and Ubuntu: sudo apt-get install openipmi ipmitool)")
	}
	if log == nil {
		log = os.Stderr
	}
	fmt.Fprintln(log, "Installing Debian's openipmi and ipmitool with apt-get: they simulate and operate servers without Redfish.")
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", "openipmi", "ipmitool"}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apt-get %s: %w", strings.Join(args, " "), err)
		}
	}
	if !present() {
		return errors.New("apt-get installed openipmi and ipmitool, but ipmi_sim or ipmitool is not on the PATH")
	}
	return nil
}

func present() bool {
	for _, program := range []string{"ipmi_sim", "ipmitool"} {
		if _, err := exec.LookPath(program); err != nil {
			return false
		}
	}
	return true
}
