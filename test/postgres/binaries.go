package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

const oldest = 15 // UNIQUE NULLS NOT DISTINCT

// binaries finds the newest PostgreSQL on this machine, and installs Debian's where there is none.
func binaries(ctx context.Context, log io.Writer) (string, error) {
	if bin := newest(ctx); bin != "" {
		return bin, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Getuid() != 0 {
		return "", fmt.Errorf("there is no PostgreSQL %d or newer here: install it (on Debian and Ubuntu: sudo apt-get install postgresql), or point YUNSHU_DATABASE_URL at one", oldest)
	}
	if log == nil {
		log = os.Stderr
	}
	fmt.Fprintln(log, "Installing Debian's postgresql with apt-get: the gateway keeps its data in it.")
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", "postgresql"}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("apt-get %s: %w", strings.Join(args, " "), err)
		}
	}
	if bin := newest(ctx); bin != "" {
		return bin, nil
	}
	return "", errors.New("apt-get installed postgresql, but its binaries are not below /usr/lib/postgresql")
}

// Binary returns the path of one of PostgreSQL's programs, such as pgbench.
func Binary(ctx context.Context, name string) (string, error) {
	bin, err := binaries(ctx, nil)
	if err != nil {
		return "", err
	}
	return filepath.Join(bin, name), nil
}

// newest returns the directory of the newest binaries. What is on the PATH comes last: it may be a wrapper.
func newest(ctx context.Context) string {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is well-formed
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	best, bestVersion := "", 0
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
			continue
		}
		if v := version(ctx, filepath.Join(dir, "postgres")); v >= oldest && v > bestVersion {
			best, bestVersion = dir, v
		}
	}
	return best
}

var major = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

func version(ctx context.Context, binary string) int {
	out, err := exec.CommandContext(ctx, binary, "--version").Output()
	if err != nil {
		return 0
	}
	m := major.FindSubmatch(out)
	if m == nil {
		return 0
	}
	v, _ := strconv.Atoi(string(m[1])) // the pattern lets only digits through
	return v
}
