package stack

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/yunshu/yunshu/dev/temporal"
)

// lock makes sure that one stack runs in a checkout at a time. It is held until the process ends.
func lock(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.New("a stack is already running in this checkout; stop it with Ctrl-C where it runs, or use it: source .dev/env")
	}
	return nil // f stays open
}

// secret returns what is in a file that only we can read, and makes it the first time.
func secret(path string, generate func() (string, error)) (string, error) {
	raw, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(raw)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	out, err := generate()
	if err != nil {
		return "", err
	}
	return out, os.WriteFile(path, []byte(out+"\n"), 0o600)
}

func payloadKeys() (string, error) {
	raw, err := random(32)
	return "k1=" + base64.StdEncoding.EncodeToString(raw), err
}

func password() (string, error) {
	raw, err := random(18)
	return base64.RawURLEncoding.EncodeToString(raw), err
}

// bmcPassword is as long as every BMC takes: 16 characters.
func bmcPassword() (string, error) {
	raw, err := random(12)
	return base64.RawURLEncoding.EncodeToString(raw), err
}

func random(n int) ([]byte, error) {
	out := make([]byte, n)
	_, err := rand.Read(out)
	return out, err
}

// postgresDir is where PostgreSQL keeps its data. It does not run as root and must reach its directory: where it
// cannot, the data is outside the checkout.
func postgresDir(dir string) (path, why string) {
	path = filepath.Join(dir, "postgres")
	if os.Getuid() != 0 {
		return path, ""
	}
	for p := dir; p != "/"; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err == nil && info.Mode()&0o001 != 0 {
			continue
		}
		sum := sha256.Sum256([]byte(dir))
		out := filepath.Join("/var/tmp", "yunshu-"+hex.EncodeToString(sum[:6]), "postgres")
		return out, fmt.Sprintf("PostgreSQL does not run as root and its account cannot reach %s, so its data is in %s", p, out)
	}
	return path, ""
}

// port returns the wanted port on loopback, or a free one if somebody has it.
func (s *stack) port(what string, wanted int) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(wanted)))
	if err == nil {
		return wanted, l.Close()
	}
	free, err := temporal.FreePorts(1)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(s.out, "  Port %d is taken, so %s listens on %d.\n", wanted, what, free[0])
	return free[0], nil
}
