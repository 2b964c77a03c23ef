package chaos

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAFileWithThreeBadLinesBringsNothingIn gives the command line a list of 10,000 servers of which three are wrong.
func TestAFileWithThreeBadLinesBringsNothingIn(t *testing.T) {
	t.Parallel()
	f := newFloor(t, 1)
	var list strings.Builder
	list.WriteString("name,bmc,user,password,serial\n")
	for i := 1; i <= 10000; i++ {
		name, at, serial := fmt.Sprintf("bm-%d", i), fmt.Sprintf("https://10.1.%d.%d", i/250, i%250+1), fmt.Sprintf("SN-%d", i)
		switch i {
		case 1234:
			name = "bm-7"
		case 5000:
			at = "https://10.1.0.4"
		case 9999:
			serial = "SN-42"
		}
		fmt.Fprintf(&list, "%s,%s,root,%s,%s\n", name, at, original, serial)
	}
	file := filepath.Join(f.dir, "servers.csv")
	require.NoError(t, os.WriteFile(file, []byte(list.String()), 0o600))
	cmd := f.command("yunshu", "baremetal", "import", "-f", file, "--region", "tw")
	cmd.Env = append(cmd.Env, "YUNSHU_URL="+f.url, "YUNSHU_TOKEN="+f.token)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.Error(t, err)
	require.Empty(t, out)
	var said []string
	for line := range strings.Lines(errs.String()) {
		if strings.HasPrefix(strings.TrimSpace(line), file) {
			said = append(said, strings.TrimPrefix(strings.TrimSpace(line), file))
		}
	}
	require.Equal(t, []string{
		":1235: name: is also that of line 8",
		":5001: bmc: is also that of line 4",
		":10000: serial: is also that of line 43",
	}, said, errs.String())
	require.NotContains(t, errs.String(), original)
	require.Zero(t, f.count("SELECT (SELECT count(*) FROM baremetals) + (SELECT count(*) FROM bmcs) + (SELECT count(*) FROM operations)"))
}
