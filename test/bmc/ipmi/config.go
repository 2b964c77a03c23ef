package ipmi

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/uuid"
)

// hook is what ipmi_sim calls with a device and get NAME…, or set NAME VALUE…. It keeps the switch and the boot device in
// files, which outlive any kill, and tells the rest to whoever holds the pipe.
const hook = `#!/bin/sh
cd "$(dirname "$0")" || exit 1
op=$2
shift 2
keep() { echo "$2" >"$1.new" && mv "$1.new" "$1"; }
if [ "$op" = get ]; then
	for name; do echo "$name:$(cat "$name")" || exit 1; done
	exit 0
fi
[ "$op" = set ] || exit 1
while [ $# -gt 1 ]; do
	name=$1 value=$2
	shift 2
	case $name in
	power)
		[ "$(cat power)" = "$value" ] && continue
		keep power "$value" && echo "power $value" >events
		;;
	boot) keep boot "$value" ;;
	reset | shutdown | identify) echo "$name $value" >events ;;
	esac || exit 1
done
`

// prepare writes what ipmi_sim reads. Switch and boot device stay as they were.
func prepare(o Options) error {
	if strings.ContainsAny(o.Username+o.Password, "\"\\\n$") {
		return errors.New("the user's name and password must be free of quotes, backslashes and dollar signs")
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "state"), 0o700); err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return err
	}
	id, err := uuid.Parse(o.Hardware.UUID)
	if err != nil {
		return err
	}
	for name, first := range map[string]string{"power": "0\n", "boot": "none\n"} {
		if _, err := os.Stat(filepath.Join(o.Dir, name)); errors.Is(err, os.ErrNotExist) {
			if err := replace(o.Dir, name, first, 0o600); err != nil {
				return err
			}
		}
	}
	if err := syscall.Mkfifo(filepath.Join(o.Dir, "events"), 0o600); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return errors.Join(
		replace(o.Dir, "hook", hook, 0o700),
		replace(o.Dir, "lan.conf", lanConf(o, host, port, guid(id)), 0o600),
		replace(o.Dir, "fru", string(fru(o.Hardware)), 0o600),
		replace(o.Dir, "machine.emu", emulation(o), 0o600),
	)
}

// replace writes a file in one step.
func replace(dir, name, content string, mode os.FileMode) error {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".next", []byte(content), mode); err != nil {
		return err
	}
	return os.Rename(path+".next", path)
}

// guid turns a UUID round, as BMCs send it: the last byte first.
func guid(id uuid.UUID) string {
	turned := make([]byte, len(id))
	for i, b := range id {
		turned[len(id)-1-i] = b
	}
	return hex.EncodeToString(turned)
}

func lanConf(o Options, host, port, guid string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "name %q\nset_working_mc 0x20\nstartlan 1\naddr %s %s\npriv_limit admin\n", o.Name, host, port)
	for _, level := range []string{"callback", "user", "operator", "admin"} {
		fmt.Fprintf(&s, "allowed_auths_%s md5\n", level)
	}
	fmt.Fprintf(&s, "guid %s\nendlan\n", guid)
	fmt.Fprintf(&s, "chassis_control \"'%s' 0x20\"\n", filepath.Join(o.Dir, "hook"))
	fmt.Fprintf(&s, "user 1 false \"\" \"\" user 10 md5\n")
	fmt.Fprintf(&s, "user 2 true \"%s\" \"%s\" admin 10 md5\n", o.Username, o.Password)
	for i := 3; i <= 6; i++ {
		fmt.Fprintf(&s, "user %d false \"\" \"\" user 10 md5\n", i)
	}
	return s.String()
}

func emulation(o Options) string {
	var s strings.Builder
	s.WriteString("mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nsel_enable 0x20 200 0x0a\n")
	fmt.Fprintf(&s, "mc_add_fru_data 0x20 0 %d file 0 \"%s\"\n", len(fru(o.Hardware)), filepath.Join(o.Dir, "fru"))
	for i, sensor := range sensors {
		sensor.write(&s, i+1)
	}
	s.WriteString("mc_enable 0x20\n")
	return s.String()
}
